"""Tables: CSV, TSV and Parquet files with a column of texts in; a row an entity, or a row a document, out.

CSV follows RFC 4180: a comma (or semicolon) between fields, quotes around fields with commas, quotes or line
breaks. TSV is the same with tabs. Parquet needs the extra ``arrow``.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO, cast

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError, UsageError
from bioner_fast.formats.arrow import import_pyarrow, schema, to_arrow
from bioner_fast.formats.base import Reporter, Source, TableColumns, decode, report_native, utf8
from bioner_fast.formats.table_rows import DOCUMENT_COLUMNS, ENTITY_COLUMNS, check_rows, entity_rows

# Names that a column of texts has where nobody says which it is.
_USUAL = ("text", "abstract")
_MARK = b"\xef\xbb\xbf"  # byte-order mark
# Rows of a Parquet file that are written, and read, together.
_GROUP = 65536
_BATCH = 1024
# How many times as large as a document a column of a row group may be.
_GROUP_LIMITS = 8
_LONGEST_ID = 1 << 16


# -- reading -----------------------------------------------------------------------------------------------


def read_csv(source: Source, columns: TableColumns) -> Iterator[Document]:
    """Read a CSV file; memory does not grow with the number of rows.

    Raises:
        UsageError: there is no such column.
        FormatError: the file is no CSV, or not UTF-8.
    """
    return _read_separated(source, columns, ",;")


def read_tsv(source: Source, columns: TableColumns) -> Iterator[Document]:
    """As :func:`read_csv`, with tabs."""
    return _read_separated(source, columns, "\t")


def _read_separated(source: Source, columns: TableColumns, delimiters: str) -> Iterator[Document]:
    since = [0]
    text = _lines(source, since)
    csv.field_size_limit(min(source.limit, 2**31 - 1))
    line = 1
    try:
        first, blank = "", 0  # and blank lines before it
        for first in text:
            if first.strip("\r\n"):
                break
            blank += 1
        if not first.strip():
            raise FormatError(source.path, "the file holds no header with the names of its columns", 1)
        # A comma unless the header has the wanted column only with another separator.
        delimiter = delimiters[0]
        for one in delimiters:
            header = next(csv.reader([first], delimiter=one))
            if _wanted(header, columns.text) is not None and len(header) > 1:
                delimiter = one
                break
        rows = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
        header = next(rows)
        text_at = _column(source.path, header, columns.text, "--text-column")
        id_at = None if columns.id is None else _column(source.path, header, columns.id, "--id-column")
        line = rows.line_num + 1 + blank
        number = 0
        for row in rows:
            since[0] = 0
            if not row:  # an empty line is no row
                line = rows.line_num + 1 + blank
                continue
            number += 1
            name = str(number) if id_at is None or id_at >= len(row) else row[id_at] or str(number)
            if len(row) > len(header):
                message = f"expected {len(header)} fields as in the header, got {len(row)}"
                source.bad_document(name, message, line=line)
            else:
                yield Document.from_text(row[text_at] if text_at < len(row) else "", id=name)
            line = rows.line_num + 1 + blank
    except csv.Error as error:
        raise FormatError(source.path, f"the row is not well-formed CSV ({error})", line) from None


def _lines(source: Source, since: list[int]) -> Iterator[str]:
    """Lines with their ends, as long as a row of them is no longer than a document may be.

    Args:
        since: the bytes of a row so far; whoever takes the rows sets it to 0 after each.
    """
    for number, raw, cut in source.raw_lines():
        since[0] += len(raw)
        if cut or since[0] > source.limit:
            raise FormatError(source.path, source.too_large("line" if cut else "row"), number)
        yield decode(raw.removeprefix(_MARK) if number == 1 else raw, source.path, number)


def read_parquet(source: Source, columns: TableColumns) -> Iterator[Document]:
    """Read a Parquet file, group by group.

    Raises:
        UsageError: pyarrow is not installed, or there is no such column.
        FormatError: the file is no Parquet file.
    """
    pa = import_pyarrow()
    import pyarrow.parquet as pq

    stream: BinaryIO = cast(BinaryIO, source.stream)
    with tempfile.TemporaryFile() as copy:
        if not stream.seekable():  # standard input, gzip: the index of the file is at its end
            while chunk := stream.read(1 << 20):
                copy.write(chunk)
            copy.seek(0)
            stream = cast(BinaryIO, copy)
        try:
            file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
            names = file.schema_arrow.names
            text_name = names[_column(source.path, names, columns.text, "--text-column")]
            wanted = [text_name]
            if columns.id is not None:
                wanted.append(names[_column(source.path, names, columns.id, "--id-column")])
            _check_groups(file, wanted, source)
            # As a dictionary, a text that comes a thousand times is in memory once.
            known = [name for name in wanted if _is_text(file.schema_arrow.field(name).type)]
            file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False, read_dictionary=known)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
                texts = _values(batch.column(batch.schema.get_field_index(text_name)), source.limit)
                ids: Sequence[object] = [None] * len(batch)
                if columns.id is not None:
                    ids = list(_values(batch.column(batch.schema.get_field_index(wanted[-1])), _LONGEST_ID))
                for text, name in zip(texts, ids, strict=True):
                    number += 1
                    label = str(number) if name in (None, "", _TOO_LONG) else str(name)
                    if text is _TOO_LONG:
                        source.bad_document(label, source.too_large())
                        continue
                    if text is not None and not isinstance(text, str):
                        message = f"column {text_name!r}: expected text, got {type(text).__name__}"
                        source.bad_document(label, message)
                        continue
                    yield Document.from_text(text or "", id=label)
        except (pa.ArrowException, OSError) as error:
            detail = " ".join(str(error).split())
            raise FormatError(source.path, f"the file is no Parquet file, or damaged ({detail})") from None


# Stands for a value that is not brought into memory.
_TOO_LONG = object()


def _check_groups(file: Any, names: Sequence[str], source: Source) -> None:
    """Refuse a file of whose columns a part that is read at once is far larger than a document may be."""
    limit = _GROUP_LIMITS * source.limit
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        for at in range(group.num_columns):
            column = group.column(at)
            if column.path_in_schema.split(".")[0] in names and column.total_uncompressed_size > limit:
                raise FormatError(
                    source.path,
                    f"a row group holds more than {limit >> 20} MB of one column; write it with smaller row "
                    "groups, or raise --max-document-mb",
                )


def _is_text(kind: Any) -> bool:
    pa = import_pyarrow()
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _values(column: Any, limit: int) -> Iterator[object]:
    """The values of a column one by one; of one that takes more bytes than ``limit``, ``_TOO_LONG``."""
    for value in column:
        plain = value.value if hasattr(value, "dictionary") else value
        buffer = plain.as_buffer() if plain is not None and hasattr(plain, "as_buffer") else None
        yield _TOO_LONG if buffer is not None and buffer.size > limit else value.as_py()


def _wanted(header: Sequence[str], given: str | None) -> int | None:
    for name in (given,) if given is not None else _USUAL:
        if name in header:
            return header.index(name)
    return None


def _column(path: str, header: Sequence[str], given: str | None, option: str) -> int:
    at = _wanted(header, given)
    if at is None:
        names = ", ".join(header[:20]) + (", ..." if len(header) > 20 else "")
        problem = f"there is no column {given!r}" if given is not None else "no column is called text"
        raise UsageError(f"{path}: {problem}; name one with {option} (the columns are {names})")
    return at


# -- writing -----------------------------------------------------------------------------------------------


class CsvWriter:
    """Writes a CSV file.

    Args:
        stream: where to.
        reporter: for what a table cannot hold.
        rows: ``entities``, a row an entity; ``documents``, a row a document, with a list of entities as JSON.
    """

    delimiter = ","

    def __init__(self, stream: BinaryIO, reporter: Reporter, rows: str = "entities") -> None:
        self._stream = stream
        self._reporter = reporter
        self._entities = rows == "entities"
        self._buffer = io.StringIO()
        self._csv = csv.writer(self._buffer, delimiter=self.delimiter, lineterminator="\n")
        self._csv.writerow(ENTITY_COLUMNS if self._entities else DOCUMENT_COLUMNS)

    def write(self, document: Document) -> None:
        """Write one document."""
        _report_losses(document, self._reporter)
        rows = entity_rows(document)
        if self._entities:
            for *before, score, task in rows:
                self._csv.writerow([*before, None if score is None else round(cast(float, score), 6), task])
        else:
            records = [dict(zip(ENTITY_COLUMNS[1:], row[1:], strict=True)) for row in rows]
            cell = json.dumps(records, ensure_ascii=False)
            self._csv.writerow([document.id, document.text, cell])
        self._flush()

    def finish(self) -> None:
        """Write the header where no document came."""
        self._flush()

    def _flush(self) -> None:
        self._stream.write(utf8(self._buffer.getvalue()))
        self._buffer.seek(0)
        self._buffer.truncate()


class TsvWriter(CsvWriter):
    """Writes a TSV file, as :class:`CsvWriter`."""

    delimiter = "\t"


class ParquetWriter:
    """Writes a Parquet file in groups of rows; arguments as for :class:`CsvWriter`."""

    def __init__(self, stream: BinaryIO, reporter: Reporter, rows: str = "entities") -> None:
        import_pyarrow()
        import pyarrow.parquet as pq

        self._rows = check_rows(rows)
        self._reporter = reporter
        self._schema = schema(self._rows)
        self._file: Any = pq.ParquetWriter(stream, self._schema)
        self._waiting: list[Document] = []
        self._size = 0

    def write(self, document: Document) -> None:
        """Write one document."""
        _report_losses(document, self._reporter)
        self._waiting.append(document)
        self._size += 1 + sum(len(passage.entities) for passage in document.passages)
        if self._size >= _GROUP:
            self._flush()

    def finish(self) -> None:
        """Write the rows that wait and the index."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(to_arrow(self._waiting, self._rows))
        self._waiting, self._size = [], 0


def _report_losses(document: Document, reporter: Reporter) -> None:
    report_native(document, reporter)
    parts = sum(bool(entity.spans) for entity in document.iter_entities())
    if parts:
        reporter.annotation(
            document.id,
            f"a table holds no mentions of several parts; {parts} are written from first to last part",
            action="changed",
        )
