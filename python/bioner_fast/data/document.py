"""Documents, passages and entities: what every format reads and writes.

The model is that of BioC, which the other formats are subsets of. Offsets are Unicode code points.
An entity's offsets count from the start of the *document*; a passage says where its text starts there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bioner_fast.data.markup import fragment

Level = Literal["document", "passage", "sentence"]


@dataclass(slots=True)
class Entity:
    """One mention.

    Attributes:
        start, end: code-point offsets into the document, end exclusive; for a discontinuous mention the
            hull of ``spans``.
        type: the entity type, as the corpus or model names it ("Disease").
        text: the mention, ``document text[start:end]`` for a contiguous one.
        score: probability of the span under the model, None for annotations that were read.
        task: the task whose head found it, None for annotations that were read.
        id: identifier within the document ("T1"), where the format has one.
        spans: all (start, end) parts of a discontinuous mention; empty for a contiguous one.
        infons: further key-value pairs (normalised identifiers and the like), kept from format to format.
        level: where BioC attaches the annotation; None for the innermost element that holds it.
    """

    start: int
    end: int
    type: str
    text: str
    score: float | None = None
    task: str | None = None
    id: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    infons: dict[str, str] = field(default_factory=dict)
    level: Level | None = None


@dataclass(slots=True)
class Relation:
    """A relation between entities, by their identifiers.

    Attributes:
        nodes: (identifier of an entity or relation, role) pairs; empty where a format relates concepts
            rather than mentions (PubTator), which are then infons.
        type: the relation's type ("CID"), None where there is none.
        id: identifier within the document ("R1").
        infons: further key-value pairs.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    type: str | None = None
    id: str | None = None
    infons: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Sentence:
    """A sentence that the file itself marks: code-point offsets into the document, infons, relations."""

    start: int
    end: int
    infons: dict[str, str] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)


@dataclass(slots=True)
class Passage:
    """A title, an abstract, a section: one stretch of text.

    Attributes:
        text: as given; never normalised.
        offset: where ``text`` starts in the document, in code points.
        section: what the passage is ("title", "abstract", "METHODS"), None where the format does not say.
        entities: mentions that lie in this passage, in reading order.
        infons: further key-value pairs of the format.
        sentences: sentences, where the file marks them.
        relations: relations that the file attaches to this passage.
    """

    text: str
    offset: int = 0
    section: str | None = None
    entities: list[Entity] = field(default_factory=list)
    infons: dict[str, str] = field(default_factory=dict)
    sentences: list[Sentence] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Abbreviation:
    """An abbreviation where a document defines it.

    Attributes:
        short: the short form ("RA").
        long: the long form ("rheumatoid arthritis").
        start, end: code-point offsets of the short form into the document.
    """

    short: str
    long: str
    start: int
    end: int


@dataclass(slots=True)
class Document:
    """One document: an identifier and its passages in order.

    ``relations`` are those of the whole document. ``native`` holds what only one format can write back
    (brat events, the BioC collection); other formats ignore it. ``abbreviations`` are those that the document
    defines, None where nobody has looked for them.
    """

    id: str
    passages: list[Passage] = field(default_factory=list)
    infons: dict[str, str] = field(default_factory=dict)
    native: object = None
    relations: list[Relation] = field(default_factory=list)
    abbreviations: list[Abbreviation] | None = None

    @classmethod
    def from_text(cls, text: str, id: str = "") -> Document:
        """A document of one passage.

        Example:
            >>> Document.from_text("TP53 is a gene.", id="1").text
            'TP53 is a gene.'
        """
        return cls(id=id, passages=[Passage(text)])

    @property
    def text(self) -> str:
        """The whole text: passages at their offsets, gaps filled with spaces."""
        parts: list[str] = []
        position = 0
        for passage in self.passages:
            if passage.offset > position:
                parts.append(" " * (passage.offset - position))
                position = passage.offset
            parts.append(passage.text)
            position += len(passage.text)
        return "".join(parts)

    @property
    def entities(self) -> list[Entity]:
        """All entities of all passages, in order."""
        return list(self.iter_entities())

    def iter_entities(self) -> Iterator[Entity]:
        """Iterate over the entities of all passages."""
        for passage in self.passages:
            yield from passage.entities

    def _repr_html_(self) -> str:
        """The text with its entities in colours, as notebooks show it."""
        return fragment([(p.text, p.offset, p.section) for p in self.passages], self.entities)

    def iter_relations(self) -> Iterator[Relation]:
        """Iterate over the relations of the document, its passages and their sentences."""
        yield from self.relations
        for passage in self.passages:
            yield from passage.relations
            for sentence in passage.sentences:
                yield from sentence.relations
