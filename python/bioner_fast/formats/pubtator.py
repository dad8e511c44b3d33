"""PubTator: ``id|t|title``, ``id|a|abstract``, then tab-separated annotation and relation lines.

Offsets count from the start of title, one space, abstract. Further normalisation columns are the infons
``identifier``, ``column7``, ``column8``...; a relation's columns are ``entity1``, ``entity2``, ``column5``...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, report_native, utf8
from bioner_fast.formats.offsets import join_spans, settle
from bioner_fast.formats.readings import Claim

_TEXT_LINE = re.compile(r"([^|\t]+)\|([A-Za-z])\|(.*)", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_SECTIONS = {"t": "title", "a": "abstract"}
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
    for number, line in source.lines(salvage=True):
        match = _TEXT_LINE.match(line)
        if match is not None:
            identifier, tag = match.group(1), match.group(2).lower()
            if identifier != current or tag in seen:
                if block:
                    yield block, damage
                block, damage, current, seen = [], None, identifier, set()
            seen.add(tag)
        elif not line.strip():
            continue
        damage = damage or source.damage
        block.append((number, line))
    if block:
        yield block, damage


def _parse(block: Block, source: Source) -> Document:
    document = Document("")
    texts: list[str] = []
    offset = 0
    rows: list[tuple[int, list[str]]] = []
    for number, line in block:
        match = _TEXT_LINE.match(line)
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
    found: list[tuple[int, list[str]]] = []
    for number, columns in rows:
        integers = [bool(_INTEGER.fullmatch(column)) for column in columns[1:3]]
        # Concepts may be numbers too (genes), but relations have at most five columns.
        if not integers[0] and not (integers[1] and len(columns) > 5):
            document.relations.append(_relation(columns))
        elif all(integers) and len(columns) >= 5:
            start, end = int(columns[1]), int(columns[2])
            columns = _rejoin(columns, text[max(start, 0) : max(end, 0)])
            claims.append(Claim(((start, end),), columns[3]))
            found.append((number, columns))
        else:
            message = "expected id, start, end, mention, type and perhaps identifiers, tab-separated"
            raise FormatError(source.path, f"{message}; found {len(columns)} columns", number)
    settled = settle([(0, text)], claims)
    for remark in settled.remarks:
        source.annotation(document.id, remark, action="moved", line=block[0][0])
    for (number, columns), placement in zip(found, settled.placements, strict=True):
        if placement.action is not None:
            source.annotation(document.id, placement.message, action=placement.action, line=number)
        if placement.spans is not None:
            _add(document, columns, *placement.spans[0], text)
    return document


def _rejoin(columns: list[str], mention: str) -> list[str]:
    """Undo the splitting of a mention that itself contains tabs."""
    tabs = mention.count("\t")
    if tabs and "\t".join(columns[3 : 4 + tabs]) == mention:
        return [*columns[:3], mention, *columns[4 + tabs :]]
    return columns


def _relation(columns: list[str]) -> Relation:
    keys = ("entity1", "entity2", *(f"column{i}" for i in range(5, len(columns) + 1)))
    return Relation(type=columns[1], infons=dict(zip(keys, columns[2:], strict=False)))


def _add(document: Document, columns: list[str], start: int, end: int, text: str) -> None:
    keys = ("identifier", *(f"column{i}" for i in range(7, len(columns) + 1)))
    infons = dict(zip(keys, columns[5:], strict=False))
    entity = Entity(start, end, columns[4] if len(columns) > 4 else "", text[start:end], infons=infons)
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
        name = document.id or str(self._count)
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
        columns = [name, relation.type or "Relation", *concepts]
        if len(concepts) == 2:
            columns += _extra(infons, 5)
        return "\t".join(column.translate(_BREAKS) for column in columns)


_BREAKS_BUT_TABS = str.maketrans("\r\n", "  ")


def _identifier(entity: Entity) -> str | None:
    return next((entity.infons[key] for key in IDENTIFIER_KEYS if key in entity.infons), None)


def _extra(infons: dict[str, str], first: int) -> list[str]:
    columns: list[str] = []
    while (value := infons.get(f"column{first + len(columns)}")) is not None:
        columns.append(value)
    return columns
