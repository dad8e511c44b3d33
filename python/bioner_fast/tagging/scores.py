"""The score of an entity: the probability that the model gives to exactly this span."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.schemes import Scheme, TagSet
from bioner_fast.models.bundle import TaskHead
from bioner_fast.ops import span_marginals

Ints = NDArray[np.int64]


def span_scores(
    head: TaskHead, emissions: Tensor, sentence_offsets: Ints, start: Ints, end: Ints, type_id: Ints
) -> NDArray[np.float64]:
    """Constrained span marginals of entities.

    The probability of a span is the mass of all legal tag sequences of its sentence that have the span's tags
    there (B, I, ..., E, or S), over the mass of all legal sequences. Transition scores of a decoder that
    learnt some count; otherwise only those the scheme forbids do.

    Args:
        head: whose tag set and tables are used.
        emissions: log-probabilities [N, K].
        sentence_offsets: int64 [S+1].
        start, end, type_id: int64 [E]; spans that do not overlap.

    Returns:
        float64 [E], in [0, 1].
    """
    if len(start) == 0:
        return np.zeros(0, np.float64)
    tags = span_tags(head.tagset, len(emissions), start, end, type_id)
    sentence = np.searchsorted(sentence_offsets, start, "right") - 1
    spans = torch.from_numpy(np.stack([sentence, start, end], axis=1))
    transitions, first, last = chain(head)
    values = span_marginals(
        emissions,
        transitions.to(emissions),
        torch.from_numpy(sentence_offsets),
        spans,
        torch.from_numpy(tags),
        first.to(emissions),
        last.to(emissions),
    )
    scores: NDArray[np.float64] = values.double().numpy()
    return scores


def chain(head: TaskHead) -> tuple[Tensor, Tensor, Tensor]:
    """Transitions [K, K], start [K] and end [K] of the chain that scores are computed on, log domain."""
    transitions, first, last = (torch.as_tensor(table) for table in head.tagset.constraints())
    if head.decoder == "crf":
        return (
            transitions + head.tables["transitions"],
            first + head.tables["start"],
            last + head.tables["end"],
        )
    return transitions, first, last


def span_tags(tagset: TagSet, n: int, start: Ints, end: Ints, type_id: Ints) -> Ints:
    """Tags int64 [n] that say the spans in the tag set's scheme, 0 elsewhere."""
    tags = np.zeros(n, np.int64)
    index = tagset.index
    iobes = tagset.scheme is Scheme.IOBES
    for kind, name in enumerate(tagset.types):
        chosen = type_id == kind
        if not chosen.any():
            continue
        low, high = start[chosen], end[chosen]
        lengths = high - low
        inner = np.repeat(low - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(
            lengths.sum()
        )
        tags[inner] = index["I-" + name]
        tags[low] = index["B-" + name]
        if iobes:
            tags[high - 1] = index["E-" + name]
            tags[low[lengths == 1]] = index["S-" + name]
    return tags
