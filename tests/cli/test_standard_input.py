"""Commands that take ``-`` for standard input."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pytest

from bioner_fast.cli.main import run


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _stdin(monkeypatch, b"p53\tB-Gene\tB-Gene\nbinds\tO\tB-Gene\n")
    assert run(["evaluate", "-", "--json"]) == 0
    overall = json.loads(capsys.readouterr().out)["overall"]
    assert (overall["tp"], overall["fp"], overall["fn"]) == (1, 1, 0)
    _stdin(monkeypatch, b"p53\tB-Gene\tB-Gene\nbinds\tO\n")
    assert run(["evaluate", "-"]) == 1
    assert "<stdin>:2: expected 3 columns" in capsys.readouterr().err
    _stdin(monkeypatch, gzip.compress(b"p53\tB-Gene\tB-Gene\n"))
    assert run(["evaluate", "-"]) == 0


def test_convert_between_schemes(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    _stdin(monkeypatch, b"p53\tNN\tB-Gene\n")
    assert run(["convert", "-", "-", "--from", "iob2", "--to", "iobes"]) == 0
    assert capfdbinary.readouterr().out == b"p53\tNN\tS-Gene\n"


@pytest.mark.parametrize("group", ["benchmark", "data", "vectors"])
def test_help_of_a_group_has_an_example(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group, "--help"]) == 0
    assert f"Example: bioner-fast {group} " in capsys.readouterr().out
