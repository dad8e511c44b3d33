"""The gated block and its dropout by their definitions, in loops over tokens."""

from __future__ import annotations

import math

import numpy as np

MASK = 0xFFFFFFFF


def kept(seed: int, share: float, count: int) -> np.ndarray:
    """bool [count]: which values dropout keeps."""
    low, high = seed & MASK, seed >> 32
    threshold = int(max((1.0 - share) * 2**32, 1.0)) if share else 2**32
    out = []
    for i in range(count):
        x = (i * 0x9E3779B1 + low) & MASK
        x ^= x >> 16
        x = (x * 0x7FEB352D + high) & MASK
        x ^= x >> 15
        x = (x * 0x846CA68B) & MASK
        x ^= x >> 16
        out.append(x < threshold)
    return np.array(out, dtype=bool)


def dropout(values: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Values [N, C], some zero, the others scaled."""
    mask = kept(seed, share, values.size).reshape(values.shape)
    return np.where(mask, values / (1 - share), 0.0)


def gated_block(
    hidden: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    norm: tuple[np.ndarray, np.ndarray, float],
    sentence: np.ndarray,
    dilation: int,
    share: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """``[N, C]``; ``sentence`` [N] says which sentence each row belongs to."""
    tokens, width = hidden.shape
    dropped = dropout(hidden, share, seed)
    out = np.empty_like(hidden)
    for t in range(tokens):
        parts = []
        for m in (t - dilation, t, t + dilation):
            inside = 0 <= m < tokens and sentence[m] == sentence[t]
            parts.append(dropped[m] if inside else np.zeros(width))
        mixed = weight @ np.concatenate(parts) + bias
        gate = np.array([1 / (1 + math.exp(-x)) for x in mixed[width:]])
        total = hidden[t] + mixed[:width] * gate
        centred = total - total.mean()
        out[t] = centred / math.sqrt((centred**2).mean() + norm[2]) * norm[0] + norm[1]
    return out
