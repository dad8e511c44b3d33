"""Torch ops over the native kernels, all on packed sentences: ``values[N, ...]`` and ``offsets[B + 1]``."""

import contextlib

from bioner_fast.ops import _native
from bioner_fast.ops.crf import crf_log_likelihood, crf_marginals, span_marginals
from bioner_fast.ops.padded import CRF, pack, unpack
from bioner_fast.ops.viterbi import viterbi_decode, viterbi_top_k
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
    "viterbi_top_k",
    "window_gather",
]

# At once: it watches for forks, and a child that is forked before the first call would wait for threads of
# OpenMP that its parent has kept. Where it is missing, the first op says how to get it.
with contextlib.suppress(ImportError):
    _native.extension()
