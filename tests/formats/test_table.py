"""Tables in and out: quotes, line breaks, byte-order marks, empty and missing texts, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError, UsageError
from bioner_fast.formats.arrow import to_arrow
from bioner_fast.formats.base import Problem, TableColumns
from bioner_fast.formats.registry import open_writer, read_documents
from bioner_fast.formats.table_rows import Rows

DOCUMENT = Document(
    "7",
    [
        Passage(
            "β-blocker, 5\nmg", section="title", entities=[Entity(0, 9, "chemical", "β-blocker", score=0.25)]
        ),
        Passage(
            "in HEK293T", 16, entities=[Entity(19, 26, "cell_line", "HEK293T", score=1.0, task="general")]
        ),
    ],
)


def _read(
    data: bytes, kind: str, problems: list[Problem] | None = None, **columns: str
) -> list[tuple[str, str]]:
    collect = None if problems is None else problems.append
    chosen = TableColumns(**columns)
    found = read_documents(io.BytesIO(data), kind, name="in.csv", on_problem=collect, columns=chosen)
    return [(document.id, document.text) for document in found]


def _written(kind: str, rows: Rows, *documents: Document) -> bytes:
    out = io.BytesIO()
    with open_writer(out, kind, rows=rows) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue()


def test_csv_with_quotes_line_breaks_and_a_mark() -> None:
    data = '\ufeffpmid,abstract\r\n1,"TP53, ""wild"" type\r\nin α"\r\n2,\r\n\r\n3\r\n'.encode()
    assert _read(data, "csv", text="abstract", id="pmid") == [
        ("1", 'TP53, "wild" type\r\nin α'),
        ("2", ""),
        ("3", ""),
    ]


def test_semicolons_and_usual_names_are_found() -> None:
    assert _read(b"n;text\n4;a,b\n", "csv") == [("1", "a,b")]
    assert _read(b"abstract\tx\na\t1\nb\t2\n", "tsv") == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no header"),
        (b"a,text\n1,\xff\n", "in.csv:2: byte 0xff is not UTF-8"),
        (b'\n\r\na,text\n1,"\n', "in.csv:4: the row is not well-formed CSV"),
        (b'a,text\n1,x\n2,"x"y\n', r"in.csv:3: the row is not well-formed CSV"),
        (b'a,text\n1,"never closed\n', "in.csv:2: the row is not well-formed CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        _read(data, "csv")


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(
        UsageError, match=r"no column 'abs'; name one with --text-column \(the columns are a, b\)"
    ):
        _read(b"a,b\n1,2\n", "csv", text="abs")
    with pytest.raises(UsageError, match="no column is called text"):
        _read(b"a,b\n1,2\n", "csv")


def test_a_row_with_too_many_fields_is_a_bad_document() -> None:
    problems: list[Problem] = []
    assert _read(b"id,text\n1,a\n2,b,c\n3,d\n", "csv", problems, id="id") == [("1", "a"), ("3", "d")]
    assert [str(p) for p in problems] == ["in.csv:3: document 2: expected 2 fields as in the header, got 3"]
    with pytest.raises(FormatError, match="expected 2 fields"):
        _read(b"id,text\n2,b,c\n", "csv")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)))
def test_texts_survive_csv_as_others_write_it(texts: list[str]) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "text"])
    writer.writerows([str(number), text] for number, text in enumerate(texts))
    assert [text for _, text in _read(out.getvalue().encode(), "csv", id="id")] == texts


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_rows_of_entities(kind: str, delimiter: str) -> None:
    rows = list(
        csv.DictReader(io.StringIO(_written(kind, "entities", DOCUMENT).decode()), delimiter=delimiter)
    )
    assert rows[0] == {
        "id": "7", "passage": "title", "start": "0", "end": "9", "text": "β-blocker", "type": "chemical",
        "score": "0.25", "task": "",
    }  # fmt: skip
    assert (rows[1]["passage"], rows[1]["task"]) == ("1", "general")
    assert DOCUMENT.text[int(rows[1]["start"]) : int(rows[1]["end"])] == "HEK293T"


def test_rows_of_documents() -> None:
    (row,) = csv.DictReader(io.StringIO(_written("csv", "documents", DOCUMENT).decode(), newline=""))
    assert row["text"] == DOCUMENT.text
    assert [e["text"] for e in json.loads(row["entities"])] == ["β-blocker", "HEK293T"]


def test_without_documents_there_is_a_header() -> None:
    assert _written("csv", "entities") == b"id,passage,start,end,text,type,score,task\n"


def test_mentions_of_several_parts_are_reported() -> None:
    problems: list[Problem] = []
    entity = Entity(0, 5, "x", "a c", spans=((0, 1), (4, 5)))
    with open_writer(io.BytesIO(), "csv", on_problem=problems.append) as writer:
        writer.write(Document("1", [Passage("a b c", entities=[entity])]))
    assert "mentions of several parts" in problems[0].message


def test_parquet_both_ways(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    import pyarrow.parquet as pq

    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"pmid": [1, None, 3], "abstract": ["α", None, "b"]}), path)
    columns = TableColumns("abstract", "pmid")
    found = [(d.id, d.text) for d in read_documents(path, columns=columns)]
    assert found == [("1", "α"), ("2", ""), ("3", "b")]
    assert pq.read_table(io.BytesIO(_written("parquet", "entities", DOCUMENT))).equals(to_arrow([DOCUMENT]))
    whole = pq.read_table(io.BytesIO(_written("parquet", "documents", DOCUMENT))).to_pylist()
    assert whole[0]["entities"][1]["start"] == 19
    with pytest.raises(FormatError, match="no Parquet file"):
        _read(b"PAR1 no", "parquet")
    with pytest.raises(UsageError, match="no column 'x'"):
        list(read_documents(path, columns=TableColumns("x")))


def test_arrow_table() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra arrow")
    table = to_arrow([DOCUMENT, Document.from_text("nothing", "8")])
    assert table.column_names == ["id", "passage", "start", "end", "text", "type", "score", "task"]
    assert table.column("score").to_pylist() == [0.25, 1.0]
    assert table.column("task").to_pylist() == [None, "general"]
    assert to_arrow([Document.from_text("nothing", "8")], rows="documents").num_rows == 1
    wrong: Any = "lines"
    with pytest.raises(UsageError, match="rows must be entities or documents"):
        to_arrow([], rows=wrong)


def test_edges_of_csv() -> None:
    assert _read(b"\r\n\ntext\nx\n", "csv") == [("1", "x")]
    assert _read(b"text\na\0b\n", "csv") == [("1", "a\0b")]
    assert _read("id;text\n1;🔬, é\n".encode(), "csv") == [("1", "🔬, é")]
    giant = b"x" * (3 << 20)
    assert _read(b"text\n" + giant + b'\n"y\nz"', "csv") == [("1", giant.decode()), ("2", "y\nz")]
    rows = "".join(f'{number},"row {number}, ""x"""\n' for number in range(100_000))
    found = _read(f"pmid,text\n{rows}".encode(), "csv", id="pmid")
    assert len(found) == 100_000
    assert found[-1] == ("99999", 'row 99999, "x"')
