"""The commands ``evaluate`` and ``data`` through the entry point: output, exit status, one line on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bioner_fast.cli.main import run


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.tsv"
    path.write_text("p53\tB-Gene\tB-Gene\nbinds\tO\tI-Gene\nMdm2\tB-Gene\tB-Gene\n")
    return path


def fails(capsys: pytest.CaptureFixture[str], status: int, *arguments: object) -> str:
    assert run([str(argument) for argument in arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_evaluate_prints_a_table(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(predictions)]) == 0
    out = capsys.readouterr().out
    assert "Gene" in out
    assert "conlleval: 3 tokens, accuracy 66.67 %" in out


@pytest.mark.parametrize(("rule", "f1"), [("conlleval", 50.0), ("strict", 50.0), ("token", 80.0)])
def test_evaluate_json(predictions: Path, capsys: pytest.CaptureFixture[str], rule: str, f1: float) -> None:
    assert run(["evaluate", "--json", "--scheme", rule, str(predictions)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["scheme", "accuracy", "overall", "types"]
    assert (result["scheme"], result["overall"]["f1"]) == (rule, f1)


def test_evaluate_refuses(predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "evaluate needs a FILE of predictions, or --task" in fails(capsys, 2, "evaluate")
    assert "expected conlleval, strict, token" in fails(capsys, 2, "evaluate", "--scheme", "muc", predictions)
    assert "either a FILE" in fails(capsys, 2, "evaluate", predictions, "--task", "x")
    assert "there is no such file" in fails(capsys, 1, "evaluate", tmp_path / "absent.tsv")
    two = tmp_path / "two.tsv"
    two.write_text("a\tO\tO\nb\tO\n")
    assert "two.tsv:2: expected 3 columns as in the lines before, found 2" in fails(
        capsys, 1, "evaluate", two
    )
    two.write_text("a\tO\n")
    assert "token, gold tag and predicted tag" in fails(capsys, 1, "evaluate", two)
    two.write_text("\n")
    assert "holds no tokens" in fails(capsys, 1, "evaluate", two)
    two.write_text("a\tNN\tNN\n")
    assert "use --scheme token" in fails(capsys, 2, "evaluate", two)


def test_data_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert "NCBI-disease-IOB" in [corpus["name"] for corpus in listed["corpora"]]
    assert run(["data", "list"]) == 0
    assert "NCBI-disease-IOB" in capsys.readouterr().out


def test_data_fetch_and_check(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = (shared / "corpora").as_uri()
    for present in (False, True):
        assert run(["data", "fetch", "NCBI-disease", "--to", str(tmp_path), "--base", base, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["present" if present else "fetched"] == ["NCBI-disease-IOB"]
    assert run(["data", "check", str(tmp_path), "--json"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    assert (task["name"], task["published"]) == ("NCBI-disease-IOB", True)


def test_data_check_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", "sample-disease"]) == 0
    out = capsys.readouterr().out
    assert "sample-disease (IOB2)" in out
    assert "0 sentences of test are in train too" in out


def test_data_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "or --all" in fails(capsys, 2, "data", "fetch")
    assert "no corpus absent in the manifest" in fails(capsys, 2, "data", "fetch", "absent")
    assert "has no train.tsv, devel.tsv or test.tsv" in fails(capsys, 1, "data", "check", tmp_path)
    assert "there is no task and no folder" in fails(capsys, 1, "data", "check", tmp_path / "absent")


def test_evaluate_and_data_do_not_import_torch(predictions: Path) -> None:
    code = (
        "import sys; from bioner_fast.cli.main import run; status = run(sys.argv[1:]);"
        "assert 'torch' not in sys.modules, 'torch'; sys.exit(status)"
    )
    for arguments in (["evaluate", str(predictions)], ["data", "check", "sample-disease"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
