"""Arguments of the native text path that make no sense are refused, and nothing is read beyond an array."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np
import pytest

from bioner_fast import _text

SEEDS = range(int(os.environ.get("BIONER_FUZZ_SEEDS", "2")))
COUNTS = [0, 1, 3, 5, -1, -3, 2**24, 2**29, 2**31 - 1]


def tags(rng: random.Random) -> list[Callable[[], object]]:
    k, n = rng.randrange(1, 7), rng.randrange(30)
    cuts = sorted(rng.randrange(n + 1) for _ in range(rng.randrange(4)))
    offsets = np.array([0, *cuts, n], np.int64)
    ids = np.array([rng.randrange(k) for _ in range(n)], np.int32)
    prefix = np.array([rng.choice([0, 1, 2, 3, 4, 5, 255]) for _ in range(k)], np.uint8)
    types = np.array([rng.choice([-1, 0, 1, 2, 2**31 - 1, -(2**31)]) for _ in range(k)], np.int32)
    if rng.random() < 0.5:
        prefix, types = np.minimum(prefix, 4), np.clip(types, -1, 2)
    if rng.random() < 0.2 and n:
        ids[rng.randrange(n)] = rng.choice([-1, k, 2**31 - 1])
    if rng.random() < 0.2:
        offsets[rng.randrange(len(offsets))] = rng.choice([-1, n + 1, 2**62, 0])
    scheme, count = rng.choice([0, 1, 2, 3, -1, 99]), rng.choice(COUNTS)
    names = np.arange(k, dtype=np.int32)
    keys = np.array([rng.choice([-1, 0, 1, 9]) for _ in range(k)], np.int32)
    side = (ids, prefix, types, names, keys)
    rows = rng.choice([0, 1, 10, -1])
    return [
        lambda: _text.find_illegal_tags(ids, offsets, prefix, types, scheme),
        lambda: _text.convert_tags(ids, offsets, prefix, types, count, scheme),
        lambda: _text.find_spans(ids, offsets, prefix, types, True, scheme),
        lambda: _text.score_tags(side, side, offsets, min(count, 1000), "strict", scheme, rows),
        lambda: _text.score_tags(side, side, offsets, min(count, 1000), "token", scheme, rows),
    ]


def strings(rng: random.Random) -> list[Callable[[], object]]:
    parts = [os.urandom(0), *(rng.randbytes(rng.randrange(8)) for _ in range(rng.randrange(20)))]
    buffer = np.frombuffer(b"".join(parts), np.uint8)
    offsets = np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)
    if rng.random() < 0.3:
        offsets[rng.randrange(len(offsets))] = rng.choice([-1, 2**62, -(2**63), len(buffer) + 1, 0, 3])
    slots = np.array(
        [
            rng.choice([0, 1, 2**63, 2**64 - 1, rng.getrandbits(64)])
            for _ in range(rng.choice([0, 1, 8, 63, 64]))
        ],
        np.uint64,
    )
    return [
        lambda: _text.pictographs(buffer, offsets),
        lambda: _text.capitalization(buffer, offsets, rng.randrange(3)),
        lambda: _text.word_forms(buffer, offsets, True, rng.randrange(3)),
        lambda: _text.build_index(buffer, offsets),
        lambda: _text.count_strings(buffer, offsets, None),
        lambda: _text.block_digests(buffer, rng.choice([-1, 0, 1, 5, 2**40]), 1),
        lambda: _text.WordIndex(buffer, offsets, slots).lookup(
            buffer, offsets, rng.choice([0, -1, 5, 2**40]), True, True, True, 1
        ),
    ]


@pytest.mark.parametrize("make", [tags, strings])
@pytest.mark.parametrize("seed", SEEDS)
def test_arguments_that_make_no_sense(
    make: Callable[[random.Random], list[Callable[[], object]]], seed: int
) -> None:
    rng = random.Random(f"{make.__name__} {seed}")
    refused = 0
    for _ in range(300):
        for call in make(rng):
            try:
                call()
            except (ValueError, TypeError, IndexError, OverflowError):
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("count", [-1, -3, -(2**31), 2**24, 2**31 - 1])
def test_numbers_of_types_that_no_code_can_say(count: int) -> None:
    ids, offsets = np.zeros(3, np.int32), np.array([0, 3], np.int64)
    prefix, types = np.array([2], np.uint8), np.array([-1], np.int32)
    with pytest.raises(ValueError, match="n_types: expected"):
        _text.convert_tags(ids, offsets, prefix, types, count, 2)


def test_digests_of_blocks_see_every_bit() -> None:
    data = np.arange(100, dtype=np.uint8)
    plain = _text.block_digests(data, 33, 1)
    assert len(plain) == 4
    assert np.array_equal(plain, _text.block_digests(data, 33, 2))
    for place in range(100):
        for bit in range(8):
            changed = data.copy()
            changed[place] ^= 1 << bit
            different = _text.block_digests(changed, 33, 1) != plain
            assert different.tolist() == [i == place // 33 for i in range(4)]
    assert len(_text.block_digests(data[:0], 33, 1)) == 0
