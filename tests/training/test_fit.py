"""``--fit train+devel``: devel says how long, then it trains, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.bundle import load_bundle
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.stopping import TrainingInterrupted
from bioner_fast.training.train import train
from tiny_corpora import small, write_task, write_vectors


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    task = write_task(tmp_path / "Disease", "Disease")
    vectors = write_vectors(tmp_path / "vectors.txt")
    return small((task,), tmp_path / "run", arch="cnn", vectors=vectors, epochs=3, fit="train+devel")


def test_both_train_for_the_epochs_that_devel_chose(config: TrainConfig) -> None:
    out = Path(config.out or "")
    result = train(config)
    chosen = json.loads((out / "selection" / "result.json").read_text())
    records = [json.loads(line) for line in (out / "selection" / "metrics.jsonl").read_text().splitlines()]
    epochs = next(r["epoch"] for r in records if r["step"] == chosen["selected_step"])
    assert len((out / "metrics.jsonl").read_text().splitlines()) == epochs
    assert f"train and devel for {epochs} epochs" in result.selection
    # Twice the tokens an epoch, devel is no longer judged on, and test is not read for the choice.
    assert result.train_tokens / epochs > 1.8 * chosen["train_tokens"] / len(records)
    assert set(result.tasks["Disease"]) == {"test"}
    assert set(chosen["tasks"]["Disease"]) == {"devel"}
    bundle = load_bundle(result.model)
    assert set(bundle.provenance["corpora"]) == {"Disease/train", "Disease/devel", "Disease/test"}
    assert bundle.provenance["selection"] == result.selection
    judged = load_bundle(out / "selection" / "model").inference
    assert bundle.inference is not None
    assert judged is not None
    assert bundle.inference.allowed == judged.allowed
    assert set(bundle.inference.ranges) == set(judged.ranges)


def test_stopped_and_resumed_it_gives_the_same_bits(config: TrainConfig, tmp_path: Path) -> None:
    whole = train(replace(config, out=str(tmp_path / "whole")))

    def stop(*_: object) -> None:
        raise TrainingInterrupted

    with pytest.raises(TrainingInterrupted):
        train(config, observer=stop)
    result = train(config, resume=True)
    for name in ("weights.safetensors", "embeddings.safetensors"):
        assert (result.model / name).read_bytes() == (whole.model / name).read_bytes()


def test_what_does_not_go_with_it(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fit train\\+devel: it does not go with --percent-keep"):
        replace(config, percent_keep=0.5)
    with pytest.raises(UsageError, match="--selection last"):
        replace(config, selection="last")
    bare = write_task(tmp_path / "Bare", "Disease", splits=("train",))
    with pytest.raises(BionerError, match="task Bare has no devel split"):
        train(replace(config, tasks=(str(bare),), out=str(tmp_path / "bare")))
