"""Steps of an MLP by SGD in bfloat16, each as one native call.

The published MLP learns from 50 tokens at a time, so little work that what surrounds the thirty calls of
:class:`~bioner_fast.training.window_step.WindowStep` took a third of its step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bioner_fast.models.layout import padded_text
from bioner_fast.models.loss import LEAST, MOST
from bioner_fast.models.networks import TaggingNetwork
from bioner_fast.ops import gated, mlp
from bioner_fast.training.averaging import Average
from bioner_fast.training.optimizers import Optimizer
from bioner_fast.training.ranks import Ranks
from bioner_fast.training.sampling import Batch
from bioner_fast.training.window_step import NATIVE_TAGS, WindowStep


class MlpStep(WindowStep):
    """Takes steps of an MLP: one native call where it can, otherwise those of its base, whose numbers differ
    by rounding only.

    It can in bfloat16 tiles, by SGD, with one hidden layer and word vectors that learn; for batches of one
    head of few tags. Arguments are those of :class:`~bioner_fast.training.window_step.WindowStep`.
    """

    def __init__(
        self,
        network: TaggingNetwork,
        optimizer: Optimizer,
        average: Average | None = None,
        *,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(network, optimizer, average, ranks=ranks)
        self.known: dict[int, _Head] = {}
        if self.tiles and optimizer.kind == "sgd" and network.embedding.tune_words:
            for head, (layer, inputs) in enumerate(zip(network.heads, network.inputs, strict=True)):
                assert isinstance(layer, nn.Linear)
                tower = self.towers[inputs[0]].module
                learns = f"heads.{head}.weight" in optimizer.parameters
                small = layer.out_features <= NATIVE_TAGS and len(tower.hidden) == 1
                if learns and small and len(inputs) == 1:
                    hidden = tower.hidden[0]
                    assert isinstance(hidden, nn.Linear)
                    self.known[head] = _Head(
                        layer, hidden, f"towers.{inputs[0]}.hidden.0.weight", tower.dropout
                    )

    def __call__(self, batch: Batch) -> Tensor:
        """As for every step."""
        known = self.known.get(batch.parts[0][0]) if len(batch.parts) == 1 else None
        if known is None:
            return super().__call__(batch)
        embedding, window = self.network.embedding, self.network.shape.window
        hidden, head = known.hidden, known.layer
        low = self.optimizer.blocks(known.name)
        weights = mlp.Weights(
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
        if self.average is not None:
            self.average.update(self.optimizer.steps)
        return torch.scalar_tensor(loss)


@dataclass(frozen=True, slots=True)
class _Head:
    """A head that takes the short way: its layer, the hidden layer that it reads, and that one's name."""

    layer: nn.Linear
    hidden: nn.Linear
    name: str
    dropout: float
