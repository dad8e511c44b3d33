"""Approximate randomisation: whether two systems' F1 on the same sentences differ by more than chance.

Noreen, Computer-Intensive Methods for Testing Hypotheses (1989); for F1: Yeh, More accurate tests for the
statistical significance of result differences (COLING 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Shuffles looked at together; bounds memory.
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of :func:`approximate_randomisation`.

    Attributes:
        difference: F1 of the first system less that of the second, in points.
        p: probability of a difference at least as large if the systems were exchangeable.
        n_sentences: sentences whose counts differ; the others have no say.
    """

    difference: float
    p: float
    n_sentences: int


def f1(counts: NDArray[np.int64]) -> float:
    """F1 in percent of summed ``(tp, fp, fn)``, int64 ``[3]``."""
    whole = 2 * counts[0] + counts[1] + counts[2]
    return float(200.0 * counts[0] / whole) if whole else 0.0


def approximate_randomisation(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], *, shuffles: int = 10_000, seed: int = 1
) -> Comparison:
    """Two-sided test of the difference in micro-averaged F1.

    In every shuffle each sentence's outcomes are exchanged between the systems with probability one half.
    ``p`` is the share of shuffles (the observed order counted as one) with a difference at least as large as
    the observed one, so it is at least ``1 / (shuffles + 1)``. Several training runs of a system are compared
    by adding up the counts of every sentence over its runs.

    Args:
        ours, theirs: int64 ``[S, 3]``, true positives, false positives and false negatives of each sentence.
        shuffles: how many.
        seed: of the generator; the same seed gives the same ``p``.

    Raises:
        ValueError: the arrays have other shapes, or not the same.

    Example:
        >>> counts = np.array([[1, 0, 0]] * 12), np.array([[0, 1, 1]] * 12)
        >>> result = approximate_randomisation(*counts)
        >>> result.difference, result.p < 0.01
        (100.0, True)
    """
    if ours.ndim != 2 or ours.shape[1] != 3 or ours.shape != theirs.shape:
        raise ValueError(
            f"expected two arrays [S, 3] of the same length, got {ours.shape} and {theirs.shape}"
        )
    totals = ours.sum(axis=0), theirs.sum(axis=0)
    observed = f1(totals[0]) - f1(totals[1])
    differing = np.flatnonzero((ours != theirs).any(axis=1))
    change = (ours - theirs)[differing]
    # F1 = 2 tp / (2 tp + fp + fn): two sums are enough, and float64 holds them exactly.
    change2 = np.stack([change[:, 0], 2 * change[:, 0] + change[:, 1] + change[:, 2]], axis=1).astype(float)
    whole = [np.array([t[0], 2 * t[0] + t[1] + t[2]], dtype=float) for t in totals]
    random = np.random.default_rng(seed)
    # Equal differences come out of different sums: what is closer than this is equal.
    threshold = abs(observed) - 1e-9
    extreme = 0
    for start in range(0, shuffles, _BLOCK):
        size = min(_BLOCK, shuffles - start)
        drawn = random.integers(0, 256, (size, -(-differing.size // 8)), dtype=np.uint8)
        bits = np.unpackbits(drawn, axis=1, count=differing.size)
        moved = bits.astype(float) @ change2
        difference = _percent(whole[0] - moved) - _percent(whole[1] + moved)
        extreme += int((np.abs(difference) >= threshold).sum())
    return Comparison(observed, (extreme + 1) / (shuffles + 1), int(differing.size))


def _percent(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = sums[:, 1]
    return np.divide(200.0 * sums[:, 0], whole, out=np.zeros_like(whole), where=whole > 0)
