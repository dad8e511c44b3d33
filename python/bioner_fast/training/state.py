"""The state of a run: everything that training changes, and that a checkpoint saves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioner_fast.models.base import Network
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.optimizer import Optimizer, linear_decay
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.data import Prepared
from bioner_fast.training.first_phase import seed_from
from bioner_fast.training.phases import Phase
from bioner_fast.training.position import Position
from bioner_fast.training.sampling import draw_slice


class TrainingState:
    """A network, its optimiser and average, the position in the run, and the best weights so far.

    Args:
        config: resolved.
        prepared: data and targets.
        phases: the course of the run.
        network: on its device, initialised; it is trained in place.

    Attributes:
        position: where the run is.
        random: the generator that plans epochs.
        optimizer, average: of the phase that the position is in.
        best: the weights that were selected, by name; empty before the first evaluation.
    """

    optimizer: Optimizer
    average: Average | None

    def __init__(
        self, config: TrainConfig, prepared: Prepared, phases: Sequence[Phase], network: Network
    ) -> None:
        self.config, self.prepared, self.phases, self.network = config, prepared, phases, network
        self.position = Position()
        self.random = np.random.default_rng(config.seed)
        self.best: dict[str, Tensor] = {}
        self._spare: dict[str, Tensor] = {}
        self.begin_phase()

    @property
    def phase(self) -> Phase:
        """The phase that the position is in."""
        return self.phases[self.position.phase]

    @property
    def finished(self) -> bool:
        """Whether all phases are done."""
        return self.position.phase == len(self.phases)

    @property
    def in_last_phase(self) -> bool:
        """Whether this phase is the one that is selected from."""
        return self.position.phase == len(self.phases) - 1

    def begin_phase(self) -> None:
        """Give the phase an optimiser and an average of its own, and its own random numbers."""
        self._learn_phase()
        if len(self.phases) > 1:
            seed_from(self.config, 1, self.position.phase)

    def _learn_phase(self) -> None:
        config, phase = self.config, self.phase
        assert config.optimizer is not None
        assert config.learning_rate is not None
        steps = phase.steps(config.percent_keep)
        self.optimizer = Optimizer(
            config.optimizer,
            self.network.learning(phase.heads),
            config.learning_rate,
            self.network.embedding.words if config.tune_vectors else None,
            config.learning_rate * config.vector_learning_rate,
            weight_decay=config.weight_decay,
            clip=config.clip or 0.0,
            schedule=linear_decay(steps, min(config.warmup, steps // 10))
            if config.schedule == "linear"
            else None,
        )
        self.average = Average(self.optimizer.parameters, config.average) if config.average else None

    def plan_epoch(self) -> object:
        """The plan of the epoch's batches: drawn now, or drawn again where a run goes on inside the epoch."""
        position, phase = self.position, self.phase
        n_first = phase.batches.text.bounds[1]
        if position.epoch_random:
            self.random.bit_generator.state = position.epoch_random
        else:
            position.batch, position.loss_sum = 0, 0.0
            if phase.sliced and (position.kept is None or phase.redraw):
                position.kept = draw_slice(n_first, self.config.percent_keep, self.random)
            position.epoch_random = dict(self.random.bit_generator.state)
        start, end = position.kept if phase.sliced and position.kept else (0, n_first)
        return phase.batches.plan(self.random, start, end, position.epoch)

    def averaged(self) -> AbstractContextManager[None]:
        """Within, the network holds the weights that are evaluated: their average, if there is one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def first_weights(self) -> dict[str, Tensor]:
        """What the first phase trains."""
        return self.network.learning(self.phases[0].heads)

    def trained(self) -> dict[str, Tensor]:
        """The network's state, without a word table that never changes."""
        state = self.network.state_dict()
        if not self.config.tune_vectors:
            del state[self.network.word_table_key]
        return {name: value.detach() for name, value in state.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the trained state: into memory that is there, since a large word table's pages cost more
        to get than to fill."""
        spare, self._spare = self._spare, {}
        return {
            name: spare[name].copy_(value) if name in spare else value.clone()
            for name, value in self.trained().items()
        }

    def keep(self, weights: dict[str, Tensor], *, best: bool) -> None:
        """Take a snapshot back: as the best weights, or as memory for the next one."""
        self.best, self._spare = (weights, self.best) if best else (self.best, weights)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of what a run cannot go on without: corpora, words of the table, vectors that stay."""
        words, table = self.prepared.vocabulary.words.packed(), self.network.embedding.words
        vectors = hashlib.sha256(words.buffer.tobytes() + words.offsets.tobytes())
        if not self.config.tune_vectors:
            rows = table[:: 1 + len(table) // 1000]  # a thousand of them tell one file from another
            vectors.update(rows.detach().cpu().numpy().tobytes())
        return {**self.prepared.digests, self.config.vectors or "vocabulary": vectors.hexdigest()}

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """The state as JSON-able facts and named groups of tensors."""
        position, device = self.position, self.network.embedding.words.device
        random = {"torch": torch.get_rng_state()}
        if device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(device)
        parts = {
            "network": self.trained(),
            "optimizer": self.optimizer.state(),
            "random": random,
            "average": {} if self.average is None else self.average.state(),
        }
        groups = {
            f"weights-{position.step}": {
                f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()
            }
        }
        if self.best:
            groups[f"best-{position.best_step}"] = self.best
        facts = {
            "step": position.step,
            "position": asdict(position),
            "random": self.random.bit_generator.state,
            "data": self.digests,
        }
        return facts, groups

    def restore(self, facts: Mapping[str, Any], groups: Mapping[str, dict[str, Tensor]]) -> None:
        """The inverse of :meth:`checkpoint`."""
        position = self.position = Position.from_json(facts["position"])
        self.random.bit_generator.state = facts["random"]
        tensors, device = groups[f"weights-{position.step}"], self.network.embedding.words.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.partition("/")[2]: value
                for name, value in tensors.items()
                if name.startswith(f"{prefix}/")
            }

        with torch.no_grad():
            self.network.load_state_dict(part("network"), strict=False)
            if not self.finished:
                self._learn_phase()
                self.optimizer.load_state(part("optimizer"))
                if self.average is not None:
                    self.average.load_state(part("average"))
        random = part("random")
        torch.set_rng_state(random["torch"])
        if device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], device)
        best = groups.get(f"best-{position.best_step}", {})
        self.best = {name: value.to(device) for name, value in best.items()}
