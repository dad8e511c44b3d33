"""Scores as probabilities: what is fitted gives back what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from bioner_fast.tagging.calibration import (
    Calibration,
    calibrated,
    calibration_error,
    fit,
    fit_types,
    reliability,
)


def overconfident(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that say more than they know, and what is right."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(4, 1.5, n)
    return Calibration(1.8, 0.4).apply(truth), rng.random(n) < truth


def test_fitted_scores_are_right_as_often_as_they_say() -> None:
    scores, right = overconfident(20000)
    fresh, fresh_right = overconfident(20000, seed=1)
    found = fit(scores, right)
    assert calibration_error(fresh, fresh_right) > 0.05
    assert calibration_error(found.apply(fresh), fresh_right) < 0.01


def test_the_order_stays_even_where_high_scores_are_wrong() -> None:
    scores = np.linspace(0.05, 0.95, 400)
    found = fit(scores, scores < 0.5)
    assert found.slope > 0
    assert (np.diff(found.apply(scores)) > 0).all()


def test_extreme_scores_stay_probabilities() -> None:
    values = Calibration(3.0, -1.0).apply(np.array([0.0, 1e-300, 0.5, 1.0]))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_rare_types_take_what_all_say_together() -> None:
    scores, right = overconfident(5000)
    found = fit_types({"gene": (scores[:4990], right[:4990]), "rare": (scores[4990:], right[4990:])})
    assert found["rare"] == pytest.approx(found["gene"], abs=0.05)
    assert found["rare"] != found["gene"]


def test_only_known_types_change() -> None:
    scores = np.array([0.3, 0.3])
    result = calibrated(scores, np.array([0, 1]), ("gene", "species"), {"species": (2.0, 0.0)})
    assert result[0] == 0.3
    assert result[1] < 0.3
    assert calibrated(scores, np.array([0, 1]), ("gene", "species"), {}) is scores


def test_reliability_counts_every_prediction_once() -> None:
    scores = np.array([0.0, 0.05, 0.55, 1.0])
    table = reliability(scores, np.array([False, True, True, True]))
    assert sum(count for count, _, _ in table) == 4
    assert table[0] == (2, 0.025, 0.5)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0
