"""The rule of Schwartz and Hearst (2003) on plain strings, a sentence at a time; slow, and easy to check."""

from __future__ import annotations

import re
import unicodedata

Definition = tuple[int, int, int, int]

GREEK = {"α": "a", "β": "b", "γ": "g", "δ": "d", "κ": "k", "µ": "m", "ω": "o"}


def fold(c: str) -> str:
    """A character as it is compared."""
    c = GREEK.get(c.lower(), c.lower())
    return unicodedata.normalize("NFD", c)[0]


def words(text: str) -> list[str]:
    return text.split()


def is_short(text: str) -> bool:
    return (
        2 <= len(text) <= 10
        and 1 <= len(words(text)) <= 2
        and text[0].isalnum()
        and any(c.isalpha() for c in text)
        and not re.search(r"[()\[\]]", text)
    )


def long_before(sentence: str, end: int, short: str) -> int | None:
    """Where the long form of ``short`` begins that ends at ``end``, if there is one."""
    letters = [c for c in short if c.isalnum()]
    starts = [m.start() for m in re.finditer(r"\S+", sentence[:end])]
    low = starts[max(len(starts) - min(len(letters) + 5, 2 * len(letters)), 0)]
    at = end
    for i, c in reversed(list(enumerate(letters))):
        while True:
            at -= 1
            if at < low:
                return None
            if fold(sentence[at]) == fold(c) and (i > 0 or at == low or not sentence[at - 1].isalnum()):
                break
    while at > low and not sentence[at - 1].isspace() and sentence[at - 1] not in "([":
        at -= 1
    long = sentence[at:end]
    if len(long) <= len(short) or not balanced(long):
        return None
    if re.fullmatch(r"[^\W_]+|.", short) and short in re.findall(r"[^\W_]+|\S", long):
        return None
    return at


def balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if depth < 0:
            return False
    return depth == 0


def definitions(sentence: str) -> list[Definition]:
    """(short start, short end, long start, long end) of a sentence, code points."""
    found: list[Definition] = []
    for opening in re.finditer(r"[(\[]", sentence):
        open_, close_ = ("(", ")") if opening.group() == "(" else ("[", "]")
        depth, close = 0, None
        for at in range(opening.start(), len(sentence)):
            depth += (sentence[at] == open_) - (sentence[at] == close_)
            if depth == 0:
                close = at
                break
        if close is None:
            continue
        begin = opening.end()
        inside = sentence[begin:close]
        begin += len(inside) - len(inside.lstrip())
        stop = re.search(r"[,;]\s", sentence[begin : close + 1])
        end = close if stop is None else begin + stop.start()
        short = sentence[begin:end].rstrip()
        before = sentence[: opening.start()].rstrip()
        if is_short(short):
            start = long_before(sentence, len(before), short) if before else None
            if start is not None:
                found.append((begin, begin + len(short), start, len(before)))
        elif before and before != sentence[: opening.start()] and len(words(inside)) > 1:
            short = words(before)[-1]
            stripped = inside.strip()
            start = long_before(sentence, begin + len(stripped), short) if is_short(short) else None
            letters = sum(c.isalnum() for c in short)
            few = len(words(stripped)) <= min(letters + 5, 2 * letters)
            if start == begin and few:
                found.append((len(before) - len(short), len(before), begin, begin + len(stripped)))
    return found
