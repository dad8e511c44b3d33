"""Steps of the published networks on a GPU, recorded once as a CUDA graph and replayed.

A step is some seventy short launches, likely to cost more to launch than to run. Batches nearly all
have one size, so a whole step (look-up, encoders, dropout, loss, gradients, optimiser) is one fixed list of
launches over tensors that stay where they are. Text, windows and tags are on the device already: taking a
batch copies rows there, and nothing waits for the device.

So that no launch depends on the tokens, windows are computed one by one (the gathered form), and the heads of
a phase side by side: a row's other heads are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.log import logger
from bioner_fast.models.batch import Batch
from bioner_fast.models.captures import CAPTURES
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.learning.step import Step
from bioner_fast.models.loss import joint_cross_entropy
from bioner_fast.models.windowed.layout import id_windows
from bioner_fast.models.windowed.network import TaggingNetwork

# Steps before the capture: libraries choose their kernels and take their memory in the first ones.
WARM_UP = 3


def why_not(
    network: TaggingNetwork,
    optimizer: Optimizer,
    constraints: object | None,
    processes: Processes,
    size: int | None,
) -> str | None:
    """Why :class:`GraphStep` cannot take the steps of a run; None if it can.

    Args:
        network, optimizer, constraints, processes: as for :class:`bioner_fast.models.learning.step.Step`.
        size: tokens of a batch; None if they vary.
    """
    if constraints is not None:
        return "the loss is that of a CRF"
    if optimizer.table is not None or network.embedding.caps is not None:
        return "word vectors or a capitalisation embedding are trained"
    if any(encoder.batch_mask and encoder.dropout > 0 for encoder in network.encoders):
        return "a dropout mask for a batch changes what is computed"
    if not processes.alone:
        return "several processes train together"
    if size is None:
        return "batches of whole sentences differ in size"
    return None


class GraphStep(Step):
    """Takes the steps of a run for which :func:`why_not` has no reason.

    The first batches of the full size launch their work one by one, then the graph is captured; these are
    steps like all others. Batches of another size are left to :class:`bioner_fast.models.learning.step.Step`,
    and so is everything if the capture fails. On a CPU nothing is captured: the same work, for tests.

    Args:
        network, optimizer, average: as for :class:`bioner_fast.models.learning.step.Step`; on their device.
        size: tokens of a batch.

    Attributes:
        captured: whether a graph is replayed.

    Example:
        >>> step = GraphStep(network, optimizer, size=200)  # doctest: +SKIP
    """

    network: TaggingNetwork

    def __init__(
        self, network: TaggingNetwork, optimizer: Optimizer, average: Average | None = None, *, size: int
    ) -> None:
        super().__init__(network, optimizer, average)
        words = network.embedding.words
        self._size, self._device = size, words.device
        self._words = network.low_words(network.training_product or words.dtype)
        self._heads: list[nn.Linear] = []
        self._first: dict[int, int] = {}  # column of the first tag of each head
        owner: list[int] = []
        for number, layer in enumerate(network.linear_heads):
            if f"heads.{number}.weight" in optimizer.parameters:
                self._heads.append(layer)
                self._first[number] = len(owner)
                owner += [number] * layer.out_features
        # Heads that learn together see the same encoders.
        self._encoders = [network.encoders[encoder] for encoder in network.inputs[owner[0]]]
        self._owner = torch.tensor(owner, device=self._device)
        self._ids = torch.zeros(size, network.shape.window, dtype=torch.int64, device=self._device)
        self._columns = torch.zeros(size, dtype=torch.int64, device=self._device)
        self._loss = torch.zeros((), dtype=words.dtype, device=self._device)
        self._stream: Any = None
        if words.is_cuda:
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._taken, self._refused = 0, False

    @property
    def captured(self) -> bool:
        """See the class."""
        return self._graph is not None

    def __call__(self, batch: Batch) -> Tensor:
        """Learn from a batch (see :class:`bioner_fast.models.learning.step.Step`)."""
        if batch.size != self._size:
            return super().__call__(batch)
        if self._stream is not None and self._taken == WARM_UP and not self._refused:
            self._capture()
        if self._refused:
            return super().__call__(batch)
        self._taken += 1
        self._load(batch)
        self.optimizer.advance()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._launch()
        if self.average is not None:
            self.average.update(self.optimizer.steps)
        return self._loss.clone()

    def _load(self, batch: Batch) -> None:
        """Copy a batch to where the step reads it."""
        windows, _ = id_windows(batch.features, self.network.shape.window)
        if isinstance(batch.tokens, Tensor):
            torch.index_select(windows, 0, batch.tokens, out=self._ids)
        else:
            self._ids.copy_(windows[batch.tokens])
        for head, rows, tags in batch.parts:
            torch.add(tags, self._first[head], out=self._columns[rows])

    def _work(self) -> None:
        """The step that is recorded."""
        product = self.network.training_product
        windows = self._words.index_select(0, self._ids.view(-1)).view(self._size, -1)
        hidden = _joined([encoder.unfolded(windows, product) for encoder in self._encoders], 1)
        weight, bias = (_joined([getattr(h, name) for h in self._heads], 0) for name in ("weight", "bias"))
        loss = joint_cross_entropy(F.linear(hidden, weight, bias), self._columns, self._owner) / self._size
        # Without .grad of the parameters, whose memory would belong to the graph.
        self.optimizer.apply(torch.autograd.grad(loss, list(self.optimizer.parameters.values())))
        self._loss.copy_(loss.detach())

    def _launch(self) -> None:
        """Do the work now; on a GPU beside the default stream, as a capture wants it."""
        if self._stream is None:
            self._work()
            return
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._work()
        current.wait_stream(self._stream)

    def _capture(self) -> None:
        """Record the work; nothing is computed."""
        generator = torch.cuda.default_generators[self._device.index or 0]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream(self._device)
        try:
            # On a stream of this device: Torch's own one for captures is of the device that captured first.
            with CAPTURES, torch.cuda.device(self._device), torch.cuda.graph(graph, stream=self._stream):
                self._work()
        except RuntimeError as error:
            self._refused = True
            logger.warning("no CUDA graph, steps launch their work: %s", str(error).splitlines()[0])
            torch.cuda.synchronize(self._device)
            # A capture that was broken off leaves the generator as if it went on.
            generator.graphsafe_set_state(before)
            return
        finally:
            torch.cuda.set_stream(current)  # a capture that was broken off leaves the thread on its stream
        self._graph = graph


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)
