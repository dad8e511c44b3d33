"""Recipes load, and say what they claim to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioner_fast.training.config import TrainConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_resolves(recipe: Path) -> None:
    config = TrainConfig.load(recipe, {"tasks": ("A", "B"), "vectors": "v.bin"}).resolved()
    assert config.tasks == ("A", "B")


def test_the_accurate_recipe_is_what_idcnn_does_by_default(repository: Path) -> None:
    given = {"tasks": ("A",), "vectors": "v.bin"}
    recipe = TrainConfig.load(repository / "recipes" / "accurate.toml", given)
    assert recipe.resolved() == TrainConfig(arch="idcnn", **given).resolved()  # type: ignore[arg-type]
