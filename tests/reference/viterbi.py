"""Viterbi by loops, and by enumeration of every sequence: slow and obvious."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np


def decode(emissions, transitions, offsets, start=None, end=None, readout="path"):
    """Tags ``[N]`` and scores ``[B]`` in float64; the rules of ``ops.viterbi_decode``."""
    emissions = np.asarray(emissions, np.float64)
    transitions = np.asarray(transitions, np.float64)
    tokens, k = emissions.shape
    start = np.zeros(k) if start is None else np.asarray(start, np.float64)
    end = np.zeros(k) if end is None else np.asarray(end, np.float64)
    tags = np.zeros(tokens, np.int64)
    scores = np.zeros(len(offsets) - 1)
    with np.errstate(invalid="ignore"):
        for b in range(len(offsets) - 1):
            first, last = int(offsets[b]), int(offsets[b + 1])
            if first == last:
                continue
            alpha = emissions[first] + start
            back = np.zeros((last - first, k), np.int64)
            forward = [_best(alpha)[1]]
            for t in range(first + 1, last):
                following = np.empty(k)
                for j in range(k):
                    best, back[t - first, j] = _best(alpha + transitions[:, j])
                    following[j] = emissions[t, j] + best
                alpha = following
                forward.append(_best(alpha)[1])
            scores[b], tag = _best(alpha + end)
            if readout == "forward_argmax":
                tags[first:last] = forward
                tags[last - 1] = tag
                continue
            for t in range(last - 1, first - 1, -1):
                tags[t] = tag
                tag = back[t - first, tag]
    return tags, scores


def _best(values) -> tuple[float, int]:
    """The greatest value and its lowest index; (-inf, 0) if nothing is greater than -inf."""
    best, index = -math.inf, 0
    for i, value in enumerate(values):
        if value > best:
            best, index = value, i
    return best, index


def path_score(emissions, transitions, tags: Sequence[int], start, end) -> float:
    """Score of one sequence over one sentence."""
    score = start[tags[0]] + end[tags[-1]] + sum(emissions[t, tag] for t, tag in enumerate(tags))
    return score + sum(transitions[i, j] for i, j in itertools.pairwise(tags))


def sequences(k: int, length: int):
    """Every tag sequence of `length`."""
    return itertools.product(range(k), repeat=length)


def top_k(emissions, transitions, offsets, k, start=None, end=None):
    """Tags ``[N, k]`` and scores ``[B, k]`` by enumeration, in the order of ``ops.viterbi_top_k``."""
    emissions = np.asarray(emissions, np.float64)
    transitions = np.asarray(transitions, np.float64)
    tokens, count = emissions.shape
    start = np.zeros(count) if start is None else np.asarray(start, np.float64)
    end = np.zeros(count) if end is None else np.asarray(end, np.float64)
    tags = np.zeros((tokens, k), np.int64)
    scores = np.full((len(offsets) - 1, k), -np.inf)
    for b, (first, last) in enumerate(itertools.pairwise(offsets)):
        if first == last:
            scores[b, 0] = 0
            continue
        found = []
        for path in sequences(count, last - first):  # in lexicographic order
            score = end[path[-1]] + emissions[last - 1, path[-1]]
            for t in range(last - first - 2, -1, -1):
                score = transitions[path[t], path[t + 1]] + score + emissions[first + t, path[t]]
            found.append((score + start[path[0]], path))
        found = [pair for pair in found if pair[0] > -np.inf]
        found.sort(key=lambda pair: -pair[0])  # stable
        for rank, (score, path) in enumerate(found[:k]):
            scores[b, rank] = score
            tags[first:last, rank] = path
    return tags, scores
