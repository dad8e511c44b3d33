"""Help: what a command is for, then an example that can be pasted; many options are in groups."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from bioner_fast.cli.main import app, run


def _commands(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if names:
        yield names, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*names, name))


ROOT = typer.main.get_command(app)
COMMANDS = list(_commands(ROOT))
LEAVES = [(names, command) for names, command in COMMANDS if not hasattr(command, "commands")]


def _ids(pairs: list[tuple[tuple[str, ...], Any]]) -> list[str]:
    return [" ".join(names) for names, _ in pairs]


def _help(names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*names, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=_ids(COMMANDS))
def test_help_begins_with_the_purpose_and_an_example(
    names: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    usage, purpose, example, *_ = _help(names, capsys).split("\n\n")
    assert usage.startswith("Usage: bioner-fast " + " ".join(names))
    assert re.match(r"  [A-Z]", purpose)
    assert example.startswith("  Example: ")  # in one line, however narrow the terminal is
    assert "bioner-fast " + " ".join(names) in example.splitlines()[0]


@pytest.mark.parametrize(("names", "command"), LEAVES, ids=_ids(LEAVES))
def test_the_example_parses(names: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    example = _help(names, capsys).split("\n\n")[2].removeprefix("  Example: ").splitlines()[0]
    (typed,) = (part for part in re.split(r"\s[|;]\s?|; ", example) if part.startswith("bioner-fast "))
    program, *arguments = shlex.split(typed)
    assert tuple(arguments[: len(names)]) == names
    command.make_context(program, arguments[len(names) :])  # raises for an option that there is not


@pytest.mark.parametrize(("names", "command"), LEAVES, ids=_ids(LEAVES))
def test_many_options_are_in_groups(
    names: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _help(names, capsys)
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    if len(options) <= 10:
        return
    headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert len(headings) >= 4
    rest = shown.rpartition("\nOther options:\n")[2].strip().splitlines()
    assert [line.split()[:2] for line in rest] == [["-h,", "--help"]], "an option that is in no group"
    for option in options:
        assert max(option.opts, key=len) in shown
