"""Which step a network takes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bioner_fast.log import logger
from bioner_fast.models.base import Network
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.models.windowed.tower import Tower
from bioner_fast.ops import gated
from bioner_fast.training.averaging import Average
from bioner_fast.training.graph_step import GraphStep, why_not
from bioner_fast.training.mlp_step import MlpStep
from bioner_fast.training.optimizers import Optimizer
from bioner_fast.training.ranks import Ranks
from bioner_fast.training.step import Step
from bioner_fast.training.window_step import WindowStep


def writes_out(network: Network) -> bool:
    """Whether :class:`WindowStep` knows the network: windows on a CPU, with fixed vectors or no filters."""
    if not isinstance(network, TaggingNetwork) or not gated.available(network.embedding.words):
        return False
    towers = [tower for tower in network.towers if isinstance(tower, Tower)]
    if any(tower.batch_mask and tower.dropout > 0 for tower in towers):
        return False
    plain = not network.embedding.tune_words and network.embedding.caps is None
    return plain or not network.shape.filter_widths


def make_step(
    network: Network,
    optimizer: Optimizer,
    average: Average | None = None,
    constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None = None,
    ranks: Ranks | None = None,
    *,
    open_tags: Sequence[Tensor] = (),
    size: int | None = None,
    graphs: bool = False,
) -> Step:
    """The fastest step for a network.

    Args:
        network, optimizer, average, constraints, ranks, open_tags: as for
            :class:`bioner_fast.training.step.Step`.
        size: tokens of a batch (short ones apart); None if they vary.
        graphs: whether steps on a GPU may be CUDA graphs.
    """
    if graphs and network.embedding.words.is_cuda:
        reason = why_not(network, optimizer, constraints, ranks or Ranks(), size)
        if reason is None and isinstance(network, TaggingNetwork) and size is not None:
            return GraphStep(network, optimizer, average, size=size)
        logger.info("no CUDA graph of the training step: %s", reason)
    if constraints is None and isinstance(network, TaggingNetwork) and writes_out(network):
        written_out = WindowStep if network.shape.filter_widths else MlpStep
        return written_out(network, optimizer, average, ranks=ranks)
    return Step(network, optimizer, average, constraints, ranks, open_tags)
