"""``train`` without ``--arch`` takes the recommended network; the published ones stay what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bioner_fast.training.train as module
from bioner_fast.cli.main import run
from bioner_fast.errors import BionerError
from bioner_fast.training.config import TrainConfig


@pytest.mark.parametrize(
    ("arguments", "toml", "expected"),
    [
        ([], None, ("idcnn", "bfloat16")),
        (["--precision", "float32"], None, ("idcnn", "float32")),
        (["--arch", "cnn"], None, ("cnn", "float32")),
        (["--arch", "mlp"], None, ("mlp", "float32")),
        (["--arch", "idcnn"], None, ("idcnn", "float32")),
        ([], "epochs = 3\n", ("idcnn", "bfloat16")),
        ([], 'arch = "cnn"\n', ("cnn", "float32")),
        (["--arch", "mlp"], "epochs = 3\n", ("mlp", "float32")),
    ],
)
def test_architecture(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    toml: str | None,
    expected: tuple[str, str],
) -> None:
    seen: list[TrainConfig] = []

    def train(config: TrainConfig, **_: Any) -> None:
        seen.append(config)
        raise BionerError("stopped")

    monkeypatch.setattr(module, "train", train)
    if toml is not None:
        (tmp_path / "c.toml").write_text(toml)
        arguments = [*arguments, "--config", str(tmp_path / "c.toml")]
    assert run(["train", "--tasks", "sample-disease", *arguments]) == 1
    (config,) = seen
    assert (config.arch, config.precision) == expected


def test_recommended_is_the_recipe(repository: Path) -> None:
    from bioner_fast.cli.train import RECOMMENDED

    given = {"tasks": ("sample-disease",), "vectors": "v.bin"}
    recipe = TrainConfig.load(repository / "recipes" / "general.toml", given).resolved()
    assert (
        recipe.init_from == "encoder"
    )  # where nobody names vectors or a recipe, training starts from nothing
    assert TrainConfig(**(RECOMMENDED | given)).resolved() == replace(recipe, init_from=None)
