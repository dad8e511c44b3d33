"""Kills at any moment: nothing is lost, nothing is left lying about, and living processes are let be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioner_fast import files, temporary
from bioner_fast.errors import BionerError
from bioner_fast.files import atomic_directory, atomic_write, read_json
from bioner_fast.temporary import hold, locked_folder, remove_leftovers

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="locks and signals of POSIX")

# Forks off one process after another; each writes a folder over an old one and dies a call of `os` later.
DYING = """
import os, sys
from pathlib import Path
from bioner_fast import files
from bioner_fast.files import atomic_directory, atomic_write, recover, verify_directory

place, exchanges = Path(sys.argv[1]), sys.argv[2] == "True"
target = place / "model"
if not exchanges:
    files.exchange = lambda one, other: False

def write(text):
    with atomic_directory(target, force=True) as folder:
        (folder / "content").write_text(text)
    return target

def die(count):
    calls = 0
    for name in ("replace", "rename", "fsync", "chmod", "rmdir", "unlink", "mkdir", "open"):
        def dying(*arguments, real=getattr(os, name), **options):
            nonlocal calls
            if calls == count:
                os.kill(os.getpid(), 9)
            calls += 1
            return real(*arguments, **options)
        setattr(os, name, dying)
    write("new")
    with atomic_write(target / "beside") as out:
        out.write("new")

def names(folder):
    return sorted(entry.name for entry in folder.iterdir())

count, status = 0, None
while status != 0:
    write("old")
    child = os.fork()
    if child == 0:
        die(count)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, 9), status
    recover(target)
    text = (target / "content").read_text()
    assert text in ("old", "new"), text
    verify_directory(target)
    write("old")
    assert names(place) == ["model"], (count, names(place))
    assert names(target) == ["content", "manifest.json"], (count, names(target))
    count += 1
print(count)
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@POSIX
@pytest.mark.parametrize("exchanges", [True, False])
def test_a_kill_at_any_call_loses_nothing_and_the_next_run_tidies(tmp_path: Path, exchanges: bool) -> None:
    arguments = [sys.executable, "-c", DYING, str(tmp_path), str(exchanges)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


def test_names_that_are_too_long_only_as_temporary_names(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        with atomic_write(tmp_path / name) as out:
            out.write("x")
        assert (tmp_path / name).read_text() == "x"
        (tmp_path / name).unlink()
        for _ in range(2):
            with atomic_directory(tmp_path / name, force=True):
                pass
        assert names(tmp_path) == [name]
        (tmp_path / name / "manifest.json").unlink()
        (tmp_path / name).rmdir()
    with pytest.raises(BionerError, match=r"cannot write n+: File name too long"), atomic_write("n" * 256):
        pass


@POSIX
def test_leftovers_go_and_what_is_at_work_stays(tmp_path: Path) -> None:
    (tmp_path / ".a.abcdefgh.tmp").write_text("half")
    (tmp_path / ".a.ABCDEFGH.tmp").write_text("not ours")
    (tmp_path / ".b.abcdefgh.tmp").write_text("for another")
    (tmp_path / ".a.bcdefghi.tmp").mkdir()
    (tmp_path / ".a.bcdefghi.tmp" / "file").write_text("half")
    with atomic_write(tmp_path / "a") as first:
        first.write("1")
        with atomic_write(tmp_path / "a") as second:  # as another process would
            second.write("2")
        first.write("1")
    assert (tmp_path / "a").read_text() == "11"
    assert names(tmp_path) == [".a.ABCDEFGH.tmp", ".b.abcdefgh.tmp", "a"]
    with hold(tmp_path / ".b.abcdefgh.tmp"):
        remove_leftovers(tmp_path)
        assert (tmp_path / ".b.abcdefgh.tmp").exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".a.ABCDEFGH.tmp", "a"]


@POSIX
def test_without_locks_only_old_leftovers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "try_lock", lambda fd: None)
    for name, changed in (("new", None), ("old", (1, 1))):
        (tmp_path / f".{name}.abcdefgh.tmp").write_text("half")
        if changed is not None:
            os.utime(tmp_path / f".{name}.abcdefgh.tmp", changed)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".new.abcdefgh.tmp"]
    with atomic_write(tmp_path / "a") as out:
        out.write("x")
    assert names(tmp_path) == [".new.abcdefgh.tmp", "a"]


@POSIX
@pytest.mark.parametrize("exchanges", [True, False])
def test_links_and_files_are_replaced_by_folders(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "exchange", lambda one, other: False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with atomic_directory(tmp_path / name, force=True):
            pass
        assert names(tmp_path / name) == ["manifest.json"]
        assert not (tmp_path / name).is_symlink()
    assert names(tmp_path) == ["elsewhere", "file", "link"]
    assert names(tmp_path / "elsewhere") == ["kept"]


@POSIX
def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path / "run", "another run"),
        pytest.raises(BionerError, match=r"run is being written by another run; wait for it or stop it"),
        locked_folder(tmp_path / "run", "another run"),
    ):
        pass
    with locked_folder(tmp_path / "run", "another run"):
        pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested"),
        ("1e400", "range"),
        ("-1e999", "range"),
        ("9" * 5000, "digits"),
        ('{"a"', "delimiter"),
    ],
)
def test_json_that_cannot_be_read_is_a_value_error(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match="utf-8"):
        read_json(tmp_path / "x.json")
