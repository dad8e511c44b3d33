"""Torch ops over the native kernels, all on packed sentences: ``values[N, ...]`` and ``offsets[B + 1]``."""

from bioner_fast.ops.crf import crf_log_likelihood, crf_marginals, span_marginals
from bioner_fast.ops.padded import CRF, pack, unpack
from bioner_fast.ops.viterbi import viterbi_decode
from bioner_fast.ops.window import embedding_window, window_gather

__all__ = [
    "CRF",
    "crf_log_likelihood",
    "crf_marginals",
    "embedding_window",
    "pack",
    "span_marginals",
    "unpack",
    "viterbi_decode",
    "window_gather",
]
