"""The model ``general``: what it learns from which corpus, and that nothing trains that is judged on."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.general.corpora import cut, joined, read_parts, with_cut
from bioner_fast.experiments.general.documents import as_corpus
from bioner_fast.experiments.general.leaks import HeldBack, reduced
from bioner_fast.experiments.general.make import GeneralConfig, make_general
from bioner_fast.experiments.general.scores import compare
from bioner_fast.experiments.general.sources import HEADS, SOURCES, TYPES, CorpusSource
from bioner_fast.features.vector_files import write_vectors
from bioner_fast.tagging.tagger import Tagger

GENES, MICE = ("p53", "Tnf", "BRCA1", "Myc"), ("mice", "rats", "humans", "yeast")
LONG = "A long sentence about nothing in particular that goes on until it has many more than sixty letters"


def document(number: int, text: str, *mentions: tuple[str, str]) -> str:
    """A PubTator document; mentions are annotated where they stand first."""
    title = f"Study {number} of something else."
    whole = f"{title} {text}"
    rows = [
        f"{number}\t{whole.index(word)}\t{whole.index(word) + len(word)}\t{word}\t{kind}"
        for word, kind in mentions
    ]
    return "\n".join([f"{number}|t|{title}", f"{number}|a|{text}", *rows]) + "\n\n"


def write(folder: Path, name: str, *documents: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(documents), encoding="utf-8")


def corpora(folder: Path) -> tuple[Path, Path, tuple[CorpusSource, ...]]:
    """A corpus of genes and species, one of genes, and two of columns for the other heads."""
    both, genes = [], []
    for i in range(30):
        gene, mouse = GENES[i % 4], MICE[i // 4 % 4]
        both.append(
            document(
                100 + i, f"Loss of {gene} in {mouse} is bad in case {i}.", (gene, "Gene"), (mouse, "Species")
            )
        )
        genes.append(document(200 + i, f"Here {gene} binds in {mouse}, case {i}.", (gene, "Gene")))
    leaky = document(300, f"{LONG} p53 and mice. More of Tnf.", ("p53", "Gene"), ("Tnf", "Gene"))
    write(folder / "pubtator", "Both.PubTator", *both, leaky)
    write(folder / "pubtator", "Genes.PubTator", *genes, document(500, "A same document."))
    test = document(400, f"{LONG.upper()}, p53 - and mice! Something else.", ("mice", "Species"))
    write(folder / "pubtator", "Test.PubTator", test, document(500, "Another text with its id."))
    for name, kind in (("Cells", "CL"), ("Organs", "Organ")):
        rows = f"a\tO\n{kind.lower()}\tB-{kind}\nof\tO\nmice\tO\n\n" * 12
        write(folder / "columns" / name, "train.tsv", rows)
        write(folder / "columns" / name, "devel.tsv", f"one\tO\n{kind.lower()}\tB-{kind}\n")
    sources = (
        CorpusSource(
            "Both", "general", {"Gene": "gene", "Species": "species"},
            ("Both.PubTator",), test=("Test.PubTator",), cut=5, calibrates=True,
        ),
        CorpusSource("Genes", "general", {"Gene": "gene"}, ("Genes.PubTator",), cut=3),
        CorpusSource(
            "Cells", "cells", {"CL": "cell_type"},
            ("Cells/train",), devel=("Cells/devel",), calibrates=True,
        ),
        CorpusSource("Organs", "anatomy", {"Organ": "anatomy"}, ("Organs/train",), devel=("Organs/devel",)),
    )  # fmt: skip
    return folder / "columns", folder / "pubtator", sources


def words_of(corpus: Corpus) -> str:
    return " ".join(corpus.tokens.tolist())


def test_what_is_judged_on_does_not_train(tmp_path: Path) -> None:
    data, pubtator, sources = corpora(tmp_path)
    parts, _ = read_parts(data, pubtator, sources)
    by_name = {part.source.name: part for part in parts}
    text = words_of(by_name["Both"].train)
    # The sentence stands in a test document in other case and with other signs; the one after it does not.
    assert "particular" not in text
    assert "More of Tnf" in text
    # A document of the same id goes as a whole, whatever its text.
    assert "A same document" not in words_of(by_name["Genes"].train)
    assert by_name["Genes"].dropped[0] == 1
    assert by_name["Both"].dropped[1] == 1
    for part in parts:
        own = {reduced(d.passages[0].text) for d in (*part.devel, *part.test)}
        assert not own & {reduced(s) for s in part.train.document_ids}


def test_what_was_cut_off_comes_back_without_what_is_judged_on(tmp_path: Path) -> None:
    data, pubtator, sources = corpora(tmp_path)
    parts, _ = read_parts(data, pubtator, (replace(sources[0], cut=31), *sources[1:]))
    both = parts[0]
    assert both.train.n_tokens == 0
    assert "particular" in " ".join(d.text for d in both.devel)
    back = words_of(with_cut(both).train)
    assert "particular" not in back
    assert "More of Tnf" in back
    kept, _ = read_parts(data, pubtator, (replace(sources[0], cut=31, returns=False), *sources[1:]))
    assert with_cut(kept[0]) is kept[0]


def test_devel_is_cut_by_article_and_always_alike() -> None:
    documents = [Document.from_text("x", id=f"{i // 3:03d}{i}") for i in range(60)]
    rest, taken = cut(documents, 10, 3)
    assert 10 <= len(taken) <= 12
    assert not {d.id[:3] for d in rest} & {d.id[:3] for d in taken}
    assert cut(documents[::-1], 10, 3)[1] == taken[::-1]


def test_a_leak_is_found_inside_a_longer_sentence_and_short_ones_only_as_a_whole() -> None:
    held = HeldBack()
    held.add_corpus(Corpus.from_sentences([[(w, "O") for w in LONG.split()], [("Short", "O"), ("one", "O")]]))
    other = Corpus.from_sentences(
        [
            [(w, "O") for w in ("Before", *LONG.split(), "after")],
            [("short", "O"), ("ONE", "O"), (".", "O")],
            [("A", "O"), ("short", "O"), ("one", "O")],
            [(w, "O") for w in LONG.split()[3:]],
        ]
    )
    assert held.sentences(other).tolist() == [True, True, False, False]


def test_entities_stay_whole_where_a_sentence_seems_to_end() -> None:
    text = "Vaccine against E. Coli strains works. Next."
    start = text.index("E.")
    entity = Entity(start, start + 7, "species", text[start : start + 7])
    corpus = as_corpus([Document("1", [Passage(text, entities=[entity])])])
    tags = corpus.tags()
    at = tags.index("B-species")
    assert tags[at : at + 3] == ["B-species", "I-species", "I-species"]
    assert not any(tags[i].startswith("I-") for i in corpus.sentence_offsets[:-1].tolist())


def test_a_corpus_leaves_open_what_it_does_not_label(tmp_path: Path) -> None:
    data, pubtator, sources = corpora(tmp_path)
    parts, _ = read_parts(data, pubtator, sources)
    corpus = joined(parts[:2], HEADS["general"])
    both, genes = (part.train.n_tokens for part in parts[:2])
    tags = corpus.tags()
    left = {tag for tag in tags[:both] if "?" in tag}
    assert left == {"B-?disease|chemical|cell_line|variant"}
    assert {tag for tag in tags[both:] if "?" in tag} == {"B-?disease|chemical|species|cell_line|variant"}
    assert len(tags) == both + genes


def test_types_are_each_of_one_head_and_of_some_corpus() -> None:
    assert [kind for types in HEADS.values() for kind in types] == list(TYPES)
    for source in SOURCES:
        assert set(source.types.values()) <= set(HEADS[source.head])
    assert not {"FamilyName", "DomainMotif"} & {kind for source in SOURCES for kind in source.types}


def test_scores_count_exact_spans() -> None:
    def one(*entities: tuple[int, int, str]) -> Document:
        return Document("1", [Passage("x" * 20, entities=[Entity(a, b, k, "x") for a, b, k in entities])])

    counts = compare(
        [one((0, 3, "gene"), (5, 8, "gene"))], [one((0, 3, "gene"), (5, 9, "gene"), (5, 8, "x"))], ["gene"]
    )
    assert (counts["gene"].right, counts["gene"].spurious, counts["gene"].missed) == (1, 1, 1)


@pytest.fixture
def small(tmp_path: Path) -> GeneralConfig:
    data, pubtator, sources = corpora(tmp_path / "in")
    words = [*GENES, *MICE, "a", "of", "in", "is", "bad", "Loss", "binds", "cl", "organ", "one"]
    table = np.random.default_rng(0).normal(size=(len(words), 10)).astype(np.float32)
    write_vectors(tmp_path / "v.bin", StringColumn.from_list(words), table, "word2vec-binary")
    text = tmp_path / "text.txt"
    lines = [f"Again {gene} was lost in {mouse} of a kind." for gene in GENES for mouse in MICE]
    text.write_text("\n\n".join([*lines, f"{LONG} p53 and mice and so on."]) + "\n", encoding="utf-8")
    return GeneralConfig(
        data=data, pubtator=pubtator, vectors=tmp_path / "v.bin", out=tmp_path / "out", texts=(text,),
        recipe={
            "channels": 16, "char_filters": 8, "affix_dim": 4, "batch_size": 60, "average": 0.5,
            "dropout": 0.1,
        },
        epochs=(15, 4, 4), silver_tokens=1000, teachers=2, sources=sources,
    )  # fmt: skip


def test_the_model_is_made_calibrated_and_scored(small: GeneralConfig) -> None:
    model = make_general(small, "bioner-fast experiment general")
    facts = json.loads((model / "bundle.json").read_text())
    assert facts["features"]["precision"] == "int8"
    assert set(facts["calibration"]["general"]) == {"gene", "species"}
    assert set(facts["calibration"]["cells"]) == {"cell_type"}
    inputs = facts["provenance"]["inputs"]
    assert {"Both.PubTator", "Test.PubTator", "Cells/train.tsv", "v.bin", "text.txt"} <= set(inputs)
    scores = json.loads((small.out / "scores.json").read_text())
    assert scores["devel"]["Both"]["overall"]["f1"] > 80
    assert set(scores["test"]) == {"Both"}
    assert [head.name for head in Tagger.load(model, "cpu", 1).bundle.tasks] == [
        "general",
        "cells",
        "anatomy",
    ]
    # Silver annotations hold nothing that is judged on, either.
    silver = Corpus.read(small.out / "corpora" / "silver" / "general" / "train.tsv")
    assert "Again" in silver.tokens.tolist()
    assert "particular" not in silver.tokens.tolist()
    # The last stage has the documents that were cut off, and no test.
    whole = Corpus.read(small.out / "corpora" / "everything" / "general" / "train.tsv")
    before_it = Corpus.read(small.out / "corpora" / "weighted" / "general" / "train.tsv")
    assert whole.n_sentences > before_it.n_sentences
    assert "particular" not in whole.tokens.tolist()
    # What is done is not done again.
    before = (small.out / "reference" / "result.json").stat().st_mtime_ns
    assert make_general(small, "again") == model
    assert (small.out / "reference" / "result.json").stat().st_mtime_ns == before


def test_missing_files_and_impossible_settings_are_named(small: GeneralConfig) -> None:
    (small.pubtator / "Test.PubTator").unlink()
    with pytest.raises(BionerError, match=r"Test\.PubTator: there is no such file; the corpus Both"):
        make_general(small)
    with pytest.raises(UsageError, match="epochs"):
        make_general(replace(small, epochs=(1, 0, 1)))


def test_on_the_corpora_at_hand_no_sentence_of_devel_or_test_trains(shared: Path) -> None:
    """By sentences compared as they are, which finds less than the rule and so must find nothing."""
    if not (shared / "pubtator").is_dir():
        pytest.skip("no PubTator corpora among the shared test material")
    parts, _ = read_parts(shared / "corpora", shared / "pubtator")

    def sentences(corpus: Corpus) -> set[str]:
        bounds, tokens = corpus.sentence_offsets.tolist(), corpus.tokens.tolist()
        return {reduced("".join(tokens[a:b])) for a, b in itertools.pairwise(bounds)}

    judged = {s for part in parts for s in sentences(as_corpus([*part.devel, *part.test]))} - {""}
    for part in parts:
        assert not judged & sentences(part.train), part.source.name
    counts = {part.source.name: part.dropped for part in parts}
    assert counts["BioRED"][0] > 50  # abstracts of BC5CDR's and NCBI-disease's test splits
