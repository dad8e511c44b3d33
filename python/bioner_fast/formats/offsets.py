"""Offsets as files give them, checked against the text and turned into code points: one rule for all formats.

First one reading is looked for that explains the whole document (:mod:`bioner_fast.formats.readings`,
:mod:`bioner_fast.formats.shifts`). Mentions that then still differ from the text are dealt with one by one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bioner_fast.formats.readings import (
    CODE_POINTS,
    Claim,
    Layout,
    Reading,
    Span,
    is_inside,
    mention_text,
    read_as,
    units,
)
from bioner_fast.formats.shifts import NEARBY, explains, occurrences, shifted_readings


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
        layout: how positions were counted.
    """

    text: str
    offsets: list[int]
    placements: list[Placement]
    remarks: list[str]
    layout: Layout

    def code_point(self, position: int) -> int | None:
        """A position that counts as the annotations do, in code points; None if inside a character."""
        return self.layout.code_point(position)


def join_spans(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans with those made one that only white space parts, as at a line break.

    Example:
        >>> join_spans("acute myeloid\\nleukemia (AML)", [(0, 13), (14, 22), (24, 27)])
        ((0, 22), (24, 27))
    """
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def settle(pieces: Sequence[tuple[int, str]], claims: Sequence[Claim]) -> Settled:
    """Place pieces of text and annotations in code points.

    Args:
        pieces: (declared offset, text) of passages or sentences, in order.
        claims: annotations as declared.

    Returns:
        Text, offsets and placements. A mention that is not where the file says, under the reading that
        explains most of the document, stays where it begins and ends with tokens (its text is then taken for
        a normalised form) or differs only in case or punctuation; else it goes to the nearest exact
        occurrence within 20 characters that no other mention holds; else it stays if it can. White space at
        the edges is cut.

    Raises:
        ValueError: an offset lies absurdly far behind the text before it.

    Example:
        >>> settled = settle([(0, "β-catenin binds TCF")], [Claim(((17, 20),), "TCF")])
        >>> settled.placements[0].spans, settled.remarks
        (((16, 19),), ['offsets count UTF-8 bytes; they were converted to code points'])
    """
    layout = Layout(pieces, CODE_POINTS)
    reading = read_as(layout, claims, [layout.spans(claim, False) for claim in claims], [])
    if not all(reading.exact):
        reading = _best_reading(pieces, claims, reading)
    layout = reading.layout
    remarks = list(reading.remarks)
    for index in layout.overlaps:
        remarks.append(
            f"offset {pieces[index][0]} lies inside the text before it; "
            f"the text was put at offset {layout.offsets[index]}"
        )
    placements = _place_all(layout.text, claims, reading)
    for placement in placements:
        _trim(layout.text, placement)
    return Settled(layout.text, layout.offsets, placements, remarks, layout)


def _best_reading(pieces: Sequence[tuple[int, str]], claims: Sequence[Claim], plain: Reading) -> Reading:
    """The reading under which most mentions equal the text; ties go to the simplest."""
    best = plain
    bases = [False, True] if any(claim.base for claim in claims) else [False]
    starts = []
    for unit in units(pieces):
        layout = plain.layout if unit == CODE_POINTS else Layout(pieces, unit)
        for relative in bases:
            remarks = [] if unit == CODE_POINTS else [unit.remark()]
            if relative:
                remarks.append("annotation offsets count from their passage; the document was meant")
            found = plain
            if unit != CODE_POINTS or relative:
                found = read_as(layout, claims, [layout.spans(claim, relative) for claim in claims], remarks)
                if found.beats(best):
                    best = found
            if unit == CODE_POINTS:
                starts.append(found)
    if all(best.fits) or len({claim.spans for claim in claims}) < 2:
        return best
    for start in [best, *(other for other in starts if other is not best)]:
        for found in shifted_readings(claims, start):
            if explains(found, best):
                best = found
        if all(best.fits):
            break
    return best


def _place_all(text: str, claims: Sequence[Claim], reading: Reading) -> list[Placement]:
    """Where every claim goes under a reading; equal claims go together."""
    placements: list[Placement | None] = []
    taken = set()
    loose: dict[tuple[tuple[Span, ...], str | None, int], list[int]] = {}
    for index, (claim, spans) in enumerate(zip(claims, reading.spans, strict=True)):
        placement = Placement(spans) if reading.exact[index] else _stay(text, claim, spans, reading, index)
        placements.append(placement)
        if placement is None:
            loose.setdefault((claim.spans, claim.mention, claim.base), []).append(index)
        elif reading.exact[index]:
            taken.add(placement.spans)
    # The nearest first, so that none takes the place of another.
    offers: list[tuple[int, int, tuple[tuple[Span, ...], str | None, int]]] = []
    for key, indices in loose.items():
        near = _nearby(text, claims[indices[0]], reading.spans[indices[0]])
        offers += [(distance, start, key) for distance, start in near]
    for _, start, key in sorted(offers):
        indices = loose[key]
        mention = key[1] or ""
        there = ((start, start + len(mention)),)
        if placements[indices[0]] is not None or there in taken:
            continue
        taken.add(there)
        message = f"{_show(mention)} is not at {_where(key[0])}; moved to {start}-{start + len(mention)}"
        for index in indices:
            placements[index] = Placement(there, "moved", message)
    for indices in loose.values():
        for index in indices:
            if placements[index] is None:
                placements[index] = _leave(text, claims[index], reading.spans[index])
    return [placement for placement in placements if placement is not None]


def _where(spans: Sequence[Span]) -> str:
    return ", ".join(f"{start}-{end}" for start, end in spans)


def _stay(
    text: str, claim: Claim, spans: tuple[Span, ...] | None, reading: Reading, index: int
) -> Placement | None:
    """The placement of a mention that may stay although the text differs; None if it may not."""
    if spans is None or claim.mention is None:
        return None
    if not reading.fits[index]:
        if not reading.clean[index]:
            return None
        found, mention = mention_text(text, spans), claim.mention
        # As long as the mention, nothing like it, and the mention close by: not another form, but misplaced.
        like = difflib.SequenceMatcher(None, found.casefold(), mention.casefold(), False).ratio() > 0.25
        if len(found) == len(mention) and not like and any(_nearby(text, claim, spans)):
            return None
    return _keep(text, claim, spans)


def _keep(text: str, claim: Claim, spans: tuple[Span, ...]) -> Placement:
    found = mention_text(text, spans)
    message = f"{_where(claim.spans)} is {_show(found)}, not {_show(claim.mention or '')}; offsets kept"
    return Placement(spans, "kept", message)


def _leave(text: str, claim: Claim, spans: tuple[Span, ...] | None) -> Placement:
    """What to do with a mention that can be found nowhere near."""
    if spans is not None and is_inside(text, spans):
        return _keep(text, claim, spans)
    message = (
        f"{_show(claim.mention or '')}: {_where(claim.spans)} is outside the text of {len(text)} code points"
    )
    return Placement(None, "dropped", message)


def _nearby(text: str, claim: Claim, spans: tuple[Span, ...] | None) -> Iterator[tuple[int, int]]:
    """(distance, start) of exact occurrences within 20 characters of a claim of one span."""
    mention = claim.mention or ""
    if not mention.strip() or len(claim.spans) != 1:
        return
    at = (spans or claim.spans)[0][0]
    for start in occurrences(text, mention, at - NEARBY, at + NEARBY):
        yield abs(start - at), start


def _trim(text: str, placement: Placement) -> None:
    """Cut white space from the edges of the spans."""
    if placement.spans is None:
        return
    cut: list[Span] = []
    for start, end in placement.spans:
        inner = text[start:end]
        if not inner or inner.isspace():
            continue
        start += len(inner) - len(inner.lstrip())
        cut.append((start, start + len(inner.strip())))
    spans = tuple(cut)
    if not spans or spans == placement.spans:
        return
    before, placement.spans = placement.spans, spans
    cutting = f"white space at the edge of {_where(before)} was cut, leaving {_where(spans)}"
    placement.message = f"{placement.message}; {cutting}" if placement.message else cutting
    placement.action = placement.action or "moved"


def _show(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
