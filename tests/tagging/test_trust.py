"""What goes wrong outside of us ends in one sentence, with nothing half-written and nothing lost."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bioner_fast.cli.main import run
from bioner_fast.files import verify_directory
from tiny_bundle import save_tiny

TEXT = "the BRCA1 protein of a breast cancer cell , TNF - alpha and Crohn disease in patients . "
BOMB = (
    '<!DOCTYPE PubmedArticleSet [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>&b;</ArticleTitle>"
    "</Article></MedlineCitation></PubmedArticle></PubmedArticleSet>"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root on Linux")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _tag(*arguments: object) -> int:
    return run(["tag", *map(str, arguments)])


def _lines(path: Path, number: int) -> Path:
    path.write_text("".join(f"{i} {TEXT}\n" for i in range(number)), encoding="utf-8")
    return path


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("name", ["out.jsonl", "out.bioc.xml", "out.jsonl.gz"])
def test_a_full_disk(
    model: Path, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    source = _lines(tmp_path / "in.lines", 300)
    (small_disk / "ballast").write_bytes(os.urandom(40_000 if not name.endswith("gz") else 61_000))
    assert _tag("-m", model, source, "-o", small_disk / name) == 1
    assert _error(capsys) == f"bioner-fast: {small_disk / name} cannot be written: No space left on device"
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up_in_the_middle_of_a_run(
    model: Path, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    (tmp_path / "in").mkdir()
    _lines(tmp_path / "in" / "a.lines", 3)
    _lines(tmp_path / "in" / "b.lines", 300)
    out = small_disk / "out"
    common = ("-m", model, tmp_path / "in", "--workers", workers, "--threads", workers)
    assert _tag(*common, "-o", f"{out}/") == 1
    error = _error(capsys)
    assert f"{out / 'b.lines.jsonl'} cannot be written: No space left on device" in error
    left = {file.name for file in out.iterdir()}
    assert left - {"a.lines.jsonl"} == {".journal.jsonl"}
    # With room it goes on.
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert _tag(*common, "-o", f"{out}/", "--resume") == 0
    verify_directory(out, ("a.lines.jsonl", "b.lines.jsonl"))
    assert len((out / "b.lines.jsonl").read_text().splitlines()) == 300


def test_an_output_folder_that_cannot_be_made(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _lines(tmp_path / "in.lines", 1)
    (tmp_path / "file").write_text("")
    assert _tag("-m", model, source, "-o", f"{tmp_path / 'file' / 'out'}/") == 1
    assert "cannot be made: Not a directory" in _error(capsys)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.xml", BOMB.encode(), "the file declares XML entities"),
        ("in.xml.gz", gzip.compress(BOMB.encode() * 3000)[:-50], "declares XML entities"),
        ("in.jsonl.gz", gzip.compress(b'{"text": "breast cancer"}\n' * 3000)[:-9], "the file is truncated"),
    ],
)
def test_inputs_that_must_not_be_trusted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    arguments = ("-m", model, tmp_path / name, "--input-format", "pubmed-xml" if "xml" in name else "jsonl")
    assert _tag(*arguments, "-o", tmp_path / "one.jsonl") == 1
    assert message in _error(capsys)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert _tag(*arguments, "-o", f"{tmp_path / 'out'}/") == 1
    assert message in _error(capsys)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"manifest.json", "errors.ndjson"}
    assert message in json.loads((tmp_path / "out" / "errors.ndjson").read_text())["reason"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bundle_that_is_half_written(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    half = tmp_path / "half"
    shutil.copytree(model, half)
    weights = half / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    _lines(tmp_path / "a.lines", 1)
    _lines(tmp_path / "b.lines", 1)
    inputs = (tmp_path / "a.lines", tmp_path / "b.lines")
    assert _tag("-m", half, *inputs, "-o", f"{tmp_path / 'out'}/", "--workers", workers) == 1
    assert "weights.safetensors is not whole" in _error(capsys)
    assert not list((tmp_path / "out").iterdir())
    (half / "manifest.json").unlink()
    assert _tag("-m", half, *inputs, "-o", f"{tmp_path / 'out'}/", "--workers", workers) == 1
    assert "has no manifest.json" in _error(capsys)


def test_standard_output_on_a_full_disk(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("breast cancer")
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    code = "import sys; from bioner_fast.cli.main import run; sys.exit(run(sys.argv[1:]))"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "tag", "-m", str(model), str(tmp_path / "a.txt")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "bioner-fast: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"breast\tO\ncancer\n", "a.tsv:2: document a: expected 2 columns as in the lines before"),
        ("a.txt", b"breast \xff cancer", "a.txt:1: document a: byte 0xff is not UTF-8"),
        ("a.jsonl", b'{"text": 5}\n', 'a.jsonl:1: document 1: expected "text" to be a string'),
    ],
)  # fmt: skip
def test_what_ends_a_run_is_said_once(
    model: Path,
    tmp_path: Path,
    name: str,
    data: bytes,
    message: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The only document of the only input is bad."""
    (tmp_path / name).write_bytes(data)
    assert _tag("-m", model, tmp_path / name, "-o", tmp_path / "out.jsonl") == 1
    assert message in _error(capsys)
    assert "left out" not in caplog.text
    assert not (tmp_path / "out.jsonl").exists()


def test_one_of_a_kind_is_told_in_the_singular(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.txt").write_text("gene")
    with caplog.at_level("INFO", "bioner_fast"):
        assert _tag("-m", model, tmp_path / "a.txt", "-o", tmp_path / "out.jsonl") == 0
    assert "tagged 1 document, 1 token: " in caplog.text
