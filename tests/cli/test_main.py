"""What every command shares: help, and errors of the system as one line that names the user's file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bioner_fast.cli.main import run
from bioner_fast.errors import BionerError, describe_os_error
from bioner_fast.files import atomic_directory, atomic_write

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes of POSIX")


@pytest.mark.parametrize("arguments", [[], ["benchmark"], ["vectors"]])
def test_a_group_alone_shows_its_help_as_it_is_laid_out(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: bioner-fast")
    assert len(captured.err.splitlines()) > 5


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "out.json"  # below a file, not a folder
    with (
        pytest.raises(BionerError, match=r"cannot write .*out\.json: .*; choose another place"),
        atomic_write(target),
    ):
        pass
    with pytest.raises(BionerError, match=r"cannot write .*out\.json: "), atomic_directory(target):
        pass


def test_convert_names_the_output_and_not_a_temporary_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.tsv").write_text("p53\tB-Gene\n")
    target = tmp_path / "in.tsv" / "out.tsv"
    assert run(["convert", str(tmp_path / "in.tsv"), str(target), "--to", "iobes"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot write {target}: " in line
    assert ".tmp" not in line


def test_convert_to_a_scheme_reports_under_the_name_of_the_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.tsv"
    source.write_text('{"text": "disorders", "entities": [{"start": 0, "end": 8, "type": "Disease"}]}\n')
    assert run(["convert", str(source), str(target), "--to", "iobes"]) == 0
    assert f"{target}: document 1: Disease 'disorder' at 0..8 was moved" in caplog.messages[0]


def test_column_files_that_are_written_can_be_read_whatever_the_text_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.tsv"
    source.write_text("p53\0 binds")
    assert run(["convert", str(source), str(target), "--to", "iob2"]) == 0
    assert target.read_text(encoding="utf-8").splitlines()[2:] == ["p53\tO", "\ufffd\tO", "binds\tO"]
    assert "NUL characters became U+FFFD" in caplog.messages[0]


def test_errors_of_the_system_have_no_number() -> None:
    assert describe_os_error(OSError(28, "No space left on device")) == "No space left on device"
    assert describe_os_error(OSError("odd")) == "odd"


@POSIX
@pytest.mark.parametrize("arguments", [["--to", "jsonl"], ["--to", "jsonl", "--force"], ["--to", "iob2"]])
def test_a_pipe_is_written_to_and_stays(tmp_path: Path, arguments: list[str]) -> None:
    source, pipe, came = tmp_path / "in.lines", tmp_path / "pipe", []
    source.write_text("p53\n")
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: came.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert run(["convert", str(source), str(pipe), *arguments]) == 0
    reader.join(10)
    assert b"p53" in came[0]
    assert pipe.is_fifo()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.lines", "pipe"]
    with pytest.raises(BionerError, match="is a device or a pipe"), atomic_directory(pipe, force=True):
        pass
    assert pipe.is_fifo()


@POSIX
def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "link.json", tmp_path / "there" / "file.json"
    link.symlink_to(Path("there", "file.json"))
    for text in ("new", "newer"):  # also where it leads nowhere yet
        with atomic_write(link) as out:
            out.write(text)
        assert link.is_symlink()
        assert file.read_text() == text
    with pytest.raises(ZeroDivisionError), atomic_write(link):
        raise ZeroDivisionError
    assert file.read_text() == "newer"
    assert [entry.name for entry in file.parent.iterdir()] == ["file.json"]


@POSIX
def test_what_a_shell_has_redirected_is_not_replaced(tmp_path: Path) -> None:
    source, log = tmp_path / "in.jsonl", tmp_path / "log"
    source.write_text('{"text": "disorders", "entities": [{"start": 0, "end": 8, "type": "Disease"}]}\n')
    command = [sys.executable, "-m", "bioner_fast", "convert", str(source), "-", "--to", "iob2", "--report"]
    with log.open("wb") as stderr:
        stderr.write(b"before\n")
        stderr.flush()
        subprocess.run([*command, "/dev/stderr"], stdout=subprocess.DEVNULL, stderr=stderr, check=True)
    before, report, summary = log.read_text().splitlines()
    assert (before, report[0], summary[:11]) == ("before", "{", "1 documents")
