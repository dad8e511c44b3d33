"""Identifiers of the documents in one output: each stands there once."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.document import Document
from bioner_fast.formats.base import Reporter

# Digests that are looked up in a set, before they become a sorted array.
_FEW = 1 << 16


class Identifiers:
    """Gives documents whose identifier was written before another one: ``12-2``, ``12-3``, and reports it.

    It holds eight bytes a document. Two identifiers of ten million are taken for the same by mistake once in
    200,000 outputs; the second is then renamed without need.
    """

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._sorted: list[NDArray[np.int64]] = []  # each more than twice as long as the next
        self._again: dict[str, int] = {}

    def unique(self, document: Document, reporter: Reporter) -> Document:
        """The document, or a copy with an identifier of its own.

        One without an identifier, or whose identifier its format does not write, stays as it is.
        """
        name = document.id
        if not name or not getattr(document.native, "named", True):
            return document
        free = name
        while not self._take(free):
            self._again[name] = self._again.get(name, 1) + 1
            free = f"{name}-{self._again[name]}"
        if free == name:
            return document
        message = f"a document with this identifier was written before; this one is called {free}"
        reporter.annotation(name, message, kind="text", action="changed")
        native = document.native
        if hasattr(native, "renamed"):
            native = native.renamed(free)
        return dataclasses.replace(document, id=free, native=native)

    def _take(self, name: str) -> bool:
        """Whether a name is new; it is not from then on."""
        key = hash(name)
        if key in self._new:
            return False
        for run in self._sorted:
            at = int(np.searchsorted(run, key))
            if at < len(run) and run[at] == key:
                return False
        self._new.add(key)
        if len(self._new) >= _FEW:
            run = np.sort(np.fromiter(self._new, np.int64, len(self._new)))
            while self._sorted and len(self._sorted[-1]) <= 2 * len(run):
                run = np.sort(np.concatenate([self._sorted.pop(), run]))
            self._sorted.append(run)
            self._new.clear()
        return True
