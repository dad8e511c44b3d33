"""Scores as probabilities: what a model believes of an entity, mapped to how often it is right.

A score ``p`` becomes ``sigmoid(slope * logit(p) + offset)``, with two numbers for every entity type of a head
(Platt 1999), learnt from what the model found in documents that it was not trained on. They are part of the
bundle; without them scores are the marginals as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A type with fewer predictions than this to learn from shares what all types of its head say.
LEAST = 200
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """Slope and offset of one entity type.

    Example:
        >>> Calibration(1.0, 0.0).apply(np.array([0.25, 0.9])).round(6).tolist()
        [0.25, 0.9]
    """

    slope: float
    offset: float

    def apply(self, scores: Floats) -> Floats:
        """Probabilities of scores, float64 [E] each; the order stays."""
        return _sigmoid(self.slope * _logit(scores) + self.offset)


def calibrated(
    scores: Floats, type_id: NDArray[np.int64], types: Sequence[str], known: Mapping[str, tuple[float, float]]
) -> Floats:
    """Scores of a head's entities as probabilities.

    Args:
        scores: float64 [E].
        type_id: int64 [E], indices into ``types``.
        types: of the head.
        known: slope and offset by type; a type that is not there keeps its scores.
    """
    if not known or len(scores) == 0:
        return scores
    result = scores.copy()
    for number, name in enumerate(types):
        if name in known:
            chosen = type_id == number
            result[chosen] = Calibration(*known[name]).apply(scores[chosen])
    return result


def fit(scores: Floats, right: NDArray[np.bool_]) -> Calibration:
    """Slope and offset that make what was seen most likely (Newton's method, a weak prior at 1 and 0).

    Args:
        scores: float64 [E], of predictions.
        right: bool [E], which of them are right.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.random(20000)
        >>> found = fit(Calibration(2.0, 0.0).apply(truth), rng.random(20000) < truth)
        >>> round(found.slope, 1), round(found.offset, 1)
        (0.5, 0.0)
    """
    x = np.stack([_logit(scores), np.ones(len(scores))], 1)
    y = right.astype(np.float64)
    prior, weight = np.array([1.0, 0.0]), 1.0
    w = prior.copy()
    for _ in range(50):
        p = _sigmoid(x @ w)
        gradient = x.T @ (p - y) + weight * (w - prior)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + weight * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        w = w - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    # A falling map would turn the order of the scores around.
    return Calibration(max(float(w[0]), 0.05), float(w[1]))


def fit_types(
    found: Mapping[str, tuple[Floats, NDArray[np.bool_]]], least: int = LEAST
) -> dict[str, tuple[float, float]]:
    """Slope and offset of every type of a head.

    Args:
        found: by type, the scores of its predictions and which of them are right.
        least: types with fewer predictions take what all types together say.
    """
    together = fit(*(np.concatenate([pair[i] for pair in found.values()]) for i in (0, 1)))
    result = {}
    for name, (scores, right) in found.items():
        one = fit(scores, right) if len(scores) >= least else together
        result[name] = (round(one.slope, 4), round(one.offset, 4))
    return result


def reliability(scores: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[tuple[int, float, float]]:
    """Of predictions in equal bins of score: how many, their mean score, and the share that is right."""
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return [
        (int(chosen.sum()), float(scores[chosen].mean()), float(right[chosen].mean()))
        for chosen in (place == i for i in range(bins))
        if chosen.any()
    ]


def calibration_error(scores: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """The expected calibration error: the mean distance of score and share right over bins, by their size.

    Example:
        >>> calibration_error(np.array([0.95, 0.95, 0.35]), np.array([True, True, False])).__round__(3)
        0.15
    """
    table = reliability(scores, right, bins)
    total = sum(count for count, _, _ in table)
    return sum(count * abs(score - share) for count, score, share in table) / total if total else 0.0


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, _EDGE, 1 - _EDGE)
    result: Floats = np.log(clipped) - np.log1p(-clipped)
    return result


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -700, 700)))
    return result
