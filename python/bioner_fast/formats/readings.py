"""Ways to read the offsets of a document, and how well each explains its mentions.

Files count code points, UTF-16 units (Java, JavaScript) or UTF-8 bytes (C, Perl), line ends as one character
or two, ``&`` as ``&amp;``, a byte-order mark or not, from the document or from the passage.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

Span = tuple[int, int]


# A gap between passages is filled with spaces in ``Document.text``; a wild offset must not exhaust memory.
LARGEST_GAP = 10_000_000


class Claim(NamedTuple):
    """An annotation as stated: spans, the mention it names (None: none), the offset of its container."""

    spans: tuple[Span, ...]
    mention: str | None
    base: int = 0


class Unit(NamedTuple):
    """What offsets count: an encoding, ``\\r\\n`` as one or ``\\n`` as two, ``&`` as ``&amp;``, no mark."""

    encoding: Literal["UTF-16 units", "UTF-8 bytes"] | None = None
    lines: Literal["CR LF as one character", "line ends as two characters"] | None = None
    escapes: bool = False
    mark: bool = True

    def table(self, text: str, first: bool) -> list[int]:
        """Offset of every character and of the end, int [len(text) + 1]."""
        if self.encoding == "UTF-16 units":
            widths = [2 if c > "\uffff" else 1 for c in text]
        elif self.encoding == "UTF-8 bytes":
            widths = [1 if c < "\x80" else 2 if c < "\u0800" else 3 if c < "\U00010000" else 4 for c in text]
        else:
            widths = [1] * len(text)
        if self.lines == "CR LF as one character":
            for found in re.finditer("\r\n", text):
                widths[found.start() + 1] = 0
        elif self.lines is not None:
            for found in re.finditer("(?<!\r)\n", text):
                widths[found.start()] = 2
        if self.escapes:
            for found in re.finditer("[&<>]", text):
                widths[found.start()] = 5 if found.group() == "&" else 4
        if first and not self.mark and text.startswith("\ufeff"):
            widths[0] = 0
        return list(accumulate(widths, initial=0))

    def remark(self) -> str:
        """What is said of a document whose offsets count this."""
        parts: list[str] = [part for part in (self.encoding, self.lines) if part is not None]
        if self.escapes:
            parts.append("& < > as they are escaped in XML")
        if not self.mark:
            parts.append("no byte-order mark")
        return f"offsets count {' and '.join(parts)}; they were converted to code points"


CODE_POINTS = Unit()


def units(pieces: Sequence[tuple[int, str]]) -> list[Unit]:
    """What offsets into these texts might count, the simplest first."""
    encodings: list[Literal["UTF-16 units", "UTF-8 bytes"] | None] = [None]
    if any(c > "\uffff" for _, text in pieces if not text.isascii() for c in text):
        encodings.append("UTF-16 units")
    if not all(text.isascii() for _, text in pieces):
        encodings.append("UTF-8 bytes")
    lines: list[Literal["CR LF as one character", "line ends as two characters"] | None] = [None]
    if any("\r\n" in text for _, text in pieces):
        lines.append("CR LF as one character")
    if any(re.search("(?<!\r)\n", text) for _, text in pieces):
        lines.append("line ends as two characters")
    marks = [True, False] if pieces and pieces[0][1].startswith("\ufeff") else [True]
    escapes = [False, True] if any(re.search("[&<>]", text) for _, text in pieces) else [False]
    units = [Unit(*parts) for parts in itertools.product(encodings, lines, escapes, marks)]
    return sorted(units, key=lambda unit: sum(a != b for a, b in zip(unit, CODE_POINTS, strict=True)))


class Layout:
    """Pieces of text placed by their declared offsets, which count in one unit."""

    def __init__(self, pieces: Sequence[tuple[int, str]], unit: Unit) -> None:
        self.declared = [offset for offset, _ in pieces]
        self.tables: list[list[int] | None] = []
        self.lengths: list[int] = []  # in the unit
        self.offsets: list[int] = []  # in code points
        self.overlaps: list[int] = []
        declared_end = end = 0
        parts: list[str] = []
        for index, (offset, text) in enumerate(pieces):
            table = None if unit == CODE_POINTS else unit.table(text, index == 0)
            length = len(text) if table is None else table[-1]
            gap = offset - declared_end
            if gap < 0:
                self.overlaps.append(index)
                gap = 0
            if gap > LARGEST_GAP:
                raise ValueError(f"the text at offset {offset} is more than {LARGEST_GAP} characters away")
            parts.append(" " * gap)
            parts.append(text)
            self.offsets.append(end + gap)
            self.tables.append(table)
            self.lengths.append(length)
            end += gap + len(text)
            declared_end = offset + length
        self.text = "".join(parts)
        self.identity = self.declared == self.offsets and not any(self.tables)
        # With overlapping pieces the declared offsets are not sorted and the first piece that fits is taken.
        self.sorted = not self.overlaps

    def code_point(self, position: int, end: bool = False) -> int | None:
        """Code-point offset of a position (of an ``end``) in the unit; None if it is inside a character."""
        if self.identity:
            return position
        if self.sorted:
            index = max(bisect_right(self.declared, position) - 1, 0)
        else:
            fits = (
                i
                for i, d in enumerate(self.declared)
                if d <= position <= d + self.lengths[i]
            )  # fmt: skip
            index = next(fits, len(self.declared) - 1)
        if index < 0:
            return position
        local = position - self.declared[index]
        table = self.tables[index]
        if table is None or local < 0:
            return self.offsets[index] + local
        if local > table[-1]:
            return self.offsets[index] + len(table) - 1 + local - table[-1]
        # What counts nothing is behind a mention's end, and before its start.
        at = bisect_left(table, local) if end else bisect_right(table, local) - 1
        return self.offsets[index] + at if table[at] == local else None

    def spans(self, claim: Claim, relative: bool) -> tuple[Span, ...] | None:
        """The claim's spans in code points, perhaps outside the text; None if inside a character."""
        base = claim.base if relative else 0
        result: list[Span] = []
        for start, end in claim.spans:
            first, last = self.code_point(start + base), self.code_point(end + base, True)
            if first is None or last is None:
                return None
            result.append((first, max(first, last) if start <= end else last))
        return tuple(result)


def _squeeze(text: str) -> str:
    return " ".join(text.replace("...", " ").split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def mention_text(text: str, spans: Sequence[Span]) -> str:
    """The text of the spans, joined by spaces."""
    return " ".join(text[start:end] for start, end in spans)


def is_inside(text: str, spans: tuple[Span, ...] | None) -> bool:
    return spans is not None and all(0 <= start <= end <= len(text) for start, end in spans)


def _is_word(character: str) -> bool:
    return character.isalnum() or _is_mark(character)


def _is_mark(character: str) -> bool:
    return not character.isascii() and _MARK.match(character) is not None


# Combining marks, which no token begins with: what is neither letter nor number, but no sign of its own.
_MARK = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)


def _at_boundary(text: str, position: int) -> bool:
    """Whether no token lies across a position."""
    if not 0 < position < len(text):
        return True
    before, behind = text[position - 1], text[position]
    return not _is_mark(behind) and not (_is_word(before) and _is_word(behind))


def is_clean(text: str, spans: tuple[Span, ...] | None) -> bool:
    """Whether spans begin and end where tokens do, and not with white space."""
    if spans is None or not is_inside(text, spans):
        return False
    return all(
        start < end
        and not text[start].isspace()
        and not text[end - 1].isspace()
        and _at_boundary(text, start)
        and _at_boundary(text, end)
        for start, end in spans
    )


def is_there(text: str, spans: tuple[Span, ...] | None, mention: str | None) -> bool:
    if spans is None or not is_inside(text, spans):
        return False
    if mention is None:
        return True
    if len(spans) == 1 and text[spans[0][0] : spans[0][1]] == mention:
        return True
    # Files write line breaks as spaces, and the hole of a discontinuous mention as nothing or as dots.
    wanted = _squeeze(mention)
    if _squeeze(mention_text(text, spans)) == wanted:
        return True
    return len(spans) > 1 and _squeeze(text[spans[0][0] : spans[-1][1]]) == wanted


def is_nearly_there(text: str, spans: tuple[Span, ...] | None, mention: str | None) -> bool:
    """Whether text and mention differ in case and punctuation only."""
    if spans is None or not mention or not is_inside(text, spans):
        return False
    letters = _letters(mention)
    return bool(letters) and letters == _letters(mention_text(text, spans))


@dataclass(slots=True)
class Reading:
    """One way to read a document's offsets, and how well it explains the mentions.

    Attributes:
        layout: text and unit.
        spans: of every claim, in code points.
        exact: whether the claim's mention stands there.
        fits: the same, but for case and punctuation.
        clean: whether the spans stand at the edges of tokens.
        remarks: what is said of it.
    """

    layout: Layout
    spans: list[tuple[Span, ...] | None]
    exact: list[bool]
    fits: list[bool]
    clean: list[bool]
    remarks: list[str]

    @property
    def fitting(self) -> int:
        return sum(self.fits)

    @property
    def supported(self) -> int:
        """Claims that fit, or whose mention may be another form of what stands there."""
        return sum(fits or clean for fits, clean in zip(self.fits, self.clean, strict=True))

    def beats(self, other: Reading) -> bool:
        """Whether this, the less simple reading, is to be preferred."""
        if self.supported < other.supported:
            return False
        if self.fitting != other.fitting:
            return self.fitting > other.fitting
        if sum(self.exact) != sum(other.exact):
            return sum(self.exact) > sum(other.exact)
        # Where mentions are never what stands in the text, their edges decide.
        return self.supported == len(self.fits) > other.supported + 1


def read_as(
    layout: Layout, claims: Sequence[Claim], spans: list[tuple[Span, ...] | None], remarks: list[str]
) -> Reading:
    text = layout.text
    both = list(zip(spans, claims, strict=True))
    exact = [is_there(text, span, claim.mention) for span, claim in both]
    fits = [
        good or is_nearly_there(text, span, claim.mention)
        for good, (span, claim) in zip(exact, both, strict=True)
    ]
    clean = [is_clean(text, span) for span in spans]
    return Reading(layout, spans, exact, fits, clean, remarks)
