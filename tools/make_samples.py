#!/usr/bin/env python3
"""Writes the bundled sample corpora, ``data/samples/sample-{disease,chemical}/{train,devel,test}.tsv``.

Standard library only, and deterministic: the same sources give the same bytes on any machine::

    python tools/make_samples.py              # rewrite data/samples
    python tools/make_samples.py --check      # exit 1 if the files differ from what would be written

Template notation (``tools/sample_grammar/templates.*.txt``): ``== SECTION`` starts a section (``lead``:
phrases that may open a sentence; ``both``: diseases and chemicals; ``dis``; ``chem``; ``none``: neither);
``[a|b]`` is a choice; ``{slot}`` is filled by a name or a value, ``{a:slot}`` also takes the article;
``{disab}`` and ``{chemab}`` are a long name and its abbreviation in brackets.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sample_grammar import lexicon, mentions

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"train": 800, "devel": 200, "test": 200}
#: Corpus name -> (entity type, sections that mention it, the other type's section).
CORPORA = {
    "sample-disease": ("Disease", ("both", "dis"), "chem"),
    "sample-chemical": ("Chemical", ("both", "chem"), "dis"),
}
DISEASE_SLOTS = frozenset({"dis", "tum", "ae", "disab"})
CHEMICAL_SLOTS = frozenset({"base", "drug", "subst", "toxic", "ion", "mineral", "metal", "solvent", "chemab"})
#: How often a sentence opens with a phrase of the ``lead`` section.
LEAD = 0.25
#: How often a mention of devel and test is drawn again until train does not have it.
UNSEEN = 0.3

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_SLOT = re.compile(r"\{(a:)?([A-Za-z]+)\}")
_CHOICE = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class Sentence:
    """Tokens, IOB2 tags, and the template that they come from."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    template: str


def read_templates(split: str) -> dict[str, list[str]]:
    """The templates of one split, per section."""
    path = Path(__file__).resolve().parent / "sample_grammar" / f"templates.{split}.txt"
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            sections[line[3:]] = current = []
        elif line and not line.startswith("#"):
            current.append(line)
    return sections


def article(text: str) -> str:
    """The indefinite article of a phrase."""
    if re.match(r"[A-Z][A-Z0-9]", text):  # spelt out: an "F", but a "C"
        vowel = text[0] in "AEFHILMNORSX"
    else:
        vowel = re.match(r"[aeiouAEIOU]|8|11\b|18\b", text) is not None
    return "an" if vowel else "a"


class Writer:
    """Fills templates for one split of one corpus."""

    def __init__(self, rng: random.Random, entity_type: str, leads: list[str], seen: frozenset[str]) -> None:
        self.rng = rng
        self.leads = tuple(leads)
        self.names = mentions.Names(rng)
        self.entity_type = entity_type
        self.own_slots = DISEASE_SLOTS if entity_type == "Disease" else CHEMICAL_SLOTS
        self.seen = seen

    def _mention(self, slot: str, used: set[str]) -> list[str]:
        """A name, or a long name and its abbreviation."""
        make = {
            "disab": self.names.long_disease,
            "chemab": self.names.long_chemical,
            **self.names.mentions,
        }[slot]
        fresh = slot in self.own_slots and self.rng.random() < UNSEEN
        for _ in range(12):
            name = make()
            if name not in used and not (fresh and name.replace(" ", "").casefold() in self.seen):
                break
        return [name, mentions.abbreviation(name)] if slot.endswith("ab") else [name]

    def _value(self, slot: str, used: set[str]) -> str:
        for _ in range(12):
            if slot in lexicon.FILLERS:
                value = self.names.pick(lexicon.FILLERS[slot])
            else:
                value = self.names.values[slot]()
            if value not in used:
                break
        return value

    def sentence(self, template: str, lead: bool) -> Sentence:
        """One filled template, which may open with a phrase if ``lead``."""
        text = ""
        spans: list[tuple[int, int]] = []
        used: set[str] = set()
        frame = _CHOICE.sub(lambda match: self.names.pick(tuple(match[1].split("|"))), template)
        # A question, or a sentence that already opens with a phrase, takes none.
        if (
            not re.match(r"(In|Here|This|These|Its|Of|When|After|Both)\b|.*\?$", frame)
            and self.rng.random() < LEAD
        ):
            frame = self.names.pick(self.leads) + " " + frame[0].lower() + frame[1:]
        at = 0
        for match in _SLOT.finditer(frame):
            text += frame[at : match.start()]
            at = match.end()
            slot = match[2].lower()
            if slot in DISEASE_SLOTS or slot in CHEMICAL_SLOTS:
                parts = self._mention(slot, used)
            else:
                parts = [self._value(slot, used)]
            used.update(parts)
            if match[1]:
                text += article(parts[0]) + " "
            for number, part in enumerate(parts):
                text += " (" if number else ""
                if slot in self.own_slots:
                    spans.append((len(text), len(text) + len(part)))
                text += part + (")" if number else "")
        text += frame[at:]
        if re.match(r"[a-z]{2,}(?![A-Z0-9])", text) is not None or text.startswith("a "):
            text = text[0].upper() + text[1:]
        return self._tagged(text, spans, template)

    def _tagged(self, text: str, spans: list[tuple[int, int]], template: str) -> Sentence:
        tokens, tags = [], []
        for match in _TOKEN.finditer(text):
            tokens.append(match[0])
            inside = [start for start, stop in spans if start <= match.start() < stop]
            prefix = "B-" if inside and inside[0] == match.start() else "I-"
            tags.append(prefix + self.entity_type if inside else "O")
        return Sentence(tuple(tokens), tuple(tags), template)


def surface_forms(sentence: Sentence) -> list[str]:
    """The mentions of a sentence, tokens joined by spaces."""
    forms: list[list[str]] = []
    for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
        if tag.startswith("B-"):
            forms.append([token])
        elif tag.startswith("I-"):
            forms[-1].append(token)
    return [" ".join(form) for form in forms]


def make_split(name: str, split: str, seen: frozenset[str]) -> list[Sentence]:
    """The sentences of one split; templates take turns, and no sentence occurs twice."""
    entity_type, own, other = CORPORA[name]
    # A string seed is hashed by a fixed algorithm: the stream does not depend on machine or process.
    sections = read_templates(split)
    rng = random.Random(f"bioner_fast {name} {split} 1")
    writer = Writer(rng, entity_type, sections["lead"], seen)
    # The corpus's own sections come up twice as often as the ones without a mention.
    pool = (
        [template for section in own for template in sections[section]] * 2
        + sections["none"]
        + sections[other]
    )
    sentences: list[Sentence] = []
    known: set[tuple[str, ...]] = set()
    while len(sentences) < SIZES[split]:
        rng.shuffle(pool)
        for template in pool:
            sentence = writer.sentence(template, lead=template not in sections["none"])
            if sentence.tokens not in known and len(sentences) < SIZES[split]:
                known.add(sentence.tokens)
                sentences.append(sentence)
    return sentences


def generate(name: str) -> dict[str, list[Sentence]]:
    """All splits of one corpus."""
    train = make_split(name, "train", frozenset())
    # Names are compared as text without spaces: tokenisation puts spaces inside them.
    seen = frozenset(
        form.replace(" ", "").casefold() for sentence in train for form in surface_forms(sentence)
    )
    return {"train": train, "devel": make_split(name, "devel", seen), "test": make_split(name, "test", seen)}


def to_tsv(sentences: list[Sentence]) -> str:
    """CoNLL text: token, tab, tag; a blank line after each sentence."""
    blocks = (
        "".join(f"{token}\t{tag}\n" for token, tag in zip(sentence.tokens, sentence.tags, strict=True))
        for sentence in sentences
    )
    return "\n".join(blocks)


def build() -> dict[str, bytes]:
    """Path below ``data/samples`` -> the bytes of the file."""
    return {
        f"{name}/{split}.tsv": to_tsv(sentences).encode("utf-8")
        for name in CORPORA
        for split, sentences in generate(name).items()
    }


def main() -> int:
    """Writes the files, or checks them."""
    parser = argparse.ArgumentParser(description="Write the bundled sample corpora.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 on a difference")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "samples", help="folder (data/samples)")
    arguments = parser.parse_args()
    stale = []
    for relative, content in build().items():
        path = arguments.out / relative
        if arguments.check:
            if not path.is_file() or path.read_bytes() != content:
                stale.append(str(path))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if stale:
        print(f"out of date, run tools/make_samples.py: {', '.join(stale)}", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
