"""Approximate randomisation, exactly: every way to exchange the systems' outcomes, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

Counts = Sequence[tuple[int, int, int]]


def f1(counts: Counts) -> Fraction:
    """F1 of summed counts, as a fraction."""
    tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
    whole = 2 * tp + fp + fn
    return Fraction(2 * tp, whole) if whole else Fraction(0)


def exact_p(ours: Counts, theirs: Counts) -> Fraction:
    """Share of all exchanges whose difference in F1 is at least the observed one."""
    observed = abs(f1(ours) - f1(theirs))
    hits = total = 0
    for swaps in product((False, True), repeat=len(ours)):
        pairs = [(b, a) if swap else (a, b) for swap, a, b in zip(swaps, ours, theirs, strict=True)]
        left, right = zip(*pairs, strict=True)
        hits += abs(f1(left) - f1(right)) >= observed
        total += 1
    return Fraction(hits, total)
