"""Linear-chain CRF by loops in the log domain, and by enumeration of every sequence: slow and obvious."""

from __future__ import annotations

import itertools
import math

import numpy as np

from reference.viterbi import path_score, sequences


def _logsumexp(values) -> float:
    top = max(values)
    if top == -math.inf:
        return -math.inf
    return top + math.log(sum(math.exp(v - top) for v in values))


def _prepare(emissions, transitions, start, end):
    emissions = np.asarray(emissions, np.float64)
    k = emissions.shape[1]
    start = np.zeros(k) if start is None else np.asarray(start, np.float64)
    end = np.zeros(k) if end is None else np.asarray(end, np.float64)
    return emissions, np.asarray(transitions, np.float64), start, end


def _forward(emissions, transitions, start):
    alpha = np.empty_like(emissions)
    alpha[0] = emissions[0] + start
    for t in range(1, len(emissions)):
        for j in range(emissions.shape[1]):
            alpha[t, j] = emissions[t, j] + _logsumexp(alpha[t - 1] + transitions[:, j])
    return alpha


def _backward(emissions, transitions, end):
    beta = np.empty_like(emissions)
    beta[-1] = end
    for t in range(len(emissions) - 2, -1, -1):
        for i in range(emissions.shape[1]):
            beta[t, i] = _logsumexp(transitions[i] + emissions[t + 1] + beta[t + 1])
    return beta


def log_likelihood(emissions, tags, transitions, offsets, start=None, end=None):
    """``[B]`` in float64."""
    emissions, transitions, start, end = _prepare(emissions, transitions, start, end)
    out = np.zeros(len(offsets) - 1)
    for b, (first, last) in enumerate(itertools.pairwise(offsets)):
        if first == last:
            continue
        score = path_score(emissions[first:last], transitions, tags[first:last], start, end)
        log_z = _logsumexp(_forward(emissions[first:last], transitions, start)[-1] + end)
        out[b] = score - log_z if score > -math.inf else -math.inf
    return out


def marginals(emissions, transitions, offsets, start=None, end=None):
    """``[N, K]`` in float64; zeros where no sequence is possible."""
    emissions, transitions, start, end = _prepare(emissions, transitions, start, end)
    out = np.zeros(emissions.shape)
    for first, last in itertools.pairwise(offsets):
        if first == last:
            continue
        alpha = _forward(emissions[first:last], transitions, start)
        log_z = _logsumexp(alpha[-1] + end)
        if log_z > -math.inf:
            out[first:last] = np.exp(alpha + _backward(emissions[first:last], transitions, end) - log_z)
    return out


def span_marginal(emissions, transitions, tags, span, start=None, end=None) -> float:
    """p(the tokens of ``span = (first, last)`` carry `tags`) in one sentence, by clamping those tokens."""
    emissions, transitions, start, end = _prepare(emissions, transitions, start, end)
    clamped = emissions.copy()
    for t in range(*span):
        clamped[t] = -math.inf
        clamped[t, tags[t]] = emissions[t, tags[t]]
    inside = _logsumexp(_forward(clamped, transitions, start)[-1] + end)
    return math.exp(inside - _logsumexp(_forward(emissions, transitions, start)[-1] + end))


def enumerate_sentence(emissions, transitions, start, end):
    """Every sequence of one sentence with its probability."""
    k = emissions.shape[1]
    paths = list(sequences(k, len(emissions)))
    scores = [path_score(emissions, transitions, path, start, end) for path in paths]
    log_z = _logsumexp(scores)
    return [(path, math.exp(score - log_z)) for path, score in zip(paths, scores, strict=True)]
