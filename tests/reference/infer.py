"""Slow oracles of ``ops.infer``: float64 NumPy, one formula after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear(values: Array, index: NDArray[np.int32], lengths: list[int], weight: Array, bias: Array) -> Array:
    """Segments side by side times ``weight``; segment s of row i is ``values[index[i, s]][: lengths[s]]``."""
    rows = [
        np.concatenate([values[row][:length] for row, length in zip(one, lengths, strict=True)])
        for one in index
    ]
    return np.array(rows).reshape(len(index), sum(lengths)) @ weight.T + bias


def table_sum(
    table: Array, index: NDArray[np.int32], rows: int, step: int, taps: list[int], bias: Array
) -> Array:
    """``table`` [*, parts, width]; group g adds up its own parts, one of each of ``taps[g]`` entries."""
    out = np.zeros((rows, len(taps), table.shape[2]))
    for i in range(rows):
        part = 0
        for group, count in enumerate(taps):
            for tap in range(count):
                out[i, group] += table[index[i * step + tap], part]
                part += 1
    return out.reshape(rows, -1) + bias


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """Over the last axis."""
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + epsilon) * gamma + beta


def glu(x: Array, residual: Array) -> Array:
    """``residual + a * sigmoid(b)`` of the halves a and b."""
    a, b = np.split(x, 2, axis=1)
    return residual + a / (1 + np.exp(-b))


def log_softmax(x: Array, ends: list[int]) -> Array:
    """Of each range of columns."""
    parts = []
    for part in np.split(x[:, : ends[-1]], ends[:-1], axis=1):
        shifted = part - part.max(1, keepdims=True)
        parts.append(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
    return np.concatenate(parts, 1)


def characters(words: NDArray[np.uint8], tables: Array, bias: Array) -> Array:
    """``tables`` [kinds, 3, filters]: what a character adds after it, at itself and before it."""
    out = np.zeros((len(words), len(bias)))
    for i, word in enumerate(words):
        best = np.full(len(bias), -np.inf)
        for s in np.flatnonzero(word):
            response = tables[word[s], 1].copy()
            if s > 0:
                response += tables[word[s - 1], 0]
            if s + 1 < len(word):
                response += tables[word[s + 1], 2]
            best = np.maximum(best, response)
        out[i] = np.maximum(best + bias, 0)
    return out


def quantise(x: Array, scale: Array, zero: int) -> NDArray[np.uint8]:
    """Round to even, saturate."""
    return np.clip(np.round(x * scale + zero), 0, 255).astype(np.uint8)
