"""Evaluations of a run: what devel says, which weights are kept for it, and when it is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead
from bioner_fast.training.checks import check_weights
from bioner_fast.training.data import Prepared
from bioner_fast.training.evaluation import Selector, score_devel
from bioner_fast.training.evaluator import Evaluator
from bioner_fast.training.metrics import MetricsFile
from bioner_fast.training.state import TrainingState

# Called with the record of an evaluation, to which it may add facts, and with what is evaluated. Nothing that
# it adds is selected on.
Observer = Callable[[dict[str, Any], Network, Prepared, Sequence[TaskHead]], None]


class Selection:
    """Evaluates a state after each epoch, and keeps the best weights of the last phase in it.

    An evaluation that was begun may go on beside training; nothing is known of it before :meth:`settle`.

    Args:
        state: of the run.
        heads: of the network, with their decoders.
        metrics: takes a line per evaluation; None for a process that leaves writing to another one.
        beside: whether to evaluate in a thread of its own.

    Attributes:
        observer: sees every evaluation.
        selector: says which score is better.
    """

    def __init__(
        self, state: TrainingState, heads: Sequence[TaskHead], metrics: MetricsFile | None, *, beside: bool
    ) -> None:
        self.state, self.heads, self._metrics = state, heads, metrics
        self.selector = Selector(state.config, state.prepared.tasks)
        self.observer: Observer | None = None
        self._evaluator: Evaluator[dict[str, Any]] = Evaluator(state.network, beside)
        self._weights: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Begin the evaluation of the state as it is.

        Raises:
            BionerError: a weight is not finite, or a word vector too large to be stored.
        """
        state, position, phase = self.state, self.state.position, self.state.phase
        record: dict[str, Any] = {
            "step": position.step, "phase": position.phase + 1, "epoch": position.epoch + 1,
            "loss": position.loss_sum / max(position.batch, 1), "tokens": position.tokens,
        }  # fmt: skip

        def evaluate(network: Network) -> dict[str, Any]:
            heads = heads_of(network, self.heads)
            record["devel"] = score_devel(network, state.prepared.tasks, heads, phase.heads)
            if self.observer is not None:
                self.observer(record, network, state.prepared, heads)
            return record

        with state.averaged():
            check_weights(state.config, state.network, phase, position.step)
            self._weights = state.snapshot()
            self._evaluator.begin(self._weights, evaluate)

    def settle(self) -> dict[str, Any] | None:
        """Take in the result of the evaluation that was begun: its record, or None where there was none."""
        if not self._evaluator.busy:
            return None
        record, position = self._evaluator.end(), self.state.position
        in_last_phase = record["phase"] == len(self.state.phases)
        value = self.selector.value(record["devel"]) if in_last_phase else None
        better = value is None or position.best_value is None or value > position.best_value
        if in_last_phase and better:
            position.best_step, position.best_value = record["step"], value
            position.best_scores, position.waited = record["devel"], 0
        else:
            position.waited += in_last_phase
        self.state.keep(self._weights, best=in_last_phase and better)
        position.history.append(record)
        self.write()
        return record

    def write(self) -> None:
        """Write the evaluations so far."""
        if self._metrics is not None:
            self._metrics.write(self.state.position.history)

    @property
    def may_be_enough(self) -> bool:
        """Whether the evaluation that was begun may be the one that ends the run."""
        return self._patience > 0 and self.state.position.waited + 1 >= self._patience

    @property
    def enough(self) -> bool:
        """Whether the last phase has gone on for long enough without a better score."""
        return bool(self.selector.names) and 0 < self._patience <= self.state.position.waited

    @property
    def _patience(self) -> int:
        """Evaluations to wait for a better one; 0 for ever, as before the last phase."""
        return (self.state.config.patience or 0) if self.state.in_last_phase else 0

    def close(self) -> None:
        """Let the thread go, an evaluation that was begun included."""
        self._evaluator.close()


def heads_of(network: Network, heads: Sequence[TaskHead]) -> tuple[TaskHead, ...]:
    """The heads with the tables that the network has learnt by now."""
    return tuple(
        replace(head, tables=network.decoder_tables(index) or head.tables) for index, head in enumerate(heads)
    )
