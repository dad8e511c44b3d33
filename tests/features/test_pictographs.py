"""Pictures among tokens, and what is none."""

from __future__ import annotations

import unicodedata

import pytest

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.pictographs import pictographs
from bioner_fast.features.tokenize import tokenize


def found(text: str) -> list[bool]:
    return pictographs(tokenize(text).column).tolist()


PICTURES = {
    "single": "😷",
    "with a variation selector": "❤️",
    "a family": "👩‍👩‍👧",
    "a profession with a skin tone": "👩🏽‍⚕️",
    "a skin tone": "👍🏿",
    "a flag": "🇨🇭",
    "a flag of tags": "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "a heart on fire": "❤️‍🔥",
    "others": "✓☠☀♀⚕⭐⌚💊🧬🫁🩸",
}


@pytest.mark.parametrize("text", PICTURES.values(), ids=PICTURES)
def test_pictures(text: str) -> None:
    assert found(text)
    assert all(found(text))
    assert found("malaria" + text + "of") == [False, *found(text), False]
    # As one token, as a file of columns may have it.
    assert pictographs(StringColumn.from_list(["a", text, "b"])).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "text",
    ["αβ Ω µ ϵ", "° ® © ™ ℃ Å", "→ ↑ ⇌ ➔ ± ≥ − × ∆ △ ▲ ■ ●", "① ❶ ➊ 🄀 ½ Ⅳ", ". , - ( ) * + # \u2026",
     "e\u0301 ﬁ 𝛼 日 1\ufe0f\u20e3", "\u200d \u00ad \u200b \ufeff", "Na⁺ ⁻ ⁰", "\ue0b2 \uf062", ""],
)  # fmt: skip
def test_no_pictures(text: str) -> None:
    assert not any(found(text))


def test_a_joiner_counts_behind_a_picture_only() -> None:
    joiner = "\u200d"
    assert found(f"a{joiner}b") == [False, False, False]
    assert found(f"👩{joiner}b{joiner}") == [True, True, False, False]
    assert pictographs(StringColumn.from_list(["\ufe0f", "", "👍", "\u200d", "👍x"])).tolist() == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_no_letter_or_number_is_a_picture() -> None:
    characters = [chr(c) for c in range(0x2300, 0x20000) if not 0xD800 <= c < 0xE000]
    marked = pictographs(StringColumn.from_list([part for c in characters for part in (c, "a")]))[::2]
    kinds = {unicodedata.category(c) for c, is_one in zip(characters, marked, strict=True) if is_one}
    assert kinds <= {"So", "Sk", "Sm", "Ps", "Pe", "Cn"}
    assert 1500 < marked.sum() < 3500
