"""The normalisation chain and the capitalisation classes with Python's own strings."""

from __future__ import annotations

import re

DIGITS = re.compile(r"[+-]?(?:[.,]?[0-9])+")


def lower(token: str) -> str:
    """Simple lower case: like ``str.lower``, but a final sigma stays a plain one."""
    return "".join(character.lower() for character in token)


def forms(token: str, normalization: str) -> list[str]:
    """What is looked up, in order."""
    chain = {"none": 1, "published": 2, "default": 3}[normalization]
    return [token, lower(token), DIGITS.sub("0", token)][:chain]


def lookup(words: list[str], tokens: list[str], normalization: str) -> list[int]:
    """Row of every token, -1 where none of its forms is a word."""
    rows = {word: row for row, word in reversed(list(enumerate(words)))}
    return [
        next((rows[form] for form in forms(token, normalization) if form in rows), -1) for token in tokens
    ]


def capitalization(token: str) -> str:
    """The published rule."""
    if token.isupper():
        return "allcaps"
    if token[0].isupper():
        return "initcap"
    if any(character.isupper() for character in token):
        return "hascap"
    return "nocaps"
