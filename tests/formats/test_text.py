"""Plain text keeps every code point of the file; lines are ended by line feeds alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import open_writer, read_documents

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def _read(data: bytes, format: str) -> list[Document]:
    return list(read_documents(io.BytesIO(data), format, name="in.txt"))


def _write(documents: list[Document], format: str) -> tuple[bytes, list[Problem]]:
    out = io.BytesIO()
    problems: list[Problem] = []
    with open_writer(out, format, on_problem=problems.append) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue(), problems


@given(ANY_TEXT)
def test_text_is_the_file_and_back(text: str) -> None:
    data = text.encode()
    (document,) = _read(data, "text")
    assert document.text == text
    assert _write([document], "text") == (data, [])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)))
def test_lines_round_trip(lines: list[str]) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    documents = _read(data, "lines")
    assert [document.text for document in documents] == lines
    assert [document.id for document in documents] == [str(i + 1) for i in range(len(lines))]
    assert _write(documents, "lines") == (data, [])


def test_text_keeps_byte_order_mark_and_carriage_returns() -> None:
    (document,) = _read(b"\xef\xbb\xbfA\r\n\xce\xb1", "text")
    assert document.text == "\ufeffA\r\nα"
    assert document.id == "in"


def test_lines_end_in_line_feeds_only() -> None:
    documents = _read("a\r\nb\u2028c\x0bd\re\n\nf".encode(), "lines")
    assert [document.text for document in documents] == ["a", "b\u2028c\x0bd\re", "", "f"]


def test_what_is_not_utf8_names_file_and_line() -> None:
    with pytest.raises(FormatError, match=r"in\.txt:2: byte 0xff is not UTF-8"):
        _read(b"good\nb\xffd\n", "text")
    with pytest.raises(FormatError, match=r"in\.txt:3: byte 0xe9 is not UTF-8"):
        _read(b"good\n\nb\xe9d\n", "lines")


def test_line_breaks_inside_a_document_become_spaces_and_are_reported() -> None:
    data, problems = _write([Document.from_text("a\r\nb\nc", id="7")], "lines")
    assert data == b"a  b c\n"
    assert [(p.document, p.kind, p.action) for p in problems] == [("7", "text", "changed")]


def test_lost_entities_are_reported() -> None:
    document = Document("1", [Passage("TP53", entities=[Entity(0, 4, "Gene", "TP53")])])
    _, problems = _write([document], "text")
    assert [str(p) for p in problems] == ["<stream>: document 1: 1 annotations cannot be written as text"]


def test_a_text_file_holds_one_document(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    writer = open_writer(target)
    writer.write(Document.from_text("a"))
    with pytest.raises(FormatError, match="one document a file"):
        writer.write(Document.from_text("b"))
    writer.abort()
    assert not target.exists()
