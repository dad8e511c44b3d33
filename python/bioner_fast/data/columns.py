r"""The lines of column files, one at a time: what each is, and where its fields stand.

:class:`Lines` reads by the rules of the native reader (``csrc/text/conll.h``), which reads whole files at
once:

- where the first line with a token has a tab, tabs alone separate, and tokens may hold spaces; elsewhere runs
of
  tabs and spaces separate;
- a blank line ends a sentence; a token that is empty or blank is left out;
- ``-DOCSTART-``, ``# newdoc``, ``# doc_id = 12``, ``###MEDLINE:12`` and their like begin or name documents;
- other lines that begin with ``#`` are comments, unless they have the columns of a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bioner_fast import _text

_FIELD = re.compile(r"[^\t ]+")
_MARKS = ("#", "-")
# What says the names of columns, as in CoNLL-U Plus, and those that are not a model's.
HEADER = "# global.columns =\t"
TOKEN = "token"
GOLD = "gold"
_HEADER = re.compile(r"#\s*global\.columns\s*=\s*(\S.*)")

Span = tuple[int, int]
Kind = Literal["token", "blank", "skipped", "start", "name", "end", "comment", "bad"]


@dataclass(slots=True)
class Line:
    """One line.

    Attributes:
        kind: ``token``; ``blank``; ``skipped`` (a token that is empty or blank); ``start``, ``name`` and
        ``end`` of
            documents; ``comment``; ``bad``: it has not the columns of the first line.
        number: from 1.
        text: the line without its end.
        spans: of the fields, where they are a token's.
        id: of the document, "" where there is none.
    """

    kind: Kind
    number: int
    text: str
    spans: list[Span]
    id: str = ""

    @property
    def fields(self) -> list[str]:
        """The fields as strings."""
        return [self.text[start:end] for start, end in self.spans]


class Lines:
    """Classifies the lines of one file, which come in order.

    Attributes:
        columns: how many there are; 0 before the first line with a token.
        names: of the columns, where the file says them (``# global.columns = token gold ...``).

    Example:
        >>> lines = Lines()
        >>> [line.kind for text in ("# sent_id = 1", "5 mg\tO", "") for line in lines.read(text)]
        ['comment', 'token', 'blank']
    """

    def __init__(self) -> None:
        self.columns = 0
        self.names: list[str] | None = None
        self._tabs = False
        self._number = 0
        self._waiting: list[Line] = []

    def read(self, text: str) -> Iterator[Line]:
        """The next line of the file; lines whose kind depends on those behind come later, in order."""
        self._number += 1
        line = Line("token", self._number, text, [])
        if not self.columns and not self._begins(line):
            self._waiting.append(line)
            return
        yield from self._settled()
        yield self._read(line)

    def finish(self) -> Iterator[Line]:
        """The lines that wait when the file has ended."""
        yield from self._settled()

    def _settled(self) -> Iterator[Line]:
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            yield self._read(line)

    def _begins(self, line: Line) -> bool:
        """Whether the kind of a line can be told; the first line with a token says how the others look."""
        text = line.text
        content = text.strip(" \t")
        if not content:
            return not self._waiting
        if content[0] in _MARKS:
            if self.names is None and (found := _HEADER.match(content)):
                self.names = found.group(1).split()
            if _text.conll_mark(text, True) is not None:
                return not self._waiting
            if not _text.may_begin_columns(text):
                return False
        tabs = "\t" in text
        spans = _compact(_tab_spans(text)) if tabs else _space_spans(text)
        if spans[0][0] == spans[0][1]:
            return False
        self.columns, self._tabs = len(spans), tabs
        return True

    def _read(self, line: Line) -> Line:
        text = line.text
        spans = _tab_spans(text) if self._tabs or not self.columns else _space_spans(text)
        if not spans:
            line.kind = "blank"
            return line
        has_tab = "\t" in text
        if len(spans) != self.columns:
            spans = _compact(spans)
            if self._tabs and not has_tab and len(spans) != self.columns:
                spaced = _space_spans(text)
                spans = spaced if len(spaced) == self.columns else spans
        fits = len(spans) == self.columns
        if text.lstrip(" \t")[0] in _MARKS:
            mark = _text.conll_mark(text, fits and (has_tab or not self._tabs or self.columns == 1))
            if mark is not None:
                line.kind, line.id = mark
                return line
        line.spans = spans
        if spans[0][0] == spans[0][1] and (fits or not self.columns):
            line.kind = "skipped"
        elif not fits:
            line.kind = "bad"
        return line


def is_header(text: str) -> bool:
    """Whether a comment says the names of the columns."""
    return _HEADER.match(text.strip(" \t")) is not None


def _space_spans(text: str) -> list[Span]:
    return [found.span() for found in _FIELD.finditer(text)]


def _tab_spans(text: str) -> list[Span]:
    """Fields between tabs, without the spaces at their edges and without empty ones at the end."""
    spans: list[Span] = []
    at = 0
    for part in text.split("\t"):
        start = at + len(part) - len(part.lstrip(" "))
        end = at + len(part.rstrip(" "))
        spans.append((start, max(start, end)))
        at += len(part) + 1
    while spans and spans[-1][0] == spans[-1][1]:
        spans.pop()
    return spans


def _compact(spans: list[Span]) -> list[Span]:
    """Without the empty fields behind the first."""
    return spans[:1] + [span for span in spans[1:] if span[0] < span[1]]


def column_names(head: bytes) -> list[str] | None:
    r"""The names of the columns that a file says before its first token; None where it says none.

    Example:
        >>> column_names(b"# global.columns = token gold general\np53\tO\tO\n")
        ['token', 'gold', 'general']
    """
    lines = Lines()
    for raw in head.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        for _ in lines.read(raw.decode("utf-8", "replace").removesuffix("\r")):
            pass
        if lines.names is not None or lines.columns:
            break
    return lines.names


def blank_tokens(count: int) -> str:
    """What is said of tokens that were left out."""
    what = "a line whose token is" if count == 1 else f"{count:,} lines whose tokens are"
    return f"{what} empty or blank {'was' if count == 1 else 'were'} left out"
