"""Torch ops over the native kernels, all on packed sentences: ``values[N, ...]`` and ``offsets[B + 1]``."""

from bioner_fast.ops.viterbi import viterbi_decode
from bioner_fast.ops.window import embedding_window, window_gather

__all__ = ["embedding_window", "viterbi_decode", "window_gather"]
