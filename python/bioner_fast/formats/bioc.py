"""The BioC model, shared by its XML and JSON forms: dictionaries as in BioC JSON, to and from documents.

An annotation's infon ``type`` is the entity's type, a passage's ``section_type`` or ``type`` its section;
the infons ``score`` and ``task`` of our own output are read back as such.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bioner_fast.data.document import Document, Entity, Level, Passage, Relation, Sentence
from bioner_fast.formats.base import Reporter, report_native
from bioner_fast.formats.offsets import Placement, settle
from bioner_fast.formats.readings import Claim, mention_text

Node = dict[str, Any]


_INTEGER = re.compile("-?[0-9]{1,15}")
_PAIR = re.compile("[^,]+,[^,]+")


class BiocError(ValueError):
    """A document that does not follow BioC; the message says what was expected."""


@dataclass(slots=True)
class Collection:
    """What precedes the documents of a BioC file."""

    source: str = ""
    date: str = ""
    key: str = ""
    infons: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class BiocNative:
    """``Document.native`` of a BioC document.

    Attributes:
        collection: shared by the documents of a file.
        loose: annotations without a location, as (passage index or -1, sentence index or -1, annotation).
    """

    collection: Collection = field(default_factory=Collection)
    loose: list[tuple[int, int, Node]] = field(default_factory=list)

    def losses(self) -> Iterator[str]:
        """Annotations without a location, which only BioC holds."""
        for _, _, node in self.loose:
            yield f"annotation {node.get('id')} has no location; only BioC holds such annotations"


def collection_of(node: Node) -> Collection:
    """Collection data of a BioC JSON object."""
    source, date, key = (
        value if isinstance(value := node.get(name) or "", str) else json.dumps(value)[:100]
        for name in ("source", "date", "key")
    )
    return Collection(source, date, key, _infons(node))


def _infons(node: Node) -> dict[str, str]:
    """Infons as strings; BioC has no other values, but JSON files in the wild do."""
    value = node.get("infons") or {}
    if not isinstance(value, dict):
        raise BiocError(f"expected infons to be key-value pairs, found {type(value).__name__}")
    try:
        return {
            key: item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            for key, item in value.items()
            if item is not None
        }
    except RecursionError:
        raise BiocError("infons are nested too deeply") from None


def _children(node: Node, key: str) -> list[Node]:
    value = node.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BiocError(f"expected {key!r} to be a list of objects")
    return value


def _integer(node: Node, key: str, what: str) -> int:
    value = node.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        if not isinstance(value, str) or not _INTEGER.fullmatch(value.strip()):
            raise BiocError(f"{what} has {key} {value!r}; a whole number was expected")
        value = int(value)
    return value


def _string(node: Node, key: str) -> str:
    value = node.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BiocError(f"expected {key!r} to be text, found {type(value).__name__}")
    return value


def document_id(node: Node) -> str:
    """The identifier of a document: ``id``, else PubTator 3's ``pmid``, ``pmcid`` or ``_id``.

    Raises:
        BiocError: it is neither text nor a number.
    """
    for key in ("id", "pmid", "pmcid", "_id"):
        value = node.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise BiocError(f"expected {key!r} to be text or a whole number, found {type(value).__name__}")
        return str(value).partition("|")[0] if key == "_id" else str(value)
    return ""


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _relations(node: Node) -> list[Relation]:
    result = []
    for item in _children(node, "relations"):
        infons = _infons(item)
        kind = infons.pop("type", None)
        nodes = tuple((str(n.get("refid", "")), str(n.get("role") or "")) for n in _children(item, "nodes"))
        if len(nodes) == 1 and "role1" in infons and "role2" in infons and _PAIR.fullmatch(nodes[0][1]):
            # PubTator 3 has both ends in the role of one node.
            nodes = tuple(zip(nodes[0][1].split(","), ("role1", "role2"), strict=True))
        result.append(Relation(nodes, kind, _optional(item.get("id")), infons))
    return result


@dataclass(slots=True)
class _Pending:
    """An annotation waiting for its place."""

    node: Node
    infons: dict[str, str]
    level: Level
    passage: int
    claim: Claim


class _Reader:
    """Turns one BioC document into a Document."""

    def __init__(self, node: Node, collection: Collection, reporter: Reporter) -> None:
        self.document = Document(document_id(node), infons=_infons(node), relations=_relations(node))
        self.native = BiocNative(collection)
        self.document.native = self.native
        self.reporter = reporter
        self.pieces: list[tuple[int, str]] = []
        self.pending: list[_Pending] = []
        # Per passage: its piece, and those of its sentences (None: sentences repeat the passage's text).
        self.layout: list[tuple[int, list[int] | None]] = []
        nodes = _children(node, "passages")
        for index, passage in enumerate(nodes):
            self._passage(index, passage)
        self._annotations(node, "document", -1, -1, 0)
        self._place(nodes)

    def _passage(self, index: int, node: Node) -> None:
        offset = _integer(node, "offset", f"passage {index + 1}")
        text = _string(node, "text")
        sentences = _children(node, "sentences")
        infons = _infons(node)
        section = infons.get("section_type") or infons.get("type")
        self.document.passages.append(
            Passage(text, offset, section, infons=infons, relations=_relations(node))
        )
        piece = len(self.pieces)
        self.pieces.append((offset, text))
        own: list[int] | None = None if text else []
        self._annotations(node, "passage", index, -1, offset)
        for number, sentence in enumerate(sentences):
            start = _integer(sentence, "offset", f"sentence {number + 1} of passage {index + 1}")
            if own is not None:
                own.append(len(self.pieces))
                self.pieces.append((start, _string(sentence, "text")))
            self._annotations(sentence, "sentence", index, number, start)
        self.layout.append((piece, own))

    def _annotations(self, node: Node, level: Level, passage: int, sentence: int, base: int) -> None:
        for item in _children(node, "annotations"):
            name = f"annotation {item.get('id')}"
            spans = []
            for location in _children(item, "locations"):
                start = _integer(location, "offset", name)
                spans.append((start, start + _integer(location, "length", name)))
            mention = None if item.get("text") is None else _string(item, "text")
            if not spans:
                loose = {"id": _optional(item.get("id")), "infons": _infons(item), "text": mention}
                self.native.loose.append((passage, sentence, loose))
                continue
            self.pending.append(
                _Pending(item, _infons(item), level, passage, Claim(tuple(spans), mention, base))
            )

    def _place(self, nodes: list[Node]) -> None:
        document = self.document
        try:
            settled = settle(self.pieces, [item.claim for item in self.pending])
        except ValueError as error:
            raise BiocError(str(error)) from None
        for remark in settled.remarks:
            self.reporter.annotation(document.id, remark, action="moved")
        text = settled.text
        for passage, node, (piece, own) in zip(document.passages, nodes, self.layout, strict=True):
            declared, passage.offset = passage.offset, settled.offsets[piece]
            if own:
                end = settled.offsets[own[-1]] + len(self.pieces[own[-1]][1])
                passage.text = text[passage.offset : end]
            for number, sentence in enumerate(_children(node, "sentences")):
                length = len(_string(sentence, "text"))
                if own is not None:
                    start = settled.offsets[own[number]]
                else:
                    start = passage.offset + _integer(sentence, "offset", "sentence") - declared
                passage.sentences.append(
                    Sentence(start, start + length, _infons(sentence), _relations(sentence))
                )
        for item, placement in zip(self.pending, settled.placements, strict=True):
            self._add(item, placement, text)

    def _add(self, item: _Pending, placement: Placement, text: str) -> None:
        document = self.document
        if placement.action is not None:
            message = f"annotation {item.node.get('id')}: {placement.message}"
            self.reporter.annotation(document.id, message, action=placement.action)
        if placement.spans is None:
            return
        spans = placement.spans
        start, end = min(s for s, _ in spans), max(e for _, e in spans)
        infons = item.infons
        entity = Entity(
            start,
            end,
            infons.pop("type", ""),
            text[start:end] if len(spans) == 1 else item.claim.mention or mention_text(text, spans),
            id=_optional(item.node.get("id")),
            spans=spans if len(spans) > 1 else (),
            infons=infons,
            level=item.level,
        )
        take_score(entity)
        home = item.passage
        inside = home >= 0 and _holds(document.passages[home], start, end)
        if not inside:
            home = next((i for i, p in enumerate(document.passages) if _holds(p, start, start)), home)
        if document.passages:
            document.passages[home].entities.append(entity)


def _holds(passage: Passage, start: int, end: int) -> bool:
    return passage.offset <= start and end <= passage.offset + len(passage.text)


def take_score(entity: Entity) -> None:
    """Move the infons ``score`` and ``task`` of our own output to the entity's fields."""
    score = entity.infons.get("score")
    if score is None:
        return
    try:
        value = float(score)
    except ValueError:
        return
    if (
        math.isfinite(value) and repr(value) == score
    ):  # otherwise it is somebody else's and writing it back would change it
        entity.score = value
        del entity.infons["score"]
        entity.task = entity.infons.pop("task", None)


def with_score(entity: Entity) -> dict[str, str]:
    """The infons and, as infons, score and task."""
    infons = dict(entity.infons)
    if entity.score is not None:
        infons["score"] = repr(float(entity.score))
    if entity.task is not None:
        infons["task"] = entity.task
    return infons


def from_bioc(node: Node, collection: Collection, reporter: Reporter) -> Document:
    """A Document from a BioC document in the shape of BioC JSON; offsets become checked code points.

    Raises:
        BiocError: the node does not follow BioC.
    """
    return _Reader(node, collection, reporter).document


def to_bioc(document: Document, reporter: Reporter) -> Node:
    """A BioC document, in the shape of BioC JSON.

    Entities go into the sentence that holds them where the passage has sentences, otherwise into the passage.
    """
    report_native(document, reporter, BiocNative)
    used = {entity.id for entity in document.iter_entities() if entity.id is not None}
    counter = 0
    top: list[Node] = []
    passages: list[Node] = []
    for passage in document.passages:
        infons = dict(passage.infons)
        if passage.section is not None and passage.section not in (
            infons.get("section_type"),
            infons.get("type"),
        ):
            infons["type" if "type" not in infons else "section_type"] = passage.section
        sentences, covered = _sentences(passage)
        annotations: list[Node] = []
        for entity in passage.entities:
            if entity.id is None:
                counter += 1
                while str(counter) in used:
                    counter += 1
            node = _annotation(entity, entity.id if entity.id is not None else str(counter))
            if entity.level == "document":
                top.append(node)
                continue
            home = annotations
            if entity.level != "passage":
                for sentence, target in zip(passage.sentences, sentences, strict=True):
                    if sentence.start <= entity.start and entity.end <= sentence.end:
                        home = target["annotations"]
                        break
            home.append(node)
        passages.append(
            {
                "offset": passage.offset,
                "infons": infons,
                "text": "" if covered else passage.text,
                "sentences": sentences,
                "annotations": annotations,
                "relations": [_relation(relation) for relation in passage.relations],
            }
        )
    if isinstance(document.native, BiocNative):
        _restore(document.native, passages, top)
    return {
        "id": document.id,
        "infons": dict(document.infons),
        "passages": passages,
        "annotations": top,
        "relations": [_relation(relation) for relation in document.relations],
    }


def _sentences(passage: Passage) -> tuple[list[Node], bool]:
    """Sentence nodes, and whether they hold all of the passage's text (holes read back as spaces)."""
    nodes: list[Node] = []
    holes: list[str] = []
    position = passage.offset
    for sentence in passage.sentences:
        start, end = sentence.start - passage.offset, sentence.end - passage.offset
        holes.append(passage.text[position - passage.offset : start])
        position = sentence.end
        nodes.append(
            {
                "offset": sentence.start,
                "infons": dict(sentence.infons),
                "text": passage.text[start:end],
                "annotations": [],
                "relations": [_relation(relation) for relation in sentence.relations],
            }
        )
    tail = passage.text[position - passage.offset :]
    return nodes, bool(nodes) and not tail and not "".join(holes).strip(" ")


def _annotation(entity: Entity, identifier: str) -> Node:
    infons = with_score(entity)
    if entity.type:
        infons = {"type": entity.type, **infons}
    spans = entity.spans or ((entity.start, entity.end),)
    return {
        "id": identifier,
        "infons": infons,
        "text": entity.text,
        "locations": [{"offset": start, "length": end - start} for start, end in spans],
    }


def _relation(relation: Relation) -> Node:
    infons = dict(relation.infons) if relation.type is None else {"type": relation.type, **relation.infons}
    nodes = [{"refid": refid, "role": role} for refid, role in relation.nodes]
    return {"id": relation.id, "infons": infons, "nodes": nodes}


def _restore(native: BiocNative, passages: list[Node], top: list[Node]) -> None:
    """Put annotations without a location back."""
    for passage, sentence, node in native.loose:
        home = top
        if 0 <= passage < len(passages):
            parent = passages[passage]
            if 0 <= sentence < len(parent["sentences"]):
                parent = parent["sentences"][sentence]
            home = parent["annotations"]
        home.append({**node, "locations": []})
