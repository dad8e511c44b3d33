"""What an engine says of packed tokens, in passes of bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.models.engine import Engine, Tokens
from bioner_fast.tagging.blocks import blocks, inner_offsets

Ints = NDArray[np.int64]

# Tokens of one pass of an engine, per thread: its rows stay in the caches.
_CHUNK = 2048


def engine_emissions(
    engine: Engine, tokens: Tokens, sentence_offsets: Ints, context: int
) -> dict[str, Tensor]:
    """Log-probabilities float32 [N, K] of every head of an engine, in bounded memory.

    Args:
        engine: from :func:`build_engine`.
        tokens: N tokens.
        sentence_offsets: int64 [S+1].
        context: of the network.
    """
    n = len(tokens.word_ids)
    sizes = [tags for _, tags in engine.heads]
    joined = torch.empty(n, sum(sizes))
    if n:
        with torch.inference_mode():
            placed = engine.place(tokens)
            size = max(_CHUNK * engine.threads, 4 * context)
            for low, start, stop, high in blocks(sentence_offsets, context, size, len(sentence_offsets)):
                inner = inner_offsets(sentence_offsets, low, high)
                offsets = np.concatenate([[0], inner, [high - low]])
                values = engine.log_probabilities(placed, low, high, offsets)
                joined[start:stop] = values[start - low : stop - low]
    columns = torch.split(joined, sizes, 1)
    return {name: part.contiguous() for (name, _), part in zip(engine.heads, columns, strict=True)}
