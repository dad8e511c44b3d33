"""Torch ops over the native kernels, all on packed sentences: ``values[N, ...]`` and ``offsets[B + 1]``."""

from bioner_fast.ops.viterbi import viterbi_decode

__all__ = ["viterbi_decode"]
