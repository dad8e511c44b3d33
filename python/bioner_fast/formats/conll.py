r"""Column files (CoNLL): one token a line, an empty line between sentences, marks between documents.

What the lines are is said in :mod:`bioner_fast.data.columns`.

As a document format: the text of a document is its tokens joined by spaces, its sentences by line feeds.
The tokens, the sentences and all columns stay with the document in a :class:`TokenLayer`, so that tagging
uses them instead of splitting the text again. The last column (or the one that the source names), where its
tags are those of chunks by the rule of :mod:`bioner_fast.data.tag_names`, is read as entities.

Beside the columns of a model and others the file says how its columns are called (``# global.columns = token
gold TASK``), so that ``bioner-fast evaluate`` knows which is which.

A document from another format needs a token layer before it can be written here
(:func:`bioner_fast.features.layers.add_tokens`).
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.columns import GOLD, HEADER, TOKEN, Line, Lines, blank_tokens, is_header
from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.tag_names import TagReading, not_chunks, read_tags, stray_message
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, utf8
from bioner_fast.formats.offsets import join_spans

_MARKER = "-DOCSTART-"


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
        names: of the given columns, where the file says them.
        comments: lines that are comments, each before the token of this index.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    sentence_offsets: NDArray[np.int64]
    given: list[list[str]] = field(default_factory=list)
    tags: dict[str, list[str]] = field(default_factory=dict)
    marker: bool = True
    named: bool = True
    names: list[str] | None = None
    comments: list[tuple[int, str]] = field(default_factory=list)

    def losses(self) -> Iterator[str]:
        """Comments, which no other format has."""
        if self.comments:
            one = len(self.comments) == 1
            what = "1 comment line" if one else f"{len(self.comments):,} comment lines"
            yield f"{what} of CoNLL {'has' if one else 'have'} no place in other formats"


class _Builder:
    """One document while its lines come in."""

    def __init__(self, id: str, marker: bool, named: bool) -> None:
        self.id = id
        self.marker = marker
        self.named = named
        self.sentences: list[list[str]] = []
        self.columns: list[list[str]] = []
        self.open = False
        self.comments: list[tuple[int, str]] = []
        self.tokens = 0
        self.skipped: list[int] = []
        self.size = 0
        self.damage: FormatError | None = None

    def add(self, fields: list[str]) -> None:
        if not self.open:
            self.sentences.append([])
            self.open = True
        if not self.columns:
            self.columns = [[] for _ in fields[1:]]
        self.sentences[-1].append(fields[0])
        self.tokens += 1
        for column, value in zip(self.columns, fields[1:], strict=True):
            column.append(value)

    def document(self, tags: _TagColumn, names: list[str] | None) -> Document:
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
            names=names,
            comments=self.comments,
        )
        entities = tags.entities(self.id, self.columns, layer, text)
        return Document(self.id, [Passage(text, entities=entities)], native=layer)


class _TagColumn:
    """Reads the tags of one file's documents; what is odd about them is reported once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._column = source.tag_column
        self._counts: Counter[str] = Counter()
        self._told: set[str | None] = set()

    def entities(self, id: str, columns: list[list[str]], layer: TokenLayer, text: str) -> list[Entity]:
        """The entities of a document; none where its tags are none of chunks (parts of speech)."""
        if not columns:
            return []
        if self._column is not None and not 2 <= self._column <= len(columns) + 1:
            message = f"expected tags in column {self._column}, found {len(columns) + 1} columns"
            raise FormatError(self._source.path, message)
        tags = columns[-1 if self._column is None else self._column - 2]
        self._counts.update(tags)
        # By all tags so far: a document may have a few strays and nothing else.
        reading = read_tags(self._counts)
        self._tell(id, reading, tags)
        if reading is None:
            return []
        return decode_tags([reading.spelled[tag] for tag in tags], layer, text)

    def _tell(self, id: str, reading: TagReading | None, tags: list[str]) -> None:
        if reading is None:
            if None not in self._told:
                message = (
                    f"its tags ({not_chunks(dict.fromkeys(tags))}) are none of chunks: no entities are read"
                )
                self._source.annotation(id, message, action="kept")
            self._told.add(None)
            return
        here = Counter(tags)
        new = [tag for tag in here if tag in reading.strays and tag not in self._told]
        if new:
            self._source.annotation(id, stray_message(here, new), action="changed")
        self._told.update(new)


def read(source: Source) -> Iterator[Document]:
    """Documents of a column file; one that names none is one document, called as the file.

    Raises:
        FormatError: lines differ in their number of columns, or the file is not UTF-8.
    """
    document: _Builder | None = None
    count = 0
    lines = Lines()
    tags = _TagColumn(source)

    def place(line: Line) -> FormatError | None:
        """What is wrong with a line."""
        if "\r" in line.text or "\0" in line.text:
            message = "expected text with line ends LF or CRLF, found a control character"
            return FormatError(source.path, message, line.number)
        if line.kind == "bad":
            shown = line.text if len(line.text) <= 60 else line.text[:60] + "..."
            found = len(line.spans)
            message = f"expected {lines.columns} columns as in the lines before, found {found}: {shown!r}"
            return FormatError(source.path, message, line.number)
        return None

    damages: dict[int, FormatError] = {}
    waiting: list[str] = []  # comments before a document
    size = 0  # of what belongs to no document yet

    def all_lines() -> Iterator[Line]:
        for number, text in source.lines(salvage=True):
            nonlocal size
            if source.damage is not None:
                damages[number] = source.damage
            size += len(text)
            if size > source.limit:
                raise FormatError(source.path, source.too_large("part before a document"), number)
            yield from lines.read(text)
            if lines.columns and not waiting:
                size = 0
        yield from lines.finish()

    for line in all_lines():
        damage = damages.pop(line.number, None) or place(line)
        if line.kind == "name" and document is not None and document.marker:
            if line.id == document.id and document.named:  # said again, say before every sentence
                continue
            if not document.named and not document.sentences:
                document.id, document.named = line.id, True
                continue
        if line.kind in ("start", "name", "end"):
            if document is not None:
                yield from _whole(document, source, tags, lines)
            document = None
            if line.kind != "end":
                count += 1
                document = _Builder(line.id or str(count), True, bool(line.id))
                document.comments, waiting = [(0, text) for text in waiting], []
        elif line.kind == "blank":
            if document is not None:
                document.open = False
        elif line.kind == "comment" and document is None:
            waiting.append(line.text)
        else:
            if document is None:
                count += 1
                document = _Builder(source.stem, False, False)
                document.comments, waiting = [(0, text) for text in waiting], []
            document.size += len(line.text)
            if document.size > source.limit:
                damage = damage or FormatError(source.path, source.too_large(), line.number)
                document.sentences, document.columns, document.comments = [], [], []
            if damage is None and document.damage is None:
                if line.kind == "comment":
                    document.comments.append((document.tokens, line.text))
                elif line.kind == "skipped":
                    document.skipped.append(line.number)
                else:
                    document.add(line.fields)
        if damage is not None:
            if source.on_problem is None or document is None:
                raise damage
            document.damage = document.damage or damage
    if document is not None:
        yield from _whole(document, source, tags, lines)


def _whole(document: _Builder, source: Source, tags: _TagColumn, lines: Lines) -> Iterator[Document]:
    """The document, or none if a line of it was damaged."""
    if document.damage is not None:
        source.bad_document(document.id, document.damage.detail, line=document.damage.line)
        return
    if document.skipped:
        message = blank_tokens(len(document.skipped))
        source.annotation(document.id, message, kind="text", line=document.skipped[0])
    if not document.marker and not document.sentences:
        return
    names = lines.names
    yield document.document(tags, names[1:] if names and len(names) == lines.columns else None)


def decode_tags(tags: list[str], layer: TokenLayer, text: str) -> list[Entity]:
    """Entities of tags: ``O``, or B, I, E, S with a type.

    Chunks follow the conlleval rules: B and S begin one, I and E do after O, after E or S, after another type
    and at the start of a sentence.
    """
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
        if self._empty and layer.tags and len(columns) > 1:
            given = layer.names or [f"column{i}" for i in range(2, len(layer.given) + 1)] + [GOLD]
            names = [TOKEN, *given[: len(layer.given)], *layer.tags]
            self._stream.write(utf8(f"{HEADER}{' '.join('_'.join(name.split()) for name in names)}\n"))
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
        # A field that is empty would not come back.
        columns = [[value or "_" for value in column] for column in columns]
        lines = list(map("\t".join, zip(tokens, *columns, strict=True)))
        blocks: list[str] = []
        if layer.marker:
            id = " ".join(document.id.split()) if layer.named else ""
            blocks.append(f"{_MARKER}\t{id or 'O'}")
        comments = self._comments(document.id, layer)
        for at, comment in comments:
            if at < len(lines):
                lines[at] = f"{comment}\n{lines[at]}"
        blocks += ["\n".join(lines[a:b]) for a, b in itertools.pairwise(offsets) if b > a]
        blocks.append("\n".join(comment for at, comment in reversed(comments) if at >= len(lines)))
        blocks = [block for block in blocks if block]
        if not blocks:
            return
        if not self._empty:
            self._stream.write(b"\n")
        self._empty = False
        self._stream.write(utf8("\n\n".join(blocks)) + b"\n")

    def _comments(self, id: str, layer: TokenLayer) -> list[tuple[int, str]]:
        """Comments that were read, the last first; names of columns go where a model added some."""
        found = [(at, text) for at, text in layer.comments if not (layer.tags and is_header(text))]
        if any("\t" in text for _, text in found):  # it may have as many columns as a token
            message = "a tab in a comment line became a space"
            self._reporter.annotation(id, message, kind="text", action="changed")
        return [(at, text.replace("\t", " ")) for at, text in reversed(found)]

    def finish(self) -> None:
        """Nothing follows the last line."""
