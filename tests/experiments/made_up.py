"""Corpora and results made up for tests of the experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bioner_fast.experiments.counts import pack
from bioner_fast.experiments.plan import Run
from bioner_fast.files import write_json
from tiny_corpora import write_task

# Settings that train a network in a blink; every kind of run takes those that belong to it.
QUICK = [
    "epochs=2", "steps=12", "evaluate_every=6", "vector_dim=8", "filters=4", "hidden=8", "channels=16",
    "char_filters=4", "affix_dim=4", "cnn.learning_rate=0.01", "mlp.learning_rate=1.0", "min_count=1",
]  # fmt: skip


@dataclass(frozen=True)
class Known:
    """A corpus as studies know it."""

    name: str
    kind: str = "ner"
    train_tokens: int = 1000


def write_corpora(folder: Path, *, pos: bool = True, sentences: int = 30) -> Path:
    """Two corpora of entities, and one of parts of speech."""
    write_task(folder / "Aa-IOB", "Disease", sentences=sentences)
    write_task(folder / "Bb-IOB", "Chemical", sentences=sentences)
    if pos:
        write_task(folder / "GENIA-pos", "pos", sentences=sentences)
    return folder


def quick_options(data: Path, out: Path, *more: str) -> list[str]:
    """Command-line options for runs on tiny corpora, one seed and one process."""
    train = [part for pair in QUICK for part in ("--train", pair)]
    return [
        "--data", str(data), "--out", str(out), "--seeds", "1", "--jobs", "1", "--device", "cpu", *train,
        *more,
    ]  # fmt: skip


def made_up_result(run: Run, f1: Mapping[str, float], *, sentences: int = 60, **more: Any) -> dict[str, Any]:
    """A result whose counts have about these test F1s (percent), the same for the same run."""
    scores, counts = {}, {}
    for task in run.tasks:
        if task not in f1:
            scores[task] = {split: {"accuracy": 97.0, "tags": {}} for split in ("devel", "test")}
            continue
        rng = np.random.default_rng([run.seed, len(run.tasks), *map(ord, task)])
        right = rng.binomial(2, f1[task] / 100, sentences)
        table = np.stack([right, rng.binomial(1, 0.2, sentences), 2 - right], axis=1)
        scores[task] = {
            split: {"precision": f1[task], "recall": f1[task], "f1": f1[task], "accuracy": 95.0}
            for split in ("devel", "test")
        }
        counts[task] = pack(table.astype(np.int64))
    return {
        "format": 1, "run": asdict(run), "scores": scores, "counts_per_sentence": {"test": counts},
        "corpora": {task: {"test": f"digest of {task}"} for task in run.tasks}, "history": [],
        "train_tokens": 5000, "train_tokens_per_second": 1000.0, "seconds": 6.0, "resumed": False,
        "config": {"threads": 1}, "software": {"version": "0", "torch": "2"}, "finished": "2026-01-01",
        **more,
    }  # fmt: skip


def write_results(folder: Path, results: list[dict[str, Any]]) -> None:
    """A results folder with nothing but the results."""
    for number, result in enumerate(results):
        write_json(folder / "runs" / f"run-{number}" / "result.json", result)


def with_seeds(run: Run, f1: Mapping[str, float], seeds: int = 3, **more: Any) -> list[dict[str, Any]]:
    """Results of seeds 1 to ``seeds``, each a little better than the one before."""
    return [
        made_up_result(replace(run, seed=seed), {t: v + 0.5 * seed for t, v in f1.items()}, **more)
        for seed in range(1, seeds + 1)
    ]
