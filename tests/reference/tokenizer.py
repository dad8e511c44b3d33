"""The tokenizer's rule as a regular expression over kinds of characters, by the running Python's Unicode."""

from __future__ import annotations

import re
import unicodedata

TOKEN = re.compile("a[am]*|[om]m*")


def kind(character: str) -> str:
    """``a`` letter or number, ``m`` combining mark, ``s`` white space, ``o`` anything else."""
    if character.isspace():
        return "s"
    category = unicodedata.category(character)[0]
    return {"L": "a", "N": "a", "M": "m"}.get(category, "o")


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of every token, in code points."""
    kinds = "".join(map(kind, text))
    return [match.span() for match in TOKEN.finditer(kinds)]
