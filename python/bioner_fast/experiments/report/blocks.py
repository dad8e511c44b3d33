"""What a report is made of, whatever it is rendered to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it says.
        strong: whether it stands out: the best of its row.
        faint: whether it steps back: not run.
    """

    text: str
    strong: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; the first column names the row, the others are aligned right.

    Attributes:
        groups: headings over several columns each, as (heading, columns); empty for none.
        summary: whether the last row sums up the others.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    groups: Sequence[tuple[str, int]] = ()
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing.

    Attributes:
        name: of its file beside the Markdown, without ending.
        svg: the drawing; None where matplotlib is missing.
        caption: what it shows.
    """

    name: str
    svg: str | None
    caption: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of a terminal, to be copied as they stand."""

    text: str


Block = str | Table | Picture | Facts | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it; a string is a paragraph."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """A title, a lead paragraph and sections."""

    title: str
    lead: str
    sections: list[Section]
