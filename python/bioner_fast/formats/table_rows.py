"""The rows of a table of entities, whatever the table is written as."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from bioner_fast.data.document import Document
from bioner_fast.errors import UsageError
from bioner_fast.formats.base import utf8

Rows = Literal["entities", "documents"]

ENTITY_COLUMNS = ("id", "passage", "start", "end", "text", "type", "score", "task")
DOCUMENT_COLUMNS = ("id", "text", "entities")


def entity_rows(document: Document) -> Iterator[tuple[object, ...]]:
    """A tuple for every entity, in the order of ``ENTITY_COLUMNS``."""
    for number, passage in enumerate(document.passages):
        name = passage.section or str(number)
        for e in passage.entities:
            yield (
                clean(document.id),
                clean(name),
                e.start,
                e.end,
                clean(e.text),
                clean(e.type),
                e.score,
                e.task,
            )


def clean(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate becomes U+FFFD."""
    return utf8(text).decode("utf-8") if not text.isascii() else text


def check_rows(rows: str) -> Rows:
    """``entities`` or ``documents``.

    Raises:
        UsageError: it is something else.
    """
    if rows not in ("entities", "documents"):
        raise UsageError(f"rows must be entities or documents, not {rows!r}")
    return "entities" if rows == "entities" else "documents"
