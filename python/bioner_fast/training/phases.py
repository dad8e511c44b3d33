"""The course of a run: phases, each with an optimiser of its own."""

from __future__ import annotations

from dataclasses import dataclass

from bioner_fast.training.config import TrainConfig
from bioner_fast.training.data import Prepared, training_text
from bioner_fast.training.sampling import Batches, SentenceBatches, SpanBatches, TokenBatches
from bioner_fast.training.sentences import MixedSentenceBatches


@dataclass(frozen=True)
class Phase:
    """One optimiser's life: which heads learn, from which batches, for how long."""

    heads: tuple[int, ...]
    batches: Batches | MixedSentenceBatches
    epochs: int
    sliced: bool  # whether --percent-keep applies
    redraw: bool  # whether its slice is drawn anew every epoch

    @property
    def step_size(self) -> int | None:
        """Tokens of a batch, short ones at an end apart; None where batches differ in size."""
        fixed = isinstance(self.batches, TokenBatches | SpanBatches)
        return self.batches.batch_size if fixed else None

    def steps(self, percent_keep: float) -> int:
        """Its steps in all."""
        return self.batches.steps_of(self.epochs, percent_keep if self.sliced else 1.0)


def plan_phases(config: TrainConfig, prepared: Prepared, processes: int = 1) -> list[Phase]:
    """The published course of training for each kind of sharing; what learns from whole sentences
    has one phase of them.

    Each of several processes takes its share of batches that are so many times larger.
    """
    tasks = prepared.tasks
    assert config.batch_size is not None
    batch_size = config.batch_size * processes
    if config.architecture.sentences:
        assert config.epochs is not None
        heads = tuple(range(len(tasks)))
        sentences = MixedSentenceBatches(training_text(tasks, heads), batch_size)
        return [Phase(heads, sentences, config.epochs, True, False)]
    if config.sharing == "multi-output":
        assert config.steps is not None
        assert config.evaluate_every is not None
        heads = tuple(range(len(tasks)))
        spans = SpanBatches(training_text(tasks, heads), batch_size, config.steps, config.evaluate_every)
        return [Phase(heads, spans, spans.epochs, True, False)]
    assert config.epochs is not None
    kind = SentenceBatches if config.batches == "sentences" else TokenBatches

    def phase(head: int, redraw: bool) -> Phase:
        batches = kind(training_text(tasks, (head,)), batch_size)
        return Phase((head,), batches, config.epochs or 1, head == 0, redraw)

    if config.sharing == "dependent":
        return [phase(0, True), phase(1, True)]
    return [phase(0, False)]
