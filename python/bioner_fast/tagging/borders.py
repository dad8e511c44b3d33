"""Text as it comes: what is no name whatever it looks like, and where names with brackets or numbers end.

These rules hold for any model. They look at characters, which the network does not see: how tokens stand
together, and what the white space around them is.
"""

from __future__ import annotations

import re

# Addresses and identifiers of articles; the field tags of MEDLINE; what is not seen.
_ADDRESS = re.compile(
    r"(?:https?|ftp)://[^\s<>\"]+"
    r"|\bwww\.[^\s<>\"]+\.[^\s<>\"]+"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?:\bdoi:\s?)?\b10\.\d{4,9}/[^\s<>\"]+",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^(?:[A-Z]{2}  |[A-Z]{3} |[A-Z]{4})- ", re.MULTILINE)
_UNSEEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
# Function words that are names of genes or diseases too. Where everything is in capitals they are words.
_WORDS = tuple(
    f" {word} " for word in ("WAS", "NOT", "ALL", "CAN", "HAS", "HAD", "AND", "FOR", "THE", "ARE", "MAY")
)
_STOP = re.compile(r"[.!?;:\n]")
# How far a rule looks for what belongs together.
_NEAR = 48
_TRAILING = ".,;:!?'\"*"
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_OPENING = {closing: opening for opening, closing in _PAIRS.items()}


def no_names(text: str) -> list[tuple[int, int]]:
    """Stretches of a text that can be no part of a name: code-point offsets, in order.

    E-mail addresses, URLs, DOIs, MEDLINE field tags (``TI  - ``), characters that are not seen, and function
    words in text that is all in capitals (``THE RATE WAS HIGH``).

    Example:
        >>> text = "See https://tp53.org/a (doi:10.1000/p53)."
        >>> [text[a:b] for a, b in no_names(text)]
        ['https://tp53.org/a', 'doi:10.1000/p53']
    """
    found: list[tuple[int, int]] = []
    # Most texts have none of this, and looking for a substring costs next to nothing.
    if "@" in text or "://" in text or "10." in text or "www." in text or "WWW." in text:
        for match in _ADDRESS.finditer(text):
            found.append((match.start(), match.start() + len(_without_trailing(match.group()))))
    if "- " in text:
        found += [match.span() for match in _FIELD.finditer(text)]
    if not text.isascii():
        found += [match.span() for match in _UNSEEN.finditer(text)]
    for word in _WORDS:
        at = text.find(word)
        while at >= 0:
            if _all_capitals(text, at, at + len(word)):
                found.append((at + 1, at + len(word) - 1))
            at = text.find(word, at + 1)
    return sorted(found)


def _all_capitals(text: str, start: int, end: int) -> bool:
    """Whether the words around are in capitals too, as far as the next stops or a few words."""
    before = _STOP.split(text[max(0, start - _NEAR) : start])[-1].split()[-3:]
    after = _STOP.split(text[end : end + _NEAR])[0].split()[:3]
    words = [word for word in (*before, *after) if word.isalpha()]
    return len(words) > 1 and all(word.isupper() for word in words)


def _without_trailing(address: str) -> str:
    """Without the punctuation of the sentence around it."""
    while address:
        last = address[-1]
        if last in _TRAILING or (last in _OPENING and address.count(last) > address.count(_OPENING[last])):
            address = address[:-1]
        else:
            return address
    return address


# Characters beside a mention, or in it, with which its borders may be wrong.
_BEFORE = frozenset(",-([{'′:−–+")
_AFTER = frozenset("*+-)]}(−")
_INSIDE = re.compile(r"[()\[\]{}]")
# What stands before the parent of a chemical name: 2,3,7,8- (+)- (R)- 3β- N- D- 1H-
_LOCANTS = re.compile(
    r"(?<![^\s(\[{/,;=])"
    r"(?:(?:\d+[a-zα-ω]?[′']?[,:])*\d+[a-zα-ωH]?[′']?[-–]"
    r"|(?:[NOSαβγδω],)*[NOSDLαβγδω][-–]"
    r"|[(\[](?:[+\-−±]{1,2}|\d*[RSEZ](?:,\d*[RSEZ])*|\+/[-−]|[RSDL]/[RSDL])[)\]][-–])+$"
)
_POLY = re.compile(r"\b(?:poly|bis|tris|tetrakis)\($", re.IGNORECASE)
_HLA = re.compile(r"(?:.*[^A-Za-z])?(?:HLA-?)?(?:[ABCEFG]|D[RQPMO][AB]?\d?|MIC[AB])$|HLA\W")
_ION = re.compile(r"(?:.*\W)?[A-Z][a-z]?\d?$")
_ALLELE = re.compile(r"\*\d+(?::\d+)*[A-Z]?\b")
_CHARGE = re.compile(r"\(\d?[+−-]\)|\d?\+{1,2}(?![\w+])")


def whole(text: str, start: int, end: int, type_name: str, low: int, high: int) -> tuple[int, int]:
    """Where a mention really begins and ends.

    It takes in what belongs to it and touches it: the other one of a pair of brackets, the locants of a
    chemical (``2,3,7,8-``, ``(+)-``), the charge of an ion, and the number of an HLA allele
    (``HLA-B*27:05``). A bracket that has no other one near by is left out.

    Args:
        text: of the passage.
        start, end: code-point offsets into it.
        type_name: the normal type.
        low, high: offsets that it may not cross: its neighbours.

    Returns:
        The new offsets; ``start == end`` if nothing is left.

    Example:
        >>> text = "of 2,3,7,8-tetrachlorodibenzo-p-dioxin"
        >>> text[slice(*whole(text, 7, 38, "chemical", 0, 38))]
        '2,3,7,8-tetrachlorodibenzo-p-dioxin'
    """
    before = text[start - 1] if start > low else " "
    after = text[end] if end < high else " "
    if before not in _BEFORE and after not in _AFTER and _INSIDE.search(text, start, end) is None:
        return start, end
    if type_name == "chemical":
        if before in _BEFORE:
            # It may begin in the middle of its locants: go back to where they can begin.
            match = _LOCANTS.search(text[max(low, start - _NEAR) : _parent(text, start, end)])
            if match is not None:
                start = min(start, max(low, start - _NEAR) + match.start())
        if before == "(" and after == ")" and (match := _POLY.search(text, max(low, start - 12), start)):
            return match.start(), end + 1
        match = _CHARGE.match(text, end, high)
        if match is not None and _ION.match(text, start, end) is not None:
            end = match.end()
    elif type_name in ("gene", "variant") and after == "*" and _HLA.match(text, start, end) is not None:
        match = _ALLELE.match(text, end, high)
        if match is not None:
            end = match.end()
    return _balanced(text, start, end, low, high)


def _parent(text: str, start: int, end: int) -> int:
    """Where the name behind the locants begins that a mention begins with, if it begins with some."""
    match = re.compile(r"(?:\d+[a-z]?[′']?,)*\d+[a-z]?[′']?[-–]").match(text, start, end)
    return start if match is None else match.end()


def _balanced(text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    """The mention with both brackets of every pair, or none."""
    for _ in range(4):
        open_, close = _unmatched(text, start, end)
        if close is not None:
            wanted = _OPENING[text[close]]
            at = start - 1
            while at >= low and start - at <= _NEAR and not text[at].isspace() and text[at] != wanted:
                at -= 1
            if at >= low and text[at] == wanted:
                start = at
            elif close == end - 1:
                end = close
            elif close == start:
                start = close + 1
            else:
                break
        elif open_ is not None:
            wanted = _PAIRS[text[open_]]
            at = end
            while at < high and at - end <= _NEAR and not text[at].isspace() and text[at] not in "()[]{}":
                at += 1
            spaced = open_ > start and text[open_ - 1].isspace()
            if open_ == start:
                start += 1
            elif at < high and text[at] == wanted and not (spaced and at > end):
                # "rheumatoid arthritis (RA": what is defined is no part of the name.
                if spaced:
                    end = open_
                else:
                    end = at + 1
            else:
                end = open_
        else:
            break
        while start < end and text[end - 1].isspace():
            end -= 1
        while start < end and text[start].isspace():
            start += 1
    return start, end


def _unmatched(text: str, start: int, end: int) -> tuple[int | None, int | None]:
    """The first opening and the first closing bracket without the other one."""
    stack: list[int] = []
    for match in _INSIDE.finditer(text, start, end):
        bracket, at = match.group(), match.start()
        if bracket in _PAIRS:
            stack.append(at)
        elif stack and text[stack[-1]] == _OPENING[bracket]:
            stack.pop()
        else:
            return (stack[0] if stack else None), at
    return (stack[0] if stack else None), None
