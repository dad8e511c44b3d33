"""Word forms against a plain version, and the properties models rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.word_forms import AFFIX_ROWS, CHARACTERS, WORD_FORMS_VERSION, word_forms
from reference import word_forms as reference

_WORDS = ["", "of", "TP53", "p53", "IL-12b", "TNFα", "ΔF508", "Sjögren", "adenomatous", "x" * 14,
          "abcdefghijklmno", "a" * 300, "漢字", "é", "e\u0301", "1,234.5", "Ⅷ", "ǅ", "🧬", "\u200b", "İ",
          "of"]  # fmt: skip


@pytest.mark.parametrize("folding", [True, False])
def test_equals_the_plain_version(folding: bool) -> None:
    forms = word_forms(StringColumn.from_list(_WORDS), folding=folding)
    for word, number in zip(_WORDS, forms.ids.tolist(), strict=True):
        assert forms.characters[number].tolist() == reference.characters(word, folding=folding), word
        assert forms.affixes[number].tolist() == reference.affixes(word, folding=folding), word


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=20), max_size=30))
def test_any_ascii(words: list[str]) -> None:
    forms = word_forms(StringColumn.from_list(words), threads=1)
    assert [forms.characters[i].tolist() for i in forms.ids] == [reference.characters(w) for w in words]
    assert [forms.affixes[i].tolist() for i in forms.ids] == [reference.affixes(w) for w in words]


@given(st.lists(st.text(max_size=20), max_size=30))
def test_any_text_gives_numbers_in_range(words: list[str]) -> None:
    column = StringColumn.from_list([word.encode("utf-8", "replace").decode() for word in words])
    forms = word_forms(column)
    assert (forms.characters < CHARACTERS).all()
    assert ((forms.affixes >= 0) & (forms.affixes < AFFIX_ROWS)).all()
    assert len(forms.characters) == len(set(column.tolist()))


def test_distinct_forms_come_by_first_appearance() -> None:
    words = [str(i * 7919 % 3001) for i in range(20_000)]
    forms = word_forms(StringColumn.from_list(words))
    seen: dict[str, int] = {}
    assert forms.ids.tolist() == [seen.setdefault(word, len(seen)) for word in words]


def test_threads_and_slices_change_nothing() -> None:
    column = StringColumn.from_list(["skip", *(f"gene{i}α" for i in range(9000))])[1:]
    one, many = word_forms(column, threads=1), word_forms(column, threads=4)
    assert np.array_equal(one.characters, many.characters)
    assert np.array_equal(one.affixes, many.affixes)
    assert one.characters[0].tolist() == reference.characters("gene0α")


def test_version_one_stays_as_it_is() -> None:
    forms = word_forms(StringColumn.from_list(["Alzheimer"]))
    assert WORD_FORMS_VERSION == 1
    assert forms.characters[0].tolist() == [1, 36, 79, 93, 75, 72, 76, 80, 72, 85, 2, 0, 0, 0, 0, 0]
    assert forms.affixes[0].tolist() == [1210, 8166, 13156, 17838, 20062]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="text"):
        _text.word_forms(np.zeros(1, np.int32), np.zeros(1, np.int64), True, 0)
    with pytest.raises(ValueError, match="offsets"):
        _text.word_forms(np.zeros(1, np.uint8), np.array([0, 5]), True, 0)
