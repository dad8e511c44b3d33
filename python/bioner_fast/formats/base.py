"""What all document formats share: sources that decompress themselves, lines, and problems that are reported.

A format is a module with ``read(source) -> Iterator[Document]`` and a class ``Writer(stream, reporter)`` with
``write(document)`` and ``finish()``; opening, compression and atomic renaming are done once, by the registry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

from bioner_fast.compression import MAX_DOCUMENT_MB, decompressed
from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.log import logger

_CHUNK = 1 << 20
# Of a line that is too long, enough to tell whose it is.
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in one document that was not taken over as it stands.

    Attributes:
        path: the file.
        message: one sentence (without the place).
        document: the document's identifier, where known.
        line: line number from 1, where lines make sense.
        kind: what is concerned: an ``annotation``, a ``relation``, the ``text``, or the whole ``document``.
        action: what was done: ``dropped``, ``moved``, ``kept`` (with a doubt), ``changed`` or ``skipped``.
    """

    path: str
    message: str
    document: str | None = None
    line: int | None = None
    kind: Literal["annotation", "relation", "text", "document"] = "annotation"
    action: Literal["dropped", "moved", "kept", "changed", "skipped"] = "dropped"

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        document = "" if self.document is None else f" document {self.document}:"
        return f"{place}:{document} {self.message}"


class Reporter:
    """Receives problems.

    Without ``on_problem``, a bad document is a :class:`FormatError` and everything else a warning in the log;
    with it, every problem goes there and bad documents are skipped.

    Attributes:
        path: the file.
        on_problem: see above.
        max_document_mb: a document, or a line, that is larger is bad, and is never held in memory whole.
    """

    def __init__(
        self,
        path: str,
        on_problem: Callable[[Problem], None] | None = None,
        max_document_mb: int = MAX_DOCUMENT_MB,
    ) -> None:
        self.path = path
        self.on_problem = on_problem
        self.max_document_mb = max_document_mb

    @property
    def limit(self) -> int:
        """Bytes that a document may take."""
        return self.max_document_mb << 20

    def too_large(self, what: str = "document") -> str:
        """What is said of a document or line over the limit."""
        return f"the {what} is larger than {self.max_document_mb} MB; raise --max-document-mb if it has to be"

    def annotation(
        self,
        document: str | None,
        message: str,
        *,
        action: Literal["dropped", "moved", "kept", "changed"] = "dropped",
        kind: Literal["annotation", "relation", "text"] = "annotation",
        line: int | None = None,
    ) -> None:
        """Report an annotation, relation or stretch of text that was not taken over as it stands."""
        problem = Problem(self.path, message, document, line, kind, action)
        if self.on_problem is None:
            logger.warning("%s", problem)
        else:
            self.on_problem(problem)

    def bad_document(self, document: str | None, message: str, *, line: int | None = None) -> None:
        """Report a document that must be skipped.

        Raises:
            FormatError: nobody collects problems.
        """
        if self.on_problem is None:
            name = "" if document is None else f"document {document}: "
            raise FormatError(self.path, name + message, line)
        self.on_problem(Problem(self.path, message, document, line, "document", "skipped"))


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Which columns of tables and column files are read.

    Attributes:
        text: of the texts; by default the one called ``text``, else ``abstract``.
        id: of the identifiers; by default rows are numbered from 1.
        tags: of column files, that of the tags, counted from 1; the last one by default.
    """

    text: str | None = None
    id: str | None = None
    tags: int | None = None


class Writer(Protocol):
    """What a format's writer does; the registry opens and closes the stream."""

    def write(self, document: Document) -> None:
        """Write one document."""

    def finish(self) -> None:
        """Write what comes after the last document."""


class Source(Reporter):
    """An open input: a buffered, decompressed byte stream with a name for messages.

    Attributes:
        stream: decompressed bytes; has ``peek``.
        path: the name used in messages.
        stem: the file name without folder and known suffixes, the identifier of a one-document file.
        tag_column: of column files, the column of the tags, counted from 1; None for the last one.
        damage: with ``lines(salvage=True)``, what is wrong with the line just given; None if nothing is.
    """

    def __init__(
        self,
        stream: BinaryIO,
        path: str,
        on_problem: Callable[[Problem], None] | None = None,
        stem: str = "",
        max_document_mb: int = MAX_DOCUMENT_MB,
    ) -> None:
        super().__init__(path, on_problem, max_document_mb)
        self.stem = stem or document_stem(path)
        self.tag_column: int | None = None
        self.damage: FormatError | None = None
        self.stream = decompressed(stream, path)

    def read(self) -> bytes:
        """All remaining bytes.

        Raises:
            FormatError: they are more than a document may have.
        """
        data = self.stream.read(self.limit + 1)
        if len(data) > self.limit:
            raise FormatError(self.path, self.too_large())
        return data

    def raw_lines(self) -> Iterator[tuple[int, bytes, bool]]:
        """Yield (line number from 1, line with its end, whether it was cut because it is too long)."""
        limit = self.limit
        number = 0
        while raw := self.stream.readline(limit + 1):
            number += 1
            cut = len(raw) > limit
            if cut:
                kept, raw = raw[:_KEPT], raw[-1:]
                while raw and not raw.endswith(b"\n"):
                    raw = self.stream.readline(_CHUNK)
                raw = kept
            yield number, raw, cut

    def text(self) -> str:
        """All remaining bytes as UTF-8 (a byte-order mark is dropped).

        Raises:
            FormatError: the bytes are not UTF-8.
        """
        return decode(self.read(), self.path)

    def lines(self, *, salvage: bool = False) -> Iterator[tuple[int, str]]:
        r"""Yield (line number from 1, line without its end); only ``\n`` and ``\r\n`` end a line.

        Args:
            salvage: where problems are collected, give a line that is not UTF-8 with U+FFFD for its bad bytes
                and set ``damage``, so that only its document is lost.

        Raises:
            FormatError: a line is not UTF-8, or compressed data ends early.
        """
        salvage = salvage and self.on_problem is not None
        for number, raw, cut in self.raw_lines():
            if raw.endswith(b"\n"):
                raw = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            self.damage = None
            try:
                if cut:
                    raise FormatError(self.path, self.too_large("line"), number)
                line = decode(raw, self.path, number)
            except FormatError as error:
                if not salvage:
                    raise
                self.damage = error
                line = raw.decode("utf-8", errors="replace")
            yield number, line


def decode(raw: bytes, path: str, line: int | None = None) -> str:
    """UTF-8 to text; a FormatError names the file, the line and the byte that is wrong."""
    try:
        return raw.decode("utf-8-sig" if line is None else "utf-8")
    except UnicodeDecodeError as error:
        if line is None:
            line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        raise FormatError(path, message, line) from None


_SUFFIXES = (
    ".txt",
    ".xml",
    ".json",
    ".jsonl",
    ".tsv",
    ".conll",
    ".iob",
    ".ann",
    ".pubtator",
    ".nxml",
    ".nbib",
    ".csv",
    ".parquet",
)


def document_stem(path: str | os.PathLike[str]) -> str:
    """File name without folder, ``.gz`` and the suffix of a known format.

    Example:
        >>> document_stem("corpus/pubmed18n0001.xml.gz")
        'pubmed18n0001'
    """
    name = os.path.basename(os.fspath(path))
    name = name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def utf8(text: str) -> bytes:
    """Encode as UTF-8; a lone surrogate (possible after JSON escapes) becomes U+FFFD, so offsets stay."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # U+FFFD is three bytes but one code point, as the lone surrogate was.
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode("utf-8")


def unnamed(document: Document, number: int, reporter: Reporter) -> str:
    """A name for a document without one that nobody takes for an identifier of PubMed; it is reported."""
    name = f"document-{number}"
    reporter.annotation(
        name, "a document without identifier was given this one", kind="text", action="changed"
    )
    return name


class Native(Protocol):
    """What ``Document.native`` holds: parts of a document that only its own format can write."""

    def losses(self) -> Iterator[str]:
        """What other formats lose, one phrase each."""


def report_native(document: Document, reporter: Reporter, own: type | None = None) -> None:
    """Report the parts of ``document.native`` that a format other than ``own`` drops."""
    native = document.native
    if native is None or (own is not None and isinstance(native, own)):
        return
    losses = getattr(native, "losses", None)
    if losses is not None:
        for message in losses():
            reporter.annotation(document.id, message)
