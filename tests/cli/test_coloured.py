"""``tag`` on a terminal: the text with its entities in colours; JSON lines everywhere else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from bioner_fast.cli.coloured import ColouredWriter
from bioner_fast.cli.main import run
from bioner_fast.data.document import Document, Entity, Passage
from tiny_bundle import save_tiny


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def document() -> Document:
    entities = [Entity(0, 7, "chemical", "Aspirin"), Entity(12, 16, "disease", "gout")]
    return Document("1", [Passage("Aspirin for gout.\x1b[2J", entities=entities)])


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_entities_have_the_colour_of_the_legend() -> None:
    terminal = Terminal()
    writer = ColouredWriter(terminal)
    writer.write(document())
    writer.finish()
    text, legend = terminal.shown().rstrip("\n").split("\n\n")
    for word, kind in (("Aspirin", "chemical"), ("gout", "disease")):
        colour = text[: text.index(word)].rpartition("\x1b[")[2]
        assert f"\x1b[{colour} {kind} " in legend
    # What the text holds does not steer the terminal.
    assert "\x1b[2J" not in text
    assert "\u241b[2J" in text


def test_without_colours_the_types_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    writer = ColouredWriter(terminal)
    writer.write(document())
    writer.finish()
    assert terminal.shown() == "[Aspirin|chemical] for [gout|disease].\u241b[2J\n"


def test_a_terminal_gets_text_and_everything_else_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny(tmp_path / "model")
    (tmp_path / "a.txt").write_text("breast cancer of BRCA1 patients", encoding="utf-8")
    arguments = ["tag", "-m", str(model), str(tmp_path / "a.txt")]
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert run(arguments) == 0
    assert "\x1b[" in terminal.shown()
    assert '"entities"' not in terminal.shown()
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert run([*arguments, "--output-format", "jsonl"]) == 0
    assert json.loads(terminal.shown())["entities"]
