"""Two hundred sentences as they come, with what is meant in them (``data/sentences.tsv``).

Lines are group, text, expected entities (``type=mention`` joined by ``|``, in order, ``-`` for none) and, for
some groups, the stretch that no entity may touch. ``\\n`` and ``\\uXXXX`` stand for the characters. What
counts follows BioRED, and for cell types CRAFT, where bare ``cells`` are a cell type.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bioner_fast.data.document import Entity
from bioner_fast.resources import data_folder
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny

# Of the sentences, those that the shipped model has wholly right: at least so many in a hundred.
AT_LEAST = 85


@dataclass(frozen=True)
class Case:
    group: str
    text: str
    expected: list[tuple[int, int, str]]
    outside: list[tuple[int, int]]


def plain(text: str) -> str:
    text = text.replace("\\n", "\n")
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match.group(1), 16)), text)


def cases() -> list[Case]:
    lines = (Path(__file__).parent / "data" / "sentences.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    result = []
    for line in lines:
        group, text, wanted, *rest = line.split("\t")
        text = plain(text)
        expected, position = [], 0
        for item in wanted.split("|") if wanted != "-" else []:
            kind, _, mention = item.partition("=")
            start = text.index(mention, position)
            position = start + len(mention)
            expected.append((start, position, kind))
        outside = [match.span() for part in rest for match in re.finditer(re.escape(plain(part)), text)]
        assert len(outside) >= len(rest)
        result.append(Case(group, text, expected, outside))
    return result


CASES = cases()


def test_the_file_holds_what_it_says() -> None:
    assert len(CASES) == 200
    assert len({case.text for case in CASES}) == 200
    kinds = {kind for case in CASES for _, _, kind in case.expected}
    assert kinds == {
        "gene", "disease", "chemical", "species", "cell_line", "variant", "cell_type", "anatomy"
    }  # fmt: skip


def check_rules(case: Case, entities: list[Entity]) -> None:
    """What holds for any model."""
    for entity in entities:
        assert case.text[entity.start : entity.end] == entity.text != ""
        for start, end in case.outside:
            assert entity.end <= start or entity.start >= end, (case.text, entity.text)
        for opening, closing in ("()", "[]"):
            assert entity.text.count(opening) == entity.text.count(closing), (case.text, entity.text)


def test_rules_hold_for_any_model(tmp_path: Path) -> None:
    tagger = Tagger.load(save_tiny(tmp_path / "model"), "cpu")
    documents = tagger.tag([case.text for case in CASES])
    assert sum(len(document.entities) for document in documents) > 100
    for case, document in zip(CASES, documents, strict=True):
        check_rules(case, document.entities)


def test_the_shipped_model(record_property: Callable[[str, object], None]) -> None:
    if not (data_folder() / "models" / "general").is_dir():
        pytest.skip("the model general is not installed")
    tagger = Tagger.load(data_folder() / "models" / "general", "cpu", precision="float32")
    total, right = Counter[str](), Counter[str]()
    mistakes = []
    for case, document in zip(CASES, tagger.tag([case.text for case in CASES]), strict=True):
        check_rules(case, document.entities)
        for left, following in itertools.pairwise(document.entities):
            assert left.end <= following.start
        found = [(e.start, e.end, e.type) for e in document.entities]
        total[case.group] += 1
        if found == case.expected:
            right[case.group] += 1
        else:
            wrong = [
                f"-{case.text[a:b]} ({kind})" for a, b, kind in case.expected if (a, b, kind) not in found
            ]
            wrong += [
                f"+{case.text[a:b]} ({kind})" for a, b, kind in found if (a, b, kind) not in case.expected
            ]
            mistakes.append(f"{case.group}: {case.text!r}: {', '.join(wrong)}")
    share = 100 * right.total() / total.total()
    record_property("right", {group: f"{right[group]} of {total[group]}" for group in total})
    assert share >= AT_LEAST, "\n".join([f"{share:.1f} % are right", *mistakes])
