"""Placing mentions: units, holes, nearest occurrences."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast.formats.offsets import join_spans, settle
from bioner_fast.formats.readings import Claim

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
        assert all(p.action is None or p.message.startswith("white space") for p in settled.placements)


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


NORMAL_FORMS = {"IL-4": "interleukin 4", "p53": "TP53", "TNF-α": "TNF-a", "NF-κB": "nuclear factor kappa B"}
MENTIONS = [*NORMAL_FORMS, "MDM2", "breast cancer", "acute\nmyeloid"]
WORDS = [*MENTIONS, "and", "of", "💊", "cells", "naïve", "<", "&", ",", "(", "."]
COUNTED: dict[str, Callable[[str], int]] = {
    "code points": len,
    "UTF-16 units": utf16,
    "UTF-8 bytes": utf8,
    "CR LF as one": lambda text: len(text.replace("\r\n", "\n")),
    "bytes, CR LF as one": lambda text: utf8(text.replace("\r\n", "\n")),
    "line ends as two": lambda text: len(text.replace("\n", "\r\n")),
    "escapes": lambda text: len(text.replace("&", "&amp;").replace("<", "&lt;")),
    "no mark": lambda text: len(text.replace("\ufeff", "")),
    "three too high": lambda text: len(text) + 3,
    "far too low": lambda text: len(text) - 150,
    "a title elsewhere": lambda text: len(text) + (len(text) > 120),
    "citations cut": lambda text: len(text.replace(",", ", [12]")),
    "decomposed": lambda text: len(unicodedata.normalize("NFD", text)),
}


def marked(seed: int, line_end: str, mark: str) -> tuple[str, list[tuple[int, int]]]:
    """A text full of mentions that come again and again, and where they are."""
    choose = random.Random(seed)
    text, spans = mark, []
    for _ in range(100):
        word = choose.choice(WORDS)
        if word in MENTIONS:
            spans.append((len(text), len(text) + len(word)))
        text += word + (line_end if choose.random() < 0.1 else " ")
    return text, spans


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", COUNTED)
def test_the_reading_that_explains_the_document_is_found(name: str, seed: int) -> None:
    text, spans = marked(seed, "\r\n" if "CR LF" in name else "\n", "\ufeff" if name == "no mark" else "")
    count = COUNTED[name]
    claims = [Claim(((count(text[:a]), count(text[:b])),), text[a:b].replace("\n", " ")) for a, b in spans]
    settled = settle([(0, text)], claims)
    wrong = [p.spans for p, span in zip(settled.placements, spans, strict=True) if p.spans != (span,)]
    # Where offsets drift, one or two mentions can be taken for their neighbours.
    assert len(wrong) <= 2 * (name in ("citations cut", "decomposed"))
    assert bool(settled.remarks) == (name != "code points")


@pytest.mark.parametrize("name", ["code points", "UTF-8 bytes", "CR LF as one", "three too high"])
def test_normalised_mentions_stay_where_they_are(name: str) -> None:
    text, spans = marked(7, "\r\n" if "CR LF" in name else "\n", "")
    count = COUNTED[name]
    mentions = [text[a:b] for a, b in spans]
    named = [NORMAL_FORMS.get(m, m) if i % 4 == 0 else m for i, m in enumerate(mentions)]
    claims = [
        Claim(((count(text[:a]), count(text[:b])),), mention)
        for (a, b), mention in zip(spans, named, strict=True)
    ]
    settled = settle([(0, text)], claims)
    assert [p.spans for p in settled.placements] == [(span,) for span in spans]
    kept = [p.action == "kept" for p in settled.placements]
    assert kept == [a != b for a, b in zip(mentions, named, strict=True)]


def test_only_normalised_mentions_leave_the_offsets_as_they_are() -> None:
    text = "Levels of TNF-α and IL-6 in serum. Tumor necrosis factor and interleukin 6 fell. IL-6 rose. TNF-a"
    spans = [(10, 15), (20, 24), (81, 85)]
    claims = [Claim((s,), m) for s, m in zip(spans, ["TNF-a", "interleukin 6", "interleukin 6"], strict=True)]
    settled = settle([(0, text)], claims)
    assert [(p.spans, p.action) for p in settled.placements] == [((span,), "kept") for span in spans]
    assert settled.remarks == []


def test_a_single_mention_moves_nearby_and_onto_no_other_s_place() -> None:
    text = "TP53 and TP53, " + "far away " * 5 + "MDM2"
    claims = [Claim(((0, 4),), "TP53"), Claim(((2, 6),), "TP53"), Claim(((3, 7),), "MDM2")]
    first, second, third = settle([(0, text)], claims).placements
    assert (first.spans, first.action) == (((0, 4),), None)
    assert (second.spans, second.action) == (((9, 13),), "moved")
    assert third.action == "kept"
    # Two annotations of one mention move together.
    claims = [Claim(((1, 5),), "TP53"), Claim(((1, 5),), "TP53")]
    assert [p.spans for p in settle([(0, "TP53 x")], claims).placements] == [((0, 4),)] * 2


def test_white_space_at_the_edges_is_cut_and_said() -> None:
    claims = [Claim(((0, 6),), " TP53 "), Claim(((0, 6),), None), Claim(((0, 5), (5, 10)), None)]
    placements = settle([(0, " TP53 MDM2")], claims).placements
    assert [p.spans for p in placements] == [((1, 5),), ((1, 5),), ((1, 5), (6, 10))]
    assert all(p.action == "moved" and "white space" in p.message for p in placements)


def test_parts_with_only_white_space_between_them_are_one() -> None:
    text = "acute myeloid\r\n  leukemia (AML)"
    assert join_spans(text, [(17, 25), (0, 13)]) == ((0, 25),)
    assert join_spans(text, [(0, 5), (17, 25)]) == ((0, 5), (17, 25))
