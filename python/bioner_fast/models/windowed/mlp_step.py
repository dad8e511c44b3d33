"""Steps of an MLP by SGD in bfloat16, each as one native call.

The published MLP learns from 50 tokens at a time, so little work that what surrounds the thirty calls of
:class:`~bioner_fast.models.windowed.step.WindowStep` took a third of its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from bioner_fast.models.batch import Batch
from bioner_fast.models.loss import LEAST, MOST
from bioner_fast.models.windowed.layout import padded_text
from bioner_fast.models.windowed.step import NATIVE_TAGS, WindowStep
from bioner_fast.ops import gated, mlp


class MlpStep(WindowStep):
    """Takes steps of an MLP: one native call where it can, otherwise those of its base, whose numbers differ
    by rounding only.

    It can in bfloat16 where :mod:`bioner_fast.ops.dense` runs, by SGD, with one hidden layer and word vectors
    that learn; for batches of one head of few tags. Arguments are those of
    :class:`~bioner_fast.models.windowed.step.WindowStep`.
    """

    @cached_property
    def known(self) -> dict[int, _ShortHead]:
        """The heads that take the short way."""
        heads = {head: self._short_way(head) for head in range(len(self.network.heads))}
        return {head: known for head, known in heads.items() if known is not None}

    def _short_way(self, number: int) -> _ShortHead | None:
        """What the native call needs of a head; None where it would not do what the optimiser does."""
        network, optimizer = self.network, self.optimizer
        embedding, (first, *more) = network.embedding, network.inputs[number]
        name = f"towers.{first}.hidden.0.weight"
        changed = [f"heads.{number}.weight", name] + ["embedding.caps"] * (embedding.caps is not None)
        learns = optimizer.table is embedding.words and all(part in optimizer.parameters for part in changed)
        if not (self.tiles and optimizer.kind == "sgd" and learns):
            return None
        layer, encoder = network.linear_heads[number], self.encoders[first].module
        hidden = encoder.hidden[0]
        assert isinstance(hidden, nn.Linear)
        if more or len(encoder.hidden) > 1 or layer.out_features > NATIVE_TAGS:
            return None
        return _ShortHead(layer, hidden, name, encoder.dropout)

    def _learn(self, batch: Batch) -> Tensor:
        known = self.known.get(batch.parts[0][0]) if len(batch.parts) == 1 else None
        if known is None:
            return super()._learn(batch)
        embedding, window = self.network.embedding, self.network.shape.window
        hidden, head = known.hidden, known.layer
        low = self.optimizer.blocks(known.name)
        weights = mlp.MlpWeights(
            embedding.words, embedding.caps, hidden.weight, low, hidden.bias, head.weight, head.bias
        )
        text = padded_text(batch.features, window)
        windows = mlp.Windows(text.word_ids, text.caps, text.starts[batch.tokens], window)
        rate, word_rate = self.optimizer.count()
        seed = gated.seeds(1)[0] if known.dropout > 0 else 0
        loss = mlp.sgd(
            weights, windows, batch.parts[0][2], size=batch.total or batch.size, rate=rate,
            word_rate=word_rate, seed=seed, share=known.dropout, clip=(LEAST, MOST),
        )  # fmt: skip
        return torch.scalar_tensor(loss)


@dataclass(frozen=True, slots=True)
class _ShortHead:
    """A head that takes the short way: its layer, the hidden layer that it reads, and that one's name."""

    layer: nn.Linear
    hidden: nn.Linear
    name: str
    dropout: float
