r"""Plain text: one document a file (``text``) or one a line (``lines``).

The text is taken as given: nothing is stripped or translated, so that offsets count the code points that are
in the file, a byte-order mark and both characters of ``\r\n`` included. Only the line ends that separate
documents of ``lines`` (``\n`` or ``\r\n``, nothing else) belong to no document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source, utf8


def _bad(source: Source, name: str, error: UnicodeDecodeError, first: int) -> None:
    """Report a document that is not UTF-8; ``first`` is the number of its first line."""
    line = first + error.object.count(b"\n", 0, error.start)
    message = f"byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file to UTF-8"
    if source.on_problem is None:
        raise FormatError(source.path, message, line) from None
    source.bad_document(name, message, line=line)


def read(source: Source) -> Iterator[Document]:
    """The whole file as one document, whose id is the file name without its suffix."""
    try:
        text = source.read().decode("utf-8")
    except FormatError as error:
        if "MB" not in error.detail:  # damaged gzip ends the file
            raise
        source.bad_document(source.stem, error.detail)
    except UnicodeDecodeError as error:
        _bad(source, source.stem, error, 1)
    else:
        yield Document.from_text(text, id=source.stem)


def read_lines(source: Source) -> Iterator[Document]:
    """Each line as one document, empty lines too; ids are line numbers from 1."""
    for number, raw, cut in source.raw_lines():
        if cut:
            source.bad_document(str(number), source.too_large("line"), line=number)
            continue
        if raw.endswith(b"\n"):
            raw = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            _bad(source, str(number), error, number)
        else:
            yield Document.from_text(text, id=str(number))


class Writer:
    """Writes the text of one document and nothing else; entities are lost and reported."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._written = 0

    def write(self, document: Document) -> None:
        """Write the document's text.

        Raises:
            FormatError: it is the second document; a text file has no way to keep them apart.
        """
        if self._written:
            raise FormatError(
                self._reporter.path,
                "text holds one document a file; write lines, jsonl or another format instead",
            )
        self._written += 1
        _report_losses(document, "text", self._reporter)
        self._stream.write(utf8(document.text))

    def finish(self) -> None:
        """Nothing follows the text."""


class LinesWriter:
    """Writes the text of each document on a line of its own; entities are lost and reported."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter

    def write(self, document: Document) -> None:
        r"""Write one line; line breaks inside the text become spaces (``\r\n`` two), which is reported."""
        text = document.text
        flat = text.replace("\n", " ").replace("\r", " ")
        if flat != text:
            self._reporter.annotation(
                document.id, "line breaks in the text became spaces", kind="text", action="changed"
            )
        _report_losses(document, "lines", self._reporter)
        self._stream.write(utf8(flat) + b"\n")

    def finish(self) -> None:
        """Nothing follows the last line."""


def _report_losses(document: Document, format: str, reporter: Reporter) -> None:
    lost = sum(1 for _ in document.iter_entities())
    if lost:
        reporter.annotation(document.id, f"{lost} annotations cannot be written as {format}")
