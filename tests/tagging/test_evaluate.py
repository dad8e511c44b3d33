"""Scoring a bundle: the figures are those of the written predictions and of tagging the same file."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import read_predictions
from bioner_fast.data.scoring import score
from bioner_fast.data.tasks import load_task
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.formats.registry import read_documents
from bioner_fast.tagging.evaluate import score_bundle
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model", decoders={"cells": "argmax"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    tags = {
        "medical": ["O", "B-Gene", "I-Gene", "B-Disease"],
        "other": ["O", "B-Cell"],
        "pos": ["NN", "IN", "DT"],
    }
    for name, names in tags.items():
        (folder / name).mkdir()
        for split in ("train", "test"):
            sentences = [
                "\n".join(f"{rng.choice(WORDS)}\t{rng.choice(names)}" for _ in range(9)) for _ in range(60)
            ]
            (folder / name / f"{split}.tsv").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(("task", "head"), [("medical", None), ("other", "cells"), ("pos", None)])
def test_the_score_is_that_of_the_predictions(
    model: Path, data: Path, tmp_path: Path, task: str, head: str | None
) -> None:
    outcome = score_bundle(model, task, "test", data_dir=data, head=head)
    assert outcome.score.scheme == ("token" if task == "pos" else "conlleval")
    assert 0 < outcome.score.overall.tp < outcome.score.n_tokens
    outcome.write(tmp_path / "out.tsv")
    gold, predicted, names = read_predictions(tmp_path / "out.tsv")
    assert score(gold, predicted, names, scheme=outcome.score.scheme) == outcome.score
    # Nothing but the tag scheme differs from the file that was scored.
    source = load_task(task, data).test
    assert source is not None
    assert gold.tokens == source.tokens
    assert gold.sentence_offsets.tolist() == source.sentence_offsets.tolist()


def test_the_bundle_that_scores_is_the_one_that_tags(model: Path, data: Path) -> None:
    outcome = score_bundle(model, "medical", "test", data_dir=data)
    found = 0
    for document in Tagger.load(model).tag(read_documents(data / "medical" / "test.tsv")):
        found += sum(entity.task == "medical" for entity in document.iter_entities())
    assert found == outcome.score.overall.tp + outcome.score.overall.fp


def test_a_loaded_tagger_and_a_loaded_task_serve_too(model: Path, data: Path) -> None:
    expected = score_bundle(model, data / "medical", "train").score
    assert score_bundle(Tagger.load(model), load_task("medical", data), "train").score == expected
    assert score_bundle(model, "medical", "train", data_dir=data, scheme="strict").score.scheme == "strict"


def test_what_cannot_be_scored(model: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="task medical has no devel split"):
        score_bundle(model, "medical", "devel", data_dir=data)
    with pytest.raises(UsageError, match="split must be one of"):
        score_bundle(model, "medical", "dev", data_dir=data)
    with pytest.raises(UsageError, match="choose one of medical, cells"):
        score_bundle(model, "other", "test", data_dir=data)
    with pytest.raises(UsageError, match="has no task 'nothing'"):
        score_bundle(model, "other", "test", data_dir=data, head="nothing")
    with pytest.raises(UsageError, match="tagged with parts of speech, but task cells finds entities"):
        score_bundle(model, "pos", "test", data_dir=data, head="cells")
    with pytest.raises(UsageError, match="tagged with entities, but task pos finds parts of speech"):
        score_bundle(model, "medical", "test", data_dir=data, head="pos")
    with pytest.raises(UsageError, match="scheme must be one of"):
        score_bundle(model, "medical", "test", data_dir=data, scheme="lenient")
    with pytest.raises(BionerError, match="nowhere"):
        score_bundle(model, "nowhere", "test", data_dir=data)


def test_the_command(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.tsv"
    arguments = ["evaluate", "--model", str(model), "--task", "medical", "--data", str(data), "--json"]
    assert run([*arguments, "--output", str(target)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == score_bundle(model, "medical", "test", data_dir=data).score.to_json()
    assert run(["evaluate", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    assert run([*arguments, "--output", str(target)]) == 1
    assert "--force" in capsys.readouterr().err
    assert run([*arguments, "--output", str(target), "--force"]) == 0
