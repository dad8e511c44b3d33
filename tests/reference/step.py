"""The passes of a training step, one value at a time."""

from __future__ import annotations

import math

import numpy as np

from reference.gated import dropout


def positions(
    values: np.ndarray, bias: np.ndarray, starts: list[int], slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Activations [R, F] and windows [N, slots * F]."""
    active = np.maximum(values + bias, 0)
    return active, np.stack([active[s : s + slots].reshape(-1) for s in starts])


def positions_grad(grad: np.ndarray, active: np.ndarray, starts: list[int], slots: int) -> np.ndarray:
    """Of the products [R, F], from that of the windows."""
    filters = active.shape[1]
    total = np.zeros_like(active)
    for n, start in enumerate(starts):
        for p in range(slots):
            total[start + p] += grad[n, p * filters : (p + 1) * filters]
    return np.where(active > 0, total, 0)


def units(sums: np.ndarray, bias: np.ndarray, seed: int, share: float) -> np.ndarray:
    """``dropout(relu(sums + bias))``."""
    return dropout(np.maximum(sums + bias, 0), share, seed)


def adam(
    w: float,
    g: float,
    m: float,
    v: float,
    beta1: float,
    beta2: float,
    size: float,
    epsilon: float,
    decay: float,
) -> tuple[float, float, float]:
    """A step of one weight: w, m and v after it."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return decay * w - size * m / (math.sqrt(v) + epsilon), m, v
