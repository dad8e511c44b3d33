"""The loop: phases of epochs of steps, an evaluation after each epoch, checkpoints in between."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioner_fast.errors import UsageError
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.step import Step
from bioner_fast.models.registry import make_step
from bioner_fast.models.transitions import constraints
from bioner_fast.training import first_phase
from bioner_fast.training.checkpoint import CheckpointFolder, CheckpointTimer
from bioner_fast.training.checks import check_tags, diverged
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.data import Prepared
from bioner_fast.training.meters import LossMeter, Speed
from bioner_fast.training.metrics import MetricsFile
from bioner_fast.training.phases import Phase, plan_phases
from bioner_fast.training.progress import Progress
from bioner_fast.training.selection import Selection
from bioner_fast.training.state import TrainingState
from bioner_fast.training.stopping import TrainingInterrupted, stop_signals


class Trainer:
    """Trains a network in place.

    Args:
        config: resolved.
        prepared: data and targets.
        network: on its device, initialised.
        heads: of the network, with their decoders.
        checkpoints: where states are saved.
        metrics: takes a line per evaluation.
        processes: that train it together.

    Attributes:
        state: what is trained, and where the run is.
        selection: its evaluations, and the weights that are kept.
        speed: of this process.
        first_phase: where the first phase is kept for other runs, see training.first_phase.
    """

    def __init__(
        self,
        config: TrainConfig,
        prepared: Prepared,
        network: Network,
        heads: Sequence[TaskHead],
        checkpoints: CheckpointFolder,
        metrics: MetricsFile,
        processes: Processes | None = None,
    ) -> None:
        self.config, self.prepared, self.checkpoints = config, prepared, checkpoints
        self.processes = processes or Processes()
        self.phases = plan_phases(config, prepared, self.processes.size)
        self.state = TrainingState(config, prepared, self.phases, network)
        words = network.embedding.words
        self.selection = Selection(
            self.state,
            heads,
            metrics if self.processes.first else None,
            beside=self.processes.alone and not words.is_cuda,
        )
        self.constraints = None
        if config.decoder == "crf":
            check_tags(config, prepared)
            self.constraints = [constraints(head.tagset, words) for head in heads]
        self.timer = CheckpointTimer(config.checkpoint_every)
        self.speed = Speed()
        self.first_phase: Path | None = None
        self._step: Step | None = None

    def run(self) -> None:
        """Train to the end; the network then holds the selected weights.

        Raises:
            TrainingInterrupted: the user stopped it; a checkpoint is saved.
            BionerError: the loss or a weight is not finite, or a word vector too large to be stored.
        """
        state = self.state
        try:
            self._take_first_phase()
            total = sum(phase.steps(self.config.percent_keep) for phase in self.phases)
            shown = self.processes.first
            with Progress(total, state.position.step, shown=shown) as progress, stop_signals() as stop:
                self._run(progress, stop)
        finally:
            self.selection.close()
        state.network.load_state_dict(state.best, strict=False)

    def _run(self, progress: Progress, stop: threading.Event) -> None:
        """All phases, or the rest of them."""
        state = self.state
        if (self.config.init_from or self.config.silver) and not state.position.history:
            # Weights that were trained already are a candidate as they are.
            state.position.epoch = -1
            self.selection.begin()
            state.position.epoch = 0
        while not state.finished:
            while state.position.epoch < state.phase.epochs and not self._enough(progress):
                self._epoch(state.phase, progress, stop)
                self._settle(progress)
                self.selection.begin()
                state.position.next_epoch()
            self._settle(progress)
            self._end_phase()
        self.save()

    def _epoch(self, phase: Phase, progress: Progress, stop: threading.Event) -> None:
        """Run an epoch, or the rest of it."""
        position, meter = self.state.position, LossMeter()
        plan = self.state.plan_epoch()
        self.state.network.train()
        step = self._step_of(phase)
        began = time.monotonic()
        self.timer.start(position.step)
        for batch in phase.batches.batches(plan, position.batch):  # type: ignore[arg-type]
            meter.add(step(batch), batch.size)
            position.next_batch(batch.size)
            if meter.full:
                self._read(meter, progress)
            if stop.is_set():
                self.processes.ask_to_stop()
            if self.processes.stopping:
                self._read(meter, progress)
                self._stop()
            if self.timer.due(position.step):
                self._read(meter, progress)
                self.save()
        self._read(meter, progress)
        self.speed.seconds += time.monotonic() - began

    def _step_of(self, phase: Phase) -> Step:
        """The phase's, kept from epoch to epoch: it may hold a CUDA graph."""
        state = self.state
        if self._step is None or self._step.optimizer is not state.optimizer:
            self._step = make_step(
                state.network, state.optimizer, state.average, self.constraints, self.processes,
                open_tags=[task.open for task in self.prepared.tasks],
                size=phase.step_size, graphs=self.config.cuda_graphs == "auto",
            )  # fmt: skip
        return self._step

    def _read(self, meter: LossMeter, progress: Progress) -> None:
        """Read the losses that wait on the device, and whether another process was asked to stop."""
        if not meter.pending:
            return
        position = self.state.position
        losses, tokens = meter.read()
        for loss in losses:  # one by one: whenever they are read, the sum is the same
            position.loss_sum += loss
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise diverged(self.config, f"the loss is {mean} around step {position.step}")
        progress.update(self._label(position.phase + 1, position.epoch + 1), len(losses), tokens, mean)
        self.processes.poll()
        self.speed.tokens += tokens

    def _stop(self) -> None:
        self.save()
        raise TrainingInterrupted(
            f"interrupted at step {self.state.position.step}; a checkpoint is saved, go on with: "
            f"bioner-fast train --resume --out {self.config.out}"
        )

    def _enough(self, progress: Progress) -> bool:
        if self.selection.may_be_enough:
            self._settle(progress)
        return self.selection.enough

    def _settle(self, progress: Progress) -> None:
        """Take in the evaluation that was begun, if any, and tell of it."""
        record = self.selection.settle()
        if record is not None:
            shown = ", ".join(f"{name} {_headline(facts)}" for name, facts in record["devel"].items())
            progress.line(
                f"{self._label(record['phase'], record['epoch'])}: step {record['step']}, "
                f"loss {record['loss']:.4f}, devel {shown or '-'}, {self.speed.per_second:,.0f} tokens/s"
            )

    def _label(self, number: int, epoch: int) -> str:
        phase = self.phases[number - 1]
        names = f"{self.prepared.tasks[phase.heads[0]].name} " if len(self.phases) > 1 else ""
        return f"{names}epoch {epoch}/{phase.epochs}"

    def _end_phase(self) -> None:
        """Go on to the next phase, if there is one."""
        state = self.state
        state.position.next_phase()
        if state.finished:
            return
        if self.first_phase is not None and self.processes.first and state.position.phase == 1:
            first_phase.leave(self.first_phase, state.first_weights(), state.position, state.random)
        state.begin_phase()

    def _take_first_phase(self) -> None:
        """Begin with the second phase, where another run has left the first one."""
        state = self.state
        if self.first_phase is None or state.position.step:
            return
        kept = first_phase.take(self.first_phase, state.first_weights(), state.random)
        if kept is not None:
            state.position = kept
            state.begin_phase()

    def save(self) -> None:
        """Save a checkpoint: weights, optimiser, random states, position in the epoch."""
        self.selection.settle()
        self.timer.restart(self.state.position.step)
        if self.processes.first:
            facts, groups = self.state.checkpoint()
            self.checkpoints.save({**facts, "processes": self.processes.size}, groups)

    def load(self) -> None:
        """Go on from the checkpoint.

        Raises:
            UsageError: it is of other data, or of another number of processes.
        """
        facts, groups = self.checkpoints.load()
        if (started := facts.get("processes", 1)) != self.processes.size:
            raise UsageError(
                f"--resume: the run was started with {started} processes, this is one of "
                f"{self.processes.size}; their number fixes its batches"
            )
        for name, digest in self.state.digests.items():
            if facts.get("data", {}).get(name, digest) != digest:
                raise UsageError(
                    f"--resume: {name} is not what the run began with; put it back, or begin anew (--force)"
                )
        self.state.restore(facts, groups)
        self.selection.write()


def _headline(facts: Mapping[str, Any]) -> str:
    return f"F1 {facts['f1']:.2f}" if "f1" in facts else f"accuracy {facts['accuracy']:.2f}"
