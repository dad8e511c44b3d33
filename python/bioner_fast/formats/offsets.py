"""Offsets as files give them, checked against the text and turned into code points.

Files count code points, UTF-16 units (Java, JavaScript) or UTF-8 bytes (C, Perl), and sometimes from the
passage instead of the document. Each document is read in the way that makes most mentions equal the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Placement:
    """Where an annotation goes: ``spans`` in code points (None: nowhere); unless it fits, what was done."""

    spans: tuple[Span, ...] | None
    action: Literal["moved", "kept", "dropped"] | None = None
    message: str = ""


@dataclass(slots=True)
class Settled:
    """The text and the annotations of a document in code points.

    Attributes:
        text: the pieces at their offsets, gaps filled with spaces.
        offsets: code-point offset of each piece.
        placements: one per claim.
        remarks: what had to be assumed about the document as a whole, one sentence each.
    """

    text: str
    offsets: list[int]
    placements: list[Placement]
    remarks: list[str] = field(default_factory=list)


_WIDTHS: dict[str, Callable[[str], int]] = {
    "UTF-16 units": lambda c: 2 if c > "\uffff" else 1,
    "UTF-8 bytes": lambda c: 1 if c < "\x80" else 2 if c < "\u0800" else 3 if c < "\U00010000" else 4,
}


class _Layout:
    """Pieces of text placed by their declared offsets, which count in one unit."""

    def __init__(self, pieces: Sequence[tuple[int, str]], unit: str | None) -> None:
        self.declared = [offset for offset, _ in pieces]
        self.tables: list[list[int] | None] = []
        self.lengths: list[int] = []  # in the unit
        self.offsets: list[int] = []  # in code points
        self.overlaps: list[int] = []
        width = None if unit is None else _WIDTHS[unit]
        declared_end = end = 0
        parts: list[str] = []
        for index, (offset, text) in enumerate(pieces):
            table = None if width is None or text.isascii() else list(accumulate(map(width, text), initial=0))
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

    def code_point(self, position: int) -> int | None:
        """Code-point offset of a position counted in the unit; None if it is inside a character."""
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
        if local >= table[-1]:
            return self.offsets[index] + len(table) - 1 + local - table[-1]
        at = bisect_right(table, local) - 1
        return self.offsets[index] + at if table[at] == local else None

    def spans(self, claim: Claim, relative: bool) -> tuple[Span, ...] | None:
        """The claim's spans in code points; None if one is inside a character or outside the text."""
        base = claim.base if relative else 0
        result: list[Span] = []
        for start, end in claim.spans:
            first, last = self.code_point(start + base), self.code_point(end + base)
            if first is None or last is None or not 0 <= first <= last <= len(self.text):
                return None
            result.append((first, last))
        return tuple(result)


def _squeeze(text: str) -> str:
    return " ".join(text.replace("...", " ").split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def mention_text(text: str, spans: Sequence[Span]) -> str:
    """The text of the spans, joined by spaces."""
    return " ".join(text[start:end] for start, end in spans)


def _fits(text: str, spans: tuple[Span, ...] | None, mention: str | None) -> bool:
    if spans is None:
        return False
    if mention is None:
        return True
    if len(spans) == 1 and text[spans[0][0] : spans[0][1]] == mention:
        return True
    # Files write line breaks as spaces, and the hole of a discontinuous mention as nothing or as dots.
    return _squeeze(mention_text(text, spans)) == _squeeze(mention)


def settle(pieces: Sequence[tuple[int, str]], claims: Sequence[Claim]) -> Settled:
    """Place pieces of text and annotations in code points.

    Args:
        pieces: (declared offset, text) of passages or sentences, in order.
        claims: annotations as declared.

    Returns:
        Text, offsets and placements. A mention that is not where the file says goes to its nearest exact
        occurrence; one that differs from the text only in case or punctuation, or occurs nowhere, stays.

    Raises:
        ValueError: an offset lies absurdly far behind the text before it.

    Example:
        >>> settled = settle([(0, "β-catenin binds TCF")], [Claim(((17, 20),), "TCF")])
        >>> settled.placements[0].spans, settled.remarks
        (((16, 19),), ['offsets count UTF-8 bytes; they were converted to code points'])
    """
    layout = _Layout(pieces, None)
    spans = [layout.spans(claim, False) for claim in claims]
    good = [_fits(layout.text, span, claim.mention) for span, claim in zip(spans, claims, strict=True)]
    remarks: list[str] = []
    if not all(good):
        layout, spans, good, remarks = _best_reading(pieces, claims, layout, spans, good)
    for index in layout.overlaps:
        remarks.append(
            f"offset {pieces[index][0]} lies inside the text before it; "
            f"the text was put at offset {layout.offsets[index]}"
        )
    placements = [
        Placement(span) if fits else _place(layout.text, claim, span)
        for span, fits, claim in zip(spans, good, claims, strict=True)
    ]
    return Settled(layout.text, layout.offsets, placements, remarks)


def _best_reading(
    pieces: Sequence[tuple[int, str]],
    claims: Sequence[Claim],
    layout: _Layout,
    spans: list[tuple[Span, ...] | None],
    good: list[bool],
) -> tuple[_Layout, list[tuple[Span, ...] | None], list[bool], list[str]]:
    """The unit and base under which most mentions equal the text; ties go to code points of the document."""
    best = (layout, spans, good, list[str]())
    ascii_only = all(text.isascii() for _, text in pieces)
    units = [None] if ascii_only else [None, *_WIDTHS]
    bases = [False, True] if any(claim.base for claim in claims) else [False]
    for unit in units:
        candidate = layout if unit is None else _Layout(pieces, unit)
        for relative in bases:
            if unit is None and not relative:
                continue
            found = [candidate.spans(claim, relative) for claim in claims]
            fits = [_fits(candidate.text, s, claim.mention) for s, claim in zip(found, claims, strict=True)]
            if sum(fits) > sum(best[2]):
                remarks = []
                if unit is not None:
                    remarks.append(f"offsets count {unit}; they were converted to code points")
                if relative:
                    remarks.append("annotation offsets count from their passage; the document was meant")
                best = (candidate, found, fits, remarks)
    return best


def _place(text: str, claim: Claim, spans: tuple[Span, ...] | None) -> Placement:
    """What to do with a mention that is not where the file says."""
    mention = claim.mention or ""
    first = claim.spans[0] if claim.spans else (0, 0)
    where = ", ".join(f"{start}-{end}" for start, end in claim.spans)
    if spans is not None:
        found = mention_text(text, spans)
        if _letters(found) == _letters(mention):
            return Placement(spans, "kept", f"{where} is {_show(found)}, not {_show(mention)}; offsets kept")
    if mention.strip() and len(claim.spans) == 1:
        after = text.find(mention, max(first[0], 0))
        before = text.rfind(mention, 0, max(first[0], 0) + len(mention))
        nearest = [at for at in (before, after) if at >= 0]
        if nearest:
            start = min(nearest, key=lambda at: abs(at - first[0]))
            message = f"{_show(mention)} is not at {where}; moved to {start}-{start + len(mention)}"
            return Placement(((start, start + len(mention)),), "moved", message)
    if spans is None:
        return Placement(
            None, "dropped", f"{_show(mention)}: {where} is outside the text of {len(text)} code points"
        )
    found = mention_text(text, spans)
    return Placement(spans, "kept", f"{where} is {_show(found)}, not {_show(mention)}; offsets kept")


def _show(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
