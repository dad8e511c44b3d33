"""``bioner-fast vectors``, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vector_makers import ROWS, WORDS, binary, encoded, text, write

from bioner_fast.cli.main import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path, "v.bin", binary(encoded(WORDS), ROWS))


def test_info(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", "info", str(source), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["words"], facts["dim"], facts["duplicates"]) == (
        "word2vec-binary",
        6,
        3,
        0,
    )
    assert (source.parent / "v.bin.bioner-cache").is_dir()
    assert run(["vectors", "info", str(source)]) == 0
    assert "word2vec-binary" in capsys.readouterr().out


def test_no_cache(source: Path) -> None:
    assert run(["vectors", "info", str(source), "--no-cache"]) == 0
    assert [path.name for path in source.parent.iterdir()] == ["v.bin"]


@pytest.mark.parametrize(
    ("name", "option"), [("o.vec", []), ("o.txt", []), ("o.bin", []), ("o.glove", ["--to", "glove"])]
)
def test_convert_and_back(source: Path, name: str, option: list[str], tmp_path: Path) -> None:
    there, back = tmp_path / name, tmp_path / "back.bin"
    assert run(["vectors", "convert", str(source), str(there), *option]) == 0
    assert run(["vectors", "convert", str(there), str(back)]) == 0
    assert back.read_bytes() == source.read_bytes()


def test_convert_refuses(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = write(tmp_path, "o.vec", b"mine")
    assert run(["vectors", "convert", str(source), str(out)]) == 1
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert run(["vectors", "convert", str(source), str(out), "--force", "--max-rank", "2"]) == 0
    assert out.read_bytes() == text(WORDS[:2], ROWS[:2], header=True, end=" \n").replace(b".0 ", b" ")
    assert run(["vectors", "convert", str(source), str(tmp_path / "o.xyz")]) == 2
    assert "--to" in capsys.readouterr().err
    assert run(["vectors", "convert", str(source), str(tmp_path / "o.bin"), "--to", "pickle"]) == 2


def test_check(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write(tmp_path, "c.tsv", "The\tO\nprotein\tO\nzyx\tB-Gene\nzyx\tO\n\nα\tO\n".encode())
    assert run(["vectors", "check", str(source), "--task", str(corpus), "--json"]) == 0
    (coverage,) = json.loads(capsys.readouterr().out)["coverage"]
    assert (coverage["tokens"], coverage["types"]) == (5, 4)
    assert (coverage["tokens_oov"], coverage["types_oov"]) == (40.0, 25.0)
    assert coverage["most_frequent"] == [["zyx", 2]]
    assert run(["vectors", "check", str(source), "--task", str(corpus)]) == 0
    assert "40.00" in capsys.readouterr().out


def test_check_of_a_task_of_the_package(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", "check", str(source), "--task", "sample-disease", "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)["coverage"]
    assert [row["split"] for row in splits] == ["train", "devel", "test"]


def test_check_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path, "nan.bin", binary([b"a"], [[float("nan"), 0.0, 0.0]]))
    assert run(["vectors", "check", str(bad)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("train on another file")
    cut = write(tmp_path, "cut.bin", binary(encoded(WORDS), ROWS)[:-5])
    assert run(["vectors", "check", str(cut)]) == 1
    assert "cut off in entry 6" in capsys.readouterr().err
