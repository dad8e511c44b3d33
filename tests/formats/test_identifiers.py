"""Identifiers that come twice, and comments of column files: nothing is lost, and what changes is said."""

from __future__ import annotations

import io

import pytest

from bioner_fast.data.document import Document
from bioner_fast.features.layers import add_tokens
from bioner_fast.formats.base import Problem, Reporter
from bioner_fast.formats.identifiers import Identifiers
from bioner_fast.formats.registry import FORMATS, open_writer, read_documents

IDENTIFIED = ["jsonl", "pubtator", "bioc-xml", "bioc-json", "conll", "csv", "tsv", "parquet"]


def written(documents: list[Document], format: str, **more: bool) -> tuple[bytes, list[Problem]]:
    problems: list[Problem] = []
    out = io.BytesIO()
    with open_writer(out, format, on_problem=problems.append, rows="documents", **more) as writer:  # type: ignore[arg-type]
        for document in documents:
            writer.write(add_tokens(document) if format == "conll" else document)
    return out.getvalue(), problems


@pytest.mark.parametrize("format", IDENTIFIED)
def test_repeated_identifiers_become_unique_and_are_reported(format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra arrow")
    names = ["7", "8", "7", "7-2", "7", "8"]
    documents = [Document.from_text(f"text {i}", id=name) for i, name in enumerate(names)]
    data, problems = written(documents, format)
    columns = {"columns": None}
    if FORMATS[format].table:
        from bioner_fast.formats.base import TableColumns

        columns = {"columns": TableColumns(id="id")}
    again = list(read_documents(io.BytesIO(data), format, **columns))  # type: ignore[arg-type]
    assert [d.id for d in again] == ["7", "8", "7-2", "7-2-2", "7-3", "8-2"]
    assert [d.text.strip() for d in again] == [f"text {i}" for i in range(len(names))]
    assert [(p.document, p.action, p.kind) for p in problems] == [
        (name, "changed", "text") for name in ("7", "7-2", "7", "8")
    ]
    assert "this one is called 7-3" in problems[2].message
    assert [d.id for d in documents] == names  # those of the caller stay as they are


def test_json_lines_keep_the_kind_of_an_id_that_stays() -> None:
    records = ['{"id": 5, "text": "a", "k": 1}', '{"id": "5", "text": "b", "k": 2}', '{"text": "c"}']
    source = "\n".join([*records, '{"id": 3, "text": "d"}']).encode()
    data, _ = written(list(read_documents(io.BytesIO(source), "jsonl")), "jsonl")
    assert [line.partition(b", ")[0] for line in data.splitlines()] == [
        b'{"id": 5', b'{"id": "5-2"', b'{"id": "3"', b'{"id": "3-2"',
    ]  # fmt: skip
    assert data.count(b'"k": 2') == 1


def test_who_asks_for_it_keeps_identifiers_as_they_are() -> None:
    data, problems = written([Document.from_text("a", id="1")] * 2, "pubtator", unique=False)
    assert data.count(b"1|t|a") == 2
    assert not problems


def test_many_identifiers_take_little_memory_and_are_still_known() -> None:
    seen = Identifiers()
    reporter = Reporter("x", lambda problem: None)
    count = 200_000
    for i in range(count):
        document = Document.from_text("", id=str(i))
        assert seen.unique(document, reporter) is document
    assert sum(len(run) for run in seen._sorted) + len(seen._new) == count
    assert len(seen._sorted) < 4
    for i in (0, 1, 65535, 65536, 131071, count - 1):
        assert seen.unique(Document.from_text("", id=str(i)), reporter).id == f"{i}-2"


COMMENTED = b"""# global.columns = token gold

-DOCSTART-\td1

# sent_id = 1
# text = TP53 in mice
TP53\tB-Gene
# inside
in\tO
mice\tO

# sent_id = 2
BRCA1\tB-Gene

# last

-DOCSTART-\td2

# sent_id = 3
x\tO
"""


def test_comments_of_column_files_stay_where_they_stood() -> None:
    documents = list(read_documents(io.BytesIO(COMMENTED), "conll"))
    data, problems = written_as_read(documents)
    assert [line for line in data.splitlines() if line] == [
        # Names of columns that stood before the mark of the first document come behind it.
        *COMMENTED.splitlines()[2:3],
        *COMMENTED.splitlines()[:1],
        *[line for line in COMMENTED.splitlines()[3:] if line],
    ]
    assert not problems
    again, _ = written_as_read(list(read_documents(io.BytesIO(data), "conll")))
    assert again == data


def written_as_read(documents: list[Document]) -> tuple[bytes, list[Problem]]:
    problems: list[Problem] = []
    out = io.BytesIO()
    with open_writer(out, "conll", on_problem=problems.append) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue(), problems


def test_comments_are_never_tokens_of_the_output() -> None:
    source = b"p53\tO\n\n# one\ttwo\tthree\nof\tO\n"
    documents = list(read_documents(io.BytesIO(source), "conll"))
    for document in documents:
        document.native.tags["task"] = ["O", "O"]  # type: ignore[attr-defined]
    data, problems = written_as_read(documents)
    assert b"# one two three\nof\tO\tO\n" in data
    assert [p.message for p in problems] == ["a tab in a comment line became a space"]
    [again] = read_documents(io.BytesIO(data), "conll")
    assert again.text == "p53\nof"


def test_formats_without_comments_say_that_they_are_lost() -> None:
    documents = list(read_documents(io.BytesIO(COMMENTED), "conll"))
    _, problems = written(documents, "pubtator")
    assert [p.message for p in problems] == [
        "6 comment lines of CoNLL have no place in other formats",
        "1 comment line of CoNLL has no place in other formats",
    ]


def test_comments_before_a_document_count_against_its_limit() -> None:
    from bioner_fast.errors import FormatError

    line = b"# " + b"x" * 1000 + b"\n"
    for source in (line * 1100 + b"p53\tO\n", b"p53\tO\n" + line * 1100 + b"of\tO\n"):
        with pytest.raises(FormatError, match="larger than 1 MB; raise --max-document-mb"):
            list(read_documents(io.BytesIO(source), "conll", max_document_mb=1))
