"""What a column of tags is read as is the same in convert, evaluate, data check and train."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bioner_fast.cli.main import run

BARE = "We\tO\nreport\tO\nbreast\tB\ncancer\tI\n.\tO\n\nNo\tO\nmeningioma\tB\n.\tO\n"
STRAY = "TP53\tB-Gene\nprotein\tI-Gene\nbinds\tO\nMDM2\tB-Gene\n.\to\n"


def entities(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[tuple[str, str]]:
    assert run(["convert", *map(str, arguments), "-", "--from", "conll", "--to", "jsonl"]) == 0
    records = map(json.loads, capsys.readouterr().out.splitlines())
    return [(entity["type"], entity["text"]) for record in records for entity in record["entities"]]


def test_convert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f.tsv"
    path.write_text(BARE)
    assert entities(capsys, path) == [("_", "breast cancer"), ("_", "meningioma")]
    assert run(["convert", str(path), "-", "--to", "iobes"]) == 0
    tags = [line.split("\t")[1] for line in capsys.readouterr().out.splitlines() if line]
    assert tags == ["O", "O", "B", "E", "O", "O", "S", "O"]
    for head in ("", "token\ttag\n"):
        path.write_text(head + STRAY)
        caplog.clear()
        assert entities(capsys, path) == [("Gene", "TP53 protein"), ("Gene", "MDM2")]
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        strays = ("tag (1 token), " if head else "") + "o (1 token)"
        assert told == [f"{path}: document f: tags of no scheme are read as O: {strays}"]
        assert run(["convert", str(path), "-", "--to", "iobes"]) == 0
        assert capsys.readouterr().out.endswith("binds\tO\nMDM2\tS-Gene\n.\tO\n")
    path.write_text("TP53\tB-Gene\tNN\nbinds\tO\tVB\n")
    assert entities(capsys, path, "--tag-column", 2) == [("Gene", "TP53")]
    assert entities(capsys, path) == []
    assert "its tags (NN, VB) are none of chunks: no entities are read" in caplog.text
    assert run(["convert", str(path), "-", "--to", "iobes", "--tag-column", "2"]) == 0
    assert capsys.readouterr().out == "TP53\tS-Gene\tNN\nbinds\tO\tVB\n"
    assert run(["convert", str(path), "-", "--to", "iobes"]) == 1
    assert "(NN, VB) are not of an IOB scheme" in capsys.readouterr().err
    assert run(["convert", str(path), "-", "--from", "conll", "--to", "jsonl", "--tag-column", "9"]) == 1
    assert "expected tags in column 9, found 3 columns" in capsys.readouterr().err


def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("breast\tB\tB\ncancer\tI\tI\nis\tO\tB\n.\tO\tO\n")
    assert run(["evaluate", str(path), "--json"]) == 0
    overall = json.loads(capsys.readouterr().out)["overall"]
    assert {key: overall[key] for key in ("tp", "fp", "fn")} == {"tp": 1, "fp": 1, "fn": 0}
    path.write_text("a\tB-GGP\tB-gene\nb\tO\tB-gene\n")
    for options, found in ([], 0), (["--normal-types"], 1):
        assert run(["evaluate", str(path), "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["overall"]["tp"] == found
    path.write_text("a\tB-X\tO\tB-X\n")
    assert run(["evaluate", str(path), "--json", "--gold-column", "2", "--predicted-column", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["overall"]["tp"] == 1


def test_data_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("bio", BARE), ("genes", STRAY), ("words", "a\tNN\nb\tVB\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.tsv").write_text(text)
    assert run(["data", "check", str(tmp_path), "--json"]) == 0
    tasks = {task["name"]: task for task in json.loads(capsys.readouterr().out)["tasks"]}
    assert tasks["bio"]["splits"]["train"]["types"] == {"bio": 2}
    assert tasks["genes"]["splits"]["train"]["strays"] == ["o"]
    assert tasks["words"]["kind"] == "pos"
    assert run(["data", "check", str(tmp_path)]) == 0
    assert "with --pos words" in capsys.readouterr().out
    (tmp_path / "words" / "train.tsv").write_text("a\tB-X\tNN\nb\tO\tVB\n")
    assert run(["data", "check", str(tmp_path / "words"), "--json", "--tag-column", "2"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    assert task["splits"]["train"]["types"] == {"X": 1}


def test_parts_of_speech_are_not_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words").mkdir()
    for split in ("train", "devel", "test"):
        (tmp_path / "words" / f"{split}.tsv").write_text("a\tNN\nb\tVB\n" * 2)
    train = ["train", "--arch", "cnn", "--data", str(tmp_path), "--tasks", "words", "--out"]
    quick = ["--epochs", "1", "--threads", "1", "--json"]
    assert run([*train, str(tmp_path / "no"), *quick]) == 1
    assert "say so with --pos words" in capsys.readouterr().err
    assert not (tmp_path / "no" / "model").exists()
    assert run([*train, str(tmp_path / "no"), *quick, "--pos", "other"]) == 2
    assert "--pos: other is none of the tasks (words)" in capsys.readouterr().err
    assert run([*train, str(tmp_path / "run"), *quick, "--pos", "words"]) == 0
    assert set(json.loads(capsys.readouterr().out)["tasks"]["words"]["test"]) >= {"accuracy"}
    (tmp_path / "words" / "train.tsv").write_text("a\tB\tNN\nb\tO\tVB\n" * 2)
    for split in ("devel", "test"):
        (tmp_path / "words" / f"{split}.tsv").write_text("a\tB\tNN\nb\tO\tVB\n")
    assert run([*train, str(tmp_path / "bare"), *quick, "--tag-column", "2"]) == 0
    assert "f1" in json.loads(capsys.readouterr().out)["tasks"]["words"]["test"]
    assert "S-words" in (tmp_path / "bare" / "predictions" / "words.test.tsv").read_text()
