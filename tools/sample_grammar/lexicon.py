"""Word pieces and plain fillers of the sample corpora.

Pieces build mentions (see mentions.py); fillers are words that are never part of a mention, many chosen
to look like one: they end as a disease or a drug name does, or stand where one could stand.
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """The items of a comma-separated list, in order."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


# -- diseases ------------------------------------------------------------------------------------------------
DISEASE_ROOTS = words(
    "nephr, hepat, cardiomy, dermat, arthr, oste, myel, neur, encephal, gastr, enter, col, "
    "pancreat, bronch, cholecyst, aden, vascul, retin, kerat, ot, rhin, laryng, pharyng, cyst, "
    "my, tendin, spondyl, scler, blephar, gingiv, gloss, pleur, mening, chondr, fasci, "
    "lymphaden, thyroid, trache, phleb, burs, chol, radicul"
)
DISEASE_ENDINGS = words("itis, itis, itis, opathy, opathy, osis, algia, omalacia, odystrophy, odysplasia")
DISEASE_PREFIXES = words("poly, peri, pan, hemi, endo, meso, pachy, para")
TUMOR_ROOTS = words(
    "aden, fibr, chondr, oste, lip, angi, hemangi, lymphangi, neur, gangli, my, rhabdomy, "
    "leiomy, myx, mening, ependym, astrocyt, thym, semin, hepat, nephr, retin, medull, crani, "
    "cement, schwann, plasmacyt, insulin"
)
TUMOR_ENDINGS = words("oma, oma, osarcoma, oblastoma")
TUMOR_HEADS = words(
    "carcinoma, adenocarcinoma, cancer, tumor, sarcoma, lymphoma, neoplasm, carcinoma, cancer, tumor"
)
TUMOR_KINDS = words(
    "squamous cell, small cell, large cell, clear cell, basal cell, spindle cell, mucinous, "
    "papillary, follicular, medullary, ductal, lobular, serous, anaplastic, germ cell, giant "
    "cell, neuroendocrine, triple-negative"
)
TUMOR_SITES = words(
    "renal, hepatic, pulmonary, gastric, intestinal, colorectal, pancreatic, cervical, thyroid, "
    "adrenal, cutaneous, laryngeal, esophageal, biliary, pituitary, bronchial, nasal, thymic, "
    "salivary, breast, lung, bladder, colon, parotid, tonsillar, orbital, mediastinal, "
    "duodenal, ocular, spinal"
)
#: Adjectives and the heads that go with them.
ORGAN_DISEASES = (
    (
        words("renal, hepatic, pulmonary, intestinal, pancreatic, cardiac, splenic, adrenal, thyroid"),
        words(
            "fibrosis, atrophy, hypertrophy, failure, disease, infection, inflammation, insufficiency, "
            "necrosis, dysplasia"
        ),
    ),
    (
        words(
            "coronary, cerebral, pulmonary, mesenteric, aortic, carotid, renal, basilar, femoral, "
            "portal, retinal"
        ),
        words(
            "thrombosis, stenosis, ischemia, infarction, hemorrhage, embolism, aneurysm, calcification, "
            "hypertension"
        ),
    ),
    (
        words(
            "muscular, spinal, cerebellar, cortical, optic, macular, corneal, myotonic, bulbar, facial, "
            "oculomotor, retinal"
        ),
        words("dystrophy, atrophy, degeneration, palsy, ataxia, paralysis, disorder, neuropathy"),
    ),
    (
        words("cutaneous, corneal, duodenal, gastric, oral, genital, esophageal, colonic, nasal, laryngeal"),
        words("ulcer, polyposis, infection, inflammation, erosion, papillomatosis, herpes, amyloidosis"),
    ),
)
ORGAN_SIGNS = (
    (
        words(
            "renal, hepatic, pulmonary, cardiac, pancreatic, ventricular, thyroid, hepatocellular, "
            "tubular, myocardial"
        ),
        words("failure, dysfunction, injury, toxicity, damage, insufficiency, impairment"),
    ),
    (
        words(
            "abdominal, thoracic, lumbar, pelvic, ocular, muscle, joint, facial, back, chest, neck, "
            "bone, epigastric"
        ),
        words("pain, swelling, stiffness, spasm, tenderness, weakness"),
    ),
    (
        words("gastric, intestinal, nasal, gingival, retinal, cerebral, variceal, rectal, conjunctival"),
        words("bleeding, hemorrhage, edema, ulceration, perforation"),
    ),
    (
        words("sleep, visual, cognitive, mood, gait, motor, memory, behavioral"),
        words("disturbance, impairment, disorder, deterioration"),
    ),
    (
        words("atrial, ventricular, supraventricular, sinus"),
        words("fibrillation, tachycardia, arrhythmia, flutter, arrest"),
    ),
)
DISEASE_MODIFIERS = words(
    "chronic, acute, familial, congenital, hereditary, idiopathic, juvenile, progressive, "
    "early-onset, autoimmune, infantile, X-linked, recessive, secondary, primary, bilateral, "
    "sporadic, late-onset, atypical, subacute"
)
PLAIN_MODIFIERS = words(
    "chronic, acute, familial, childhood, atypical, early-onset, late-onset, sporadic, progressive"
)
DISEASE_PLAIN = words(
    "asthma, gout, stroke, sepsis, rickets, measles, migraine, lupus, shock, ataxia, epilepsy, "
    "malaria, obesity, schizophrenia, diabetes mellitus, tuberculosis, leprosy, influenza, "
    "dementia, autism, psoriasis, glaucoma, cataract, anemia, leukemia, melanoma, hypertension, "
    "depression, scurvy, cholera, eczema, hemophilia"
)
SURNAME_STARTS = words(
    "Hal, Brand, Mar, Ost, Kel, Wend, Lind, Ver, Tam, Gar, Fenn, Zim, Roth, Dor, Sand, Eck, "
    "Norr, Pel, Cast, Bru, Ish, Mor"
)
SURNAME_ENDS = words(
    "vorsen, ler, ović, berg, mann, strom, etti, ley, ards, kova, wick, ini, quist, imura, ault, holt, sen"
)
EPONYM_HEADS = words("syndrome, disease, disease, syndrome, anomaly, dystrophy, ataxia")
DEFICIENT = words(
    "aldolase, transaldolase, sulfatase, galactosidase, mannosidase, hydroxylase, aromatase, "
    "enolase, fumarase, dehydrogenase, ligase, reductase, kininogen, protein C, factor V, "
    "factor XI, complement C4, prekallikrein, growth hormone"
)
DEFICIENCY_GRADES = words("partial, combined, isolated, acquired, hereditary, congenital")
AGENTS = words(
    "rotaviral, fungal, bacterial, viral, parasitic, staphylococcal, streptococcal, chlamydial, "
    "mycoplasmal, amebic"
)
SIGNS = words(
    "nausea, vomiting, headache, dizziness, diarrhea, constipation, fever, bradycardia, "
    "tachycardia, hypotension, drowsiness, rash, pruritus, delirium, confusion, dyspnea, "
    "anorexia, fatigue, insomnia, pain, tremor, vertigo, coma, syncope"
)
TOXIC_ORGANS = words("hepato, nephro, cardio, neuro, oto, myelo, gastro, retino, pneumo, geno")
SIGN_PREFIXES = words("hyper, hypo")
SIGN_STEMS = words(
    "kalemia, natremia, glycemia, calcemia, magnesemia, uricemia, phosphatemia, thermia, "
    "thyroidism, tonia, volemia, reflexia, kinesia, albuminemia, lipidemia, capnia"
)
CELL_LOSS = words(
    "neutropenia, thrombocytopenia, lymphopenia, pancytopenia, leukopenia, cytopenia, "
    "eosinopenia, reticulocytopenia"
)

# -- chemicals -----------------------------------------------------------------------------------------------
DRUG_STARTS = words(
    "al, be, car, do, fe, ga, ip, lo, me, ni, or, pra, ri, so, ti, ve, xa, za, cli, flu, tri, "
    "bro, pen, sul, am, eto, dex, val, ro, pi"
)
DRUG_MIDDLES = words("ba, co, da, fe, lu, mi, no, pra, ro, su, te, va, zo, xi, le, to, ri, pa, ni, du, ve")
DRUG_STEMS = words(
    "olol, pril, statin, azole, idine, dipine, tinib, sartan, cillin, mycin, floxacin, "
    "barbital, azepam, oxetine, triptan, gliptin, caine, profen, terol, zosin, tadine, cycline, "
    "parin, phylline, setron, fibrate, thiazide, platin, rubicin, vir"
)
DRUGS_PLAIN = words(
    "aspirin, warfarin, metformin, morphine, caffeine, digoxin, lithium, cisplatin, ibuprofen, "
    "atropine, nicotine, cocaine, phenytoin, codeine, quinine, levodopa, tamoxifen, ketamine, "
    "lidocaine, haloperidol"
)
SALTS = words(
    "hydrochloride, sodium, maleate, mesylate, sulfate, citrate, tartrate, acetate, phosphate, "
    "potassium, bromide, succinate"
)
ALKYLS = words(
    "methyl, ethyl, propyl, butyl, phenyl, benzyl, allyl, hydroxy, methoxy, chloro, bromo, "
    "nitro, amino, fluoro, acetyl"
)
PARENTS = words(
    "butanol, pentanone, phenol, aniline, benzene, pyridine, toluene, indole, furan, hexanal, "
    "benzaldehyde, propanediol, naphthalene, quinoline, thiophene, pyrrole, cyclohexanone, "
    "benzamide, glucose, adenosine, uridine, tryptamine, anthracene"
)
ACID_STEMS = words(
    "linole, oxal, malon, succin, glutar, ascorb, retino, arachidon, valpro, fol, nicotin, "
    "salicyl, lact, pyruv, fumar, capro, laur, myrist, palmit, stear, uron, kain, iboten, "
    "ferul, caffe, okada, shikim, quin, abscis, betulin"
)
AMINO_ACIDS = words(
    "cysteine, arginine, lysine, serine, proline, glutamate, aspartate, tyrosine, histidine, leucine"
)
METALS = words("cadmium, lead, mercury, arsenic, nickel, cobalt, chromium, aluminum, thallium, manganese")
ION_NAMES = words(
    "calcium, potassium, sodium, zinc, magnesium, copper, iron, selenium, iodide, chloride, "
    "phosphate, manganese"
)
ION_SYMBOLS = words("Ca2+, K+, Na+, Zn2+, Mg2+, Cu2+, Fe2+, Fe3+, Mn2+, Cl-, Cd2+, Co2+")
ANIONS = words("chloride, sulfate, nitrate, oxide, acetate, iodide, carbonate, fluoride, phosphate, sulfide")
SALT_METALS = words(
    "cadmium, lead, mercury, nickel, cobalt, chromium, aluminum, thallium, manganese, calcium, "
    "potassium, sodium, zinc, magnesium, copper, iron, lithium, barium"
)
FORMULAE = (
    (words("Na, K, Li, Rb, Cs, Ag"), words("Cl, NO3, Br, F, I, OH")),
    (words("Na, K, Li, Ag"), ("2SO4", "2CO3", "2S", "2O")),
    (words("Ca, Mg, Zn, Cu, Cd, Ni, Co, Ba, Mn, Sr"), words("Cl2, SO4, CO3, O, S, Br2, F2")),
    (words("H"), words("2O2, 2S, Cl, NO3, 2SO4, 3PO4")),
)
SUBSTANCES_PLAIN = words(
    "nitric oxide, hydrogen peroxide, dopamine, serotonin, histamine, glutathione, cholesterol, "
    "urea, ATP, cAMP, ammonia, melatonin, cortisol, sucrose, glycerol, bilirubin, heme, "
    "creatinine, noradrenaline, testosterone"
)
STEROIDS = words(
    "estradiol, tocopherol, carotene, naphthoflavone, hydroxyprogesterone, sitosterol, "
    "ecdysone, androstenedione"
)
SOLVENTS = words(
    "methanol, ethanol, acetone, acetonitrile, chloroform, hexane, dimethyl sulfoxide, ethyl "
    "acetate, toluene, isopropanol"
)

# -- fillers that are never mentions ----------------------------------------------------------------------
FILLERS: dict[str, tuple[str, ...]] = {
    "people": words("patients, children, women, adults, men, individuals, subjects, infants"),
    "animals": words("mice, rats, rabbits, zebrafish, dogs, guinea pigs, hamsters, monkeys"),
    "organ": words(
        "liver, kidney, heart, lung, brain, spleen, thymus, retina, colon, pancreas, cerebellum, "
        "hippocampus, stomach, spine, iris, uterus, placenta, aorta, duodenum, urethra, stroma, "
        "intestine, epidermis, testis"
    ),
    "proc": words(
        "biopsy, electrophoresis, immunohistochemistry, computed tomography, magnetic resonance "
        "imaging, endoscopy, dialysis, autopsy, colonoscopy, laparoscopy, DNA analysis, bone marrow "
        "examination, linkage analysis, hybridization, microscopy, osteotomy, amniocentesis, "
        "bronchoscopy, cell cycle analysis, serology"
    ),
    "process": words(
        "apoptosis, mitosis, angiogenesis, phagocytosis, endocytosis, homeostasis, cell cycle "
        "progression, transcription, meiosis, exocytosis, gluconeogenesis, osteogenesis, cell "
        "migration, myelopoiesis, DNA repair, axonal growth, chemotaxis, cytokinesis, ribosome "
        "synthesis, signal transduction"
    ),
    "protein": words(
        "albumin, insulin, collagen, fibronectin, actin, myosin, keratin, hemoglobin, tumor "
        "necrosis factor, carcinoembryonic antigen, leukemia inhibitory factor, transferrin, "
        "vimentin, ubiquitin, laminin, osteopontin, adiponectin, interleukin 6, myelin basic "
        "protein, C-reactive protein, ferritin, prolactin, endothelin, thrombin, eotaxin, chemokine "
        "ligand 5, cadherin, calmodulin, relaxin, glucagon, serotonin transporter, dopamine "
        "transporter, chorionic gonadotropin, kininogen, filamin, ghrelin"
    ),
    "enz": words(
        "alkaline phosphatase, protein kinase C, cytochrome c oxidase, acetyltransferase, "
        "caspase-3, amylase, superoxide dismutase, cysteine protease, serine kinase, adenylyl "
        "cyclase, lipase, RNA polymerase, catalase, topoisomerase II, nitric oxide synthase, "
        "histone deacetylase, pepsin, trypsin, monoamine oxidase, elastase, lactate dehydrogenase, "
        "tyrosine hydroxylase, pyruvate kinase, glutathione peroxidase, ornithine decarboxylase, "
        "cholesterol esterase, histidine kinase, glutamate synthase, phenylalanine hydroxylase, "
        "arginine kinase, adenosine deaminase"
    ),
    "class": words(
        "beta-blocker, antibiotic, diuretic, sedative, anticonvulsant, antihistamine, vasodilator, "
        "opioid, kinase inhibitor, antidepressant, laxative, anesthetic"
    ),
    "cells": words(
        "HeLa cells, HepG2 cells, fibroblasts, hepatocytes, macrophages, Jurkat cells, cultured "
        "neurons, MCF-7 cells, endothelial cells, lymphocytes, PC12 cells, human keratinocytes, T "
        "cells, islet cells"
    ),
    "species": words(
        "Escherichia coli, yeast, Bacillus subtilis, Drosophila, Streptomyces griseus, Candida "
        "albicans, Pseudomonas putida, Arabidopsis, Aspergillus niger, Xenopus, Vibrio harveyi, "
        "Neurospora crassa"
    ),
    "nation": words(
        "Japanese, Finnish, Brazilian, Turkish, French, Korean, Canadian, Danish, Mexican, Nigerian"
    ),
    "adv": words("advanced, metastatic, recurrent, aggressive"),
}
# Names that follow on a gene, disease or drug name of one kind but belong to another keep the tagger honest.
GENE_LETTERS = "ABCDEFGHKLMNPRSTX"
GENE_PLAIN = words("p53, TP53, α-synuclein, NF-κB, TGF-β1, c-myc, IL-2, Wnt, IFN-γ, β-catenin, CYP3A4, PKCα")
