"""What ``--merge`` does with entities of different tasks that overlap."""

from __future__ import annotations

from collections.abc import Mapping

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
