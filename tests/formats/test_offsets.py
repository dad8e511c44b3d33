"""Placing mentions: units, holes, nearest occurrences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast.formats.offsets import Claim, settle

TEXT = st.text(st.sampled_from("aβ👩\u0301 b"), min_size=2, max_size=30)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def utf8(text: str) -> int:
    return len(text.encode())


@settings(deadline=None)
@given(TEXT, TEXT, st.data(), st.sampled_from([len, utf16, utf8]), st.integers(0, 3))
def test_any_unit_is_read(first: str, second: str, data: st.DataObject, count: object, gap: int) -> None:
    assert callable(count)
    pieces = [(0, first), (count(first) + gap, second)]
    starts = data.draw(st.lists(st.integers(0, len(second) - 1), min_size=1, max_size=4))
    claims, expected = [], []
    for start in starts:
        stop = data.draw(st.integers(start + 1, len(second)))
        base = pieces[1][0]
        claims.append(
            Claim(((base + count(second[:start]), base + count(second[:stop])),), second[start:stop])
        )
        expected.append(second[start:stop])
    settled = settle(pieces, claims)
    text = settled.text
    found = [text[p.spans[0][0] : p.spans[0][1]] for p in settled.placements if p.spans]
    # Two readings may both fit a short text, and white space makes no difference between them.
    assert [mention.split() for mention in found] == [mention.split() for mention in expected]
    if count is len:
        assert text == first + " " * gap + second
        assert settled.remarks == []
        assert all(p.action is None for p in settled.placements)


def test_the_nearest_occurrence_wins() -> None:
    settled = settle([(0, "TP53 and TP53 and TP53")], [Claim(((12, 16),), "TP53")])
    assert settled.placements[0].spans == ((9, 13),)
    assert settled.placements[0].action == "moved"


def test_white_space_and_dots_are_no_difference() -> None:
    claims = [Claim(((0, 3),), "a b"), Claim(((0, 1), (4, 5)), "a ... c"), Claim(((0, 1), (4, 5)), "a c")]
    assert [p.action for p in settle([(0, "a\nb c")], claims).placements] == [None, None, None]


def test_no_mention_is_believed() -> None:
    settled = settle([(0, "abc")], [Claim(((1, 2),), None), Claim(((1, 9),), None)])
    assert [(p.spans, p.action) for p in settled.placements] == [(((1, 2),), None), (None, "dropped")]


def test_a_wild_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="characters away"):
        settle([(0, "a"), (10**12, "b")], [])
