"""Scores on devel, and what is selected by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bioner_fast.data.scoring import score
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead
from bioner_fast.models.decoders import decode
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.data import PreparedTask

Scores = dict[str, dict[str, Any]]


def summary(facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a run reports of a score: ``Score.to_json()`` of entities, or of part-of-speech tags, cut down.

    Entities: precision, recall, f1 and accuracy. Part of speech: accuracy and, per tag, the rest.
    """
    if kind == "pos":
        return {"accuracy": facts["accuracy"], "tags": facts["types"]}
    overall = facts["overall"]
    return {name: overall[name] for name in ("precision", "recall", "f1")} | {"accuracy": facts["accuracy"]}


def score_devel(
    network: Network, tasks: Sequence[PreparedTask], heads: Sequence[TaskHead], wanted: Sequence[int]
) -> Scores:
    """Scores on the devel splits of some heads, by task name; tasks without devel are left out.

    Matrix products have the precision of training, so with bfloat16 the scores may differ in the last digits
    from those of the saved bundle.
    """
    scores: Scores = {}
    for index in wanted:
        task, head = tasks[index], heads[index]
        if task.devel is None:
            continue
        features = task.devel.features
        with network.judged():
            log_probabilities = network.log_probabilities(features, [task.name])[task.name]
        tags = decode(log_probabilities, features.offsets, head.decoder, head.tagset, head.tables)
        corpus = task.devel.corpus
        result = score(
            corpus,
            tags.to("cpu", torch.int32).numpy(),
            head.tagset.names,
            corpus.sentence_offsets,
            scheme="token" if task.kind == "pos" else "conlleval",
        )
        scores[task.name] = summary(result.to_json(), task.kind)
    return scores


class Selector:
    """Which step to keep: the highest mean devel F1 of the entity tasks (dependent: of the second task).

    Where only part-of-speech tasks have devel data their accuracy counts. Where none has, the last step is
    kept.

    Attributes:
        rule: a sentence that says what is selected on.
    """

    def __init__(self, config: TrainConfig, tasks: Sequence[PreparedTask]) -> None:
        judged = list(tasks[1:] if config.sharing == "dependent" else tasks)
        kinds = {task.kind for task in judged}
        ranked = [task for task in judged if task.kind == "ner"] if "ner" in kinds else judged
        with_devel = [task for task in ranked if task.devel is not None]
        self.names = tuple(task.name for task in with_devel) if config.selection == "devel" else ()
        self.measure = "f1" if "ner" in kinds else "accuracy"
        without = [task.name for task in ranked if task.devel is None]
        if self.names:
            what = "F1" if self.measure == "f1" else "accuracy"
            self.rule = f"selected on devel {what} of {', '.join(self.names)}"
            if without:
                self.rule += f" ({', '.join(without)}: no devel split)"
        elif config.selection == "devel":
            self.rule = f"{', '.join(without)}: no devel split, so the last step is kept"
        else:
            self.rule = "the last step is kept"

    def value(self, scores: Scores) -> float | None:
        """The number to compare; None where the last step is kept."""
        if not self.names:
            return None
        return sum(float(scores[name][self.measure]) for name in self.names) / len(self.names)
