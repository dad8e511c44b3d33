"""Word forms, version 1, written plainly."""

from __future__ import annotations

import unicodedata

from bioner_fast.features.folding import fold

AFFIX_ROWS = (5000, 5000, 5000, 5000, 1000)
SLOTS = 16


def _character(c: str) -> int:
    if 0x20 <= ord(c) < 0x7F:
        return ord(c) - 0x20 + 3
    if c.isupper():
        other = 0
    elif c.islower() or unicodedata.category(c) == "Lt":
        other = 1
    elif unicodedata.category(c)[0] in "LN":
        other = 2
    elif unicodedata.category(c)[0] == "M":
        other = 3
    else:
        other = 4
    return 3 + 95 + other


def characters(token: str, *, folding: bool = True) -> list[int]:
    text = fold(token) if folding and not token.isascii() else token
    if len(text) > SLOTS - 2:
        text = text[:7] + text[-7:]
    ids = [1, *map(_character, text), 2]
    return ids + [0] * (SLOTS - len(ids))


def _row(column: int, text: str) -> int:
    h = 0xCBF29CE484222325
    for code in (column, *map(ord, text)):
        for byte in code.to_bytes(4, "little"):
            h = (h ^ byte) * 0x100000001B3 % 2**64
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    h = (h ^ (h >> 27)) * 0x94D049BB133111EB % 2**64
    h ^= h >> 31
    return sum(AFFIX_ROWS[:column]) + h % AFFIX_ROWS[column]


def _mark(c: str) -> str:
    if "0" <= c <= "9":
        return "0"
    if c.isupper():
        return "A"
    return "a" if unicodedata.category(c)[0] in "LN" else c


def affixes(token: str, *, folding: bool = True) -> list[int]:
    text = fold(token) if folding and not token.isascii() else token
    small = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    shape = ""
    for c in map(_mark, text):
        if shape[-2:] != c * 2:
            shape += c
    parts = [small[:3], small[-3:], small[:4], small[-4:], shape]
    return [_row(column, part) for column, part in enumerate(parts)]
