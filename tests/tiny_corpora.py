"""Tiny corpora on disk, and settings that train on them in a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bioner_fast.training.config import TrainConfig

WORDS = {
    "Disease": ["gout", "asthma", "measles", "ataxia"],
    "Chemical": ["zinc", "aspirin", "heroin", "lithium"],
}
OTHERS = ["the", "of", "patients", "with", "had", "severe", "in", "dose", "a", "."]


def write_task(
    folder: Path, kind: str, *, splits: tuple[str, ...] = ("train", "devel", "test"), sentences: int = 40
) -> Path:
    """A task of one entity type (or, for ``pos``, of part-of-speech tags), learnable from its words."""
    folder.mkdir(parents=True)
    for number, split in enumerate(splits):
        rng = np.random.default_rng([number, sum(map(ord, kind))])
        lines = []
        for _ in range(sentences):
            for _ in range(int(rng.integers(3, 9))):
                if kind == "pos":
                    word = str(rng.choice(OTHERS))
                    lines.append(
                        f"{word}\t{'IN' if word in ('of', 'in', 'with') else 'B' if word == 'a' else 'NN'}"
                    )
                elif rng.random() < 0.3:
                    first, second = rng.choice(WORDS[kind], 2)
                    lines += [f"{first}\tB-{kind}", f"{second}\tI-{kind}"][: int(rng.integers(1, 3))]
                else:
                    lines.append(f"{rng.choice(OTHERS)}\tO")
            lines.append("")
        (folder / f"{split}.tsv").write_text("\n".join(lines))
    return folder


def write_vectors(path: Path) -> str:
    """A file of vectors of the corpora's words: a cnn keeps these as they are."""
    if not path.exists():
        words = [*WORDS["Disease"], *WORDS["Chemical"], *OTHERS]
        table = np.random.default_rng(0).normal(size=(len(words), 10))
        lines = [
            f"{word} " + " ".join(f"{x:.4f}" for x in row) for word, row in zip(words, table, strict=True)
        ]
        path.write_text("\n".join([f"{len(words)} 10", *lines]) + "\n")
    return str(path)


def small(tasks: tuple[Path | str, ...], out: Path, **changes: Any) -> TrainConfig:
    """Settings of a small network."""
    values: dict[str, Any] = {
        "tasks": tuple(map(str, tasks)), "out": str(out), "filters": 6, "hidden": (16,), "vector_dim": 10,
        "learning_rate": 0.01, "dropout": 0.2, "batch_size": 32, "threads": 1, "device": "cpu",
        "decoder": "viterbi", "pos": tuple(str(task) for task in tasks if str(task).endswith("pos")),
    }  # fmt: skip
    if len(tasks) == 1 or changes.get("sharing") == "dependent":
        values["epochs"] = 3
    else:
        values |= {"steps": 40, "evaluate_every": 20}
    if changes.get("arch") == "mlp":
        values |= {"learning_rate": 1.0}
        del values["filters"]
    return TrainConfig(**(values | changes))
