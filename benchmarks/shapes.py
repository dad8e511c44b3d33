"""Batches shaped like the real corpora: 26 tokens a sentence, the 99th percentile at 90, at most 327."""

from __future__ import annotations

import numpy as np
import torch

TAG_SETS = (3, 5, 9, 25, 65)
WINDOW = 7
WIDTH = 200
LONGEST = 327


def sentence_lengths(tokens: int, seed: int = 0) -> np.ndarray:
    """Lengths that sum to `tokens`; one of them is the longest, where there is room for it."""
    rng = np.random.default_rng(seed)
    drawn = rng.gamma(1.85, 14.05, tokens // 8 + 64).round().astype(np.int64).clip(1, LONGEST)
    drawn[7] = LONGEST
    lengths = drawn[: int(np.searchsorted(np.cumsum(drawn), tokens)) + 1]
    lengths[-1] -= lengths.sum() - tokens
    return lengths


def packed_offsets(tokens: int, seed: int = 0) -> torch.Tensor:
    """int64 ``[B + 1]`` of sentences with :func:`sentence_lengths`."""
    return torch.from_numpy(np.concatenate([[0], np.cumsum(sentence_lengths(tokens, seed))]))


def word_ids(tokens: int, rows: int, seed: int = 0) -> torch.Tensor:
    """Ids that follow Zipf's law, as words do, in ``[0, rows)``."""
    rng = np.random.default_rng(seed)
    ranks = np.exp(rng.random(tokens) * np.log(rows)).astype(np.int64)
    return torch.from_numpy(ranks.clip(1, rows) - 1)
