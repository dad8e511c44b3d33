"""What every network of the package offers: to training, to the bundle and to the tagger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch
from bioner_fast.models.embedding import TokenEmbedding
from bioner_fast.models.loss import clipped_cross_entropy

# Tokens per forward pass in inference: bounds memory, and is far beyond where larger GEMMs are faster.
INFERENCE_ROWS = 4096


class Shape(Protocol):
    """What the shape of any network says."""

    @property
    def tasks(self) -> tuple[tuple[str, int], ...]:
        """Name and number of tags of each task, in order."""
        ...

    @property
    def rows(self) -> int:
        """Rows of the word table."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object that rebuilds the network."""
        ...


class Network(nn.Module, ABC):
    """Emissions for every token of packed text, for each task.

    Attributes:
        shape: what fixes the network's shape.
        embedding: holds the word table; a subclass sets it.
        uses_forms: whether ``Features.forms`` must be there.
        fixed_launches: whether evaluation of a whole block launches the same work on a GPU whatever its
            tokens are, without waiting for the GPU, so that a CUDA graph of it can be replayed.
        training_product: type of the large matrix products in training and in :meth:`judged`; None for that
            of the weights.
    """

    word_table_key = "embedding.words"
    uses_forms = False
    fixed_launches = False
    training_product: torch.dtype | None = None
    _judged = False
    embedding: TokenEmbedding

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.task_names = tuple(name for name, _ in shape.tasks)

    @property
    def config(self) -> dict[str, Any]:
        """What :func:`build_network` needs to build this network again."""
        return self.shape.to_json()

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Network:
        """The network of a :attr:`config`; its weights are not set.

        Raises:
            ValueError: the configuration is incomplete or contradicts itself.
        """

    @property
    def product(self) -> torch.dtype | None:
        """Type of the large matrix products now."""
        return self.training_product if self.training or self._judged else None

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within, evaluation multiplies as training does: selection costs no more than it has to."""
        self._judged = True
        try:
            yield
        finally:
            self._judged = False

    @property
    @abstractmethod
    def context(self) -> int:
        """How many tokens to the left and to the right an emission depends on."""

    @abstractmethod
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew."""

    @abstractmethod
    def part_logits(
        self, features: Features, tokens: slice | Tensor, parts: Sequence[tuple[int, slice | None]]
    ) -> list[Tensor]:
        """Logits of heads for some tokens.

        Args:
            features: packed text.
            tokens: a slice with start and stop, or int64 token numbers in any order (where the network can).
            parts: head and the rows of ``tokens`` it is wanted for, None for all.

        Returns:
            For each part, float [n, K].
        """

    @abstractmethod
    def learning(self, heads: Sequence[int]) -> dict[str, Tensor]:
        """Parameters, by name, that training of these heads changes; never the word table."""

    def loss(
        self,
        batch: Batch,
        constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None = None,
        open_tags: Sequence[Tensor] = (),
    ) -> Tensor:
        """The mean loss of a batch: of a token, by softmaxes, unless a subclass has another one.

        Args:
            batch: not empty.
            constraints: per head what its tag scheme allows, where the loss is that of a CRF; None for a
                softmax.
            open_tags: per head bool [J, K], what open tags leave possible; for a CRF.
        """
        terms = [
            clipped_cross_entropy(part, tags)
            for part, (_, _, tags) in zip(self.batch_logits(batch), batch.parts, strict=True)
        ]
        return added(terms) / (batch.total or batch.size)

    def batch_logits(self, batch: Batch) -> list[Tensor]:
        """Logits of each part of a batch, float [n, K]."""
        whole = len(batch.parts) == 1
        wanted = [(head, None if whole else rows) for head, rows, _ in batch.parts]
        return self.part_logits(batch.features, batch.tokens, wanted)

    def decoder_tables(self, head: int) -> Mapping[str, Tensor]:
        """Tables for the decoder of a head that the network has learnt; none unless a subclass has some."""
        return {}

    def calibrate(self, features: Sequence[Features]) -> None:
        """Take constants from the training data, once, before training; most networks need none."""

    def forward(
        self, features: Features, tokens: slice | Tensor | None = None, tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Logits of some tokens.

        Args:
            features: packed text.
            tokens: as for :meth:`part_logits`; None for all.
            tasks: whose heads to compute; None for all.

        Returns:
            Per task name, float [n, K] logits.
        """
        names = self.task_names if tasks is None else tuple(tasks)
        wanted = slice(0, len(features)) if tokens is None else tokens
        logits = self.part_logits(features, wanted, [(self.task_names.index(name), None) for name in names])
        return dict(zip(names, logits, strict=True))

    def log_probabilities(self, features: Features, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Log-probabilities of all tokens, without gradients or dropout, in bounded memory.

        Returns:
            Per task name, float [N, K].
        """
        names = self.task_names if tasks is None else tuple(tasks)
        n_tokens = len(features)
        words = self.embedding.words
        sizes = dict(self.shape.tasks)
        results = {name: words.new_empty(n_tokens, sizes[name]) for name in names}
        training = self.training
        if training:
            self.eval()
        try:
            with torch.no_grad():
                for start in range(0, n_tokens, INFERENCE_ROWS):
                    rows = slice(start, min(start + INFERENCE_ROWS, n_tokens))
                    for name, logits in self(features, rows, names).items():
                        results[name][rows] = F.log_softmax(logits, 1)
        finally:
            if training:
                self.train()
        return results


def added(terms: Sequence[Tensor]) -> Tensor:
    """The sum of the losses of a batch's parts."""
    return terms[0] if len(terms) == 1 else torch.stack(list(terms)).sum()
