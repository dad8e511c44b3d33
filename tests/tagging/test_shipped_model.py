"""The model that comes with the package: whole, small enough, and able to tag."""

from __future__ import annotations

from bioner_fast.models.bundle import load_bundle
from bioner_fast.resources import data_folder
from bioner_fast.tagging.tagger import Tagger

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
