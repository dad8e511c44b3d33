"""The table of document formats; reading, writing and guessing them by name.

Formats are imported when they are used, so that ``bioner-fast convert`` starts in a blink.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, cast

from bioner_fast.compression import MAX_DOCUMENT_MB
from bioner_fast.data.document import Document
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import atomic_directory, atomic_write, refuse_existing
from bioner_fast.formats.base import (
    Problem,
    Reporter,
    Source,
    TableColumns,
    Writer,
    document_stem,
)
from bioner_fast.formats.identifiers import Identifiers
from bioner_fast.formats.table_rows import Rows

OnProblem = Callable[[Problem], None] | None


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table.

    Attributes:
        name: as on the command line.
        module: where ``reader`` and ``writer`` live, under ``bioner_fast.formats``.
        suffixes: file names that mean this format, lower case, without ``.gz``; the first is for output.
        reader: function ``(Source) -> Iterator[Document]``, None if the format is not read.
        writer: class ``(stream, reporter) -> Writer``, None if the format is not written.
        folder: documents lie in a folder of files: ``read_folder(path, reporter)``, ``FolderWriter``.
        table: it has columns: the reader takes :class:`TableColumns`, the writer ``rows``.
        identified: documents are told apart by identifiers; a folder's writer sees to its names itself.
    """

    name: str
    module: str
    suffixes: tuple[str, ...] = ()
    reader: str | None = "read"
    writer: str | None = "Writer"
    folder: bool = False
    table: bool = False
    identified: bool = True

    def load(self, attribute: str) -> Any:
        """An attribute of the format's module."""
        return getattr(importlib.import_module(f"bioner_fast.formats.{self.module}"), attribute)


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("text", "text", (".txt",), identified=False),
        Format("lines", "text", (".lines",), reader="read_lines", writer="LinesWriter", identified=False),
        Format("jsonl", "jsonl", (".jsonl", ".ndjson")),
        Format("conll", "conll", (".tsv", ".conll", ".iob", ".iob2", ".iobes", ".bio")),
        Format("pubtator", "pubtator", (".pubtator",)),
        Format("bioc-xml", "bioc_xml", (".bioc.xml", ".bioc", ".xml")),
        Format("bioc-json", "bioc_json", (".bioc.json", ".json")),
        Format("brat", "brat", (".ann", ".tar.gz", ".tgz", ".tar"), folder=True, identified=False),
        Format("pubmed-xml", "pubmed_xml", (), writer=None),
        Format("jats", "jats", (".nxml",), writer=None),
        Format("jats-tables", "jats", (), reader="read_with_tables", writer=None),
        Format("medline", "medline", (".nbib",), writer=None),
        Format("csv", "table", (".csv",), reader="read_csv", writer="CsvWriter", table=True),
        Format("tsv", "table", (".tsv",), reader="read_tsv", writer="TsvWriter", table=True),
        Format("parquet", "table", (".parquet",), reader="read_parquet", writer="ParquetWriter", table=True),
        Format("html", "html", (".html", ".htm"), reader=None),
    )
}
FORMAT_NAMES: tuple[str, ...] = tuple(FORMATS)
INPUT_FORMATS: tuple[str, ...] = tuple(name for name, entry in FORMATS.items() if entry.reader is not None)
OUTPUT_FORMATS: tuple[str, ...] = tuple(name for name, entry in FORMATS.items() if entry.writer is not None)


def get_format(name: str) -> Format:
    """The format called ``name``.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"unknown document format {name!r}; known are {', '.join(FORMAT_NAMES)}") from None


_NAME = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_PUBMED_ROOTS = {
    b"PubmedArticleSet",
    b"PubmedArticle",
    b"PubmedBookArticle",
    b"PubmedBookArticleSet",
    b"MedlineCitationSet",
}
_JATS_ROOTS = {b"article", b"pmc-articleset", b"articles"}
_ARTICLES = re.compile(rb"\.n?xml(?:\.gz)?\0")
_PUBTATOR = re.compile(rb"[^|\t\r\n]+\|[A-Za-z]\|")
_MARK = b"\xef\xbb\xbf"  # byte-order mark


def xml_root(head: bytes) -> bytes | None:
    """Name of the root element, from the first bytes of an XML file; None if it is not among them."""
    at = len(_MARK) if head.startswith(_MARK) else 0
    while at >= 0:
        at += len(head[at:]) - len(head[at:].lstrip())
        if head.startswith(b"<?", at):
            at = _after(head, b"?>", at)
        elif head.startswith(b"<!--", at):
            at = _after(head, b"-->", at)
        elif head.startswith(b"<!DOCTYPE", at):
            bracket, end = head.find(b"[", at), head.find(b">", at)
            if 0 <= bracket < end:  # declarations inside the file
                at = _after(head, b"]", bracket)
            at = _after(head, b">", at) if at >= 0 else at
        else:
            match = _NAME.match(head, at)
            return match.group(1) if match else None
    return None


def _after(head: bytes, mark: bytes, at: int) -> int:
    found = head.find(mark, at)
    return -1 if found < 0 else found + len(mark)


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return Source(cast(BinaryIO, stream), str(path)).stream.peek(4096)[:65536]
    except (FormatError, OSError):  # damaged or not to be read: reading will say so in full
        return b""


def guess_format(path: str | os.PathLike[str]) -> str:
    """The format of a file, from its name and, where the name leaves a choice, its first bytes.

    Args:
        path: a file or folder, which need not exist (then the name decides: ``.xml`` is ``bioc-xml``).

    Raises:
        UsageError: the name says nothing; the message asks for the format.

    Example:
        >>> guess_format("out/tagged.jsonl"), guess_format("CDR.PubTator.gz")
        ('jsonl', 'pubtator')
    """
    target = Path(path)
    name = target.name.lower()
    if target.is_dir():
        return "brat"
    if not name.endswith((".tar.gz", ".tgz")):
        name = name.removesuffix(".gz")
    head = _head(target) if target.is_file() and name.endswith((".txt", ".xml")) else b""
    if head:
        if _PUBTATOR.match(head.removeprefix(_MARK).lstrip()):
            return "pubtator"
        if name.endswith(".xml"):
            root = xml_root(head)
            if root in _JATS_ROOTS:
                return "jats"
            return "pubmed-xml" if root in _PUBMED_ROOTS else "bioc-xml"
    if name.endswith((".tar", ".tar.gz", ".tgz")) and target.is_file() and _ARTICLES.search(_head(target)):
        return "jats"
    for entry in FORMATS.values():
        if name.endswith(entry.suffixes):
            return entry.name
    raise UsageError(
        f"cannot tell the format of {os.fspath(path)!r} from its name; "
        f"say which it is: {', '.join(FORMAT_NAMES)}"
    )


def read_documents(
    source: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    *,
    name: str | None = None,
    on_problem: OnProblem = None,
    columns: TableColumns | None = None,
    max_document_mb: int = MAX_DOCUMENT_MB,
) -> Iterator[Document]:
    """Read documents one by one; memory does not grow with their number.

    Args:
        source: a path (``brat``: also a folder, one ``.ann`` or ``.txt`` file, or a tar archive) or an open
            binary stream; gzip is recognised by content.
        format: a name of the table, None to guess it from the path.
        name: what messages call a stream; its ``.name`` or ``<stream>`` by default.
        on_problem: receives every :class:`Problem`; bad documents are then skipped. Without it a bad document
            raises and smaller problems are logged.
        columns: of a table, which hold texts and identifiers; of a column file, which holds the tags.
        max_document_mb: a document that is larger is bad; it is never held in memory whole.

    Raises:
        FormatError: the file does not follow its format.
        UsageError: the format is unknown, cannot be read, or cannot be guessed.

    Example:
        >>> import io
        >>> stream = io.BytesIO(b"1|t|TP53 in cancer\\n1\\t0\\t4\\tTP53\\tGene\\t7157\\n")
        >>> [entity.text for document in read_documents(stream, "pubtator") for entity in document.entities]
        ['TP53']
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise BionerError(f"{path}: no such file or folder")
        entry = get_format(format or guess_format(path))
        return _read_path(path, entry, on_problem, columns, max_document_mb)
    label = name if name is not None else str(getattr(source, "name", "<stream>"))
    if format is None:
        raise UsageError(f"cannot tell the format of {label}; say which it is: {', '.join(INPUT_FORMATS)}")
    return _read_stream(source, get_format(format), label, on_problem, columns, max_document_mb)


def _read_path(
    path: Path, entry: Format, on_problem: OnProblem, columns: TableColumns | None, max_document_mb: int
) -> Iterator[Document]:
    if entry.folder:
        yield from entry.load("read_folder")(path, Reporter(str(path), on_problem, max_document_mb))
        return
    if path.is_dir():
        raise BionerError(f"{path} is a folder; {entry.name} is read from files")
    with open(path, "rb") as stream:
        yield from _read_stream(
            cast(BinaryIO, stream), entry, str(path), on_problem, columns, max_document_mb
        )


def _read_stream(
    stream: BinaryIO,
    entry: Format,
    label: str,
    on_problem: OnProblem,
    columns: TableColumns | None,
    max_document_mb: int,
) -> Iterator[Document]:
    if entry.reader is None:
        raise UsageError(f"documents cannot be read as {entry.name}")
    source = Source(stream, label, on_problem, max_document_mb=max_document_mb)
    source.tag_column = None if columns is None else columns.tags
    read = entry.load(entry.reader)
    yield from read(source, columns or TableColumns()) if entry.table else read(source)


class DocumentWriter:
    """Writes documents to a path or stream; made by :func:`open_writer`.

    A path appears, whole, when the writer is closed; leaving the ``with`` block by an exception (or
    :meth:`abort`) leaves the path as it was. A stream is flushed, not closed.
    """

    def __init__(
        self,
        writer: Writer,
        stack: contextlib.ExitStack,
        reporter: Reporter,
        path: Path | None = None,
        *,
        identifiers: Identifiers | None = None,
    ) -> None:
        self._writer = writer
        self._reporter = reporter
        self._identifiers = identifiers
        self._stack = stack
        self._path = path
        self._open = True

    def write(self, document: Document) -> None:
        """Write one document; one whose identifier was written before gets another, which is reported."""
        if self._identifiers is not None:
            document = self._identifiers.unique(document, self._reporter)
        try:
            self._writer.write(document)
        except OSError as error:
            self._fail(error)
            raise

    def close(self) -> None:
        """Finish the output; a path is renamed into place. Closing twice does nothing."""
        if self._open:
            self._open = False
            try:
                with self._stack:
                    self._writer.finish()
            except OSError as error:
                self._fail(error)
                raise

    def _fail(self, error: OSError) -> None:
        """Name the output that could not be written; that a pipe was closed is no such thing."""
        if not isinstance(error, BrokenPipeError):
            name = "the output" if self._path is None else self._path
            raise BionerError(f"{name} cannot be written: {error.strerror or error}") from error

    def abort(self) -> None:
        """Throw the output away; a path stays as it was."""
        if self._open:
            self._open = False
            error = _AbortedError()
            with contextlib.suppress(_AbortedError, OSError):  # a full disk fails again when it is flushed
                self._stack.__exit__(_AbortedError, error, None)

    def __enter__(self) -> DocumentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class _AbortedError(Exception):
    """Tells the atomic files below a writer that the output is not wanted."""


def open_writer(
    target: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    *,
    force: bool = False,
    on_problem: OnProblem = None,
    rows: Rows = "entities",
    unique: bool = True,
) -> DocumentWriter:
    """Open an output for documents.

    Args:
        target: a path (a folder for ``brat``, unless it ends in ``.tar.gz``; ``.gz`` is compressed) or an
            open binary stream.
        format: a name of the table, None to guess it from the path.
        force: replace an existing path.
        on_problem: receives what the format cannot hold; logged as warnings otherwise.
        rows: of a table: one for every entity, or one for every document with a list of entities.
        unique: whether documents whose identifier was written before get another one.

    Raises:
        BionerError: the path exists and ``force`` is false.
        UsageError: the format is unknown, cannot be written, or cannot be guessed.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> with open_writer(stream, "pubtator") as out:
        ...     out.write(Document.from_text("TP53 in cancer", id="1"))
        >>> stream.getvalue()
        b'1|t|TP53 in cancer\\n1|a|\\n\\n'
    """
    is_path = isinstance(target, (str, os.PathLike))
    if format is None:
        if not is_path:
            raise UsageError(f"say which format to write: {', '.join(OUTPUT_FORMATS)}")
        format = guess_format(cast("str | os.PathLike[str]", target))
    entry = get_format(format)
    if entry.writer is None:
        raise UsageError(f"{entry.name} is read but not written; choose one of {', '.join(OUTPUT_FORMATS)}")
    further = {"rows": rows} if entry.table else {}
    stack = contextlib.ExitStack()
    identifiers = Identifiers() if unique and entry.identified else None
    if not is_path:
        stream = cast(BinaryIO, target)
        stack.callback(stream.flush)
        reporter = Reporter(str(getattr(stream, "name", "<stream>")), on_problem)
        writer = entry.load(entry.writer)(stream, reporter, **further)
        return DocumentWriter(writer, stack, reporter, identifiers=identifiers)
    path = Path(cast("str | os.PathLike[str]", target))
    reporter = Reporter(str(path), on_problem)
    archive = path.name.lower().endswith((".tar.gz", ".tgz", ".tar"))
    if entry.folder and not archive:
        if path.suffix.lower() in (".ann", ".txt"):
            raise UsageError(
                f"{entry.name} is written to a folder, not to one file; name a folder, not {path}"
            )
        make = entry.load("FolderWriter")
        folder = stack.enter_context(atomic_directory(path, force=force, manifest=False))
        return DocumentWriter(make(folder, reporter), stack, reporter, path)
    make = entry.load(entry.writer)
    refuse_existing(path, force=force)
    if path.is_dir():
        raise BionerError(f"{path} is a folder; {entry.name} is written to a file")
    opened: IO[bytes] = stack.enter_context(atomic_write(path, "wb"))
    if path.name.lower().endswith((".gz", ".tgz")):
        # No name and no time in the header: the same documents give the same bytes.
        packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=opened, mtime=0)
        opened = cast("IO[bytes]", stack.enter_context(packed))
    return DocumentWriter(make(opened, reporter, **further), stack, reporter, path, identifiers=identifiers)


__all__ = [
    "FORMATS",
    "FORMAT_NAMES",
    "INPUT_FORMATS",
    "OUTPUT_FORMATS",
    "DocumentWriter",
    "Format",
    "Problem",
    "Reporter",
    "Source",
    "document_stem",
    "get_format",
    "guess_format",
    "open_writer",
    "read_documents",
    "xml_root",
]
