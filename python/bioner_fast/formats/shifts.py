"""Offsets that are shifted against the text: all alike, or drifting, as where something was cut or added."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bioner_fast.formats.readings import Claim, Reading, Span, is_clean, is_nearly_there, is_there, read_as

# A single mention, which no other bears out, is moved at most so many characters.
NEARBY = 20
# A shift explains a document if so many of its mentions equal the text or could be another form of it.
_MOST = 0.6
# Prices of a path of shifts: a mention that is not met, and a leap to a shift that others vote for.
_MISSED, _LEAP = 3.0, 6.0
_PATHS = 24


@dataclass(slots=True)
class _Path:
    """Shifts of the claims so far, as a linked list: the last claim met, and the path before it."""

    cost: float
    shift: int
    met: int = -1
    before: _Path | None = None


def explains(shifted: Reading, best: Reading) -> bool:
    """Whether a shift explains a document, and better than the best reading before it."""
    claims = len(shifted.fits)
    if shifted.fitting == claims > best.fitting:
        return True  # even if all spans are clean without it
    if shifted.fitting < max(2, claims * 0.4) or shifted.supported < claims * _MOST:
        return False
    if shifted.supported == best.supported:
        return shifted.fitting > best.fitting
    return shifted.supported > best.supported and shifted.fitting >= best.fitting


def occurrences(text: str, mention: str, low: int, high: int) -> Iterator[int]:
    """Where an exact mention begins, from ``low`` to ``high``."""
    at = text.find(mention, max(low, 0), max(high, 0) + len(mention))
    while at >= 0:
        yield at
        at = text.find(mention, at + 1, max(high, 0) + len(mention))


def shifted_readings(claims: Sequence[Claim], reading: Reading) -> Iterator[Reading]:
    """Readings whose offsets are shifted against the text: all alike, then slowly drifting."""
    text = reading.layout.text
    shifts = _votes(text, claims, reading)
    for shift in shifts:
        if shift:
            spans = [_move(span, shift) for span in reading.spans]
            remark = f"offsets are {abs(shift)} too {'low' if shift > 0 else 'high'}; they were shifted"
            yield read_as(reading.layout, claims, spans, [*reading.remarks, remark])
    if reading.supported == len(claims):
        return
    path = _drift(text, claims, reading, shifts)
    if any(path):
        spans = [
            _drifted(text, claim, span, shift)
            for claim, span, shift in zip(claims, reading.spans, path, strict=True)
        ]
        remark = f"offsets drift by {min(path):+} to {max(path):+} against the text; they were shifted"
        yield read_as(reading.layout, claims, spans, [*reading.remarks, remark])


def _votes(text: str, claims: Sequence[Claim], reading: Reading) -> list[int]:
    """Shifts that put several mentions on the text, those of most mentions first."""
    votes: Counter[int] = Counter()
    anchored = [(claim, _anchor(claim, span)) for claim, span in zip(claims, reading.spans, strict=True)]
    known = [(claim.mention or "", at) for claim, at in anchored if at is not None]
    for mention, at in known[:: max(1, len(known) // 64)]:
        near = itertools.islice(occurrences(text, mention, at - 200, at + 200), 50)
        far = itertools.islice(occurrences(text, mention, 0, len(text)), 50)
        votes.update({found - at for found in (*near, *far)})
    ranked = sorted(votes.items(), key=lambda item: (-item[1], abs(item[0])))
    return [shift for shift, count in ranked[:8] if count > 1]


def _anchor(claim: Claim, spans: tuple[Span, ...] | None, slack: int = 0) -> int | None:
    """Where a claim begins, if its span is about as long as its mention, so that it may be shifted."""
    if spans is None or len(spans) > 1 or not claim.mention or not claim.mention.strip():
        return None
    start, end = spans[0]
    return start if abs(end - start - len(claim.mention)) <= slack else None


def _move(spans: tuple[Span, ...] | None, shift: int) -> tuple[Span, ...] | None:
    return None if spans is None else tuple((start + shift, end + shift) for start, end in spans)


def _drifted(text: str, claim: Claim, spans: tuple[Span, ...] | None, shift: int) -> tuple[Span, ...] | None:
    """The spans, shifted; where their mention begins there, it ends with it, as drift goes on inside."""
    moved = _move(spans, shift)
    if moved and len(moved) == 1 and claim.mention and moved[0][0] >= 0:
        start = moved[0][0]
        if text.startswith(claim.mention, start):
            return ((start, start + len(claim.mention)),)
    return moved


def _drift(text: str, claims: Sequence[Claim], reading: Reading, votes: Sequence[int]) -> list[int]:
    """The shift of every claim on the cheapest path on which shifts change seldom and slowly."""
    anchors: dict[int, int] = {}
    for index, (claim, span) in enumerate(zip(claims, reading.spans, strict=True)):
        at = _anchor(claim, span, slack=4)
        if at is not None:
            anchors[index] = at
    order = sorted(anchors, key=anchors.__getitem__)
    paths = [_Path(0.0, 0), *(_Path(_LEAP / 3, shift) for shift in votes if shift)]
    previous = 0
    for index in order:
        at, mention = anchors[index], claims[index].mention or ""
        step = max(6, min((at - previous) // 2, 2000))
        previous = at
        # A span as long as its mention is surer to be this one.
        resized = 0.0 if _anchor(claims[index], reading.spans[index]) is not None else 1.0
        best: dict[int, _Path] = {}

        def offer(path: _Path, best: dict[int, _Path] = best) -> None:
            known = best.get(path.shift)
            if known is None or path.cost < known.cost:
                best[path.shift] = path

        first = min(paths, key=lambda path: path.cost)
        for shift in votes:
            if _stands(text, mention, at + shift):
                offer(_Path(first.cost + _LEAP, shift, index, first))
        for path in paths:
            there = at + path.shift
            if _stands(text, mention, there):
                offer(_Path(path.cost, path.shift, index, path))
            else:
                offer(_Path(path.cost + _MISSED, path.shift, path.met, path.before))
            near = occurrences(text, mention, there - step, there + step)
            for start in sorted(near, key=lambda start: abs(start - there))[:4]:
                if change := abs(start - there):
                    offer(_Path(path.cost + resized + 1 + min(change, 40) / 4, start - at, index, path))
        paths = sorted(best.values(), key=lambda path: (path.cost, abs(path.shift)))[:_PATHS]
    return _shifts(claims, reading, order, min(paths, key=lambda path: path.cost))


def _stands(text: str, mention: str, start: int) -> bool:
    """Whether a mention begins at a position, but for case and punctuation."""
    return start >= 0 and (
        text.startswith(mention, start) or is_nearly_there(text, ((start, start + len(mention)),), mention)
    )


def _shifts(claims: Sequence[Claim], reading: Reading, order: list[int], path: _Path | None) -> list[int]:
    """A shift for every claim: those of the path, less what only one mention says, and between them."""
    met: dict[int, int] = {}
    while path is not None:
        if path.met >= 0:
            met[path.met] = path.shift
        path = path.before
    known = [index for index in order if index in met]
    steady: list[tuple[int, int]] = []  # (start, shift)
    for place, index in enumerate(known):
        shift = met[index]
        around = [met[known[other]] for other in (place - 1, place + 1) if 0 <= other < len(known)]
        inner = shift in around or (len(around) == 2 and min(around) <= shift <= max(around))
        last = len(around) == 1 and abs(shift - around[0]) <= NEARBY
        if inner or (last and not reading.clean[index] and not reading.fits[index]):
            spans = reading.spans[index]
            steady.append((spans[0][0] if spans else 0, shift))
    starts = [start for start, _ in steady]
    text = reading.layout.text
    result = []
    for claim, spans in zip(claims, reading.spans, strict=True):
        if spans is None or not steady:
            result.append(0)
            continue
        at = bisect_right(starts, spans[0][0])
        options = [steady[i][1] for i in (at - 1, at) if 0 <= i < len(steady)]
        good = [s for s in options if is_there(text, _drifted(text, claim, spans, s), claim.mention)]
        clean = [s for s in options if is_clean(text, _move(spans, s))]
        result.append([*good, *clean, *options][0])
    return result
