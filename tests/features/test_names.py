"""Abbreviations against the rule on plain strings, and repeated names against a search for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.names import find_abbreviations, find_repeats
from bioner_fast.features.tokenize import segment
from reference import abbreviations


def found(text: str) -> list[tuple[str, str]]:
    return [(text[a:b], text[c:d]) for a, b, c, d in places(text)]


def places(text: str) -> list[tuple[int, ...]]:
    cut = segment([text], sentences=False)
    rows = find_abbreviations(cut.tokens, cut.starts, cut.ends, cut.sentence_offsets)
    a, b, c, d = rows.T
    return list(
        zip(
            *(x.tolist() for x in (cut.starts[a], cut.ends[b - 1], cut.starts[c], cut.ends[d - 1])),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in rheumatoid arthritis (RA), the", [("RA", "rheumatoid arthritis")]),
        ("type 2 diabetes mellitus (T2DM) is", [("T2DM", "type 2 diabetes mellitus")]),
        (
            "very long-chain acyl-CoA dehydrogenase (VLCAD) deficiency",
            [("VLCAD", "very long-chain acyl-CoA dehydrogenase")],
        ),
        ("tumour necrosis factor-α (TNF-α)", [("TNF-α", "tumour necrosis factor-α")]),
        ("interferon alpha (IFN-α)", [("IFN-α", "interferon alpha")]),
        ("dendritic cells (DCs) and", [("DCs", "dendritic cells")]),
        ("AF (atrial fibrillation) is", [("AF", "atrial fibrillation")]),
        ("heart failure (HF; see below)", [("HF", "heart failure")]),
        ("heart failure [HF]", [("HF", "heart failure")]),
        ("a group (n = 12) of", []),
        ("gout (see Table 1) and", []),
        ("in the liver (liver)", []),
        ("the patient (P", []),
        ("(RA)", []),
        (
            "multiple sclerosis (MS) and mass spectrometry (MS)",
            [("MS", "multiple sclerosis"), ("MS", "mass spectrometry")],
        ),
        ("false discovery rate (FDR) < 0.05", [("FDR", "false discovery rate")]),
    ],
)
def test_definitions(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


PIECES = [
    "rheumatoid", "arthritis", "acid", "Alpha", "a", "b-cell", "of", "2", "TNF", "(", ")", "[", "]", ", ",
    "; ", " ", " ", " ", "(RA)", "(AA)", "(a)", "RA", "-", "α", "R", "A", ".", "type 2",
]  # fmt: skip
sentences = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@given(sentences)
@example("rheumatoid arthritis (RA)")
@example("RA (rheumatoid arthritis)")
@example("RA (rheumatoid arthritis (RA))")
def test_against_the_rule_on_strings(text: str) -> None:
    assert places(text) == abbreviations.definitions(text)


def key(token: str) -> str:
    rest = token[1:]
    capital = len(token) >= 4 and token[0].isascii() and token[0].isupper() and rest.isascii()
    return token.lower() if capital and rest.isalpha() and rest.islower() else token


words = st.lists(
    st.sampled_from(["gout", "Gout", "GOUT", "of", "Of", "heart", "failure", "a"]), min_size=1, max_size=12
)


@given(st.lists(words, min_size=1, max_size=3), st.data())
def test_repeats_are_all_places_with_the_same_words(documents: list[list[str]], data: st.DataObject) -> None:
    offsets = np.cumsum([0, *map(len, documents)])
    names = sorted(
        (int(offsets[d]) + a, int(offsets[d]) + a + n)
        for d, a, n in data.draw(
            st.lists(
                st.tuples(st.integers(0, len(documents) - 1), st.integers(0, 11), st.integers(1, 3)),
                max_size=5,
            )
        )
        if a + n <= len(documents[d])
    )
    tokens = [token for document in documents for token in document]
    start, end = (np.array([name[i] for name in names], np.int64) for i in (0, 1))
    result = find_repeats(StringColumn.from_list(tokens), offsets, start, end)
    keys = list(map(key, tokens))
    expected = set()
    for (a, b), group in zip(names, result.group.tolist(), strict=True):
        d = int(np.searchsorted(offsets, a, "right")) - 1
        for at in range(int(offsets[d]), int(offsets[d + 1]) - (b - a) + 1):
            if keys[at : at + b - a] == keys[a:b]:
                expected.add((at, at + b - a, group))
    got = list(zip(result.start.tolist(), result.end.tolist(), result.occurrence_group.tolist(), strict=True))
    assert len(got) == len(set(got))
    assert set(got) == expected
    assert [g[0] for g in got] == sorted(g[0] for g in got)
    same = {
        (i, j) for i in range(len(names)) for j in range(len(names)) if result.group[i] == result.group[j]
    }
    for i, (a, b) in enumerate(names):
        for j, (c, d) in enumerate(names):
            one = np.searchsorted(offsets, a, "right") == np.searchsorted(offsets, c, "right")
            assert ((i, j) in same) == bool(one and keys[a:b] == keys[c:d])


def test_a_name_across_documents_is_refused() -> None:
    tokens = StringColumn.from_list(["a", "b"])
    for start, end in ((0, 2), (1, 3), (-1, 1), (1, 1)):
        with pytest.raises(ValueError, match="names"):
            find_repeats(tokens, np.array([0, 1, 2]), np.array([start]), np.array([end]))
