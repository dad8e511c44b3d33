r"""JSON lines: one object a line, ``{"id": ..., "text": ..., "entities": [...]}``.

``text`` is required; ``id`` defaults to the line number. Entities are
``{"start", "end", "type", "text", "score", "task"}`` with offsets in code points, and ``id``, ``spans``
(parts of a discontinuous mention) and ``infons`` where there are any. Documents of several passages, or of
one with a name, add ``"passages": [{"offset", "length", "section", "infons"}]``. Where abbreviations were
looked for, there is ``"abbreviations": [{"short", "long", "start", "end"}]``, with the place of the short
form. Further keys are handed through unchanged.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeGuard

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, utf8
from bioner_fast.formats.offsets import Settled, settle
from bioner_fast.formats.readings import Claim, mention_text

_OWN_KEYS = {"id", "text", "entities", "passages", "infons"}
# Where annotation tools put what we call entities: doccano, old and new, and Prodigy.
_ANNOTATION_KEYS = ("entities", "label", "labels", "spans", "annotations")


@dataclass(slots=True)
class JsonRecord:
    """What a document read from JSON lines needs to be written back: its id as it was, and unknown keys."""

    id: object
    extra: dict[str, object]

    def renamed(self, id: str) -> JsonRecord:
        """The same under another id."""
        return JsonRecord(id, self.extra)

    def losses(self) -> Iterator[str]:
        """Relations of annotation tools, which are handed through."""
        relations = self.extra.get("relations")
        if isinstance(relations, list) and relations:
            yield f'{len(relations)} "relations" of JSON lines have no place in other formats'


class _BadRecordError(ValueError):
    """A record that does not follow the format; the message says what was expected."""


def read(source: Source) -> Iterator[Document]:
    """One document a line; blank lines are skipped.

    Raises:
        FormatError: a line is not JSON, not an object, or has keys of the wrong kind.
    """
    for number, line in source.lines(salvage=True):
        if source.damage is not None:
            source.bad_document(None, source.damage.detail, line=number)
            continue
        if not line or line.isspace():
            continue
        name: str | None = None
        try:
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise _BadRecordError(
                    f"expected one JSON object a line: {error.msg} at column {error.colno}"
                ) from None
            except (ValueError, RecursionError) as error:  # a number too long to convert; nesting too deep
                raise _BadRecordError(
                    f"expected one JSON object a line: {' '.join(str(error).split())}"
                ) from None
            if not isinstance(record, dict):
                raise _BadRecordError(f'expected an object with "text", found {_kind(record)}')
            name = _identifier(record, number)
            document = _document(record, name, source, number)
        except _BadRecordError as error:
            source.bad_document(name, str(error), line=number)
            continue
        if _replace_surrogates(document):
            source.annotation(
                document.id,
                "a lone surrogate in the text became U+FFFD",
                kind="text",
                action="changed",
                line=number,
            )
        yield document


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a truth value", int: "a number"}
    return "null" if value is None else names.get(type(value), "a number")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _identifier(record: dict[str, Any], number: int) -> str:
    value = record.get("id")
    if value is None:
        return str(number)
    if isinstance(value, str) or _is_int(value):
        return str(value)
    raise _BadRecordError(f'expected "id" to be a string or a whole number, found {_kind(value)}')


def _document(record: dict[str, Any], name: str, source: Source, number: int) -> Document:
    text = record.get("text")
    if not isinstance(text, str):
        found = _kind(text) if "text" in record else "nothing"
        raise _BadRecordError(f'expected "text" to be a string, found {found}')
    key, items = _annotations(record)
    extra = {k: value for k, value in record.items() if k not in _OWN_KEYS and k != key}
    native = JsonRecord(name if record.get("id") is None else record["id"], extra)
    infons = _infons(record.get("infons"), "infons")
    if not items and record.get("passages") is None:
        return Document(name, [Passage(text)], infons=infons, native=native)
    entities, claims = [], []
    for item in items:
        entity, claim = _entity(item)
        entities.append(entity)
        claims.append(claim)
    settled = settle([(0, text)], claims)
    passages = _passages(record.get("passages"), text, settled)
    if entities and not passages:
        raise _BadRecordError('expected "passages" to hold the entities, found none')
    for entity, claim, placement in zip(entities, claims, settled.placements, strict=True):
        if placement.spans is None and claim.mention is None:
            raise _BadRecordError(
                f'expected "start" and "end" of an entity inside the text of {len(text)} code points'
            )
        if placement.action is not None:
            source.annotation(name, placement.message, action=placement.action, line=number)
        if placement.spans is not None:
            _put(entity, claim, placement.spans, text)
            # The passage an entity starts in; a stretch between passages belongs to the one before.
            home = passages[0]
            for passage in passages[1:]:
                if passage.offset <= entity.start:
                    home = passage
            home.entities.append(entity)
    for remark in settled.remarks:
        source.annotation(name, remark, action="moved", line=number)
    document = Document(name, passages, infons=infons, native=native)
    if document.text != text:
        raise _BadRecordError('expected the "passages" to cover the text, save for spaces between them')
    return document


def _annotations(record: dict[str, Any]) -> tuple[str | None, list[Any]]:
    """The key that holds annotations, as our own or as doccano's and Prodigy's, and what it holds."""
    entities = record.get("entities")
    if entities is not None and not isinstance(entities, list):
        raise _BadRecordError(f'expected "entities" to be an array, found {_kind(entities)}')
    keys = [key for key in _ANNOTATION_KEYS if _is_annotated(key, record.get(key))]
    if len(keys) > 1:
        both = " and ".join(f'"{key}"' for key in keys)
        raise _BadRecordError(f"annotations stand under {both}; keep one of them")
    answer = record.get("answer")
    if keys == ["spans"] and answer in ("reject", "ignore"):
        raise _BadRecordError(f'the answer is "{answer}", so its spans are no annotations; leave it out')
    return (keys[0], record[keys[0]]) if keys else (None, [])


def _is_annotated(key: str, value: object) -> bool:
    """Whether a key holds annotations; elsewhere than in ``entities``, labels of whole texts are none."""
    if not isinstance(value, list) or not value:
        return False
    return key == "entities" or any(isinstance(item, (list, dict)) for item in value)


def _infons(value: object, what: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _BadRecordError(f'expected "{what}" to be an object of strings, found {_kind(value)}')
    return dict(value)


def _passages(value: object, text: str, settled: Settled) -> list[Passage]:
    if value is None:
        return [Passage(text)]
    if not isinstance(value, list):
        raise _BadRecordError(f'expected "passages" to be an array, found {_kind(value)}')
    passages: list[Passage] = []
    position = 0
    for item in value:
        first, length = (item.get("offset"), item.get("length")) if isinstance(item, dict) else (None, None)
        # Passages count as the entities do.
        offset = settled.code_point(first) if _is_int(first) else None
        end = settled.code_point(first + length) if _is_int(first) and _is_int(length) else None
        if offset is None or end is None or not position <= offset <= end <= len(text):
            raise _BadRecordError(
                'expected every passage to have "offset" and "length" inside the text, in reading order'
            )
        section = item.get("section")
        if section is not None and not isinstance(section, str):
            raise _BadRecordError(f'expected "section" to be a string, found {_kind(section)}')
        position = end
        infons = _infons(item.get("infons"), "infons")
        passages.append(Passage(text[offset:end], offset, section, infons=infons))
    return passages


def _first(item: dict[str, Any], *keys: str) -> Any:
    """The value of the first key that there is."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _entity(item: object) -> tuple[Entity, Claim]:
    """An entity as stated, and the claim to check."""
    if isinstance(item, list):  # doccano, spaCy: [start, end, type]
        if len(item) != 3:
            raise _BadRecordError(f"expected [start, end, type] of an entity, found {len(item)} values")
        item = dict(zip(("start", "end", "type"), item, strict=True))
    if not isinstance(item, dict):
        raise _BadRecordError(f"expected every entity to be an object, found {_kind(item)}")
    start, end = _first(item, "start", "start_offset"), _first(item, "end", "end_offset")
    type_ = _first(item, "type", "label")
    if not _is_int(start) or not _is_int(end) or not 0 <= start <= end:
        raise _BadRecordError('expected "start" and "end" of an entity, whole numbers inside the text')
    if not isinstance(type_, str):
        raise _BadRecordError(f'expected "type" of an entity to be a string, found {_kind(type_)}')
    mention, task, id_ = (item.get(key) for key in ("text", "task", "id"))
    if _is_int(id_):
        id_ = str(id_)
    if any(field is not None and not isinstance(field, str) for field in (mention, task, id_)):
        raise _BadRecordError('expected "text", "task" and "id" of an entity to be strings')
    spans = item.get("spans") or []
    if not isinstance(spans, list) or not all(
        isinstance(s, list)
        and len(s) == 2
        and _is_int(s[0])
        and _is_int(s[1])
        and start <= s[0] <= s[1] <= end
        for s in spans
    ):
        raise _BadRecordError(
            'expected "spans" of an entity to be an array of [start, end] inside the entity'
        )
    entity = Entity(
        start,
        end,
        type_,
        mention or "",
        score=_score(item.get("score")),
        task=task,
        id=id_,
        infons=_infons(item.get("infons"), "infons"),
    )
    return entity, Claim(tuple((s[0], s[1]) for s in spans) or ((start, end),), mention)


def _score(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _BadRecordError(f'expected "score" of an entity to be a number, found {_kind(value)}')
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise _BadRecordError('expected "score" of an entity to be a finite number')
    return score


def _put(entity: Entity, claim: Claim, spans: tuple[tuple[int, int], ...], text: str) -> None:
    """Give an entity its place."""
    several = len(claim.spans) > 1 or claim.spans[0] != (entity.start, entity.end)
    if several and spans == claim.spans:
        entity.text = text[entity.start : entity.end] if claim.mention is None else claim.mention
    else:
        entity.start, entity.end = min(s for s, _ in spans), max(e for _, e in spans)
        entity.text = text[entity.start : entity.end] if len(spans) == 1 else mention_text(text, spans)
    entity.spans = spans if several else ()


def _replace_surrogates(document: Document) -> bool:
    r"""Make the texts encodable: ``"\ud83d"`` alone is legal JSON but no character."""
    found = False
    for passage in document.passages:
        clean = utf8(passage.text)
        if len(clean) != len(passage.text):  # not pure ASCII
            text = clean.decode("utf-8")
            if text != passage.text:
                passage.text = text
                for entity in passage.entities:
                    entity.text = utf8(entity.text).decode("utf-8")
                found = True
    return found


class Writer:
    """Writes one object a line, in UTF-8, not escaped."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter

    def write(self, document: Document) -> None:
        """Write one document.

        Raises:
            FormatError: a score is not finite.
        """
        try:
            line = json.dumps(document_record(document), ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError) as error:
            raise FormatError(self._reporter.path, f"document {document.id}: {error}") from None
        self._stream.write(utf8(line) + b"\n")

    def finish(self) -> None:
        """Nothing follows the last line."""


def document_record(document: Document) -> dict[str, object]:
    """A document as the object on its line."""
    native = document.native if isinstance(document.native, JsonRecord) else None
    record: dict[str, object] = {"id": document.id if native is None else native.id, "text": document.text}
    record["entities"] = [_entity_record(entity) for entity in document.iter_entities()]
    if len(document.passages) != 1 or any(p.section or p.infons or p.offset for p in document.passages):
        record["passages"] = [_passage_record(passage) for passage in document.passages]
    if document.infons:
        record["infons"] = document.infons
    if native is not None:
        record.update(native.extra)
    if document.abbreviations is not None:
        record["abbreviations"] = [dataclasses.asdict(one) for one in document.abbreviations]
    return record


def _passage_record(passage: Passage) -> dict[str, object]:
    record: dict[str, object] = {"offset": passage.offset, "length": len(passage.text)}
    if passage.section is not None:
        record["section"] = passage.section
    if passage.infons:
        record["infons"] = passage.infons
    return record


def _entity_record(entity: Entity) -> dict[str, object]:
    record: dict[str, object] = {
        "start": entity.start,
        "end": entity.end,
        "type": entity.type,
        "text": entity.text,
    }
    if entity.score is not None:
        record["score"] = round(entity.score, 6)
    if entity.task is not None:
        record["task"] = entity.task
    if entity.id is not None:
        record["id"] = entity.id
    if entity.spans:
        record["spans"] = [list(span) for span in entity.spans]
    if entity.infons:
        record["infons"] = entity.infons
    return record
