"""From heads to one answer: which of the entities that were found are told, and under which names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bioner_fast.data.document import Entity
from bioner_fast.data.tasks import normal_type
from bioner_fast.errors import UsageError

OVERLAPS = ("best", "longest", "keep")
CONTEXTS = ("auto", "none")
# An entity of at least this score goes before those inside it, however sure they are.
LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What is asked for.

    Attributes:
        overlaps: of overlapping entities keep the ``best``, the ``longest`` or all (``keep``), see
            :func:`resolve`; None: what the bundle says, else ``keep``.
        types: only entities of these types; None for all. A name means a type called so, in any case, and
            the types whose normal name it is (``gene`` means ``GGP`` too).
        min_score: only entities of at least this score.
        document_context: ``auto``: the rest of the document is evidence, where the bundle is made for it;
            ``none``: every sentence is tagged for itself.
        abbreviations: give documents the abbreviations that they define.

    Types and scores choose from the answer: with them it is a part of what it would be without.

    Raises:
        UsageError: a value is not one of these.
    """

    overlaps: str | None = None
    types: frozenset[str] | None = None
    min_score: float = 0.0
    document_context: str = "auto"
    abbreviations: bool = False

    def __post_init__(self) -> None:
        if self.overlaps is not None and self.overlaps not in OVERLAPS:
            raise UsageError(f"overlaps must be one of {', '.join(OVERLAPS)}, not {self.overlaps!r}")
        if self.document_context not in CONTEXTS:
            raise UsageError(
                f"document context must be one of {', '.join(CONTEXTS)}, not {self.document_context!r}"
            )
        if not 0.0 <= self.min_score <= 1.0:
            raise UsageError(f"min score: expected a probability from 0 to 1, got {self.min_score}")

    def facts(self) -> dict[str, object]:
        """What changes the outputs of a run, for its manifest."""
        return {
            "overlaps": self.overlaps or "as the model says",
            "types": "all" if self.types is None else sorted(self.types),
            "min_score": self.min_score,
            "document_context": self.document_context,
            "abbreviations": self.abbreviations,
        }


def type_names(names: str | Iterable[str] | None) -> frozenset[str] | None:
    """The types asked for, from a list or from names separated by commas.

    Raises:
        UsageError: there are none.

    Example:
        >>> sorted(type_names("gene, disease"))
        ['disease', 'gene']
    """
    if names is None:
        return None
    parts = names.split(",") if isinstance(names, str) else names
    chosen = frozenset(part.strip() for part in parts if part.strip())
    if not chosen:
        raise UsageError("types: expected at least one name, as in gene,disease")
    return chosen


def chosen_types(wanted: frozenset[str], known: Iterable[str]) -> frozenset[str]:
    """Those of ``known`` that are asked for, see :class:`Answer`.

    Raises:
        UsageError: a name means none of them.
    """
    known = sorted(set(known))
    result: set[str] = set()
    for name in sorted(wanted):
        meant = {kind for kind in known if name.lower() in (kind.lower(), normal_type(kind))}
        if not meant:
            raise UsageError(
                f"types: the model finds no {name}; it finds {', '.join(known) or 'no entities'}"
            )
        result |= meant
    return frozenset(result)


def resolve(
    entities: list[Entity], overlaps: str, task_order: Mapping[str, int], *, ranked: bool = False
) -> list[Entity]:
    """Settle overlaps between the entities of one passage.

    ``keep`` keeps them all. Otherwise the kept ones share no character, whatever the tasks:

    - ``longest``: the longer goes first; of equally long ones that with the higher score.
    - ``best``: the one with the higher score goes first, of equal scores the longer; but one inside a longer
      one that is more likely than not (:data:`LIKELY`) makes way for that. Heads are asked separate
      questions, and that a part of a name is a name too says nothing against the whole: of ``heart``
      (anatomy, .74) in ``acute decompensated heart failure`` (disease, .59) the whole is what a reader wants.

    Where the tasks are ``ranked``, ``best`` settles the entities of each task first, and those of a later
    one make way for those of an earlier, whatever their scores: a tumour is a disease to one head and a
    part of the body to another, and both are sure.

    What is still equal goes by its start, then by the order of the tasks in the bundle. Annotations that the
    input brought along take no part.

    Example:
        >>> heart = Entity(6, 11, "anatomy", "heart", score=0.74, task="a")
        >>> failure = Entity(0, 19, "disease", "acute heart failure", score=0.59, task="b")
        >>> [e.type for e in resolve([heart, failure], "best", {"a": 0, "b": 1})]
        ['disease']
        >>> [e.type for e in resolve([failure, heart], "keep", {"a": 0, "b": 1})]
        ['disease', 'anatomy']
    """
    if overlaps == "keep" or len(entities) < 2:
        return entities

    def place(e: Entity) -> int:
        return task_order.get(e.task or "", len(task_order))

    def rank(e: Entity) -> tuple[int, float, float, int, int]:
        first, second = -(e.score or 0.0), float(e.start - e.end)
        if overlaps == "longest":
            first, second = second, first
        return place(e) if ranked and overlaps == "best" else 0, first, second, e.start, place(e)

    kept: list[Entity] = []

    def free(e: Entity) -> bool:
        return all(e.end <= other.start or other.end <= e.start for other in kept)

    in_order = sorted(entities, key=rank)
    likely = [e for e in in_order if (e.score or 0.0) >= LIKELY] if overlaps == "best" else []
    for entity in in_order:
        if not free(entity):
            continue
        around = [
            e
            for e in likely
            if e.start <= entity.start
            and entity.end <= e.end
            and e.end - e.start > entity.end - entity.start
            and free(e)
            and (not ranked or place(e) <= place(entity))
        ]
        # Of several around it the longest: the others would have to make way for that in turn.
        kept.append(min(around, key=lambda e: (e.start - e.end, rank(e))) if around else entity)
    return sorted(kept, key=lambda e: e.start)


def to_normal_types(entities: Sequence[Entity], names: Mapping[str, str]) -> list[Entity]:
    """Entities under their normal types; what several tasks find alike is there once.

    Corpora call the same thing by different names and each labels only some of the things there are. A model
    trained on several of them with ``--merge-types`` tags as one: every entity takes the normal name of its
    type, and of those with the same place and the same normal type the one with the highest score is kept (of
    equal scores the first). What still overlaps, in place or in type, is settled by :func:`resolve`.

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
