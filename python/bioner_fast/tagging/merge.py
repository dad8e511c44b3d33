"""What ``--merge`` does with entities of several tasks, and a model of ``train --merge-types``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bioner_fast.data.document import Entity


def merge_entities(entities: list[Entity], task_order: Mapping[str, int]) -> list[Entity]:
    """Keep the best of overlapping entities.

    The rule: go through all entities of a passage by falling score; of equal scores the longer first, then
    the one that starts earlier, then the one whose task comes first in the bundle. An entity is kept unless
    it shares a character with one that was kept before. So the kept ones never overlap, whatever the tasks.
    Annotations that the input brought along take no part.

    Example:
        >>> a = Entity(0, 6, "Disease", "cancer", score=0.9, task="disease")
        >>> b = Entity(0, 13, "Gene", "cancer gene 1", score=0.7, task="gene")
        >>> [e.text for e in merge_entities([b, a], {"gene": 0, "disease": 1})]
        ['cancer']
    """
    ranked = sorted(
        entities,
        key=lambda e: (
            -(e.score or 0.0),
            -(e.end - e.start),
            e.start,
            task_order.get(e.task or "", len(task_order)),
        ),
    )
    kept: list[Entity] = []
    for entity in ranked:
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: e.start)


def to_normal_types(entities: Sequence[Entity], names: Mapping[str, str]) -> list[Entity]:
    """Entities under their normal types; what several tasks find alike is there once.

    Corpora call the same thing by different names and each labels only some of the things there are. A model
    trained on several of them with ``--merge-types`` tags as one: every entity takes the normal name of its
    type, and of those with the same place and the same normal type the one with the highest score is kept (of
    equal scores the first). What still overlaps, in place or in type, is settled by :func:`merge_entities`.

    Args:
        entities: of one passage, of all tasks.
        names: normal names by type; a type that is not there keeps its own.

    Example:
        >>> a = Entity(0, 3, "GGP", "p53", score=0.7, task="a")
        >>> b = Entity(0, 3, "GENE", "p53", score=0.9, task="b")
        >>> [(e.type, e.task) for e in to_normal_types([a, b], {"GGP": "gene", "GENE": "gene"})]
        [('gene', 'b')]
    """
    best: dict[tuple[int, int, str], Entity] = {}
    for entity in entities:
        named = dataclasses.replace(entity, type=names.get(entity.type, entity.type))
        key = named.start, named.end, named.type
        if key not in best or (named.score or 0.0) > (best[key].score or 0.0):
            best[key] = named
    return list(best.values())
