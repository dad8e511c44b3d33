"""Text with its entities marked, as HTML: what pages, notebooks and the service show."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

# Colours that colour-blind readers tell apart (Okabe and Ito 2008); further types begin again.
_PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#b8a800", "#7f7f7f")
# Known types keep their colour from page to page.
_KNOWN = ("gene", "chemical", "disease", "species", "cell_line", "variant", "anatomy", "cell_type")

STYLE = """\
.bf-text{white-space:pre-wrap;overflow-wrap:anywhere;line-height:2}
.bf-text mark{color:inherit;background:color-mix(in srgb,var(--c) 28%,transparent);\
border-bottom:2px solid var(--c);border-radius:3px;padding:.12em .1em}
.bf-text mark mark{padding:.02em .1em}
.bf-text mark:not(.bf-cut)::after{content:attr(data-t);font:600 .62em/1 system-ui,sans-serif;opacity:.75;\
margin-left:.35em;white-space:nowrap}
.bf-text mark.bf-off{background:none;border-color:transparent;padding:0}
.bf-text mark.bf-off::after{content:none}
"""


class Span(Protocol):
    """What is marked: an :class:`~bioner_fast.data.document.Entity`, or anything like it."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def score(self) -> float | None: ...


def colours(types: Iterable[str]) -> dict[str, str]:
    """A colour for every type, as CSS writes it. Known types have always the same one.

    Example:
        >>> colours(["disease"])
        {'disease': '#009e73'}
    """
    result: dict[str, str] = {}
    free = 0
    for name in dict.fromkeys(types):
        lower = name.lower()
        if lower in _KNOWN:
            result[name] = _PALETTE[_KNOWN.index(lower)]
        else:
            result[name] = _PALETTE[free % len(_PALETTE)]
            free += 1
    return result


def type_counts(entities: Iterable[Span]) -> list[tuple[str, int]]:
    """How often each type occurs, the most frequent first."""
    return sorted(Counter(entity.type for entity in entities).items(), key=lambda pair: (-pair[1], pair[0]))


def mark_entities(text: str, entities: Sequence[Span], palette: dict[str, str], offset: int = 0) -> str:
    """``text`` escaped, with a ``<mark>`` around every entity.

    An entity inside another is a mark inside a mark. Where two cross, the one that began later is cut in two.

    Args:
        text: any text; markup in it stays text.
        entities: with offsets in code points, which count from ``offset`` before the text.
        palette: colour of every type, from :func:`colours`.
        offset: where the text starts in its document.

    Example:
        >>> from bioner_fast.data.document import Entity
        >>> mark_entities("<TP53>", [Entity(1, 5, "gene", "TP53")], {"gene": "#e69f00"})
        '&lt;<mark style="--c:#e69f00" data-t="gene" title="gene">TP53</mark>&gt;'
    """
    size = len(text)
    # Longest first where several begin at one place, so that they nest.
    todo = sorted(
        (
            (max(e.start - offset, 0), min(e.end - offset, size), number)
            for number, e in enumerate(entities)
            if e.start - offset < size and e.end - offset > 0
        ),
        key=lambda item: (item[0], -item[1], item[2]),
    )
    parts: list[str] = []
    opened: list[tuple[int, int, int]] = []  # (end, entity, where its tag stands in parts), outermost first
    position = 0

    def advance(to: int) -> None:
        nonlocal position
        parts.append(html.escape(text[position:to]))
        position = to

    def open_mark(end: int, number: int) -> None:
        opened.append((end, number, len(parts)))
        parts.append(_opening(entities[number], palette))

    def close_until(limit: int) -> None:
        """Close every mark that ends at ``limit`` or before."""
        while opened and (end := min(one[0] for one in opened)) <= limit:
            advance(end)
            cut: list[tuple[int, int]] = []
            while any(one[0] == end for one in opened):
                last, number, place = opened.pop()
                parts.append("</mark>")
                if last != end:
                    cut.append((last, number))
                    parts[place] = _opening(entities[number], palette, cut=True)
            for last, number in reversed(cut):
                open_mark(last, number)

    for start, end, number in todo:
        if start >= end:
            continue
        close_until(start)
        advance(start)
        open_mark(end, number)
    close_until(size)
    advance(size)
    return "".join(parts)


def _opening(entity: Span, palette: dict[str, str], *, cut: bool = False) -> str:
    name = html.escape(entity.type)
    score = "" if entity.score is None else f' data-s="{entity.score:.3f}"'
    title = name if entity.score is None else f"{name} {entity.score:.2f}"
    kind = ' class="bf-cut"' if cut else ""
    return f'<mark{kind} style="--c:{palette[entity.type]}" data-t="{name}"{score} title="{title}">'


def fragment(passages: Sequence[tuple[str, int, str | None]], entities: Sequence[Span]) -> str:
    """One document as a piece of HTML that brings its own style and runs nothing, for notebooks.

    Args:
        passages: text, offset and name of each.
        entities: of all passages.
    """
    counts = type_counts(entities)
    palette = colours(name for name, _ in counts)
    legend = " ".join(
        f'<mark class="bf-cut" style="--c:{palette[name]}">{html.escape(name)} {count}</mark>'
        for name, count in counts
    )
    body = []
    for text, offset, _ in passages:
        inside = [e for e in entities if offset <= e.start < offset + len(text)]
        body.append(f"<p>{mark_entities(text, inside, palette, offset)}</p>")
    return (
        f'<style>{STYLE}</style><div class="bf-text" style="white-space:normal">{legend}</div>'
        f'<div class="bf-text">{"".join(body)}</div>'
    )
