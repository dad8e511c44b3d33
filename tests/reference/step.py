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
    step_size: float,
    epsilon: float,
    decay: float,
) -> tuple[float, float, float]:
    """A step of one weight: w, m and v after it."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return decay * w - step_size * m / (math.sqrt(v) + epsilon), m, v


def head(
    hidden: np.ndarray, weights: np.ndarray, bias: np.ndarray, gold: list[int], size: int,
    clip: tuple[float, float],
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The loss, and its gradients for hidden values, weights and bias."""
    loss, into = 0.0, np.zeros_like(hidden)
    to_weights, to_bias = np.zeros_like(weights), np.zeros_like(bias)
    for n, row in enumerate(hidden):
        logits = [
            sum(float(x) * float(w) for x, w in zip(row, ws, strict=True)) + b
            for ws, b in zip(weights, bias, strict=True)
        ]
        total = math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits)
        gold_log = logits[gold[n]] - total
        clipped = min(max(gold_log, clip[0]), clip[1])
        loss -= clipped / size
        if clipped != gold_log:
            continue
        for k, logit in enumerate(logits):
            grad = (math.exp(logit - total) - (k == gold[n])) / size
            into[n] += grad * weights[k]
            to_weights[k] += grad * row
            to_bias[k] += grad
    return loss, into, to_weights, to_bias
