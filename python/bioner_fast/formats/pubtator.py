"""PubTator: ``id|t|title``, ``id|a|abstract``, then tab-separated annotation and relation lines.

Offsets count from the start of title, one space, abstract. Further normalisation columns are the infons
``identifier``, ``column7``, ``column8``...; a relation's columns are ``entity1``, ``entity2``, ``column5``...
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, report_native, unnamed, utf8
from bioner_fast.formats.offsets import join_spans, settle
from bioner_fast.formats.readings import Claim

# A tag is a letter, or a word: tmVar and GNormPlus write the section types of the BioC they read.
_TEXT_LINE = re.compile(r"([^|\t]+)\|([A-Za-z]|[A-Za-z][\w -]{1,40})\|(.*)", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_SECTIONS = {"t": "title", "a": "abstract"}
# Tags that begin a document, and come once in it.
_ONCE = {"t", "a", "title", "abstract"}
# A relation's type and what it relates; nothing that could be an offset, or a phrase.
_RELATION_TYPE = re.compile(r"[^\W\d][\w .:/+()-]*")
_CONCEPT = re.compile(r"\S+")
_OFFSETS = re.compile(r"[\d\s.,;:-]*", re.ASCII)
_BREAKS = str.maketrans("\t\r\n", "   ")
# Where other formats keep the concept identifier, in order of preference.
IDENTIFIER_KEYS = ("identifier", "Identifier", "MESH", "cui", "NCBI Gene", "ncbi_gene", "concept_id")

# How PubTator writes the types of the model that comes with the package.
TYPE_NAMES = {
    "gene": "Gene",
    "disease": "Disease",
    "chemical": "Chemical",
    "species": "Species",
    "cell_line": "CellLine",
    "variant": "Variant",
    "cell_type": "CellType",
    "anatomy": "Anatomy",
}

Block = list[tuple[int, str]]


def read(source: Source) -> Iterator[Document]:
    """Read documents; every annotation is checked against the text.

    Raises:
        FormatError: a line is neither text, annotation nor relation, or belongs to another document.
    """
    for block, damage in _blocks(source):
        try:
            if damage is not None:
                raise damage
            document = _parse(block, source)
        except FormatError as error:
            match = _TEXT_LINE.match(block[0][1])
            source.bad_document(match.group(1) if match else None, error.detail, line=error.line)
        else:
            yield document


def _blocks(source: Source) -> Iterator[tuple[Block, FormatError | None]]:
    """Group the lines of each document; where one of them is damaged, say how.

    A document begins with a text line of a new id or a repeated tag.
    """
    block: Block = []
    damage: FormatError | None = None
    current, seen = "", set[str]()
    size = 0
    for number, line in source.lines(salvage=True):
        match = _text_line(line, current)
        if match is not None:
            identifier, tag = match.group(1), match.group(2).lower()
            if identifier != current or tag in seen:
                if block:
                    yield block, damage
                block, damage, current, seen, size = [], None, identifier, set(), 0
            if tag in _ONCE or len(tag) == 1:
                seen.add(tag)
        elif not line.strip():
            continue
        damage = damage or source.damage
        size += len(line)
        if size > source.limit:
            damage = damage or FormatError(source.path, source.too_large(), number)
        if damage is None or not block:
            block.append((number, line))
    if block:
        yield block, damage


def _text_line(line: str, current: str) -> re.Match[str] | None:
    """The parts of a text line; a tag of several letters goes on with a document, unless it can begin one."""
    match = _TEXT_LINE.match(line)
    if match is None or len(match.group(2)) == 1 or match.group(1) == current:
        return match
    return match if match.group(2).lower() in _ONCE else None


def _parse(block: Block, source: Source) -> Document:
    document = Document("")
    texts: list[str] = []
    offset = 0
    rows: list[tuple[int, list[str]]] = []
    for number, line in block:
        match = _text_line(line, document.id)
        if match is not None:
            if rows:
                raise FormatError(source.path, "text comes after the annotations of its document", number)
            document.id, tag, text = match.group(1), match.group(2).lower(), match.group(3)
            if text:
                document.passages.append(Passage(text, offset, _SECTIONS.get(tag, tag)))
            texts.append(text)
            offset += len(text) + 1
            continue
        columns = line.split("\t")
        if len(columns) < 3:
            message = "expected 'id|t|text', 'id|a|text' or tab-separated columns"
            raise FormatError(source.path, f"{message}, found {line[:60]!r}", number)
        if not texts:
            raise FormatError(source.path, "an annotation comes before the text of its document", number)
        if columns[0] != document.id:
            message = f"the annotation of document {columns[0]!r} stands under document {document.id!r}"
            raise FormatError(source.path, message, number)
        rows.append((number, columns))
    text = " ".join(texts)
    claims: list[Claim] = []
    found: list[tuple[int, list[str], str | None]] = []
    for number, columns in rows:
        identifier = None
        if _is_fbk(columns):
            identifier, kind, *place, mention = columns[1:]
            columns = [columns[0], *place, mention, kind]
        integers = [bool(_INTEGER.fullmatch(column)) for column in columns[1:3]]
        if all(integers) and len(columns) >= 5:
            start, end = int(columns[1]), int(columns[2])
            columns = _rejoin(columns, text[max(start, 0) : max(end, 0)])
            claims.append(Claim(((start, end),), columns[3]))
            found.append((number, columns, identifier))
        elif not integers[0] and _is_relation(columns, text):
            document.relations.append(_relation(columns))
        elif len(columns) == 3 and not any(map(_OFFSETS.fullmatch, columns[1:])):
            shown = "\t".join(columns)[:60]
            message = f"{shown!r} is neither annotation nor relation; left out"
            source.annotation(document.id, message, line=number)
        else:
            shown = "\t".join(columns)
            message = (
                "expected id, start, end, mention, type and perhaps identifiers, or id, type and two "
                "concepts of a relation, tab-separated"
            )
            raise FormatError(source.path, f"{message}; found {len(columns)} columns: {shown[:60]!r}", number)
    settled = settle([(0, text)], claims)
    for remark in settled.remarks:
        source.annotation(document.id, remark, action="moved", line=block[0][0])
    for (number, columns, identifier), placement in zip(found, settled.placements, strict=True):
        if placement.action is not None:
            source.annotation(document.id, placement.message, action=placement.action, line=number)
        if placement.spans is not None:
            _add(document, columns, *placement.spans[0], text, identifier)
    return document


def _rejoin(columns: list[str], mention: str) -> list[str]:
    """Undo the splitting of a mention that itself contains tabs."""
    tabs = mention.count("\t")
    if tabs and "\t".join(columns[3 : 4 + tabs]) == mention:
        return [*columns[:3], mention, *columns[4 + tabs :]]
    return columns


def _is_fbk(columns: list[str]) -> bool:
    """Whether a line is in the flavour of the FBK: id, term, type, start, end, mention."""
    return (
        len(columns) == 6
        and not _INTEGER.fullmatch(columns[1])
        and not _INTEGER.fullmatch(columns[2])
        and all(_INTEGER.fullmatch(column) for column in columns[3:5])
    )


def _is_relation(columns: list[str], text: str) -> bool:
    """Whether a line relates two concepts, and is no annotation with a slip in it."""
    if len(columns) not in (4, 5) or not _RELATION_TYPE.fullmatch(columns[1]):
        return False
    if not all(_CONCEPT.fullmatch(column) for column in columns[2:]):
        return False
    # "O<tab>4<tab>TP53<tab>Gene": a mention of the text behind a number.
    return not (_INTEGER.fullmatch(columns[2]) and len(columns) == 5 and columns[3] in text)


def _relation(columns: list[str]) -> Relation:
    keys = ("entity1", "entity2", *(f"column{i}" for i in range(5, len(columns) + 1)))
    return Relation(type=columns[1], infons=dict(zip(keys, columns[2:], strict=False)))


def _add(
    document: Document, columns: list[str], start: int, end: int, text: str, identifier: str | None
) -> None:
    keys = ("identifier", *(f"column{i}" for i in range(7, len(columns) + 1)))
    infons = dict(zip(keys, columns[5:], strict=False))
    entity = Entity(start, end, columns[4], text[start:end], id=identifier, infons=infons)
    home = None
    for passage in document.passages:
        if home is None or passage.offset <= start:
            home = passage
    if home is None:
        home = Passage("")
        document.passages.append(home)
    home.entities.append(entity)


class Writer:
    """Writes PubTator: the first passage as title (unless it is an abstract), the others as abstract.

    They are joined by spaces; passages that were read with a tag of their own (``|e|``) keep it.

    Line breaks become spaces. A discontinuous mention is written as the stretch from its first to its last
    part, and reported. Normal types that a model found are written as PubTator does (``CellLine``), those
    that were read stay. A relation between mentions is written between their identifiers, if they have any.
    """

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._count = 0

    def write(self, document: Document) -> None:
        """Write one document; one whose id has a tab, a bar or a line break is bad."""
        self._count += 1
        name = document.id or unnamed(document, self._count, self._reporter)
        if re.search(r"[|\t\r\n]", name):
            self._reporter.bad_document(document.id, "PubTator identifiers have no tabs, bars or line breaks")
            return
        report_native(document, self._reporter)
        lines = [["t", ""], ["a", ""]]
        shifts: list[int] = []  # passage offset -> offset in PubTator's text
        length = line = 0
        for index, passage in enumerate(document.passages):
            text = passage.text.translate(_BREAKS_BUT_TABS)
            own = passage.section is not None and re.fullmatch("[b-su-z]", passage.section) is not None
            if own and line > 0:
                lines.append([passage.section or "", ""])
                line += 1
                length += 1
            elif line == 0 and (index > 0 or passage.section == "abstract"):
                line = 1
                length += 1
            elif index > 0:
                lines[line][1] += " "
                length += 1
            lines[line][1] += text
            shifts.append(length - passage.offset)
            length += len(passage.text)
        out = [f"{name}|{tag}|{text}" for tag, text in lines]
        for index, passage in enumerate(document.passages):
            for entity in passage.entities:
                shift = shifts[index]
                last = index
                while last + 1 < len(shifts) and document.passages[last + 1].offset < entity.end:
                    last += 1
                out.append(
                    self._entity(document, name, entity, entity.start + shift, entity.end + shifts[last])
                )
        identifiers = {entity.id: _identifier(entity) for entity in document.iter_entities() if entity.id}
        for relation in document.iter_relations():
            row = self._relation(document, name, relation, identifiers)
            if row is not None:
                out.append(row)
        self._stream.write(utf8("\n".join(out) + "\n\n"))

    def finish(self) -> None:
        """Nothing follows the last document."""

    def _entity(self, document: Document, name: str, entity: Entity, start: int, end: int) -> str:
        text = entity.text
        if len(entity.spans) > 1:
            whole = document.text
            text = whole[entity.start : entity.end]
            if len(join_spans(whole, entity.spans)) > 1:
                message = f"discontinuous {entity.type} {entity.text!r} is written as one stretch"
                self._reporter.annotation(document.id, message, action="moved")
        kind = entity.type if entity.task is None else TYPE_NAMES.get(entity.type, entity.type)
        columns = [name, str(start), str(end), text, kind]
        identifier = _identifier(entity)
        extra = _extra(entity.infons, 7)
        if identifier is not None or extra:
            columns += [identifier or "", *extra]
        return "\t".join(column.translate(_BREAKS) for column in columns)

    def _relation(
        self, document: Document, name: str, relation: Relation, identifiers: dict[str, str | None]
    ) -> str | None:
        infons = relation.infons
        concepts = [infons[key] for key in ("entity1", "entity2") if key in infons]
        if not concepts and "role1" in infons and "role2" in infons:
            concepts = [_concept(infons["role1"]), _concept(infons["role2"])]
        if not concepts:
            known = [identifiers.get(refid) for refid, _ in relation.nodes]
            concepts = [concept for concept in known if concept]
            if len(concepts) != 2 or len(known) != 2:
                label = relation.id or relation.type or ""
                message = (
                    f"relation {label}: PubTator relates two concepts, and its mentions have no identifiers"
                )
                self._reporter.annotation(document.id, message, kind="relation")
                return None
        kind = re.sub(r"[^\w .:/+()-]", "_", relation.type or "Relation")
        if not _RELATION_TYPE.fullmatch(kind):
            kind = f"Relation {kind}"
        columns = [name, kind, *concepts]
        if len(concepts) == 2:
            columns += _extra(infons, 5)[:1]
        # Readers take a line with empty columns or phrases for something else.
        return "\t".join([name, kind, *("_".join(column.split()) or "-" for column in columns[2:])])


_BREAKS_BUT_TABS = str.maketrans("\r\n", "  ")


def _concept(role: str) -> str:
    """The identifier in PubTator 3's ``Gene|7157``, or in an object that holds one."""
    if role.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return str(json.loads(role).get("identifier") or role)
    return role.rpartition("|")[2]


def _identifier(entity: Entity) -> str | None:
    return next((entity.infons[key] for key in IDENTIFIER_KEYS if key in entity.infons), None)


def _extra(infons: dict[str, str], first: int) -> list[str]:
    columns: list[str] = []
    while (value := infons.get(f"column{first + len(columns)}")) is not None:
        columns.append(value)
    return columns
