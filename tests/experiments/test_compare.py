"""Two runs compared, and the learning curves of one: through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bioner_fast.cli.main import run
from bioner_fast.experiments.compare import compare_runs
from bioner_fast.experiments.report.pictures import available

KINDS = ("A", "B")


def write_run(folder: Path, right: dict[str, float], scheme: str = "S", words: str = "w") -> Path:
    """A run that finds a share of each type; every sentence has one entity of each."""
    rng = np.random.default_rng(3)
    lines = []
    for _ in range(200):
        for kind in KINDS:
            found = rng.random() < right[kind]
            lines.append(f"{words}\t{scheme}-{kind}\t{f'{scheme}-{kind}' if found else 'O'}")
        lines += [f"{words}\tO\tO", ""]
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "t.test.tsv").write_text("\n".join(lines))
    (folder / "predictions" / "pos.test.tsv").write_text("w\tNN\tNN\n")
    return folder


def test_what_differs_is_told_from_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one", {"A": 0.9, "B": 0.8})
    two = write_run(tmp_path / "two", {"A": 0.5, "B": 0.79}, scheme="B")
    assert run(["compare", str(one), str(two), "--json", "--shuffles", "500"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["split"], list(result["tasks"])) == ("test", ["t"])
    task = result["tasks"]["t"]
    assert list(task["types"]) == ["A", "B"]
    assert task["types"]["A"]["p"] < 0.01 < 0.2 < task["types"]["B"]["p"]
    assert task["overall"]["difference"] == pytest.approx(
        task["overall"]["first"] - task["overall"]["second"]
    )
    assert run(["compare", str(one), str(two), "--shuffles", "50"]) == 0
    assert "approximate randomisation over sentences, 50 shuffles" in capsys.readouterr().out
    same = compare_runs(one, one, shuffles=50)["t"].overall
    assert (same.difference, same.p, same.sentences) == (0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("second", "arguments", "status", "message"),
    [
        ("empty", [], 1, "expected the folder of a run"),
        ("other", [], 1, "have other sentences"),
        ("gold", [], 1, "have other gold tags"),
        ("one", ["--split", "devel"], 2, "no entity task in common"),
        ("one", ["--split", "train"], 2, "expected test or devel"),
    ],
)
def test_runs_that_cannot_be_compared(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    second: str,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    one = write_run(tmp_path / "one", {"A": 1, "B": 1})
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "other", {"A": 1, "B": 1}, words="v")
    gold = write_run(tmp_path / "gold", {"A": 1, "B": 1}) / "predictions" / "t.test.tsv"
    gold.write_text(gold.read_text().replace("S-A\t", "S-C\t", 1))
    assert run(["compare", str(one), str(tmp_path / second), *arguments]) == status
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not available(), reason="matplotlib is not installed")
def test_learning_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"step": 10 * i, "loss": 1 / i, "devel": {"t": {"f1": 50.0 + i}, "pos": {"accuracy": 90.0 + i}}}
        for i in (1, 2, 3)
    ]
    assert run(["plot", str(tmp_path)]) == 1
    assert "with metrics.jsonl" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(["plot", str(tmp_path)]) == 0
    assert (tmp_path / "learning.svg").read_text().lstrip().startswith("<?xml")
    assert run(["plot", str(tmp_path)]) == 1
    assert run(["plot", str(tmp_path), "--force", "-o", str(tmp_path / "l.png")]) == 0
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    assert run(["plot", str(tmp_path), "-o", "x.pdf"]) == 2
    (tmp_path / "metrics.jsonl").write_text("[1]\n")
    assert run(["plot", str(tmp_path), "--force"]) == 1
    assert "metrics.jsonl:1: expected an evaluation" in capsys.readouterr().err
