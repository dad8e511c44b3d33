"""Standard streams that whoever starts the command has closed, or that nothing can be written to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes the streams")


def command(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    shell = line.replace("bioner-fast", f"{sys.executable} -m bioner_fast")
    return subprocess.run(
        ["sh", "-c", shell], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


CLOSED = "bioner-fast: standard input or output is closed; name a file instead\n"


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("bioner-fast convert in.lines - --to jsonl >&-", 1, None),
        ("bioner-fast convert - out.jsonl --from lines --to jsonl <&-", 1, None),
        ("bioner-fast data list >&-", 1, CLOSED),
        ("bioner-fast data list --json >&-", 1, CLOSED),
        ("bioner-fast --version >&-", 1, CLOSED),
        ("bioner-fast data list > /dev/full", 1, "bioner-fast: No space left on device\n"),
        ("bioner-fast convert in.lines out.jsonl 2>&- >&- <&-", 0, ""),
        ("bioner-fast convert missing out.jsonl 2>&-", 1, ""),
    ],
)
def test_each_is_a_sentence_or_does_not_matter(
    tmp_path: Path, line: str, status: int, error: str | None
) -> None:
    (tmp_path / "in.lines").write_text("p53\n")
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = command(line, tmp_path)
    assert done.returncode == status, done.stderr
    if error is not None:
        assert done.stderr == error
    else:
        assert len(done.stderr.splitlines()) == 1
        assert "internal error" not in done.stderr
    assert (tmp_path / "out.jsonl").exists() == (status == 0)
    assert not list(tmp_path.glob(".*"))


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = command("bioner-fast data list | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
