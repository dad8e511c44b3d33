"""The loop: phases of epochs of steps, an evaluation after each epoch, checkpoints in between."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Optimizer, linear_decay
from bioner_fast.models.learning.step import Step
from bioner_fast.models.registry import make_step
from bioner_fast.models.transitions import constraints, first_illegal
from bioner_fast.training import first_phase
from bioner_fast.training.checkpoint import CheckpointFolder
from bioner_fast.training.config import TrainConfig, parse_interval
from bioner_fast.training.data import Prepared
from bioner_fast.training.evaluation import Selector, score_devel
from bioner_fast.training.evaluator import Judge
from bioner_fast.training.metrics import MetricsFile
from bioner_fast.training.phases import Phase, plan_phases
from bioner_fast.training.progress import Progress
from bioner_fast.training.sampling import draw_slice
from bioner_fast.training.state import Position

# Steps between looks at the loss: reading it makes a device wait.
LOSS_EVERY = 50


# Called with the record of an evaluation, to which it may add facts, and with what is evaluated. Nothing that
# it adds is selected on.
Observer = Callable[[dict[str, Any], Network, Prepared, Sequence[TaskHead]], None]


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by the user after saving a checkpoint; the message says how to go on."""


class Trainer:
    """Trains a network in place.

    Args:
        config: resolved.
        prepared: data and targets.
        network: on its device, initialised.
        heads: of the network, with their decoders.
        checkpoints: where states are saved.
        metrics: takes a line per evaluation.
        processes: the processes that train it together.
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
        self.processes = processes or Processes()
        self.config, self.prepared, self.network, self.heads = config, prepared, network, heads
        self.checkpoints, self.metrics = checkpoints, metrics
        self.device = network.embedding.words.device
        self.phases = plan_phases(config, prepared, self.processes.size)
        self.selector = Selector(config, prepared.tasks)
        self.at = Position()
        self.random = np.random.default_rng(config.seed)
        self.best: dict[str, Tensor] = {}
        self.optimizer = self._optimizer()
        self.average = self._average()
        self.constraints = None
        self._step: Step | None = None
        if config.decoder == "crf":
            self._check_legal()
            self.constraints = [constraints(head.tagset, network.embedding.words) for head in heads]
        self.seconds = 0.0  # spent in steps by this process
        self.trained_tokens = 0  # by this process
        self._unit, self._interval = parse_interval(config.checkpoint_every)
        self._saved_at: tuple[float, int] | None = None  # when and at which step; counts across epochs
        self.observer: Observer | None = None
        beside = self.processes.alone and self.device.type == "cpu"
        self.judge: Judge[dict[str, Any]] = Judge(network, beside)
        self._judged: dict[str, Tensor] = {}
        self._spare: dict[str, Tensor] = {}  # memory of weights that were judged and are not the best
        self._digests: dict[str, str] = {}
        self.first_phase: Path | None = None  # where it is kept for other runs, see training.first_phase
        self.shared = False  # whether it was taken from there
        self._seed_phase()

    def run(self) -> None:
        """Train to the end; the network then holds the selected weights.

        Raises:
            TrainingInterrupted: the user stopped it; a checkpoint is saved.
            BionerError: the loss or a weight is not finite, or a word vector too large to be stored.
        """
        try:
            if (
                self.first_phase is not None
                and self.at.step == 0
                and (kept := first_phase.take(self.first_phase, self._first_weights(), self.random))
            ):
                self.at, self.shared = kept, True
                self._next_phase()
            total = sum(self._steps(phase) for phase in self.phases)
            with (
                Progress(total, self.at.step, shown=self.processes.first) as progress,
                stop_signals() as stop,
            ):
                self._run(progress, stop)
        finally:
            self.judge.close()
        self.network.load_state_dict(self.best, strict=False)

    def _run(self, progress: Progress, stop: threading.Event) -> None:
        """All phases, or the rest of them."""
        if (self.config.init_from or self.config.silver) and not self.at.history:
            # Weights that were trained already are a candidate as they are.
            self.at.epoch = -1
            self._evaluate(self.phases[0])
            self.at.epoch = 0
        while self.at.phase < len(self.phases):
            phase = self.phases[self.at.phase]
            while self.at.epoch < phase.epochs and not self._out_of_patience(progress):
                self._epoch(phase, progress, stop)
                self._settle(progress)
                self._evaluate(phase)
                self.at.epoch, self.at.batch, self.at.epoch_random = self.at.epoch + 1, 0, {}
            self._settle(progress)
            self.at.phase, self.at.epoch = self.at.phase + 1, 0
            if self.at.phase < len(self.phases):
                if self.first_phase is not None and self.processes.first and self.at.phase == 1:
                    first_phase.leave(self.first_phase, self._first_weights(), self.at, self.random)
                self._next_phase()
        self.save()

    def _next_phase(self) -> None:
        self.optimizer, self.average = self._optimizer(), self._average()
        self._seed_phase()

    def _seed_phase(self) -> None:
        if len(self.phases) > 1:
            first_phase.seed_from(self.config, 1, self.at.phase)

    def _first_weights(self) -> dict[str, Tensor]:
        """What the first phase trains."""
        return self.network.learning(self.phases[0].heads)

    def _epoch(self, phase: Phase, progress: Progress, stop: threading.Event) -> None:
        """Run an epoch, or the rest of it."""
        at = self.at
        batches = phase.batches
        n_first = batches.text.bounds[1]
        if at.epoch_random:  # resumed inside the epoch: draw the same plan again
            self.random.bit_generator.state = at.epoch_random
        else:
            at.batch, at.loss_sum = 0, 0.0
            if phase.sliced and (at.kept is None or phase.redraw):
                at.kept = draw_slice(n_first, self.config.percent_keep, self.random)
            at.epoch_random = dict(self.random.bit_generator.state)
        start, end = at.kept if phase.sliced and at.kept else (0, n_first)
        plan = batches.plan(self.random, start, end, at.epoch)
        label = self._label(phase, at.epoch + 1)
        self.network.train()
        step = self._step_of(phase)
        pending: list[Tensor] = []
        tokens = 0
        began = time.monotonic()
        self._saved_at = self._saved_at or (began, at.step)

        def look() -> None:
            """Read the losses that wait on the device."""
            nonlocal tokens
            if pending:
                loss = self._read_losses(pending)
                progress.update(label, len(pending), tokens, loss)
                pending.clear()
                self.processes.poll()
                self.trained_tokens, tokens = self.trained_tokens + tokens, 0

        for batch in batches.batches(plan, at.batch):  # type: ignore[arg-type]
            pending.append(step(batch))
            at.batch, at.step, at.tokens = at.batch + 1, at.step + 1, at.tokens + batch.size
            tokens += batch.size
            if len(pending) == LOSS_EVERY:
                look()
            if stop.is_set():
                self.processes.ask_to_stop()
            if self.processes.stopping:
                look()
                self.save()
                raise TrainingInterrupted(
                    f"interrupted at step {at.step}; a checkpoint is saved, go on with: "
                    f"bioner-fast train --resume --out {self.config.out}"
                )
            if self._checkpoint_due():
                look()
                self.save()
        look()
        self.seconds += time.monotonic() - began

    def _step_of(self, phase: Phase) -> Step:
        """The phase's, kept from epoch to epoch: it may hold a CUDA graph."""
        if self._step is None or self._step.optimizer is not self.optimizer:
            self._step = make_step(
                self.network, self.optimizer, self.average, self.constraints, self.processes,
                open_tags=[task.open for task in self.prepared.tasks],
                size=phase.step_size, graphs=self.config.cuda_graphs == "auto",
            )  # fmt: skip
        return self._step

    def _read_losses(self, pending: list[Tensor]) -> float:
        """Add losses to the epoch's sum, one by one: whenever read, the sum is the same. Their mean."""
        losses = torch.stack(pending).tolist()
        for loss in losses:
            self.at.loss_sum += loss
        mean: float = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise self._diverged(f"the loss is {mean} around step {self.at.step}")
        return mean

    def _diverged(self, how: str) -> BionerError:
        return BionerError(
            f"training diverged: {how}; try a smaller --learning-rate (it is {self.config.learning_rate:g})"
        )

    def _check_weights(self, phase: Phase) -> None:
        """A loss does not show all: it is of the weights before a step, and dead units hide theirs."""
        weights = dict(self.network.learning(phase.heads))
        if self.config.tune_vectors:
            weights[self.network.word_table_key] = self.network.embedding.words
        largest = torch.stack([torch.stack(torch.aminmax(w.detach())).abs().amax() for w in weights.values()])
        held = largest.clone()
        if self.config.tune_vectors and self.config.vector_precision == "float16":
            held[-1] = held[-1].to(torch.float16)
        for name, weight, fits in zip(weights, largest.tolist(), held.isfinite().tolist(), strict=True):
            if fits:
                continue
            how = f"{name} has a weight of {weight:g}"
            if not self.at.step:
                raise BionerError(f"--init-from {self.config.init_from}: {how}, which a model cannot hold")
            raise self._diverged(f"{how} after step {self.at.step}")

    def _evaluate(self, phase: Phase) -> None:
        """Begin an evaluation; :meth:`_settle` ends it."""
        at = self.at
        record: dict[str, Any] = {
            "step": at.step, "phase": at.phase + 1, "epoch": at.epoch + 1,
            "loss": at.loss_sum / max(at.batch, 1), "tokens": at.tokens,
        }  # fmt: skip

        def evaluate(network: Network) -> dict[str, Any]:
            heads = self.current_heads(network)
            record["devel"] = score_devel(network, self.prepared.tasks, heads, phase.heads)
            if self.observer is not None:
                self.observer(record, network, self.prepared, heads)
            return record

        with nullcontext() if self.average is None else self.average.in_place():
            self._check_weights(phase)
            self._judged = self._snapshot()
            self.judge.begin(self._judged, evaluate)

    def _settle(self, progress: Progress | None = None) -> None:
        """End the evaluation that was begun, if any, and take in its result."""
        if not self.judge.busy:
            return
        record, at = self.judge.end(), self.at
        last_phase = record["phase"] == len(self.phases)
        value = self.selector.value(record["devel"]) if last_phase else None
        if last_phase and (value is None or at.best_value is None or value > at.best_value):
            at.best_step, at.best_value, at.best_scores, at.waited = record["step"], value, record["devel"], 0
            self.best, self._spare = self._judged, self.best
        else:
            self._spare = self._judged
            at.waited += last_phase
        at.history.append(record)
        speed = self.trained_tokens / self.seconds if self.seconds else 0.0
        if self.processes.first:
            self.metrics.write(at.history)
        shown = ", ".join(f"{name} {_headline(facts)}" for name, facts in record["devel"].items())
        if progress is not None:
            label = self._label(self.phases[record["phase"] - 1], record["epoch"])
            progress.line(
                f"{label}: step {record['step']}, loss {record['loss']:.4f}, devel {shown or '-'}, "
                f"{speed:,.0f} tokens/s"
            )

    def _label(self, phase: Phase, epoch: int) -> str:
        names = f"{self.prepared.tasks[phase.heads[0]].name} " if len(self.phases) > 1 else ""
        return f"{names}epoch {epoch}/{phase.epochs}"

    def _steps(self, phase: Phase) -> int:
        kept = self.config.percent_keep if phase.sliced else 1.0
        return phase.batches.steps_of(phase.epochs, kept)

    def _optimizer(self) -> Optimizer:
        config, phase, network = self.config, self.phases[self.at.phase], self.network
        parameters = network.learning(phase.heads)
        assert config.optimizer is not None
        assert config.learning_rate is not None
        table = network.embedding.words if config.tune_vectors else None
        rate = config.learning_rate * config.vector_learning_rate
        steps, decays = self._steps(phase), config.schedule == "linear"
        return Optimizer(
            config.optimizer,
            parameters,
            config.learning_rate,
            table,
            rate,
            weight_decay=config.weight_decay,
            clip=config.clip or 0.0,
            schedule=linear_decay(steps, min(config.warmup, steps // 10)) if decays else None,
        )

    def _average(self) -> Average | None:
        decay = self.config.average
        return Average(self.optimizer.parameters, decay) if decay else None

    def _out_of_patience(self, progress: Progress) -> bool:
        """Whether the last phase has gone on for long enough without a better score."""
        patience = self.config.patience
        last = self.at.phase == len(self.phases) - 1
        if last and patience and self.at.waited + 1 >= patience:
            self._settle(progress)  # it decides
        return last and bool(self.selector.names) and bool(patience) and self.at.waited >= (patience or 0)

    def current_heads(self, network: Network | None = None) -> tuple[TaskHead, ...]:
        """The heads with the tables that the network (by default: the trained one) has learnt by now."""
        network = network or self.network
        return tuple(
            replace(head, tables=network.decoder_tables(index) or head.tables)
            for index, head in enumerate(self.heads)
        )

    def _check_legal(self) -> None:
        """A CRF cannot learn tags that its scheme forbids."""
        for task in self.prepared.tasks:
            tags = task.train.tags.cpu()
            if len(task.open):
                tags = torch.where(tags < len(task.tagset.names), tags, task.tagset.names.index("O"))
            sentence = first_illegal(tags, task.train.features.offsets.cpu(), task.tagset)
            if sentence is not None:
                raise BionerError(
                    f"task {task.name}: the tags of training sentence {sentence + 1} do not follow the "
                    f"{self.config.scheme} scheme, so a CRF cannot learn them; take --decoder viterbi"
                )

    def _trained_state(self) -> dict[str, Tensor]:
        """The network's state, without a word table that never changes."""
        state = self.network.state_dict()
        if not self.config.tune_vectors:
            del state[self.network.word_table_key]
        return {name: value.detach() for name, value in state.items()}

    def _snapshot(self) -> dict[str, Tensor]:
        """A copy of the trained state: into memory that is there, since a large word table's pages cost more
        to get than to fill."""
        spare, self._spare = self._spare, {}
        return {
            name: spare[name].copy_(value) if name in spare else value.clone()
            for name, value in self._trained_state().items()
        }

    def save(self) -> None:
        """Save a checkpoint: weights, optimiser, random states, position in the epoch."""
        self._settle()
        at = self.at
        self._saved_at = (time.monotonic(), at.step)
        if not self.processes.first:
            return
        random = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        average = {} if self.average is None else self.average.state()
        tensors = {
            f"weights-{at.step}": {
                **{f"network/{name}": value for name, value in self._trained_state().items()},
                **{f"optimizer/{name}": value for name, value in self.optimizer.state().items()},
                **{f"random/{name}": value for name, value in random.items()},
                **{f"average/{name}": value for name, value in average.items()},
            }
        }
        if self.best:
            tensors[f"best-{at.best_step}"] = self.best
        facts = {
            "step": at.step,
            "position": asdict(at),
            "random": self.random.bit_generator.state,
            "processes": self.processes.size,
            "data": self._data(),
        }
        self.checkpoints.save(facts, tensors)

    def _data(self) -> dict[str, str]:
        """Digests of what a run cannot go on without: corpora, the words of the table, vectors that stay."""
        if not self._digests:
            words, table = self.prepared.vocabulary.words.packed(), self.network.embedding.words
            vectors = hashlib.sha256(words.buffer.tobytes() + words.offsets.tobytes())
            if not self.config.tune_vectors:
                rows = table[:: 1 + len(table) // 1000]  # a thousand of them tell one file from another
                vectors.update(rows.detach().cpu().numpy().tobytes())
            name = self.config.vectors or "vocabulary"
            self._digests = {**self.prepared.digests, name: vectors.hexdigest()}
        return self._digests

    def _checkpoint_due(self) -> bool:
        assert self._saved_at is not None
        when, step = self._saved_at
        since = time.monotonic() - when if self._unit == "seconds" else self.at.step - step
        return since >= self._interval

    def load(self) -> None:
        """Go on from the checkpoint."""
        facts, groups = self.checkpoints.load()
        if (started := facts.get("processes", 1)) != self.processes.size:
            raise UsageError(
                f"--resume: the run was started with {started} processes, this is one of "
                f"{self.processes.size}; their number fixes its batches"
            )
        for name, digest in self._data().items():
            if facts.get("data", {}).get(name, digest) != digest:
                raise UsageError(
                    f"--resume: {name} is not what the run began with; put it back, or begin anew (--force)"
                )
        at = self.at = Position.from_json(facts["position"])
        self.random.bit_generator.state = facts["random"]
        tensors = groups[f"weights-{at.step}"]

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.partition("/")[2]: value for name, value in tensors.items() if name.startswith(prefix)
            }

        with torch.no_grad():
            self.network.load_state_dict(part("network/"), strict=False)
        if at.phase < len(self.phases):
            self.optimizer = self._optimizer()
            self.optimizer.load_state(part("optimizer/"))
            self.average = self._average()
            if self.average is not None:
                with torch.no_grad():
                    self.average.load_state(part("average/"))
        random = part("random/")
        torch.set_rng_state(random["torch"])
        if self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)
        best = groups.get(f"best-{at.best_step}", {})
        self.best = {name: value.to(self.device) for name, value in best.items()}
        if self.processes.first:
            self.metrics.write(at.history)


def _headline(facts: Mapping[str, Any]) -> str:
    return f"F1 {facts['f1']:.2f}" if "f1" in facts else f"accuracy {facts['accuracy']:.2f}"


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C (or SIGTERM) sets; a second Ctrl-C interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
