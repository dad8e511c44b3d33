"""Stopping and going on: a killed run ends bit for bit like one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.step import Step
from bioner_fast.training import loop
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from tiny_corpora import small, write_task, write_vectors

IDCNN: dict[str, Any] = {
    "arch": "idcnn", "decoder": "crf", "channels": 8, "char_filters": 4, "affix_dim": 2, "warmup": 9,
    "steps": None, "evaluate_every": None, "hidden": None,
}  # fmt: skip

# Fixed vectors: the step of a cnn is written out.
FIXED = {"vectors": "words.vec"}

# The settings that differ in what a state has to hold.
RUNS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "cnn": (("Disease",), {"batch_size": 8, "percent_keep": 0.6, **FIXED}),
    "tuned": (("Disease",), {"batch_size": 8, "percent_keep": 0.6}),
    "mlp": (("Disease",), {"arch": "mlp", "batch_size": 8}),
    "mlp-bfloat16": (
        ("Disease",),
        {"arch": "mlp", "batch_size": 8, "precision": "bfloat16", "average": 0.9, "schedule": "linear"},
    ),
    "adam-caps": (("Disease",), {"batch_size": 8, "caps": True, "batches": "sentences"}),
    "multi-output": (("Disease", "Chemical"), {"percent_keep": 0.5, "steps": 45, **FIXED}),
    "dependent": (
        ("pos", "Disease"),
        {"sharing": "dependent", "batch_size": 16, "percent_keep": 0.7, **FIXED},
    ),
    "idcnn": (("Disease", "pos"), {**IDCNN, "epochs": 4, "batch_size": 40, "percent_keep": 0.6}),
    "bfloat16": (("Disease",), {"batch_size": 8, "precision": "bfloat16", **FIXED}),
    "batch-mask": (("Disease", "Chemical"), {"steps": 45, "dropout": 0.5, "dropout_mask": "batch"}),
    "idcnn-bfloat16": (("Disease",), {**IDCNN, "epochs": 4, "batch_size": 16, "precision": "bfloat16"}),
    "idcnn-patience": (("Disease",), {**IDCNN, "epochs": 9, "batch_size": 16, "patience": 1}),
}


def config(folder: Path, name: str, out: str) -> TrainConfig:
    kinds, changes = RUNS[name]
    tasks = []
    for kind in kinds:
        task = folder / "corpora" / kind
        tasks.append(task if task.exists() else write_task(task, kind))
    if "vectors" in changes:
        changes = changes | {"vectors": write_vectors(folder / changes["vectors"])}
    return small(tuple(tasks), folder / out, **changes)


def outcome(folder: Path) -> dict[str, bytes]:
    """Everything a run leaves that does not say how long it took."""
    names = ["model/weights.safetensors", "model/embeddings.safetensors", "metrics.jsonl"]
    names += [f"predictions/{file.name}" for file in sorted((folder / "predictions").iterdir())]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("name", RUNS)
def test_stopped_anywhere_and_resumed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = config(tmp_path, name, "whole")
    train(whole)
    # Stop after several numbers of steps; every time state is saved at other places.
    original = Step.__call__
    for every, stops in (("7", (3, 24, 9, 8)), ("1", (17, 1, 1, 13))):
        parts = TrainConfig(**{**vars(config(tmp_path, name, f"parts{every}")), "checkpoint_every": every})
        resume = False
        for stop in (*stops, None):
            done = 0

            def step(self: Step, batch: Batch, stop: int | None = stop) -> torch.Tensor:
                nonlocal done
                done += 1
                if stop is not None and done > stop:
                    raise RuntimeError("power cut")
                return original(self, batch)

            monkeypatch.setattr(Step, "__call__", step)
            if stop is None:
                train(parts, resume=True)
            else:
                with pytest.raises(RuntimeError, match="power cut"):
                    train(parts, resume=resume)
            resume = True
        monkeypatch.setattr(Step, "__call__", original)
        assert outcome(Path(parts.out or "")) == outcome(Path(whole.out or ""))
        assert not (Path(parts.out or "") / "checkpoint").exists()


def command(run: TrainConfig, toml: Path, *more: str) -> list[str]:
    run.save(toml)
    return [sys.executable, "-m", "bioner_fast", "train", "--config", str(toml), *more]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.01)


def test_killed_process(tmp_path: Path) -> None:
    """SIGKILL, twice, then resumed in a third process."""
    changes = {"checkpoint_every": "5", "epochs": 30}
    whole = TrainConfig(**{**vars(config(tmp_path, "cnn", "whole")), **changes})
    killed = TrainConfig(**{**vars(config(tmp_path, "cnn", "killed")), **changes})
    train(whole)
    state = tmp_path / "killed" / "checkpoint" / "state.json"
    arguments = command(killed, tmp_path / "c.toml")
    for seconds in (0.3, 0.1):
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        wait_for(state, process)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        if not state.exists():
            pytest.skip("the run was over before it could be killed")
        arguments = [
            sys.executable,
            "-m",
            "bioner_fast",
            "train",
            "--resume",
            "--out",
            str(tmp_path / "killed"),
        ]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stderr
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="signals to a process are POSIX")
def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    endless = TrainConfig(
        **{**vars(config(tmp_path, "cnn", "run")), "checkpoint_every": "5", "epochs": 100_000}
    )
    process = subprocess.Popen(
        command(endless, tmp_path / "c.toml"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for(tmp_path / "run" / "checkpoint" / "state.json", process)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert printed == ""
    assert f"train --resume --out {tmp_path / 'run'}" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("name", ["cnn", "idcnn"])
def test_checkpoints_are_saved_however_short_the_epochs(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval counts on from one epoch to the next."""
    saved: list[int] = []
    original = loop.Trainer.save

    def save(self: loop.Trainer) -> None:
        saved.append(self.state.position.step)
        original(self)

    monkeypatch.setattr(loop.Trainer, "save", save)
    short = TrainConfig(**{**vars(config(tmp_path, name, "run")), "epochs": 8})
    train(short)
    saved.clear()
    first = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0]
    interval = json.loads(first)["step"] + 1  # longer than an epoch
    train(TrainConfig(**{**vars(short), "checkpoint_every": str(interval), "out": str(tmp_path / "again")}))
    assert saved[:2] == [interval, 2 * interval]


def test_killed_before_the_first_checkpoint(tmp_path: Path) -> None:
    whole, run = config(tmp_path, "cnn", "whole"), config(tmp_path, "cnn", "run")
    train(whole)
    (tmp_path / "run").mkdir()
    run.resolved().save(tmp_path / "run" / "config.toml")
    train(TrainConfig(out=str(tmp_path / "run")), resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    from bioner_fast.errors import BionerError
    from bioner_fast.training.checkpoint import CheckpointFolder

    folder = CheckpointFolder(tmp_path / "checkpoint")
    folder.save({"step": 3}, {"weights-3": {"a": torch.zeros(2)}})
    folder.save({"step": 5}, {"weights-5": {"a": torch.ones(2)}, "best-3": {"a": torch.zeros(2)}})
    facts, groups = folder.load()
    assert facts["step"] == 5
    assert groups["weights-5"]["a"].tolist() == [1.0, 1.0]
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "best-3.safetensors", "state.json", "weights-5.safetensors",
    ]  # fmt: skip
    (folder.path / "best-3.safetensors").write_bytes(b"x")
    with pytest.raises(BionerError, match="damaged"):
        folder.load()
    (folder.path / "best-3.safetensors").unlink()
    with pytest.raises(BionerError, match="missing"):
        folder.load()
