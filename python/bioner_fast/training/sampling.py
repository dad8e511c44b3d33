"""Which tokens make up a batch.

An epoch is planned at its start from the random state, so a run that was stopped inside it draws the same
plan again and goes on where it was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioner_fast.errors import UsageError
from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch


def slice_choices(n_tokens: int, fraction: float) -> tuple[int, int]:
    """Possible starts and the length of the token slice that ``percent_keep`` takes.

    Example:
        >>> slice_choices(600, 0.333)
        (401, 199)
    """
    product = n_tokens * fraction
    return n_tokens - math.ceil(product) + 1, math.floor(product)


def draw_slice(n_tokens: int, fraction: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a contiguous slice (start, stop).

    Raises:
        UsageError: nothing is left.
    """
    if fraction == 1.0:
        return 0, n_tokens
    starts, length = slice_choices(n_tokens, fraction)
    if length == 0:
        raise UsageError(
            f"--percent-keep {fraction:g} leaves none of the {n_tokens} tokens of the first task"
        )
    start = int(rng.integers(starts))
    return start, start + length


@dataclass(frozen=True, slots=True)
class TrainingText:
    """Training corpora of some heads, one after another.

    Attributes:
        features: of all N tokens.
        tags: int64 [N].
        bounds: token bounds of the corpora, one more than there are.
        heads: the head that each corpus trains.
    """

    features: Features
    tags: Tensor
    bounds: tuple[int, ...]
    heads: tuple[int, ...]

    def contiguous(self, start: int, stop: int) -> Batch:
        """The batch of tokens start to stop, which may lie in several corpora."""
        parts = []
        for head, begin, end in zip(self.heads, self.bounds, self.bounds[1:], strict=False):
            low, high = max(start, begin), min(stop, end)
            if low < high:
                parts.append((head, slice(low - start, high - start), self.tags[low:high]))
        return Batch(self.features, slice(start, stop), tuple(parts), stop - start)


class TokenBatches:
    """The published single-task order: the tokens of a slice, shuffled; windows reach beyond the slice."""

    def __init__(self, text: TrainingText, batch_size: int) -> None:
        self.text, self.batch_size = text, batch_size

    def steps_of(self, epochs: int, kept: float) -> int:
        """Steps of a run (of whole sentences: about so many)."""
        return epochs * math.ceil(math.floor(self.text.bounds[1] * kept) / self.batch_size)

    def plan(
        self, rng: np.random.Generator, start: int, stop: int, epoch: int = 0
    ) -> list[npt.NDArray[np.int64]]:
        """Token numbers of every batch of an epoch."""
        order = rng.permutation(np.arange(start, stop, dtype=np.int64))
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]

    def batches(self, plan: list[npt.NDArray[np.int64]], first: int = 0) -> Iterator[Batch]:
        """The batches of a plan from number ``first`` on."""
        if not plan[first:]:
            return
        # To the device all at once: a copy for each batch would wait for the steps before it.
        order = torch.from_numpy(np.concatenate(plan[first:])).to(self.text.tags.device)
        sizes = [len(numbers) for numbers in plan[first:]]
        head = self.text.heads[0]
        ends = np.cumsum(sizes).tolist()
        tags = self.text.tags[order]
        for size, end in zip(sizes, ends, strict=True):
            rows = slice(end - size, end)
            yield Batch(self.text.features, order[rows], ((head, slice(0, size), tags[rows]),), size)


class SentenceBatches:
    """Whole sentences, shuffled and laid end to end; a batch has about ``batch_size`` tokens."""

    def __init__(self, text: TrainingText, batch_size: int) -> None:
        self.text, self.batch_size = text, batch_size

    def steps_of(self, epochs: int, kept: float) -> int:
        """Steps of a run (of whole sentences: about so many)."""
        return epochs * math.ceil(math.floor(self.text.bounds[1] * kept) / self.batch_size)

    def plan(self, rng: np.random.Generator, start: int, stop: int, epoch: int = 0) -> TrainingText:
        """The text of an epoch: the sentences of the slice (clipped by it) in a new order."""
        offsets = np.unique(np.clip(self.text.features.offsets.cpu().numpy(), start, stop))
        order = rng.permutation(len(offsets) - 1)
        lengths = np.diff(offsets)[order]
        new = np.concatenate([[0], np.cumsum(lengths)])
        numbers = np.repeat(offsets[:-1][order] - new[:-1], lengths) + np.arange(new[-1])
        tokens = torch.from_numpy(numbers).to(self.text.tags.device)
        shuffled = self.text.features.take(tokens, torch.from_numpy(new).to(tokens.device))
        return TrainingText(shuffled, self.text.tags[tokens], (0, len(numbers)), self.text.heads)

    def batches(self, plan: TrainingText, first: int = 0) -> Iterator[Batch]:
        """The batches of a plan from number ``first`` on."""
        offsets = plan.features.offsets.cpu().numpy()
        # Sentences belong to the batch that the middle of the running count falls into: about batch_size
        # tokens each.
        group = (offsets[:-1] + offsets[1:]) // 2 // self.batch_size
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(group)]])
        bounds = offsets[cuts].tolist()
        for begin, end in list(itertools.pairwise(bounds))[first:]:
            yield plan.contiguous(begin, end)


class SpanBatches:
    """The published multi-output order: contiguous rows of all corpora from a random start."""

    def __init__(self, text: TrainingText, batch_size: int, steps: int, steps_per_epoch: int) -> None:
        self.text, self.batch_size = text, batch_size
        self.steps, self.steps_per_epoch = steps, steps_per_epoch
        self.epochs = math.ceil(steps / steps_per_epoch)

    def steps_of(self, epochs: int, kept: float) -> int:
        """Steps of a run."""
        return self.steps

    def plan(self, rng: np.random.Generator, start: int, stop: int, epoch: int = 0) -> npt.NDArray[np.int64]:
        """Starts of the batches between two evaluations.

        They are drawn over the kept slice of the first corpus and all of the others.
        """
        first = self.text.bounds[1]
        steps = min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)
        starts = rng.integers(stop - start + self.text.bounds[-1] - first, size=steps) + start
        starts[starts >= stop] += first - stop
        limits = np.full(steps, self.text.bounds[-1])
        if stop < first:
            limits[starts < stop] = stop
        return np.stack([starts, np.minimum(starts + self.batch_size, limits)], 1)

    def batches(self, plan: npt.NDArray[np.int64], first: int = 0) -> Iterator[Batch]:
        """The batches of a plan from number ``first`` on; one may be short, at an end of the text."""
        for begin, end in plan[first:].tolist():
            yield self.text.contiguous(begin, end)


Batches = TokenBatches | SentenceBatches | SpanBatches
