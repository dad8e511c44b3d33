"""Evaluation beside training changes nothing but the time it takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from bioner_fast.models.base import Network
from bioner_fast.training import selection
from bioner_fast.training.evaluation import score_devel
from bioner_fast.training.evaluator import Evaluator
from bioner_fast.training.train import train
from tiny_corpora import small, write_task, write_vectors

IDCNN: dict[str, Any] = {
    "arch": "idcnn", "decoder": "crf", "channels": 8, "char_filters": 4, "affix_dim": 2, "warmup": 9,
    "steps": None, "evaluate_every": None, "hidden": None, "average": 0.9, "batch_size": 40,
}  # fmt: skip
MLP: dict[str, Any] = {
    "arch": "mlp", "batch_size": 8, "learning_rate": 0.1, "vector_learning_rate": 3.0, "hidden": (30,),
}  # fmt: skip
RUNS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "cnn": (("Disease",), {"batch_size": 8, "dropout": 0.5}),
    "mlp": (("Disease",), MLP),
    "mlp-bfloat16": (("Disease",), {**MLP, "precision": "bfloat16"}),
    "dependent": (("pos", "Disease"), {"sharing": "dependent", "batch_size": 16}),
    "idcnn": (("Disease", "pos"), {**IDCNN, "epochs": 12, "patience": 2, "learning_rate": 0.02}),
}


@pytest.mark.parametrize("name", RUNS)
def test_beside_or_in_between_is_the_same(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, changes = RUNS[name]
    tasks = tuple(write_task(tmp_path / "corpora" / kind, kind) for kind in kinds)
    vectors = write_vectors(tmp_path / "words.vec")
    modes: list[bool] = []

    class Told(Evaluator[dict[str, Any]]):
        """Evaluates as the test says, and not before training went on."""

        def __init__(self, network: Network, beside: bool) -> None:
            assert beside
            super().__init__(network, modes[-1])

    def slow(*arguments: Any) -> Any:
        if modes[-1]:
            time.sleep(0.1)
        return score_devel(*arguments)

    monkeypatch.setattr(selection, "Evaluator", Told)
    monkeypatch.setattr(selection, "score_devel", slow)
    results = []
    for beside in (False, True):
        modes.append(beside)
        results.append(train(small(tasks, tmp_path / f"run{beside}", vectors=vectors, **changes)))
    assert results[0].selected_step == results[1].selected_step
    assert results[0].train_tokens == results[1].train_tokens
    assert results[0].tasks == results[1].tasks
    for file in ("metrics.jsonl", "model/embeddings.safetensors"):
        assert (tmp_path / "runFalse" / file).read_bytes() == (tmp_path / "runTrue" / file).read_bytes()
    weights = [
        load_file(tmp_path / f"run{beside}" / "model" / "weights.safetensors") for beside in (False, True)
    ]
    assert set(weights[0]) == set(weights[1])
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])


def test_what_an_evaluation_raises_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no score")

    monkeypatch.setattr(selection, "score_devel", broken)
    task = write_task(tmp_path / "Disease", "Disease")
    with pytest.raises(RuntimeError, match="no score"):
        train(small((task,), tmp_path / "run", vectors=write_vectors(tmp_path / "words.vec")))
