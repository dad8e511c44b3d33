"""Windows by their definition, in loops. ``prove`` in test_window.py compares it with a second definition."""

from __future__ import annotations

import numpy as np


def sources(offsets: np.ndarray, window: int) -> list[list[int | None]]:
    """For every token the tokens in its window; None where a position lies outside its sentence."""
    rows: list[list[int | None]] = []
    for b in range(len(offsets) - 1):
        begin, end = int(offsets[b]), int(offsets[b + 1])
        for t in range(begin, end):
            positions = range(t - window // 2, t + window // 2 + 1)
            rows.append([m if begin <= m < end else None for m in positions])
    return rows


def window_gather(
    values: np.ndarray, offsets: np.ndarray, window: int, padding: np.ndarray | int | None = None
) -> np.ndarray:
    """``[N, window * D]`` of values ``[N, D]``, or ``[N, window]`` of ids ``[N]``."""
    rows = values[:, None] if values.ndim == 1 else values
    pad = np.zeros(rows.shape[1], rows.dtype)
    if padding is not None:
        pad[:] = padding
    out = np.empty((len(rows), window, rows.shape[1]), rows.dtype)
    for t, positions in enumerate(sources(offsets, window)):
        for j, m in enumerate(positions):
            out[t, j] = pad if m is None else rows[m]
    return out.reshape(len(rows), window * rows.shape[1])


def embedding_window(
    weight: np.ndarray, ids: np.ndarray, offsets: np.ndarray, window: int, padding_idx: int
) -> np.ndarray:
    """``[N, window * D]``: the rows that the ids of the window name."""
    return window_gather(weight[ids], offsets, window, weight[padding_idx])


def grad_values(grad: np.ndarray, offsets: np.ndarray, window: int) -> np.ndarray:
    """Gradient of ``values``, summed over positions j of the window in ascending order, in its dtype."""
    n = grad.shape[0]
    cells = grad.reshape(n, window, grad.shape[1] // window)
    out = np.zeros((n, cells.shape[2]), grad.dtype)
    rows = sources(offsets, window)
    for j in range(window):
        for t in range(n):
            m = rows[t][j]
            if m is not None:
                out[m] += cells[t, j]
    return out


def grad_padding(grad: np.ndarray, offsets: np.ndarray, window: int) -> np.ndarray:
    """Gradient of ``padding`` in float64."""
    n = grad.shape[0]
    cells = grad.astype(np.float64).reshape(n, window, grad.shape[1] // window)
    out = np.zeros(cells.shape[2])
    for t, positions in enumerate(sources(offsets, window)):
        for j, m in enumerate(positions):
            if m is None:
                out += cells[t, j]
    return out


def grad_weight(
    grad: np.ndarray, ids: np.ndarray, offsets: np.ndarray, window: int, rows: int, padding_idx: int
) -> np.ndarray:
    """Gradient of ``weight`` in float64."""
    n = grad.shape[0]
    cells = grad.astype(np.float64).reshape(n, window, grad.shape[1] // window)
    out = np.zeros((rows, cells.shape[2]))
    for t, positions in enumerate(sources(offsets, window)):
        for j, m in enumerate(positions):
            out[padding_idx if m is None else ids[m]] += cells[t, j]
    return out
