"""The native index of table rows beside a dict."""

from __future__ import annotations

import numpy as np
import pytest

from bioner_fast._text import RowIndex


@pytest.mark.parametrize("size", [1, 3, 8, 61])
def test_it_is_a_dict_of_keys(size: int) -> None:
    rng = np.random.default_rng(size)
    index, expected = RowIndex(size), dict[bytes, int]()
    row = 1
    for _ in range(60):
        # Few distinct bytes, so that keys come again, many times in one call too.
        keys = rng.integers(0, 3 if size < 8 else 2, (int(rng.integers(0, 200)), size)).astype(np.uint8)
        keys[:, 1:-1] = 7
        if size > 8:
            keys[:, 10] = rng.integers(0, 256, len(keys))
        found = index.find(keys.reshape(-1))
        assert found.tolist() == [expected.get(key.tobytes(), 0) for key in keys]
        which = np.sort(rng.permutation(len(keys))[: len(keys) // 2])
        index.insert(keys.reshape(-1), which, row)
        expected.update((keys[place].tobytes(), row + i) for i, place in enumerate(which.tolist()))
        row += len(which)
        assert sorted(index.rows().tolist()) == sorted(expected.values())
        if rng.random() < 0.2:
            place = np.where(rng.random(row) < 0.5, np.arange(row), 0).astype(np.int32)[::-1].copy()
            before, index = index, index.kept(place)
            assert sorted(before.rows().tolist()) == sorted(expected.values())
            expected = {key: int(place[r]) for key, r in expected.items() if place[r]}


def test_many_keys() -> None:
    keys = np.arange(100_000)[:, None].view(np.uint8).reshape(-1)
    index = RowIndex(8)
    assert not index.find(keys).any()
    index.insert(keys, np.arange(100_000), 1)
    np.testing.assert_array_equal(index.find(keys), np.arange(1, 100_001))
    np.testing.assert_array_equal(index.rows(), np.arange(1, 100_001))
    assert not index.kept(np.zeros(100_001, np.int32)).find(keys).any()


def test_keys_of_one_hash_are_told_apart() -> None:
    def after_first_word(word: int) -> int:
        """The state of `hash_bytes` (csrc/text/hash_index.h) after the first 8 of 16 bytes."""
        h = (0x9E3779B97F4A7C15 ^ 16 ^ word) * 0xD6E8FEB86659FD93 % 2**64
        return h ^ h >> 32

    # The second word undoes what the first one changed, so the three keys have the same hash.
    firsts = [1, 2, 3]
    keys = np.array([[word, after_first_word(word)] for word in firsts], np.uint64).view(np.uint8)
    index = RowIndex(16)
    index.insert(keys[:2].reshape(-1), np.arange(2), 5)
    assert index.find(keys.reshape(-1)).tolist() == [5, 6, 0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="key_size: expected at least 1, got 0"):
        RowIndex(0)
    index = RowIndex(4)
    with pytest.raises(ValueError, match="keys: expected whole keys of 4 bytes, got 6 bytes"):
        index.find(np.zeros(6, np.uint8))
    with pytest.raises(TypeError, match="keys: expected a contiguous array of uint8"):
        index.find(np.zeros(4, np.int32))
    keys = np.zeros(4, np.uint8)
    with pytest.raises(ValueError, match="which: expected values from 0 to 0, got 1 at index 0"):
        index.insert(keys, np.array([1]), 1)
    for first in (0, 2**31 - 1):
        with pytest.raises(ValueError, match="first: expected rows from 1 to below"):
            index.insert(keys, np.array([0]), first)
    index.insert(keys, np.array([0]), 3)
    with pytest.raises(ValueError, match="place: expected a place for each of the rows up to 3, got 3"):
        index.kept(np.zeros(3, np.int32))
