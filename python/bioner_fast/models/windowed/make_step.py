"""Which step a window network takes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bioner_fast.log import logger
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.learning.step import Step
from bioner_fast.models.windowed.cuda_graphs import GraphStep, why_not
from bioner_fast.models.windowed.mlp_step import MlpStep
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.models.windowed.step import WindowStep
from bioner_fast.ops import gated


def writes_out(network: TaggingNetwork) -> bool:
    """Whether :class:`WindowStep` knows the network: on a CPU, with fixed vectors or no filters."""
    if not gated.available(network.embedding.words):
        return False
    if any(encoder.batch_mask and encoder.dropout > 0 for encoder in network.encoders):
        return False
    plain = not network.embedding.tune_words and network.embedding.caps is None
    return plain or not network.shape.filter_widths


def make_window_step(
    network: TaggingNetwork,
    optimizer: Optimizer,
    average: Average | None,
    constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None,
    processes: Processes,
    *,
    open_tags: Sequence[Tensor],
    size: int | None,
    graphs: bool,
) -> Step:
    """The fastest step; arguments as for :func:`bioner_fast.models.registry.make_step`."""
    if graphs and network.embedding.words.is_cuda:
        reason = why_not(network, optimizer, constraints, processes, size)
        if reason is None and size is not None:
            return GraphStep(network, optimizer, average, size=size)
        logger.info("no CUDA graph of the training step: %s", reason)
    if constraints is None and writes_out(network):
        written_out = WindowStep if network.shape.filter_widths else MlpStep
        return written_out(network, optimizer, average, processes=processes)
    return Step(network, optimizer, average, constraints, processes, open_tags)
