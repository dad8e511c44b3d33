"""One step: a batch through the network, its loss, gradients, the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from bioner_fast.models.base import Network
from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Gradient, Optimizer
from bioner_fast.ops import dense


class Step:
    """Takes steps; nothing in it waits for a device.

    Args:
        network: in training mode.
        optimizer: of its parameters.
        average: of the same; updated after each step.
        processes: the processes that share the batches.
        constraints: per head what its tag scheme allows, where the loss is that of a CRF; None for a softmax.
        open_tags: per head bool [J, K], the tags that codes K, K + 1, ... leave possible; only with a CRF.

    Example:
        >>> step = Step(network, optimizer)
        >>> losses = [step(batch) for batch in batches.batches(plan)]  # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        average: Average | None = None,
        constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None = None,
        processes: Processes | None = None,
        open_tags: Sequence[Tensor] = (),
    ) -> None:
        self.network, self.optimizer, self.average = network, optimizer, average
        self.open_tags = open_tags
        self.processes = processes or Processes()
        self.constraints = constraints

    def __call__(self, batch: Batch) -> Tensor:
        """Learn from a batch.

        Returns:
            Its mean loss, a scalar on the device: of a token, or with a CRF of a sentence.
        """
        total = self._learn(self.processes.share(batch))
        if self.average is not None:
            self.average.update(self.optimizer.steps)
        return total

    def _learn(self, batch: Batch) -> Tensor:
        """Learn from a process's share of a batch, which may be empty; the mean loss of the whole batch."""
        loss, gradients, rows = self.gradients(batch) if batch.size > 0 else (None, None, None)
        parameters = self.optimizer.parameters
        if gradients is not None and not self.processes.alone:
            for name, value in parameters.items():
                grad = gradients.get(name)
                assert not isinstance(grad, dense.WeightGradient)  # WindowStep: with one process only
                value.grad = None if grad is None else grad.to(value.dtype)
            gradients = None
        total = self.processes.add_gradients(list(parameters.values()), loss)
        self.optimizer.step(self.processes.add_rows(rows, self.optimizer.table), gradients)
        return total

    def gradients(
        self, batch: Batch
    ) -> tuple[Tensor, Mapping[str, Gradient] | None, tuple[Tensor, Tensor] | None]:
        """Compute the gradients of a batch that is not empty.

        Returns:
            Its mean loss; gradients by parameter, or None where the parameters hold them; row numbers [R] and
            gradients [R, D] of the word table, if it is trained.
        """
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss, None, self.network.embedding.take_row_gradients()

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch."""
        return self.network.loss(batch, self.constraints, self.open_tags)
