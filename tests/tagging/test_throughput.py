"""``benchmark tag``: it tags what it says, and its stages are all of the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.cli.main import run
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.tagging.throughput import STAGES
from tiny_bundle import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model")


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = run(["benchmark", "tag", *map(str, arguments)])
    out, error = capsys.readouterr()
    return status, out, error


def test_counts_and_stages(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["breast cancer α", "the BRCA1 gene of a tumor cell"] * 20
    (tmp_path / "in.lines").write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    common = ("-m", model, tmp_path / "in.lines", "--threads", 2, "--repeat", 1)
    status, out, _ = _run(capsys, *common, "--json")
    assert status == 0
    figures: dict[str, Any] = json.loads(out)
    documents = Tagger.load(model).tag(texts)
    assert figures["documents"] == 40
    assert figures["tokens"] == 20 * (3 + 7)
    assert figures["entities"] == sum(len(document.entities) for document in documents) > 0
    assert figures["text_bytes"] == sum(len(text.encode()) for text in texts)
    assert tuple(figures["stages"]) == STAGES
    assert all(stage["seconds"] > 0 for stage in figures["stages"].values())
    assert sum(stage["share"] for stage in figures["stages"].values()) == pytest.approx(1)
    assert figures["tokens_per_second"] == pytest.approx(figures["tokens"] / figures["seconds"])
    status, out, _ = _run(capsys, *common, "--documents", 5, "--output-format", "conll")
    assert status == 0
    assert "5 documents" in out
    assert all(stage in out for stage in STAGES)


def test_without_files_the_bundled_sample_is_tagged(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = _run(capsys, "-m", model, "--documents", 30, "--repeat", 1, "--json")
    assert status == 0
    assert json.loads(out)["documents"] == 30


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("nowhere.txt",), 1, "nowhere.txt: no such file"),
        (("--output-format", "pubmed-xml"), 2, "is read but not written"),
        (("--device", "tpu"), 2, "auto, cpu or cuda"),
        (("--threads", "5000"), 2, "1 to 1024"),
    ],
)
def test_wrong_usage(
    model: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, message: str
) -> None:
    got, out, error = _run(capsys, "-m", model, *arguments)
    assert got == status
    assert message in error
    assert out == ""


def test_nothing_to_measure(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.lines").write_text("\n\n", encoding="utf-8")
    assert _run(capsys, "-m", model, tmp_path / "in.lines")[0] == 1
