"""Batches of whole sentences, of one task or of several at once, for networks that read sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bioner_fast.errors import UsageError
from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch
from bioner_fast.training.sampling import TrainingText

# Sentences that are sorted by length together.
POOL = 1000


@dataclass(frozen=True, slots=True)
class SentencePlan:
    """An epoch: its text in the order of training, and where the batches and their tasks begin.

    Attributes:
        features: of all N tokens of the epoch.
        tags: int64 [N].
        batches: per batch its tokens and, per task in it, head, rows in the batch, their sentence offsets.
    """

    features: Features
    tags: Tensor
    batches: list[tuple[slice, list[tuple[int, slice, Tensor]]]]


class MixedSentenceBatches:
    """All sentences, shuffled; a batch has about so many tokens of any task, each task's rows together.

    Tasks are thus sampled in proportion to their size. A slice of the first corpus keeps its whole sentences.
    Sentences of a batch are of similar length: pools of shuffled sentences are sorted, cut, and the batches
    shuffled. A mean over sentences then weighs tokens differently from batch to batch, a noise that
    regularises.
    """

    def __init__(self, text: TrainingText, batch_size: int) -> None:
        self.text, self.batch_size = text, batch_size

    def steps_of(self, epochs: int, kept: float) -> int:
        """Steps of a run: about so many, as sentences are not cut."""
        first, total = self.text.bounds[1], self.text.bounds[-1]
        return epochs * math.ceil((math.floor(first * kept) + total - first) / self.batch_size)

    def plan(self, rng: np.random.Generator, start: int, stop: int, epoch: int = 0) -> SentencePlan:
        """Shuffle the sentences of an epoch.

        Raises:
            UsageError: the slice holds no whole sentence.
        """
        text = self.text
        offsets = text.features.offsets.cpu().numpy()
        begins, lengths = offsets[:-1], np.diff(offsets)
        task = np.searchsorted(text.bounds, begins, "right") - 1
        kept = (lengths > 0) & ((task > 0) | ((begins >= start) & (begins + lengths <= stop)))
        if not kept[task == 0].any():
            raise UsageError("--percent-keep leaves no whole sentence of the first task")
        order = rng.permutation(np.flatnonzero(kept))
        order = order[np.lexsort((lengths[order], np.arange(len(order)) // POOL))]
        ends = np.cumsum(lengths[order])
        # A sentence belongs to the batch that its middle falls into.
        group = (ends - lengths[order] + ends) // 2 // self.batch_size
        group = rng.permutation(int(group[-1]) + 1)[group]
        places = np.lexsort((np.arange(len(order)), task[order], group))
        order, group = order[places], group[places]
        new = np.concatenate([[0], np.cumsum(lengths[order])])
        numbers = np.repeat(begins[order] - new[:-1], lengths[order]) + np.arange(new[-1])
        device = text.tags.device
        tokens = torch.from_numpy(numbers).to(device)
        features = text.features.take(tokens, torch.from_numpy(new).to(device))
        return SentencePlan(features, text.tags[tokens], self._cuts(group, task[order], new, device))

    def _cuts(
        self, group: np.ndarray, task: np.ndarray, offsets: np.ndarray, device: torch.device
    ) -> list[tuple[slice, list[tuple[int, slice, Tensor]]]]:
        batches: list[tuple[slice, list[tuple[int, slice, Tensor]]]] = []
        changes = (np.diff(group) != 0) | (np.diff(task) != 0)
        cuts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(group)]])
        last = -1
        for low, high in zip(cuts.tolist(), cuts[1:].tolist(), strict=False):
            begin, end = int(offsets[low]), int(offsets[high])
            if group[low] != last:
                batches.append((slice(begin, end), []))
                last = int(group[low])
            first = batches[-1][0].start
            rows = slice(begin - first, end - first)
            inner = torch.from_numpy(offsets[low : high + 1] - begin).to(device)
            batches[-1] = (slice(first, end), [*batches[-1][1], (self.text.heads[task[low]], rows, inner)])
        return batches

    def batches(self, plan: SentencePlan, first: int = 0) -> Iterator[Batch]:
        """The batches of a plan from number ``first`` on."""
        for tokens, parts in plan.batches[first:]:
            tags = plan.tags[tokens]
            yield Batch(
                plan.features,
                tokens,
                tuple((head, rows, tags[rows]) for head, rows, _ in parts),
                tokens.stop - tokens.start,
                tuple(offsets for *_, offsets in parts),
            )
