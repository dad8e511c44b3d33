"""Where a run is, and what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """The part of a run's state that is not tensors."""

    phase: int = 0
    epoch: int = 0  # within the phase
    batch: int = 0  # within the epoch
    step: int = 0  # of the whole run
    best_step: int = 0
    best_value: float | None = None
    best_scores: dict[str, Any] = field(default_factory=dict)
    kept: tuple[int, int] | None = None  # the slice of the first task
    # The generator's state when the epoch was planned.
    epoch_random: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    loss_sum: float = 0.0  # over the steps of the epoch
    waited: int = 0  # evaluations since the best

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Position:
        """The inverse of ``dataclasses.asdict``, after JSON."""
        position = cls(**facts)
        position.kept = None if position.kept is None else (position.kept[0], position.kept[1])
        return position

    def next_batch(self, tokens: int) -> None:
        """A step of so many tokens is done."""
        self.batch, self.step, self.tokens = self.batch + 1, self.step + 1, self.tokens + tokens

    def next_epoch(self) -> None:
        """An epoch is done."""
        self.epoch, self.batch, self.epoch_random = self.epoch + 1, 0, {}

    def next_phase(self) -> None:
        """A phase is done."""
        self.phase, self.epoch = self.phase + 1, 0
