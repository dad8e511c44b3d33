"""How long runs will take: from runs that are done, or from a short training of the same kind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bioner_fast.experiments.plan import Run
from bioner_fast.experiments.programme import Programme
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train

# Tokens of a calibration: a few seconds of training.
_TOKENS = 20_000


def kind_of(run: Run) -> tuple[str, str]:
    """Runs of one kind train at about the same speed."""
    return run.model, run.sharing


def measured(results: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Tokens per second by kind, evaluations and start included, of runs that were not resumed."""
    tokens: dict[tuple[str, str], float] = {}
    seconds: dict[tuple[str, str], float] = {}
    for result in results:
        if not result.get("resumed") and result.get("seconds"):
            kind = kind_of(result["run"])
            tokens[kind] = tokens.get(kind, 0.0) + result["train_tokens"]
            seconds[kind] = seconds.get(kind, 0.0) + result["seconds"]
    return {kind: count / seconds[kind] for kind, count in tokens.items()}


def calibrate(programme: Programme, run: Run) -> float:
    """Tokens per second of a short training with a run's settings on this machine, evaluations aside."""
    values = {**programme.config(run), "test": False, "selection": "last"}
    size = programme.corpora[run.tasks[0]].train_tokens
    config = TrainConfig(**values).resolved()
    if config.steps is not None:
        steps = max(1, _TOKENS // (config.batch_size or 1))
        values |= {"steps": steps, "evaluate_every": steps}
    else:
        # Of several tasks only the first can be cut: alone it trains at about the speed of all.
        values |= {"tasks": values["tasks"][:1], "sharing": "single"}
        values |= {"epochs": 1, "patience": None, "percent_keep": min(1.0, max(_TOKENS / size, 0.01))}
    with tempfile.TemporaryDirectory() as folder:
        return train(TrainConfig(**values, out=str(Path(folder) / "run"))).train_tokens_per_second


def estimate(
    programme: Programme, runs: Mapping[str, Run], speeds: dict[tuple[str, str], float]
) -> dict[str, float]:
    """Seconds of every run; ``speeds`` of kinds that are not in it are measured and added."""
    seconds = {}
    tokens = programme.planned_tokens(runs)
    for name, run in runs.items():
        kind = kind_of(run)
        if kind not in speeds:
            speeds[kind] = calibrate(programme, run)
        seconds[name] = tokens[name] / speeds[kind]
    return seconds
