"""What a network learns from at once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bioner_fast.features.batch import Features


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens of one step.

    Attributes:
        features: the text they lie in.
        tokens: a slice of it, or token numbers int64 [n].
        parts: per head with tokens in the batch: head, its rows in the batch, and their tags int64.
        size: n.
        offsets: per part, int64 sentence offsets among its rows, where the batch is of whole sentences.
        total: what the loss is divided by, where that is more than this batch (tokens; sentences of a CRF):
            the batch is one process's share of a larger one.
    """

    features: Features
    tokens: slice | Tensor
    parts: tuple[tuple[int, slice, Tensor], ...]
    size: int
    offsets: tuple[Tensor, ...] = ()
    total: int | None = None
