"""How well a tagger finds what documents are annotated with: exact spans, by type."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.document import Document


@dataclass(frozen=True, slots=True)
class EntityCounts:
    """Entities found and meant (``right``), found only (``spurious``), and meant only (``missed``).

    Example:
        >>> EntityCounts(8, 2, 2).f1
        80.0
    """

    right: int = 0
    spurious: int = 0
    missed: int = 0

    def __add__(self, other: EntityCounts) -> EntityCounts:
        return EntityCounts(
            self.right + other.right, self.spurious + other.spurious, self.missed + other.missed
        )

    @property
    def precision(self) -> float:
        """In percent."""
        return 100.0 * self.right / max(self.right + self.spurious, 1)

    @property
    def recall(self) -> float:
        """In percent."""
        return 100.0 * self.right / max(self.right + self.missed, 1)

    @property
    def f1(self) -> float:
        """In percent."""
        return 200.0 * self.right / max(2 * self.right + self.spurious + self.missed, 1)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "precision": round(self.precision, 2), "recall": round(self.recall, 2), "f1": round(self.f1, 2),
            "right": self.right, "spurious": self.spurious, "missed": self.missed,
        }  # fmt: skip


def bare(documents: Iterable[Document]) -> list[Document]:
    """The documents without their annotations."""
    return [
        dataclasses.replace(
            document, passages=[dataclasses.replace(p, entities=[]) for p in document.passages]
        )
        for document in documents
    ]


def compare(
    gold: Sequence[Document], found: Sequence[Document], types: Iterable[str]
) -> dict[str, EntityCounts]:
    """Counts by type; an entity is right if one of its type starts and ends where it does.

    Example:
        >>> from bioner_fast.data.document import Passage
        >>> text = Document("1", [Passage("p53 in mice", entities=[Entity(0, 3, "gene", "p53")])])
        >>> compare([text], [text], ["gene"])["gene"].f1
        100.0
    """
    counts = dict.fromkeys(types, EntityCounts())
    for meant, tagged in zip(gold, found, strict=True):
        for kind in counts:
            wanted, told = _places(meant, kind), _places(tagged, kind)
            both = len(wanted & told)
            counts[kind] += EntityCounts(both, len(told) - both, len(wanted) - both)
    return counts


def _places(document: Document, kind: str) -> set[tuple[tuple[int, int], ...]]:
    return {tuple(e.spans) or ((e.start, e.end),) for e in document.iter_entities() if e.type == kind}


def by_type(counts: Mapping[str, EntityCounts]) -> dict[str, Any]:
    """Figures by type, and ``overall`` where there are several types."""
    result = {kind: one.to_json() for kind, one in counts.items()}
    if len(counts) > 1:
        result["overall"] = sum(counts.values(), EntityCounts()).to_json()
    return result


def judged(
    gold: Sequence[Document], found: Sequence[Document], types: Iterable[str]
) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """By type, the scores of the predictions and which of them are right."""
    pairs: dict[str, list[tuple[float, bool]]] = {kind: [] for kind in types}
    for meant, tagged in zip(gold, found, strict=True):
        wanted = {kind: _places(meant, kind) for kind in pairs}
        for entity in tagged.iter_entities():
            if entity.type in pairs:
                right = (tuple(entity.spans) or ((entity.start, entity.end),)) in wanted[entity.type]
                pairs[entity.type].append((entity.score or 0.0, right))
    return {
        kind: (np.array([s for s, _ in rows], np.float64), np.array([r for _, r in rows], np.bool_))
        for kind, rows in pairs.items()
    }
