"""Every command and program of README and of the how-to pages works as pasted, in the order given."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
# What README's first command does before it tags.
_INSTALL = re.compile(r"\A.*pip install -c constraints\.txt \. &&\n", re.DOTALL)


def _blocks(path: Path) -> list[tuple[str, str]]:
    text = re.sub(r"<!-- tests -->.*?<!-- /tests -->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(match.group(1), match.group(2)) for match in _BLOCK.finditer(text)]


def _environment(folder: Path) -> dict[str, str]:
    """An environment whose ``bioner-fast`` is the package under test."""
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "bioner-fast"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bioner_fast "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONIOENCODING": "utf-8"}


def _run(kind: str, code: str, folder: Path, environment: dict[str, str]) -> None:
    if kind == "python":
        command = [sys.executable, "-c", code]
    else:
        command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_readme(repository: Path, tmp_path: Path) -> None:
    environment = _environment(tmp_path)
    blocks = _blocks(repository / "README.md")
    assert [kind for kind, _ in blocks].count("bash") >= 3
    for kind, code in blocks:
        _run(kind, _INSTALL.sub("", code), tmp_path, environment)
    assert "hepatitis" in (tmp_path / "entities.jsonl").read_text(encoding="utf-8")
    assert (tmp_path / "entities.csv").read_text(encoding="utf-8").startswith("id,passage,start,end,text")


@pytest.mark.parametrize(
    ("page", "needs"),
    [
        ("index.md", ()),
        ("guide.md", ()),
        ("how-to/pubmed.md", ()),
        ("how-to/train.md", ()),
        ("how-to/entity-score.md", ()),
        ("how-to/ops.md", ()),
        ("how-to/reproduce.md", ()),
        ("tables.md", ("pyarrow", "pandas", "polars", "duckdb")),
        ("spacy.md", ("spacy",)),
    ],
)
def test_how_to_pages(repository: Path, tmp_path: Path, page: str, needs: tuple[str, ...]) -> None:
    for name in needs:
        pytest.importorskip(name, reason="needs the extra fulltest")
    environment = _environment(tmp_path)
    blocks = _blocks(repository / "docs" / page)
    # The programs of a page are one session.
    if page == "spacy.md":
        blocks = [(kind, f"import bioner_fast.integrations.spacy\n{code}") for kind, code in blocks]
    assert blocks
    for kind, code in [b for b in blocks if b[0] == "bash"]:
        _run(kind, code, tmp_path, environment)
    if programs := [code for kind, code in blocks if kind == "python"]:
        _run("python", "\n".join(programs), tmp_path, environment)


def test_the_page_of_the_service(repository: Path, tmp_path: Path) -> None:
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason="needs the extra serve")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    environment = _environment(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (_, start), (_, ask) = _blocks(repository / "docs" / "serve.md")
    server = subprocess.Popen(
        ["bash", "-c", "exec " + start.replace("8000", port)], cwd=tmp_path, env=environment
    )
    try:
        wait = f"curl -sf --retry 90 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/ready"
        subprocess.run(["bash", "-c", wait], check=True, timeout=120)
        answer = subprocess.run(
            ["bash", "-c", ask.replace("8000", port)], check=True, timeout=60, capture_output=True, text=True
        )
        assert '"TP53"' in answer.stdout
    finally:
        server.terminate()
        assert server.wait(timeout=60) in (0, -signal.SIGTERM)
