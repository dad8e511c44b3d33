"""The first phase of dependent training, taken from another run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioner_fast.files import sha256
from bioner_fast.training.loop import Trainer
from bioner_fast.training.progress import Progress
from bioner_fast.training.train import train
from tiny_corpora import small, write_task


@pytest.fixture
def disease(tmp_path: Path) -> Path:
    return write_task(tmp_path / "corpora" / "dis", "Disease")


@pytest.fixture
def pos(tmp_path: Path) -> Path:
    return write_task(tmp_path / "corpora" / "words-pos", "pos")


def vectors_of(folder: Path) -> str:
    """Vectors of some words of the tiny corpora."""
    rng = np.random.default_rng(3)
    words = ["the", "of", "patients", "with", "gout", "measles", "zinc", "aspirin"]
    lines = [f"{word} {' '.join(f'{value:.3f}' for value in rng.normal(size=6))}" for word in words]
    path = folder / "words.vec"
    path.write_text(f"{len(words)} 6\n" + "\n".join(lines) + "\n")
    return str(path)


def test_a_first_phase_of_another_run_gives_the_same_bits(
    tmp_path: Path, pos: Path, disease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run's second task has other tags, and another number of them."""
    both = write_task(tmp_path / "both", "Chemical")
    for split in ("train", "devel", "test"):
        text = (both / f"{split}.tsv").read_text()
        (both / f"{split}.tsv").write_text(text.replace("zinc\tB-Chemical", "zinc\tB-Metal"))
    settings = {"sharing": "dependent", "epochs": 4, "vectors": vectors_of(tmp_path)}
    alone = train(small((pos, disease), tmp_path / "alone", **settings))
    shelf = tmp_path / "phases" / "pos"
    train(small((pos, both), tmp_path / "other", **settings), first_phase=shelf)
    assert shelf.is_dir()
    steps = 0
    original = Trainer._epoch

    def epoch(self: Trainer, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        original(self, *arguments)

    began = []

    class Watched(Progress):
        def __init__(self, total: int, done: int = 0, *, shown: bool = True) -> None:
            began.append(done)
            super().__init__(total, done, shown=shown)

    monkeypatch.setattr(Trainer, "_epoch", epoch)
    monkeypatch.setattr("bioner_fast.training.loop.Progress", Watched)
    shared = train(small((pos, disease), tmp_path / "shared", **settings), first_phase=shelf)
    assert steps == 4  # of the second phase
    history = [json.loads(line) for line in (tmp_path / "alone/metrics.jsonl").read_text().splitlines()]
    assert began == [max(record["step"] for record in history if record["phase"] == 1)]  # for the time left
    for name in ("weights", "embeddings"):
        assert sha256(shared.model / f"{name}.safetensors") == sha256(alone.model / f"{name}.safetensors")
    assert (tmp_path / "shared/metrics.jsonl").read_text() == (tmp_path / "alone/metrics.jsonl").read_text()
    assert shared.tasks == alone.tasks


def test_a_first_phase_that_does_not_fit_is_trained(tmp_path: Path, pos: Path, disease: Path) -> None:
    settings = {"sharing": "dependent", "epochs": 2, "vectors": vectors_of(tmp_path)}
    shelf = tmp_path / "phases" / "pos"
    train(small((pos, disease), tmp_path / "wide", **settings, filters=9), first_phase=shelf)
    alone = train(small((pos, disease), tmp_path / "alone", **settings))
    for number in range(2):
        again = train(small((pos, disease), tmp_path / f"again{number}", **settings), first_phase=shelf)
        assert again.tasks == alone.tasks
        (shelf / "state.json").write_text("{")  # damaged
    # Random vectors are drawn for the words of both corpora: nothing to share.
    train(small((pos, disease), tmp_path / "random", sharing="dependent"), first_phase=tmp_path / "none")
    assert not (tmp_path / "none").exists()
