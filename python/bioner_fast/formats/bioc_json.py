"""BioC JSON, streamed: documents are decoded one by one however long the collection.

Also read: a bare document, several collections or documents one after the other or in a list (the services of
the NCBI give both), and PubTator 3's ``{"PubTator3": [...]}``.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, utf8
from bioner_fast.formats.bioc import (
    BiocError,
    BiocNative,
    Collection,
    Node,
    collection_of,
    document_id,
    from_bioc,
    to_bioc,
)

# Marks that open and close values, and escapes, which are passed over whole.
_STRUCTURE = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_LISTS = ("documents", "PubTator3")
# Lists that may stand in each other around collections.
_LISTS_DEEP = 4


class _TooLargeError(BiocError):
    """A value that is larger than a document may be."""


class _Stream:
    """A buffer over a JSON text that decodes one value at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._chunk = 1 << 16
        self._end = False

    def line(self) -> int:
        """Line of the current position, from 1."""
        return self._line + self._buffer.count("\n", 0, self._at)

    def fail(self, message: str) -> FormatError:
        """An error at the current position."""
        return FormatError(self._source.path, message, self.line())

    def _more(self) -> bool:
        """Drop what has been read and append a chunk; False at the end of the file."""
        if self._end:
            return False
        self._line += self._buffer.count("\n", 0, self._at)
        raw = self._source.stream.read(self._chunk)
        self._end = not raw
        try:
            text = self._decode.decode(raw, final=self._end)
        except UnicodeDecodeError as error:
            raise self.fail(f"not UTF-8 ({error.reason}); convert the file to UTF-8") from None
        self._buffer = self._buffer[self._at :] + text
        self._at = 0
        return True

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self, characters: str) -> str:
        """Consume the next character, which must be one of those given."""
        found = self.peek()
        if found == "" or found not in characters:
            expected = " or ".join(repr(c) for c in characters)
            if found == "":
                raise self.fail(f"the JSON ends early, {expected} expected; the file is truncated")
            raise self.fail(f"not JSON: expected {expected}, found {found!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Decode the next value whole."""
        self.peek()
        self._chunk = 1 << 16
        while True:
            try:
                value, end = self._json.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                # An error far from the end of the buffer is real, unless it is a string that has not ended.
                real = error.pos < len(self._buffer) - 16 and not error.msg.startswith("Unterminated")
                if not real and self._grow():
                    continue
                if self._end and not real:
                    raise self.fail(f"the JSON ends early ({error.msg}); the file is truncated") from None
                self._at = error.pos
                raise self.fail(f"not JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:  # numbers of thousands of digits, endless nesting
                raise self.fail(f"not BioC JSON: {' '.join(str(error).split())}") from None
            if end == len(self._buffer) and self._grow():  # a number might go on
                continue
            self._at = end
            return value

    def skip(self) -> None:
        """Pass over a value that is too large to be held, without decoding it."""
        depth, inside = 0, False
        while True:
            for match in _STRUCTURE.finditer(self._buffer, self._at):
                mark = match.group()
                if inside:
                    inside = mark != '"'
                elif mark == '"':
                    inside = True
                elif mark in "[{":
                    depth += 1
                elif mark in "]}":
                    depth -= 1
                if depth <= 0 and not inside:
                    self._at = match.end()
                    return
            # A backslash at the end of the buffer belongs to what comes.
            tail = len(self._buffer) - len(self._buffer.rstrip("\\"))
            self._at = len(self._buffer) - tail % 2
            self._chunk = 1 << 20
            if not self._more():
                raise self.fail("the JSON ends early; the file is truncated")

    def _grow(self) -> bool:
        if len(self._buffer) - self._at > self._source.limit:
            raise _TooLargeError(self._source.too_large())
        self._chunk *= 2  # so that a long document is scanned a logarithmic number of times
        return self._more()


def read(source: Source) -> Iterator[Document]:
    """Read documents one by one.

    Raises:
        FormatError: not JSON, not BioC, or cut off.
    """
    stream = _Stream(source)
    if stream.peek() == "":
        raise FormatError(source.path, "the file is empty; BioC JSON was expected")
    while stream.peek():
        yield from _top(stream, source)


def _top(stream: _Stream, source: Source, inside: int = 0) -> Iterator[Document]:
    """A collection, a document, or a list of either."""
    if stream.peek() == "[":
        if inside >= _LISTS_DEEP:
            raise stream.fail(
                "not BioC JSON: lists in lists in lists, collections or documents were expected"
            )
        for _ in _items(stream):
            yield from _top(stream, source, inside + 1)
        return
    line = stream.line()
    header: Node = {}
    listed = False
    collection: Collection | None = None
    stream.take("{")
    if stream.peek() == "}":
        stream.take("}")
    else:
        while True:
            if stream.peek() != '"':
                stream.take('"')
            try:
                key = stream.value()
            except _TooLargeError as error:
                raise stream.fail(str(error)) from None
            stream.take(":")
            if key in _LISTS and stream.peek() == "[":
                listed = True
                collection = _header(header, source, line)
                for _ in _items(stream):
                    at = stream.line()
                    try:
                        node = stream.value()
                    except _TooLargeError as error:
                        stream.skip()
                        source.bad_document(None, str(error), line=at)
                        continue
                    yield from _document(node, collection, source, at)
            else:
                try:
                    header[key] = stream.value()
                except _TooLargeError as error:
                    raise stream.fail(str(error)) from None
            if stream.take(",}") == "}":
                break
    if "passages" in header:
        yield from _document(header, Collection(), source, line)
    elif not listed:
        raise FormatError(
            source.path, "expected a BioC collection with 'documents' or a document with 'passages'", line
        )
    elif collection is not None and collection != (late := _header(header, source, line)):
        # The collection's own fields came after its documents; whoever kept a document sees them now.
        for name in ("source", "date", "key", "infons"):
            setattr(collection, name, getattr(late, name))


def _header(header: Node, source: Source, line: int) -> Collection:
    try:
        return collection_of(header)
    except BiocError as error:
        raise FormatError(source.path, str(error), line) from None


def _items(stream: _Stream) -> Iterator[None]:
    """Stand before each item of a list in turn; the caller consumes it."""
    stream.take("[")
    if stream.peek() == "]":
        stream.take("]")
        return
    while True:
        yield
        if stream.take(",]") == "]":
            return


def _document(node: object, collection: Collection, source: Source, line: int) -> Iterator[Document]:
    identifier = None
    try:
        if not isinstance(node, dict):
            raise BiocError(f"expected a document, found {type(node).__name__}")
        identifier = document_id(node)
        document = from_bioc(node, collection, source)
    except BiocError as error:
        source.bad_document(identifier, str(error), line=line)
    else:
        yield document


class Writer:
    """Writes a BioC collection, one document a line; its own fields are those of the first document's."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._started = False

    def write(self, document: Document) -> None:
        """Write one document."""
        before = b",\n" if self._started else self._start(document)
        node = to_bioc(document, self._reporter)
        self._stream.write(before + utf8(json.dumps(node, ensure_ascii=False)))

    def _start(self, document: Document | None) -> bytes:
        self._started = True
        native = document.native if document is not None else None
        collection = native.collection if isinstance(native, BiocNative) else Collection()
        header = {
            "source": collection.source,
            "date": collection.date,
            "key": collection.key,
            "infons": collection.infons,
        }
        return utf8(json.dumps(header, ensure_ascii=False)[:-1]) + b', "documents": [\n'

    def finish(self) -> None:
        """Close the collection; without documents it is an empty one."""
        before = b"" if self._started else self._start(None)
        self._stream.write(before + b"\n]}\n")
