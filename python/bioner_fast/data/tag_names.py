"""How the tags of a column are read: which are tags of chunks, in which spelling, and which belong to none.

The one rule for training, conversion, evaluation, ``data check`` and tagging. A tag is ``O``, or a prefix, a
hyphen and a type (the type is all after the *first* hyphen), or, in a column without types, the prefix alone.
Prefixes are those of IOB1, IOB2 and IOBES (B, I, E, S) and those that other schemes have in their place (L,
U, M, W). A column is one of chunks if at most half of its tokens have another tag. Those tags, strays, are
read as ``O`` and reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# The type of chunks whose tags say none.
NO_TYPE = "_"
_SPELLED = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "W": "S", "M": "I"}


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; prefix ``""`` where the tag belongs to no scheme.

    Example:
        >>> split_tag("B-C-D"), split_tag("O"), split_tag("NN")
        (('B', 'C-D'), ('O', ''), ('', 'NN'))
    """
    if tag == "O":
        return "O", ""
    prefix, hyphen, kind = tag.partition("-")
    if prefix in ("B", "I", "E", "S") and (hyphen and kind):
        return prefix, kind
    return "", tag


def join_tag(prefix: str, kind: str) -> str:
    """The inverse of :func:`split_tag`."""
    return "O" if prefix == "O" else f"{prefix}-{kind}" if prefix else kind


@dataclass(frozen=True, slots=True)
class TagReading:
    """How the tags of a column of chunks are read.

    Attributes:
        spelled: the tag that each of the column's is read as: ``O``, or B, I, E or S with a type.
        strays: the tags of no scheme, by first appearance; they are read as ``O``.
        bare: whether the tags have no types.
    """

    spelled: dict[str, str]
    strays: tuple[str, ...]
    bare: bool


def read_tags(counts: Mapping[str, int], type_name: str = NO_TYPE) -> TagReading | None:
    """How the tags of a column are read; None where they are no tags of chunks but, say, parts of speech.

    Args:
        counts: tokens of each tag, by first appearance.
        type_name: the type of bare tags (B, I, O).

    Example:
        >>> read_tags({"O": 5, "U-Gene": 1, "o": 1}).spelled
        {'O': 'O', 'U-Gene': 'S-Gene', 'o': 'O'}
        >>> read_tags({"B": 1, "I": 1, "O": 5}, "disease").spelled["B"]
        'B-disease'
        >>> read_tags({"NN": 5, "O": 1}) is None
        True
    """
    typed = sum(count for tag, count in counts.items() if _typed(tag))
    plain = sum(count for tag, count in counts.items() if tag in _SPELLED)
    bare = plain > typed
    spelled, strays = {}, []
    for tag in counts:
        prefix, _, kind = tag.partition("-")
        if tag == "O":
            spelled[tag] = tag
        elif bare and tag in _SPELLED:
            spelled[tag] = f"{_SPELLED[tag]}-{type_name}"
        elif not bare and _typed(tag):
            spelled[tag] = f"{_SPELLED[prefix]}-{kind}"
        else:
            spelled[tag] = "O"
            strays.append(tag)
    missed = sum(counts[tag] for tag in strays)
    if 2 * missed > sum(counts.values()):
        return None
    return TagReading(spelled, tuple(strays), bare)


def not_chunks(tags: Iterable[str]) -> str:
    """What is said of tags that are none of chunks."""
    names = list(tags)
    shown = ", ".join(repr(tag) if tag != tag.strip() or not tag else tag for tag in names[:4])
    return f"{shown}{', ...' if len(names) > 4 else ''}"


def stray_message(counts: Mapping[str, int], strays: Iterable[str]) -> str:
    """One sentence about stray tags.

    Example:
        >>> stray_message({"O": 3, "o": 1}, ["o"])
        'tags of no scheme are read as O: o (1 token)'
    """
    names = list(strays)
    told = [f"{tag or repr(tag)} ({counts[tag]:,} token{'s' * (counts[tag] != 1)})" for tag in names[:10]]
    more = f" and {len(names) - 10} others" if len(names) > 10 else ""
    return f"tags of no scheme are read as O: {', '.join(told)}{more}"


def _typed(tag: str) -> bool:
    prefix, hyphen, kind = tag.partition("-")
    return prefix in _SPELLED and hyphen == "-" and kind != ""
