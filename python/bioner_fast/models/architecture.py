"""What an architecture offers to training, to bundles and to tagging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bioner_fast.models.base import Network
from bioner_fast.models.engine import Engine, Ranges
from bioner_fast.models.learning.step import Step

# Settings of training that an architecture has unless it says otherwise: those of whole sentences.
COURSE: Mapping[str, Any] = {
    "decoder": "viterbi", "dropout": 0.5, "caps": False, "tune_vectors": False, "epochs": 15,
    "optimizer": "adamw", "learning_rate": 1e-3, "batch_size": 800, "batches": "sentences",
    "schedule": "linear", "clip": 5.0, "average": 0.998, "patience": 5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the data says of a network.

    Attributes:
        tasks: name and number of tags of each task, in order.
        rows: rows of the word table.
        word_dim: its width.
    """

    tasks: tuple[tuple[str, int], ...]
    rows: int
    word_dim: int


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An architecture, as it is registered (see ``docs/extending.md``).

    Attributes:
        name: what ``--arch`` and ``arch`` in a bundle call it.
        network: the class of its networks.
        build: a network for settings (a resolved ``TrainConfig``) and sizes; its weights need not be set.
        defaults: settings that differ from ``COURSE``.
        sentences: whether it learns from batches of whole sentences, for so many epochs; otherwise from
            tokens, as the published networks do.
        crf: whether its networks have transition scores of their own (``--decoder crf``).
        noun: with its article, for messages.
        kind: of its networks, for messages; its name by default.
        named: whether its bundles say ``arch``; those of the first networks do not.
        check: raises UsageError where settings do not go together.
        engine: prepares a network for inference on a CPU, from its precision, the ranges of its layers'
            values (for int8) and the threads; None where torch runs it.
        runs: whether the engine takes a network.
        step: makes what takes steps of training, where the architecture has its own; arguments are those of
            :func:`bioner_fast.models.registry.make_step`. None where gradients are left to autograd.

    Example:
        >>> Architecture(name="mine", network=Mine, build=build).settings["epochs"]  # doctest: +SKIP
        15
    """

    name: str
    network: type[Network]
    build: Callable[[Any, Sizes], Network]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    sentences: bool = True
    crf: bool = False
    noun: str = ""
    kind: str = ""
    named: bool = True
    check: Callable[[Any], None] = lambda settings: None
    engine: Callable[[Any, str, Ranges, int], Engine] | None = None
    runs: Callable[[Any], bool] = lambda network: True
    step: Callable[..., Step] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Training settings where none are given."""
        return {**(COURSE if self.sentences else {}), **self.defaults}
