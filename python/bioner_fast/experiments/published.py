"""Published scores, from the data file beside this module."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a column of published numbers comes from."""

    key: str
    title: str
    source: str
    note: str


class Published:
    """Published test F1.

    Example:
        >>> Published.load().f1("BC2GM", "pair"), Published.load().partner("BC2GM")
        (72.21, 'Ex-PTM')
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.sources = [Publication(key, **entry) for key, entry in facts["sources"].items()]
        self.means: dict[str, float] = facts["means"]
        self._corpora: dict[str, dict[str, Any]] = facts["corpora"]

    @classmethod
    @functools.cache
    def load(cls) -> Published:
        """The numbers that come with the package."""
        path = Path(__file__).with_name("published.toml")
        return cls(tomllib.loads(path.read_text(encoding="utf-8")))

    def f1(self, corpus: str, source: str) -> float | None:
        """A corpus's F1 in a column, None where there is none."""
        value = self._corpora.get(corpus, {}).get(source)
        return None if value is None else float(value)

    def partner(self, corpus: str) -> str | None:
        """The other corpus of the best pair."""
        return self._corpora.get(corpus, {}).get("partner")
