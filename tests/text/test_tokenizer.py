"""Tokens and their offsets, against the rule written as a regular expression."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioner_fast import _text
from bioner_fast.features.tokenize import UNICODE_VERSION, segment, sentence_split, tokenize
from reference import tokenizer

# The oracle knows the characters of the running Python; later versions only add some.
RUNNING = tuple(map(int, unicodedata.unidata_version.split(".")))
PINNED = tuple(map(int, UNICODE_VERSION.split(".")))
needs_older_python = pytest.mark.skipif(
    RUNNING > PINNED,
    reason=f"this Python has Unicode {unicodedata.unidata_version}, newer than the pinned tables",
)

SPECIAL = [
    "α", "Δ", "µ", "β2", "é", "e\u0301", "\u0301", "\u0301\u0302", "👩\u200d🔬", "👍🏽", "❤\ufe0f", "🇩🇪",
    "𝛼", "𐐷", "\ud800",
    "\udfff", "\r\n", "\r", "\n", "\t", " ", "\u00a0", "\u2028", "\u2009", "\u200b", "\ufeff", "\x00",
    "\x1c", "_", "-",
    ".", "IL-2", "p53", "½", "²", "Ⅷ", "中文", "हिन्दी", "ﬁ", "ﬀ", "\u00ad", "'", "…",
]  # fmt: skip
assigned = st.characters(exclude_categories=("Cn",))
texts = st.lists(
    st.one_of(st.sampled_from(SPECIAL), assigned, st.text(alphabet="aB1.-( \n")), max_size=40
).map("".join)


@needs_older_python
@given(texts)
@example("")
@example("e\u0301\u0302x \u0301")
def test_tokens_follow_the_rule(text: str) -> None:
    tokens = tokenize(text)
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)) == tokenizer.spans(text)


@given(texts)
def test_tokens_are_the_text_between_their_offsets(text: str) -> None:
    tokens = tokenize(text)
    for token, start, end in zip(tokens.column.tolist(), tokens.starts, tokens.ends, strict=True):
        expected = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text[start:end])
        assert token == expected


@given(texts)
def test_tokens_and_white_space_make_up_the_text(text: str) -> None:
    tokens = tokenize(text)
    position, rebuilt = 0, ""
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        gap = text[position:start]
        assert gap == "" or gap.isspace()
        rebuilt += gap + text[start:end]
        position = int(end)
    assert text[position:] == "" or text[position:].isspace()
    assert rebuilt + text[position:] == text


@needs_older_python
def test_character_classes_are_unicodes() -> None:
    classes = _text.character_classes()
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cn":
            continue
        value = int(classes[code])
        seen = (bool(value & 1), bool(value & 2), bool(value & 4), bool(value & 8))
        expected = (category[0] in "LN", category[0] == "M", character.isspace(), character.isupper())
        assert seen == expected, hex(code)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IL-2 (TNFα)", ["IL", "-", "2", "(", "TNFα", ")"]),
        ("0.05", ["0", ".", "05"]),
        ("snake_case", ["snake", "_", "case"]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        ("+\u0301a", ["+\u0301", "a"]),
        ("❤\ufe0f!", ["❤\ufe0f", "!"]),
        ("👩\u200d🔬", ["👩", "\u200d", "🔬"]),
        ("a\tb\r\nc\u00a0d\u3000e", ["a", "b", "c", "d", "e"]),
        ("x\ud83dy", ["x", "\ufffd", "y"]),
        ("10µM", ["10µM"]),
        (" \n ", []),
    ],
)
def test_examples(text: str, expected: list[str]) -> None:
    assert tokenize(text).column.tolist() == expected


@given(st.lists(texts, max_size=8), st.integers(1, 4))
def test_texts_do_not_influence_each_other(batch: list[str], threads: int) -> None:
    together = segment(batch, threads=threads)
    assert together.n_texts == len(batch)
    starts, sentences = 0, 0
    for t, text in enumerate(batch):
        alone = segment([text], threads=1)
        tokens = slice(starts, starts + len(alone.tokens))
        assert together.tokens[tokens] == alone.tokens
        assert np.array_equal(together.starts[tokens], alone.starts)
        assert np.array_equal(together.ends[tokens], alone.ends)
        own = together.sentence_offsets[sentences : sentences + alone.n_sentences + 1] - starts
        assert np.array_equal(own, alone.sentence_offsets)
        assert together.text_offsets[t] == sentences
        assert together.token_offsets[t] == starts
        starts += len(alone.tokens)
        sentences += alone.n_sentences
    assert len(together.tokens) == starts
    assert together.n_sentences == sentences


def test_many_texts_are_put_together_in_order() -> None:
    batch = [f"text {i} α" * (i % 50) + ". End." for i in range(3000)]
    one, many = segment(batch, threads=1), segment(batch, threads=4)
    assert one.tokens == many.tokens
    assert np.array_equal(one.text_offsets, many.text_offsets)
    assert np.array_equal(one.sentence_offsets, many.sentence_offsets)
    i = 2999
    low, high = many.token_offsets[i], many.token_offsets[i + 1]
    spelt = [batch[i][a:b] for a, b in zip(many.starts[low:high], many.ends[low:high], strict=True)]
    assert spelt == many.tokens[int(low) : int(high)].tolist()


def test_no_texts() -> None:
    result = segment([])
    assert result.text_offsets.tolist() == [0]
    assert result.sentence_offsets.tolist() == [0]
    assert len(result.tokens) == 0


def test_without_sentences_a_text_is_one() -> None:
    result = segment(["One. Two.", "", "Three."], sentences=False)
    assert result.text_offsets.tolist() == [0, 1, 1, 2]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="expected str, got int at index 1"):
        segment(["a", 1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a list of str"):
        segment("a text")
    with pytest.raises(TypeError):
        sentence_split(b"bytes")  # type: ignore[arg-type]
