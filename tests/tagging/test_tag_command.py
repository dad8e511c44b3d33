"""``bioner-fast tag`` from files and standard input to files, folders and standard output."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.formats.registry import read_documents
from bioner_fast.models.bundle import save_bundle
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, heads, network, save_tiny

TEXT = "\ufeffBRCA1 gene of the 🙂 cell.\r\nSjögren disease — TNF-α, e\u0301 cancer.\r\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model")


class Pipe(io.TextIOWrapper):
    """Standard output or input, as bytes."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")

    def bytes(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object, stdin: bytes = b"") -> tuple[int, bytes]:
    out = Pipe()
    monkeypatch.setattr(sys, "stdin", Pipe(stdin))
    monkeypatch.setattr(sys, "stdout", out)
    status = run(["tag", *map(str, arguments)])
    return status, out.bytes()


def _records(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.split(b"\n") if line]


def _check_offsets(record: dict[str, Any]) -> None:
    assert record["entities"]
    for entity in record["entities"]:
        assert record["text"][entity["start"] : entity["end"]] == entity["text"]
        assert set(entity) == {"start", "end", "type", "text", "score", "task"}


def test_a_text_file_to_standard_output(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "abstract.txt"
    file.write_bytes(TEXT.encode())
    status, out = _run(monkeypatch, "--model", model, file)
    assert status == 0
    (record,) = _records(out)
    assert (record["id"], record["text"]) == ("abstract", TEXT)
    _check_offsets(record)
    assert any(entity["text"] == "TNF" for entity in record["entities"])


def test_standard_input_by_lines(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["breast cancer", "", "BRCA1 gene 🙂 α"]
    status, out = _run(monkeypatch, "-m", model, "--lines", "-", stdin="\r\n".join(lines).encode())
    assert status == 0
    records = _records(out)
    assert [(r["id"], r["text"]) for r in records] == [("1", lines[0]), ("2", ""), ("3", lines[2])]
    for record in (records[0], records[2]):
        _check_offsets(record)


def test_standard_input_is_one_text_unless_told_otherwise(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out = _run(monkeypatch, "-m", model, "-", stdin=TEXT.encode())
    assert status == 0
    assert [record["text"] for record in _records(out)] == [TEXT]
    data = b'{"id": 7, "text": "breast cancer", "year": 1}\n'
    status, out = _run(monkeypatch, "-m", model, "--input-format", "jsonl", "-", stdin=data)
    (record,) = _records(out)
    assert (record["id"], record["year"]) == (7, 1)


def test_many_inputs_in_one_output_keep_their_order(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.txt").write_text("breast cancer\nBRCA1", encoding="utf-8")
    (tmp_path / "a.txt").write_text("gene\n", encoding="utf-8")
    target = tmp_path / "out" / "all.jsonl"
    files = (tmp_path / "b.txt", tmp_path / "a.txt")
    status, out = _run(
        monkeypatch, "-m", model, "--lines", *files, "-o", target, "--json", "--batch-tokens", 1
    )
    assert status == 0
    summary = json.loads(out)
    assert (summary["documents"], summary["tokens"], summary["outputs"]) == (3, 4, [str(target)])
    assert summary["entities"] == sum(len(r["entities"]) for r in _records(target.read_bytes())) > 0
    assert [r["id"] for r in _records(target.read_bytes())] == ["b:1", "b:2", "a:1"]


def test_a_folder_gets_one_file_per_input(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.txt").write_text("breast cancer", encoding="utf-8")
    with gzip.open(tmp_path / "two.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write('{"id": "x", "text": "BRCA1 gene"}\n')
    files = (tmp_path / "one.txt", tmp_path / "two.jsonl.gz")
    status, _ = _run(monkeypatch, "-m", model, *files, "-o", f"{tmp_path / 'out'}/")
    assert status == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "one.jsonl",
        "two.jsonl",
    ]
    _check_offsets(_records((tmp_path / "out" / "two.jsonl").read_bytes())[0])


def test_column_files_keep_tokens_and_gain_columns(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "-DOCSTART-\tx1\n\nTNF-alpha\tB-Gene\ncell\tO\n\nof\tO\n\n-DOCSTART-\tx2\n\nbreast\tO\n"
    (tmp_path / "in.tsv").write_text(data, encoding="utf-8")
    status, out = _run(monkeypatch, "-m", model, tmp_path / "in.tsv")
    assert status == 0
    lines = out.decode().split("\n")
    assert [line for line in lines if "\t" not in line] == [
        line for line in data.split("\n") if "\t" not in line
    ]
    assert ["\t".join(line.split("\t")[:2]) for line in lines if line.count("\t") > 1] == [
        line for line in data.split("\n") if line.count("\t") == 1 and "DOCSTART" not in line
    ]
    assert all(line.count("\t") in (0, 1, 4) for line in lines)
    assert lines[0] == "# global.columns =\ttoken gold medical cells pos"
    # The result is read by evaluate, which asks where two heads may be meant.
    (tmp_path / "out.tsv").write_bytes(out)
    assert run(["evaluate", str(tmp_path / "out.tsv")]) == 2
    assert run(["evaluate", str(tmp_path / "out.tsv"), "--predicted-column", "cells"]) == 0
    # As JSON the gold tags are not mistaken for findings.
    status, out = _run(monkeypatch, "-m", model, tmp_path / "in.tsv", "--output-format", "jsonl")
    assert all(entity["task"] for record in _records(out) for entity in record["entities"])


def test_every_writable_format_holds_what_was_found(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"id": "9", "text": "BRCA1 gene — breast cancer α cell"}\n', encoding="utf-8"
    )
    expected = {
        (e.start, e.end, e.type)
        for e in Tagger.load(model).tag(["BRCA1 gene — breast cancer α cell"])[0].entities
    }
    for format, name in (
        ("pubtator", "o.pubtator"),
        ("bioc-xml", "o.xml"),
        ("bioc-json", "o.json"),
        ("brat", "brat"),
    ):
        target = tmp_path / name
        status, _ = _run(
            monkeypatch, "-m", model, tmp_path / "in.jsonl", "--output-format", format, "-o", target
        )
        assert status == 0, format
        (document,) = read_documents(target, format)
        shift = document.text.index("BRCA1")
        assert {(e.start - shift, e.end - shift, e.type) for e in document.iter_entities()} == expected, (
            format
        )


def test_merge_leaves_no_overlap(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"breast cancer gene BRCA1 of the tumor cell protein TNF syndrome " * 5
    every, kept = (
        _records(_run(monkeypatch, "-m", model, "-", *flags, stdin=text)[1])[0]["entities"]
        for flags in ((), ("--merge",))
    )
    assert len(kept) < len(every)
    ends = [0, *(entity["end"] for entity in kept)]
    assert all(end <= entity["start"] for end, entity in zip(ends, kept, strict=False))


def test_outputs_are_not_overwritten_and_never_half_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("precious", encoding="utf-8")
    (tmp_path / "good.jsonl").write_text('{"text": "breast cancer"}\n', encoding="utf-8")
    assert _run(monkeypatch, "-m", model, tmp_path / "good.jsonl", "-o", target)[0] == 1
    assert "--force" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"text": "breast cancer"}\n{"text": 3}\n', encoding="utf-8")
    assert _run(monkeypatch, "-m", model, tmp_path / "bad.jsonl", "-o", target, "--force", "--strict")[0] == 1
    assert "bad.jsonl:2: " in capsys.readouterr().err
    assert target.read_text(encoding="utf-8") == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.jsonl", "good.jsonl", "out.jsonl"]
    assert _run(monkeypatch, "-m", model, tmp_path / "good.jsonl", "-o", target, "--force")[0] == 0
    assert _records(target.read_bytes())[0]["text"] == "breast cancer"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.txt"], 1, "nowhere.txt: no such file"),
        (["-", "-"], 2, "only once"),
        (["-", "--json"], 2, "--json"),
        (["-", "--output-format", "text"], 2, "cannot hold entities"),
        (["-", "--output-format", "pubmed-xml"], 2, "pubmed-xml is read but not written"),
        (["-", "--input-format", "klingon"], 2, "klingon"),
        (["-", "-o", "out.klingon"], 2, "out.klingon"),
        (["-", "--lines", "--input-format", "conll"], 2, "--lines"),
        (["-", "--device", "tpu"], 2, "auto, cpu or cuda"),
        (["-", "--batch-tokens", "0"], 2, "batch-tokens"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, "-m", model, *arguments)[0] == status
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_two_inputs_for_one_name_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text("gene", encoding="utf-8")
    files = (tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt")
    assert _run(monkeypatch, "-m", model, *files, "-o", f"{tmp_path / 'out'}/")[0] == 2
    assert "would both be written to" in capsys.readouterr().err


def test_text_that_is_not_utf8(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "-m", model, "-", stdin=b"a\n\xff")[0] == 1
    assert "<stdin>:2: document <stdin>: byte 0xff is not UTF-8" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(model: Path, tmp_path: Path) -> None:
    """``| head -c 10`` on a real pipe."""
    import subprocess

    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "breast cancer"}\n' * 3000, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "bioner_fast",
        "tag",
        "-m",
        str(model),
        str(file),
        "--batch-tokens",
        "50",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


def test_a_model_of_parts_of_speech_writes_columns_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = heads()[2:]
    words = Vocabulary(StringColumn.from_list(WORDS))
    model = save_bundle(tmp_path / "model", network(tasks), words, tasks)
    assert _run(monkeypatch, "-m", model, "-", stdin=b"breast cancer")[0] == 2
    assert "only parts of speech" in capsys.readouterr().err
    status, out = _run(monkeypatch, "-m", model, "--output-format", "conll", "-", stdin=b"breast cancer")
    assert status == 0
    lines = [line.split("\t") for line in out.decode().splitlines() if line]
    assert [fields[0] for fields in lines] == ["-DOCSTART-", "breast", "cancer"]
    assert {fields[1] for fields in lines[1:]} <= {"NN", "IN", "DT"}


def test_an_output_without_suffix_says_what_it_may_be(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("Breast cancer.")
    status, _ = _run(monkeypatch, tmp_path / "in.txt", "--model", model, "-o", tmp_path / "results")
    assert status == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "the name says no format" in shown
    assert "is a folder with one file per input" in shown
    assert not (tmp_path / "results").exists()


def test_counts_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from bioner_fast.cli import counting
    from bioner_fast.tagging.stream import StreamCounts

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(counting, "EVERY", 0.01)
    for shown in (True, False):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        with counting.Counting(StreamCounts(1200, 34567, 8), shown=shown):
            deadline = time.monotonic() + 20
            while shown and "34,567" not in terminal.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert ("1,200 documents, 34,567 tokens" in terminal.getvalue()) == shown
        assert terminal.getvalue().endswith("\r\x1b[K") == shown
