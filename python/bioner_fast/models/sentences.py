"""Where the sentences of packed text begin and end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bioner_fast.features.batch import Features


@dataclass(frozen=True, slots=True)
class SentenceBounds:
    """First and last token of each token's sentence.

    Attributes:
        first, last: int64 [N].
        host_first, host_last: the same in host memory.
    """

    first: Tensor
    last: Tensor
    host_first: Tensor
    host_last: Tensor


def sentence_bounds(features: Features) -> SentenceBounds:
    """Sentence bounds of features; kept with them."""
    key = "sentence bounds"
    if key not in features.derived:
        offsets = features.offsets.cpu()
        lengths = offsets.diff()
        first = torch.repeat_interleave(offsets[:-1], lengths)
        last = torch.repeat_interleave(offsets[1:] - 1, lengths)
        device = features.word_ids.device
        features.derived[key] = SentenceBounds(first.to(device), last.to(device), first, last)
    bounds: SentenceBounds = features.derived[key]
    return bounds
