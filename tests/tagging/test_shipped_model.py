"""The model that comes with the package: whole, small enough, and able to tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioner_fast.errors import UsageError
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.installed import describe_models
from bioner_fast.resources import data_folder
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from tiny_corpora import write_task

GENERAL = data_folder() / "models" / "general"
TYPES = {"gene", "disease", "chemical", "species", "cell_line", "variant", "cell_type", "anatomy"}


def test_it_is_whole_and_says_what_it_is() -> None:
    bundle = load_bundle(GENERAL)
    assert set(bundle.types) == TYPES
    assert bundle.answers.overlaps == "best"
    assert bundle.answers.task == "general"
    assert set(bundle.calibration) == {"general", "cells", "anatomy"}
    assert {"inputs", "dropped", "command", "scores"} <= set(bundle.provenance)


def test_it_is_at_most_forty_megabytes_with_its_licence() -> None:
    files = {file.name: file.stat().st_size for file in GENERAL.iterdir()}
    assert sum(files.values()) <= 40_000_000
    assert {"LICENSE", "NOTICE"} <= set(files)


def test_it_finds_all_types() -> None:
    text = (
        "Mutation V600E of BRAF causes melanoma in mice and in HeLa cells. "
        "Vemurafenib was given to patients; hepatocytes of the liver were intact."
    )
    document = next(iter(Tagger.load(GENERAL, "cpu").tag([text])))
    found = {(e.text, e.type) for e in document.iter_entities()}
    assert {
        ("V600E", "variant"), ("BRAF", "gene"), ("melanoma", "disease"), ("mice", "species"),
        ("HeLa", "cell_line"), ("hepatocytes", "cell_type"), ("liver", "anatomy"),
    } <= found  # fmt: skip
    assert "chemical" in {kind for _, kind in found}
    assert {e.task for e in document.iter_entities()} == {"general"}
    assert all(0.0 <= (e.score or 0.0) <= 1.0 for e in document.iter_entities())


def test_the_encoder_is_small_tags_nothing_and_trains(tmp_path: Path) -> None:
    folder = data_folder() / "models" / "encoder"
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert sum(files.values()) <= 20_000_000
    assert {"LICENSE", "NOTICE"} <= set(files)
    facts = load_bundle(folder).provenance
    assert facts["kind"] == "encoder"
    assert not [path for path in facts["pretraining"]["texts"] if "/" in path]
    with pytest.raises(UsageError, match="it is an encoder without heads, which finds nothing; train from"):
        Tagger.load("encoder", "cpu")
    task = write_task(tmp_path / "Disease", "Disease")
    settings = {"arch": "idcnn", "init_from": "encoder", "epochs": 1, "threads": 1, "device": "cpu"}
    model = train(TrainConfig(tasks=(str(task),), out=str(tmp_path / "run"), **settings)).model
    assert len(load_bundle(model).vocabulary) == 50_000


def test_models_lists_both_with_scores_of_test() -> None:
    shown = {model.name: model.scores_shown() for model in describe_models()}
    assert shown["encoder"] == []
    assert [score for score in shown["general"] if score.startswith("BioRED 8")]
    assert not [score for score in shown["general"] if "devel" in score]
