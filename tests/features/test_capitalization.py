"""SENNA's classes, against Python's own idea of capitals."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.capitalization import CAPITALIZATION_CLASSES, capitalization
from reference import lookup as reference

newer_python = tuple(map(int, unicodedata.unidata_version.split("."))) > (15, 1, 0)
characters = st.characters(exclude_categories=("Cs", "Cn"))
ascii_only = st.characters(codec="ascii")


@given(
    st.lists(st.text(ascii_only if newer_python else characters, min_size=1), max_size=20), st.integers(1, 3)
)
def test_classes_follow_the_published_rule(tokens: list[str], threads: int) -> None:
    classes = capitalization(StringColumn.from_list(tokens), threads=threads)
    assert classes.dtype == np.uint8
    assert [CAPITALIZATION_CLASSES[i] for i in classes] == [
        reference.capitalization(token) for token in tokens
    ]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("TP53", "allcaps"), ("A", "allcaps"), ("Xq26", "initcap"), ("mRNA", "hascap"), ("298delTCAT",
        "hascap"),
        ("85T", "allcaps"), ("of", "nocaps"), (",", "nocaps"), ("12", "nocaps"), ("Δ", "allcaps"),
        ("Éa", "initcap"),
        ("ǅ", "nocaps"), ("β", "nocaps"), ("Ⅳ", "allcaps"),
    ],
)  # fmt: skip
def test_examples(token: str, expected: str) -> None:
    assert CAPITALIZATION_CLASSES[capitalization(StringColumn.from_list([token]))[0]] == expected


def test_class_numbers_are_fixed() -> None:
    assert CAPITALIZATION_CLASSES == ("PADDING", "allcaps", "initcap", "hascap", "nocaps")


def test_no_tokens() -> None:
    assert len(capitalization(StringColumn.from_list([]))) == 0
