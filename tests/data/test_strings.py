from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.strings import StringColumn

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=12)


@given(texts)
def test_round_trip(strings: list[str]) -> None:
    column = StringColumn.from_list(strings)
    assert column.tolist() == strings
    assert [column[i] for i in range(len(column))] == strings
    assert column.offsets[-1] == sum(len(s.encode()) for s in strings)


@given(texts, st.integers(-15, 15), st.integers(-15, 15))
def test_slices_are_views_that_behave_as_lists(strings: list[str], start: int, stop: int) -> None:
    column = StringColumn.from_list(strings)
    part = column[start:stop]
    assert part.tolist() == strings[start:stop]
    assert part.buffer is column.buffer
    assert part == StringColumn.from_list(strings[start:stop])
    assert part.packed().offsets[0] == 0
    assert part.packed().tolist() == strings[start:stop]


@given(texts, texts)
def test_concatenate(first: list[str], second: list[str]) -> None:
    columns = [StringColumn.from_list(["x", *first])[1:], StringColumn.from_list(second)]
    assert StringColumn.concatenate(columns).tolist() == first + second


@given(texts.filter(bool), st.data())
def test_take(strings: list[str], data: st.DataObject) -> None:
    picks = data.draw(st.lists(st.integers(0, len(strings) - 1)))
    column = StringColumn.from_list(["ab", *strings])[1:]
    assert column.take(np.array(picks, dtype=np.int64)).tolist() == [strings[i] for i in picks]


def test_equality_is_of_contents() -> None:
    assert StringColumn.from_list(["ab", "c"]) != StringColumn.from_list(["a", "bc"])
    assert StringColumn.from_list([]) == StringColumn.concatenate([])


@pytest.mark.parametrize(
    ("buffer", "offsets", "error"),
    [
        (np.zeros(3, np.int8), np.array([0, 3]), TypeError),
        (np.zeros(3, np.uint8), np.array([0, 3], np.int32), TypeError),
        (np.zeros(3, np.uint8), np.array([0, 4]), ValueError),
        (np.zeros(3, np.uint8), np.array([], np.int64), ValueError),
        (np.zeros((3, 1), np.uint8), np.array([0, 3]), ValueError),
    ],
)
def test_wrong_arrays_are_refused(buffer, offsets, error) -> None:
    with pytest.raises(error):
        StringColumn(buffer, offsets)


def test_index_out_of_range() -> None:
    with pytest.raises(IndexError, match="2 strings"):
        StringColumn.from_list(["a", "b"])[2]
