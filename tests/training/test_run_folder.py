"""The folder of a run: one training at a time, damage is a sentence, leftovers go."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from bioner_fast.errors import BionerError
from bioner_fast.models.learning.step import Step
from bioner_fast.temporary import hold
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from tiny_corpora import small, write_task


def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A run that was stopped after a checkpoint."""
    config = small((write_task(tmp_path / "Disease", "Disease"),), tmp_path / "run", checkpoint_every="5")
    original, done = Step.__call__, 0

    def step(self: Step, batch: object) -> object:
        nonlocal done
        done += 1
        if done > 12:
            raise RuntimeError("power cut")
        return original(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Step, "__call__", step)
    with pytest.raises(RuntimeError, match="power cut"):
        train(config)
    monkeypatch.setattr(Step, "__call__", original)
    return config


def test_one_training_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = begun(tmp_path, monkeypatch)
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    with hold(tmp_path / "run"):
        for options in ({"resume": True}, {"force": True}, {}):
            with pytest.raises(BionerError, match="run is being written by another training"):
                train(config, **options)
    assert before == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    (tmp_path / "run" / ".model.abcdefgh.tmp").mkdir()
    train(config, resume=True)
    assert not list((tmp_path / "run").glob(".*"))
    train(config, resume=True)  # complete: nothing to do


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    config = small((tmp_path / "absent",), tmp_path / "run")
    with pytest.raises(BionerError):
        train(config)
    assert not (tmp_path / "run").exists()


VALUES = [
    "null",
    "1e400",
    "-1",
    '"x"',
    "[]",
    "{}",
    "true",
    "1" + "0" * 5000,
    "[" * 50_000,
    "123456789012345678901",
]


def test_a_damaged_state_is_a_sentence_or_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = begun(tmp_path, monkeypatch)
    state = tmp_path / "run" / "checkpoint" / "state.json"
    original = state.read_text(encoding="utf-8")
    monkeypatch.setattr("bioner_fast.training.loop.Trainer.run", lambda self: 1 / 0)
    rng = random.Random(0)
    refused: list[str] = []
    for _ in range(int(os.environ.get("BIONER_FUZZ_SEEDS", "2")) * 20):
        content = json.loads(original)
        key = rng.choice(sorted(content))
        inner = rng.choice(sorted(content[key])) if isinstance(content[key], dict) and content[key] else None
        if inner is None or rng.random() < 0.3:
            content[key] = "@@"
        else:
            content[key][inner] = "@@"
        state.write_text(json.dumps(content).replace('"@@"', rng.choice(VALUES)), encoding="utf-8")
        try:
            train(config, resume=True)
        except BionerError as error:
            refused.append(str(error))
        except ZeroDivisionError:
            pass
    assert len(refused) > 10
    assert not any("\n" in sentence for sentence in refused)
