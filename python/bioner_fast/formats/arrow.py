"""Entities as Arrow tables (extra ``arrow``): for pandas, polars, DuckDB and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bioner_fast.data.document import Document
from bioner_fast.errors import UsageError
from bioner_fast.formats.table_rows import Rows, check_rows, clean, entity_rows

if TYPE_CHECKING:
    import pyarrow as pa


def import_pyarrow() -> Any:
    """pyarrow, or one sentence that says how to get it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise UsageError("Arrow and Parquet need pyarrow: pip install 'bioner-fast[arrow]'") from None
    return pyarrow


def schema(rows: Rows = "entities") -> pa.Schema:
    """The columns of a table: ``id, passage, start, end, text, type, score, task``, or with a list column."""
    pa = import_pyarrow()
    entity = [
        ("passage", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("text", pa.string()),
        ("type", pa.string()),
        ("score", pa.float64()),
        ("task", pa.string()),
    ]
    if rows == "entities":
        return pa.schema([("id", pa.string()), *entity])
    return pa.schema([("id", pa.string()), ("text", pa.string()), ("entities", pa.list_(pa.struct(entity)))])


def to_arrow(documents: Iterable[Document], rows: Rows = "entities") -> pa.Table:
    """Documents as a table.

    Args:
        documents: tagged, or read with their annotations.
        rows: ``entities``, a row an entity with the columns ``id, passage, start, end, text, type, score,
            task`` (a document without entities has no row); or ``documents``, a row a document with the
            columns ``id, text, entities``, the last a list of structs.

    Returns:
        A pyarrow table. Offsets are int64 code points of the document, end exclusive; ``score`` is a float64
        from 0 to 1, null where there is none; ``passage`` is the passage's name ("title") or else its number
        from 0.

    Raises:
        UsageError: pyarrow is not installed, or ``rows`` is something else.

    Example:
        >>> from bioner_fast import Document, Entity, Passage
        >>> document = Document("1", [Passage("TP53", entities=[Entity(0, 4, "gene", "TP53")])])
        >>> to_arrow([document]).column("type").to_pylist()  # doctest: +SKIP
        ['gene']
    """
    pa = import_pyarrow()
    wanted = schema(check_rows(rows))
    if rows == "documents":
        names = wanted.field("entities").type.value_type
        keys = [names.field(i).name for i in range(names.num_fields)]
        records = [
            {
                "id": clean(document.id),
                "text": clean(document.text),
                "entities": [dict(zip(keys, row[1:], strict=True)) for row in entity_rows(document)],
            }
            for document in documents
        ]
        return pa.Table.from_pylist(records, schema=wanted)
    columns: list[list[object]] = [[] for _ in wanted]
    for document in documents:
        for row in entity_rows(document):
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, wanted, strict=True)]
    return pa.Table.from_arrays(arrays, schema=wanted)
