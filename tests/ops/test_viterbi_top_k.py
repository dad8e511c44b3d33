"""viterbi_top_k against enumeration of every sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import library

from bioner_fast.ops import viterbi_decode, viterbi_top_k
from ops.conftest import offsets_of
from reference import viterbi as reference

INF = float("inf")


def make(lengths, tags, kind, dtype, seed):
    """Emissions, transitions, offsets, start, end as arrays."""
    random = np.random.default_rng(seed)
    n = sum(lengths)
    arrays = [random.normal(0, 3, shape) for shape in ((n, tags), (tags, tags), tags, tags)]
    for array in arrays:
        if kind == "ties":
            array[:] = random.integers(-1, 2, array.shape)
        elif kind == "forbidden":
            array[random.random(array.shape) < 0.3] = -INF
        elif kind == "odd":
            array[random.random(array.shape) < 0.2] = (np.nan, -INF)[random.integers(0, 2)]
    emissions, transitions, start, end = (array.astype(dtype) for array in arrays)
    return emissions, transitions, offsets_of(lengths).numpy(), start, end


def top_k(arrays, k):
    emissions, transitions, offsets, start, end = map(torch.from_numpy, arrays)
    return viterbi_top_k(emissions, transitions, offsets, k, start, end)


@pytest.mark.parametrize("k", [1, 2, 7, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties", "forbidden", "odd"])
def test_against_enumeration(kind, dtype, k) -> None:
    for seed, (lengths, tags) in enumerate(
        [([3, 0, 1, 5], 3), ([1, 1], 1), ([4, 2, 0], 4), ([6], 2), ([0], 2)]
    ):
        arrays = make(lengths, tags, kind, dtype, seed)
        with np.errstate(invalid="ignore", over="ignore"):
            wanted_tags, wanted_scores = reference.top_k(*arrays[:3], k, *arrays[3:])
            wanted_scores = wanted_scores.astype(dtype)
        found_tags, found_scores = top_k(arrays, k)
        np.testing.assert_array_equal(found_scores.numpy(), wanted_scores)
        np.testing.assert_array_equal(found_tags.numpy(), wanted_tags)


def test_the_best_is_that_of_viterbi_decode(threads) -> None:
    arrays = make([40, 1, 0, 300, 25], 9, "normal", np.float64, 3)
    emissions, transitions, offsets, start, end = map(torch.from_numpy, arrays)
    tags, scores = viterbi_top_k(emissions, transitions, offsets, 5, start, end)
    best_tags, best_scores = viterbi_decode(emissions, transitions, offsets, start, end)
    assert torch.equal(tags[:, 0], best_tags)
    torch.testing.assert_close(scores[:, 0], best_scores, rtol=1e-13, atol=0)
    assert (scores.diff(dim=1)[[0, 3, 4]] <= 0).all()
    # All of a sentence differ from each other.
    for b in (0, 3, 4):
        rows = tags[offsets[b] : offsets[b + 1]].T
        assert len(rows.unique(dim=0)) == 5


def test_what_is_left_out_is_zeros() -> None:
    emissions, transitions, offsets = torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([0, 1, 1])
    tags, scores = viterbi_top_k(emissions, transitions, offsets, 3)
    assert tags.tolist() == [[0, 1, 0]]
    assert scores.tolist() == [[0.0, 0.0, -INF], [0.0, -INF, -INF]]
    tags, scores = viterbi_top_k(torch.full((2, 2), -INF), transitions, torch.tensor([0, 2]), 2)
    assert tags.tolist() == [[0, 0], [0, 0]]
    assert scores.tolist() == [[-INF, -INF]]


def test_opcheck_and_half() -> None:
    arrays = [torch.from_numpy(a) for a in make([2, 0, 3], 3, "normal", np.float32, 1)]
    emissions, transitions, offsets, start, _ = arrays
    op = torch.ops.bioner_fast.viterbi_top_k.default
    library.opcheck(op, (emissions, transitions, offsets, 2, start, None))
    half = viterbi_top_k(emissions.bfloat16(), transitions, offsets.int(), 2)
    wide = viterbi_top_k(emissions.bfloat16().float(), transitions, offsets, 2)
    assert all(torch.equal(a, b) for a, b in zip(half, wide, strict=True))
    leaf = emissions.clone().requires_grad_()
    assert not viterbi_top_k(leaf, transitions, offsets, 2)[1].requires_grad


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "`k` must be between 1 and 1024, got 0"),
        (1025, ValueError, "`k` must be between 1 and 1024, got 1025"),
        (2.0, TypeError, "`k` must be an int, got float"),
        (True, TypeError, "`k` must be an int, got bool"),
    ],
)
def test_wrong_k(k, error, message) -> None:
    with pytest.raises(error, match=message):
        viterbi_top_k(torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([0, 1]), k)


def test_wrong_offsets() -> None:
    with pytest.raises(ValueError, match="`offsets`"):
        viterbi_top_k(torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([0, 2]), 1)
