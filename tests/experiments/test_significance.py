from __future__ import annotations

import math

import numpy as np
import pytest

from bioner_fast.experiments.significance import approximate_randomisation
from reference.randomisation import exact_p, f1


@pytest.mark.parametrize("seed", range(6))
def test_p_is_that_of_all_exchanges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours = rng.integers(0, 3, (9, 3))
    theirs = ours.copy()
    theirs[rng.permutation(9)[:6]] += rng.integers(0, 3, (6, 3))
    lists = [[tuple(row) for row in side.tolist()] for side in (ours, theirs)]
    exact = float(exact_p(*lists))
    shuffles = 20_000
    found = approximate_randomisation(ours, theirs, shuffles=shuffles)
    # Four standard deviations of a binomial share, and the observed order that is counted as one.
    assert abs(found.p - exact) <= 4 * math.sqrt(exact * (1 - exact) / shuffles) + 2 / shuffles
    assert found.difference == pytest.approx(100 * float(f1(lists[0]) - f1(lists[1])))


def test_equal_systems_do_not_differ() -> None:
    counts = np.array([[1, 0, 1], [0, 2, 0]])
    found = approximate_randomisation(counts, counts)
    assert (found.difference, found.p, found.n_sentences) == (0.0, 1.0, 0)


def test_a_plain_difference_is_as_significant_as_the_shuffles_can_tell() -> None:
    ours, theirs = np.tile([1, 0, 0], (40, 1)), np.tile([0, 0, 1], (40, 1))
    assert approximate_randomisation(ours, theirs, shuffles=999).p == 1 / 1000
    assert approximate_randomisation(theirs, ours, shuffles=999).p == 1 / 1000


def test_the_same_seed_gives_the_same_p() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 3, (2, 300, 3))
    first, again = (approximate_randomisation(ours, theirs, shuffles=1000, seed=7) for _ in range(2))
    assert first == again


def test_no_entities_at_all() -> None:
    none = np.zeros((3, 3), dtype=np.int64)
    assert approximate_randomisation(none, none).p == 1.0
    found = approximate_randomisation(np.array([[0, 1, 0], [0, 0, 0]]), none[:2], shuffles=99)
    assert (found.difference, found.p) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected two arrays \[S, 3\]"):
        approximate_randomisation(np.zeros(shape, np.int64), np.zeros((3, 3), np.int64))
