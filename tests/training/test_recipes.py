"""Recipes load, and say what they claim to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.experiments.plan import JOINT, RECIPE, TUNING
from bioner_fast.training.config import TrainConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_resolves(recipe: Path) -> None:
    config = TrainConfig.load(recipe, {"tasks": ("A", "B"), "vectors": "v.bin"}).resolved()
    assert config.tasks == ("A", "B")


GIVEN: dict[str, Any] = {"tasks": ("A",), "vectors": "v.bin"}


def resolved(repository: Path, name: str) -> TrainConfig:
    return TrainConfig.load(repository / "recipes" / f"{name}.toml", GIVEN).resolved()


def test_the_general_recipe_is_what_idcnn_does_by_default(repository: Path) -> None:
    """But for the encoder that it starts from, which can be left out."""
    plain = TrainConfig(arch="idcnn", precision="bfloat16", **GIVEN).resolved()
    assert resolved(repository, "general") == replace(plain, init_from="encoder")
    recipe = repository / "recipes" / "general.toml"
    assert TrainConfig.load(recipe, {**GIVEN, "init_from": "none"}).resolved() == plain


@pytest.mark.parametrize(("name", "course"), [("accurate", JOINT), ("tune", TUNING)])
def test_the_accurate_recipes_are_those_of_experiments(
    repository: Path, name: str, course: dict[str, Any]
) -> None:
    assert resolved(repository, name) == TrainConfig(**RECIPE, **course, **GIVEN).resolved()
