"""Disease and chemical names put together from pieces, and the fillers that need numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

from . import lexicon as lex

_VOWELS = "aeiou"


def _join(*parts: str) -> str:
    """Word pieces joined, one vowel kept where two equal ones would meet."""
    out = parts[0]
    for part in parts[1:]:
        if part and out and out[-1] == part[0] and part[0] in _VOWELS:
            part = part[1:]
        out += part
    return out


class Names:
    """Draws names; one instance stands for one stream of random choices."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.mentions: dict[str, Callable[[], str]] = {
            "dis": self.disease,
            "tum": self.tumor,
            "ae": self.sign,
            "drug": self.drug,
            "base": self._generic_drug,
            "subst": self.substance,
            "ion": self.ion,
            "mineral": lambda: self.pick(lex.ION_NAMES),
            "toxic": self.toxic,
            "metal": lambda: self.pick(lex.METALS),
            "solvent": lambda: self.pick(lex.SOLVENTS),
        }
        self.values: dict[str, Callable[[], str]] = {
            "n": lambda: str(rng.randint(12, 480)),
            "num": lambda: f"{rng.randint(1, 19)}.{rng.randint(1, 9)}",
            "age": lambda: str(rng.randint(19, 84)),
            "year": lambda: str(rng.randint(1984, 2014)),
            "pct": lambda: f"{rng.randint(4, 96)}{self.pick(('', '', '.2', '.5', '.8'))}%",
            "lowpct": lambda: f"{rng.randint(2, 15)}%",
            "highpct": lambda: f"{rng.randint(28, 64)}%",
            "small": lambda: str(rng.randint(3, 11)),
            "pval": lambda: f"P {self.pick('<=')} 0.{self.pick(('01', '03', '001', '02', '004'))}",
            "ns": lambda: f"P {self.pick('>=')} 0.{self.pick(('18', '2', '3', '47', '6'))}",
            "dose": self.dose,
            "mgkg": self.animal_dose,
            "conc": lambda: (
                f"{self.pick(('0.5', '1', '5', '10', '50'))} {self.pick(('μM', 'mM', 'nM', 'μg/ml'))}"
            ),
            "dur": lambda: f"{rng.randint(2, 24)} {self.pick(('weeks', 'months', 'days', 'years'))}",
            "hours": lambda: f"{self.pick(('6', '12', '24', '48', '72'))} h",
            "chrom": self.chromosome,
            "locus": lambda: f"{self.chromosome()}{rng.randint(1, 3)}{rng.randint(1, 6)}",
            "gene": self.gene,
            "variant": self.variant,
        }

    def pick(self, items: tuple[str, ...] | str) -> str:
        """One of the items."""
        return items[self.rng.randrange(len(items))]

    def _chance(self, p: float) -> bool:
        return self.rng.random() < p

    def _pair(self, table: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...], between: str = " ") -> str:
        first, second = table[self.rng.randrange(len(table))]
        return f"{self.pick(first)}{between}{self.pick(second)}"

    def _choose(self, *weighted: tuple[int, Callable[[], str]]) -> str:
        total = sum(weight for weight, _ in weighted)
        at = self.rng.randrange(total)
        for weight, make in weighted:
            if at < weight:
                return make()
            at -= weight
        raise AssertionError("weights do not add up")

    # -- diseases --
    def _morphological(self) -> str:
        word = _join(self.pick(lex.DISEASE_ROOTS), self.pick(lex.DISEASE_ENDINGS))
        return _join(self.pick(lex.DISEASE_PREFIXES), word) if self._chance(0.25) else word

    def _eponym(self) -> str:
        name = self.pick(lex.SURNAME_STARTS) + self.pick(lex.SURNAME_ENDS)
        if self._chance(0.25):
            name += "-" + self.pick(lex.SURNAME_STARTS) + self.pick(lex.SURNAME_ENDS)
        elif self._chance(0.25):
            name += "'s"
        return f"{name} {self.pick(lex.EPONYM_HEADS)}"

    def _deficiency(self) -> str:
        grade = self.pick(lex.DEFICIENCY_GRADES) + " " if self._chance(0.5) else ""
        return f"{grade}{self.pick(lex.DEFICIENT)} deficiency"

    def _modified(self) -> str:
        return self._choose(
            (4, lambda: f"{self.pick(lex.DISEASE_MODIFIERS)} {self._morphological()}"),
            (4, lambda: f"{self.pick(lex.DISEASE_MODIFIERS)} {self._organ_disease()}"),
            (2, lambda: f"{self.pick(lex.PLAIN_MODIFIERS)} {self.pick(lex.DISEASE_PLAIN)}"),
        )

    def _organ_disease(self) -> str:
        return self._pair(lex.ORGAN_DISEASES)

    def long_disease(self) -> str:
        """A disease name of several words, which an abbreviation may follow."""
        return self._choose(
            (5, self._modified), (2, self._eponym), (2, self._deficiency), (2, self._organ_disease)
        )

    def disease(self) -> str:
        """Any disease."""
        return self._choose(
            (4, self._morphological),
            (6, self._modified),
            (4, self._organ_disease),
            (4, self._eponym),
            (2, self._deficiency),
            (4, lambda: self.pick(lex.DISEASE_PLAIN)),
            (2, self.tumor),
            (2, lambda: f"{self.pick(lex.AGENTS)} {self.pick(lex.DISEASE_ROOTS)}itis"),
        )

    def _site_tumor(self) -> str:
        return f"{self.pick(lex.TUMOR_SITES)} {self.pick(lex.TUMOR_HEADS)}"

    def tumor(self) -> str:
        """A neoplasm."""
        return self._choose(
            (3, lambda: self.pick(lex.TUMOR_ROOTS) + self.pick(lex.TUMOR_ENDINGS)),
            (4, self._site_tumor),
            (2, lambda: f"{self.pick(lex.TUMOR_KINDS)} {self.pick(lex.TUMOR_HEADS)}"),
            (2, lambda: f"{self.pick(lex.TUMOR_KINDS)} {self._site_tumor()}"),
        )

    def sign(self) -> str:
        """An adverse event or symptom (annotated as a disease, as most corpora do)."""
        return self._choose(
            (5, lambda: self.pick(lex.SIGNS)),
            (2, lambda: self.pick(lex.TOXIC_ORGANS) + "toxicity"),
            (3, lambda: self.pick(lex.SIGN_PREFIXES) + self.pick(lex.SIGN_STEMS)),
            (1, lambda: self.pick(lex.CELL_LOSS)),
            (5, lambda: self._pair(lex.ORGAN_SIGNS)),
            (2, self._morphological),
        )

    # -- chemicals --
    def _generic_drug(self) -> str:
        return _join(self.pick(lex.DRUG_STARTS), self.pick(lex.DRUG_MIDDLES), self.pick(lex.DRUG_STEMS))

    def _code(self) -> str:
        letters = self.pick(("BX", "SR", "KT", "GW", "LY", "RO", "UK", "PD", "AM"))
        return f"{letters}{self.pick(('-', ' ', ''))}{self.rng.randint(101, 9899)}"

    def drug(self) -> str:
        """A medicine."""
        return self._choose(
            (8, self._generic_drug),
            (3, lambda: f"{self._generic_drug()} {self.pick(lex.SALTS)}"),
            (3, lambda: self.pick(lex.DRUGS_PLAIN)),
            (1, self._code),
            (1, lambda: f"{self.pick(lex.ACID_STEMS)}ic acid"),
        )

    def _locant(self, lowest: int = 1) -> str:
        return str(self.rng.randint(lowest, 6))

    def _substituted(self) -> str:
        return self.pick(lex.ALKYLS) + self.pick(lex.PARENTS)

    def _systematic(self) -> str:
        return self._choose(
            (
                3,
                lambda: f"{self._locant()}-{self.pick(lex.ALKYLS)}-{self._locant()}-{self.pick(lex.PARENTS)}",
            ),
            (3, lambda: f"{self._locant()}-{self._substituted()}"),
            (2, lambda: f"N-{self.pick(lex.ALKYLS)}-L-{self.pick(lex.AMINO_ACIDS)}"),
            (2, lambda: f"2,{self._locant(3)}-di{self._substituted()}"),
            (2, lambda: f"{self.pick(('17β', 'α', 'β', 'γ', '5α'))}-{self.pick(lex.STEROIDS)}"),
            (1, lambda: f"(R)-{self._substituted()}"),
        )

    def _metal_salt(self) -> str:
        return f"{self.pick(lex.SALT_METALS)} {self.pick(lex.ANIONS)}"

    def toxic(self) -> str:
        """A chemical that people are exposed to."""
        return self._choose((2, self._metal_salt), (1, lambda: self.pick(lex.METALS)), (4, self._systematic))

    def substance(self) -> str:
        """A chemical as a laboratory has it."""
        return self._choose(
            (7, self._systematic),
            (3, self._metal_salt),
            (4, lambda: f"{self.pick(lex.ACID_STEMS)}ic acid"),
            (2, lambda: self._pair(lex.FORMULAE, between="")),
            (4, lambda: self.pick(lex.SUBSTANCES_PLAIN)),
            (3, self._substituted),
            (1, self._code),
            (2, self._generic_drug),
        )

    def long_chemical(self) -> str:
        """A chemical that an abbreviation may follow."""
        return self._choose(
            (2, self._substituted),
            (2, lambda: f"{self._generic_drug()} {self.pick(lex.SALTS)}"),
            (2, lambda: f"{self.pick(lex.ALKYLS)}{self.pick(lex.ACID_STEMS)}ic acid"),
            (1, self._generic_drug),
        )

    def ion(self) -> str:
        """A metal or an ion."""
        return self._choose((4, lambda: self.pick(lex.ION_NAMES)), (3, lambda: self.pick(lex.ION_SYMBOLS)))

    # -- fillers --
    def gene(self) -> str:
        """A gene symbol, made up most of the time."""
        if self._chance(0.2):
            return self.pick(lex.GENE_PLAIN)
        letters = "".join(self.pick(lex.GENE_LETTERS) for _ in range(self.rng.randint(2, 4)))
        # A hyphen now and then: as in drug codes and systematic names, which are mentions.
        return f"{letters}{'-' if self._chance(0.35) else ''}{self.rng.randint(1, 19)}"

    def variant(self) -> str:
        """A protein variant."""
        amino = "ACDEFGHIKLMNPQRSTVWY"
        first = self.pick(amino)
        return f"{first}{self.rng.randint(12, 940)}{self.pick(tuple(sorted(set(amino) - {first})))}"

    def chromosome(self) -> str:
        """A chromosome arm."""
        return f"{self.rng.randint(1, 22)}{self.pick('pq')}"

    def dose(self) -> str:
        """A human dose."""
        if self._chance(0.2):
            return self.pick(("50 μg", "1 g", "0.5 g"))
        return f"{self.pick(('5', '10', '20', '25', '40', '75', '100', '250', '500'))} mg"

    def animal_dose(self) -> str:
        """A dose per body weight."""
        return (
            f"{self.pick(('0.5', '1', '2', '5', '10', '20', '50'))} {self.pick(('mg/kg', 'mg/kg', 'μg/kg'))}"
        )


def abbreviation(name: str) -> str:
    """The abbreviation of a long name: initials, or consonants of one word."""
    parts = [part for part in name.replace("-", " ").replace("'s", "").split() if part[0].isalnum()]
    if len(parts) > 1:
        return "".join(part[0] for part in parts).upper()
    consonants = [c for c in name[1:] if c.isalpha() and c not in _VOWELS]
    return (name[0] + "".join(consonants[1:3])).upper()
