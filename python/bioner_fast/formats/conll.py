r"""Column files (CoNLL): one token a line, an empty line between sentences, ``-DOCSTART-`` between documents.

As a document format: the text of a document is its tokens joined by spaces, its sentences by line feeds.
The tokens, the sentences and all columns stay with the document in a :class:`TokenLayer`, so that tagging
uses them instead of splitting the text again. The last column, where it is an IOB or IOBES one, is read as
entities.

A document from another format needs a token layer before it can be written here
(:func:`bioner_fast.features.layers.add_tokens`).
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, utf8
from bioner_fast.formats.offsets import join_spans

_MARKER = "-DOCSTART-"
_FILLERS = {"O", "-X-", "-", "_"}
_SEPARATOR = re.compile(r"[\t ]+")
_TAG = re.compile(r"O|[BIES]-(.+)", re.DOTALL)


@dataclass(slots=True)
class TokenLayer:
    """The tokens of a document.

    Attributes:
        starts, ends: int64 [N], code-point offsets into the document.
        sentence_offsets: int64 [S+1], token indices.
        given: columns that were read beside the tokens, each N strings.
        tags: columns that a model added, by task, each N strings.
        marker: whether a ``-DOCSTART-`` line stands before the document.
        named: whether that line names it.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    sentence_offsets: NDArray[np.int64]
    given: list[list[str]] = field(default_factory=list)
    tags: dict[str, list[str]] = field(default_factory=dict)
    marker: bool = True
    named: bool = True


class _Builder:
    """One document while its lines come in."""

    def __init__(self, id: str, marker: bool, named: bool) -> None:
        self.id = id
        self.marker = marker
        self.named = named
        self.sentences: list[list[str]] = []
        self.columns: list[list[str]] = []
        self.open = False
        self.damage: FormatError | None = None

    def add(self, fields: list[str]) -> None:
        if not self.open:
            self.sentences.append([])
            self.open = True
        if not self.columns:
            self.columns = [[] for _ in fields[1:]]
        self.sentences[-1].append(fields[0])
        for column, value in zip(self.columns, fields[1:], strict=True):
            column.append(value)

    def document(self) -> Document:
        starts: list[int] = []
        ends: list[int] = []
        offsets = [0]
        position = 0
        for sentence in self.sentences:
            for token in sentence:
                starts.append(position)
                ends.append(position + len(token))
                position += len(token) + 1
            offsets.append(len(starts))
        text = "\n".join(map(" ".join, self.sentences))
        layer = TokenLayer(
            np.array(starts, np.int64),
            np.array(ends, np.int64),
            np.array(offsets, np.int64),
            given=self.columns,
            marker=self.marker,
            named=self.named,
        )
        entities = decode_tags(self.columns[-1], layer, text) if self.columns else []
        return Document(self.id, [Passage(text, entities=entities)], native=layer)


def read(source: Source) -> Iterator[Document]:
    """Documents of a column file; one that names none is one document, called as the file.

    Raises:
        FormatError: lines differ in their number of columns, or the file is not UTF-8.
    """
    document: _Builder | None = None
    count = 0
    columns = 0
    for number, line in source.lines(salvage=True):
        fields = [value for value in _SEPARATOR.split(line) if value]
        damage = source.damage
        if "\r" in line or "\0" in line:
            message = "expected text with line ends LF or CRLF, found a control character"
            damage = FormatError(source.path, message, number)
        if not fields:
            if document is not None:
                document.open = False
        elif fields[0] == _MARKER:
            if document is not None:
                yield from _whole(document, source)
            count += 1
            named = any(value not in _FILLERS for value in fields[1:])
            document = _Builder(" ".join(fields[1:]) if named else str(count), True, named)
        else:
            if document is None:
                document = _Builder(source.stem, False, False)
                count += 1
            if damage is None and columns and len(fields) != columns:
                shown = line if len(line) <= 60 else line[:60] + "..."
                message = f"expected {columns} columns as in the lines before, found {len(fields)}: {shown!r}"
                damage = FormatError(source.path, message, number)
            if damage is None and document.damage is None:
                columns = len(fields)
                document.add(fields)
        if damage is not None:
            if source.on_problem is None or document is None:
                raise damage
            document.damage = document.damage or damage
    if document is not None:
        yield from _whole(document, source)


def _whole(document: _Builder, source: Source) -> Iterator[Document]:
    """The document, or none if a line of it was damaged."""
    if document.damage is None:
        yield document.document()
    else:
        source.bad_document(document.id, document.damage.detail, line=document.damage.line)


def decode_tags(tags: list[str], layer: TokenLayer, text: str) -> list[Entity]:
    """Entities of an IOB1, IOB2 or IOBES column; none if any tag is of another kind (part of speech).

    Chunks follow the conlleval rules: B and S begin one, I and E do after O, after E or S, after another type
    and at the start of a sentence.
    """
    if not all(_TAG.fullmatch(tag) for tag in set(tags)):
        return []
    entities: list[Entity] = []
    begins = set(layer.sentence_offsets.tolist())
    first = -1  # first token of the open chunk
    kind = ""

    def close(stop: int) -> None:
        start, end = int(layer.starts[first]), int(layer.ends[stop - 1])
        entities.append(Entity(start, end, kind, text[start:end]))

    for index, tag in enumerate(tags):
        prefix, type_ = tag[0], tag[2:]
        if first >= 0 and (prefix in "BSO" or type_ != kind or index in begins):
            close(index)
            first = -1
        if prefix != "O" and first < 0:
            first, kind = index, type_
        if prefix in "ES":
            close(index + 1)
            first = -1
    if first >= 0:
        close(len(tags))
    return entities


def encode_entities(document: Document, layer: TokenLayer, reporter: Reporter | None = None) -> list[str]:
    """IOB2 tags of a document's entities on its tokens; what cannot be said is reported.

    An entity that begins or ends inside a token takes the whole token (moved). Discontinuous entities, those
    without a token and those that overlap an earlier one (the longer first where two start together) are
    dropped. Parts with only white space between them are one mention.
    """
    tags = ["O"] * len(layer.starts)
    text = document.text
    starts, ends = layer.starts.tolist(), layer.ends.tolist()

    def report(entity: Entity, message: str, moved: bool = False) -> None:
        if reporter is not None:
            where = f"{entity.type} {entity.text!r} at {entity.start}..{entity.end}"
            reporter.annotation(document.id, f"{where} {message}", action="moved" if moved else "dropped")

    for entity in sorted(document.iter_entities(), key=lambda e: (e.start, -e.end)):
        if len(entity.spans) > 1 and len(join_spans(text, entity.spans)) > 1:
            report(entity, "is discontinuous, which tags cannot say")
            continue
        first = bisect.bisect_right(ends, entity.start)
        stop = bisect.bisect_left(starts, entity.end)
        if first >= stop:
            report(entity, "covers no token")
            continue
        if any(tag != "O" for tag in tags[first:stop]):
            report(entity, "overlaps another annotation")
            continue
        if (starts[first], ends[stop - 1]) != (entity.start, entity.end):
            report(entity, f"was moved to the tokens at {starts[first]}..{ends[stop - 1]}", moved=True)
        kind = "_".join(entity.type.split()) or "_"
        tags[first:stop] = ["B-" + kind] + ["I-" + kind] * (stop - first - 1)
    return tags


def _joined_sentences(layer: TokenLayer, columns: list[list[str]]) -> list[int]:
    """Sentence offsets without those that would cut an encoded entity in two."""
    last = len(layer.starts)
    return [
        offset
        for offset in layer.sentence_offsets.tolist()
        if not 0 < offset < last or not any(column[offset].startswith("I-") for column in columns)
    ]


class Writer:
    """Writes token, the columns that were read, and the columns of a model, in the order of its tasks.

    Without columns of a model (conversion), entities become one IOB2 column; in a document that had columns
    of its own those are written back instead.
    """

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._columns = -1
        self._empty = True

    def write(self, document: Document) -> None:
        """Write one document.

        Raises:
            FormatError: the document has no token layer, or another number of columns than those before it.
        """
        layer = document.native
        if not isinstance(layer, TokenLayer):
            raise FormatError(self._reporter.path, f"document {document.id} has no tokens to write as conll")
        columns = [*layer.given, *layer.tags.values()]
        offsets = layer.sentence_offsets.tolist()
        if not columns:
            columns = [encode_entities(document, layer, self._reporter)]
            offsets = _joined_sentences(layer, columns)
        if len(layer.starts):
            if self._columns not in (-1, len(columns)):
                message = (
                    f"document {document.id} has {len(columns)} tag columns, those before it {self._columns}"
                )
                raise FormatError(self._reporter.path, message)
            self._columns = len(columns)
        text = document.text
        tokens = [text[a:b] for a, b in zip(layer.starts.tolist(), layer.ends.tolist(), strict=True)]
        if "\0" in text:  # no reader of column files takes it
            tokens = [token.replace("\0", "\ufffd") for token in tokens]
            self._reporter.annotation(
                document.id, "NUL characters became U+FFFD", kind="text", action="changed"
            )
        lines = list(map("\t".join, zip(tokens, *columns, strict=True)))
        blocks: list[str] = []
        if layer.marker:
            id = " ".join(document.id.split()) if layer.named else ""
            blocks.append(f"{_MARKER}\t{id or 'O'}")
        blocks += ["\n".join(lines[a:b]) for a, b in itertools.pairwise(offsets) if b > a]
        if not blocks:
            return
        if not self._empty:
            self._stream.write(b"\n")
        self._empty = False
        self._stream.write(utf8("\n\n".join(blocks)) + b"\n")

    def finish(self) -> None:
        """Nothing follows the last line."""
