"""Column files as documents: tokens, sentences and columns survive; entities and tags agree."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.formats.registry import open_writer, read_documents


def _read(data: str) -> list[Document]:
    return list(read_documents(io.BytesIO(data.encode()), "conll", name="in.tsv"))


def _write(documents: list[Document]) -> tuple[str, list[Problem]]:
    out = io.BytesIO()
    problems: list[Problem] = []
    with open_writer(out, "conll", on_problem=problems.append) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue().decode(), problems


def _mentions(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.iter_entities()]


TAGS = st.sampled_from(["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "I-C-D"])
TOKEN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=5)
SENTENCE = st.lists(st.tuples(TOKEN, TAGS), min_size=1, max_size=6)


NAMED = st.tuples(st.text("abc1", min_size=1), st.lists(SENTENCE, max_size=3))


@given(st.lists(NAMED, max_size=3, unique_by=lambda document: document[0]))
def test_round_trip(documents: list[tuple[str, list[list[tuple[str, str]]]]]) -> None:
    blocks = []
    for id, sentences in documents:
        blocks.append(f"-DOCSTART-\t{id}")
        blocks += ["\n".join("\t".join(pair) for pair in sentence) for sentence in sentences]
    data = "\n\n".join(blocks) + "\n" if blocks else ""
    back = _read(data)
    assert [document.id for document in back] == [id for id, _ in documents]
    for document in back:
        for entity in document.iter_entities():
            assert document.text[entity.start : entity.end] == entity.text
    assert _write(back) == (data, [])


@pytest.mark.parametrize("name", ["NCBI-disease-IOB", "JNLPBA-partial", "GENIA-pos"])
def test_real_corpora_come_back(shared: Path, name: str) -> None:
    data = (shared / "corpora" / name / "test.tsv").read_text(encoding="utf-8")
    documents = _read(data)
    assert _write(documents)[0].rstrip("\n") == data.rstrip("\n")
    if name == "NCBI-disease-IOB":
        assert sum(len(document.entities) for document in documents) == 960
    if name == "GENIA-pos":
        assert not any(document.entities for document in documents)


def test_layout_byte_order_mark_crlf_spaces_and_missing_end() -> None:
    (document,) = _read("\ufeffIL  -2   B-G\r\nx y \tI-G\r\n\r\n\r\nz z O")
    assert document.text == "IL x\nz"
    assert document.id == "in"
    assert isinstance(document.native, TokenLayer)
    assert document.native.given == [["-2", "y", "z"], ["B-G", "I-G", "O"]]
    assert document.native.sentence_offsets.tolist() == [0, 2, 3]
    assert _mentions(document) == [("G", "IL x")]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-A", "I-A", "I-A"], ["a b c"]),
        (["B-A", "B-A", "I-B"], ["a", "b", "c"]),
        (["I-A", "I-A", "O"], ["a b"]),
        (["B-A", "E-A", "I-A"], ["a b", "c"]),
        (["S-A", "S-A", "E-A"], ["a", "b", "c"]),
        (["B-A", "E-A", "E-A"], ["a b", "c"]),
        (["O", "O", "O"], []),
        (["NN", "IN", "B-A"], []),
        (["B", "I", "O"], ["a b"]),
        (["B-A", "L-A", "U-A"], ["a b", "c"]),
        (["tag", "B-A", "I-A"], ["b c"]),
    ],
)
def test_chunks_follow_conlleval(tags: list[str], expected: list[str]) -> None:
    (document,) = _read("\n".join(f"{token} {tag}" for token, tag in zip("abc", tags, strict=True)))
    assert [entity.text for entity in document.entities] == expected


def test_a_sentence_end_closes_an_entity() -> None:
    (document,) = _read("a B-A\n\nb I-A\n")
    assert _mentions(document) == [("A", "a"), ("A", "b")]


def test_documents_without_names_are_numbered_but_not_named_on_output() -> None:
    data = "-DOCSTART-\tO\n\na\tO\n\n-DOCSTART-\tx 1\n\nb\tO\n"
    documents = _read(data)
    assert [document.id for document in documents] == ["1", "x 1"]
    assert _write(documents)[0] == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a O\nb\n", "in.tsv:2: expected 2 columns as in the lines before, found 1: 'b'"),
        ("a O\n\nb O O\n", "in.tsv:3: expected 2 columns"),
        ("a O\nb\rc O\n", "in.tsv:2: expected text with line ends"),
        ("a\0b O\n", "in.tsv:1: expected text"),
    ],
)
def test_malformed_lines(data: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        _read(data)
    assert str(caught.value).startswith(message)


def _layer(text: str, *sentence_offsets: int) -> TokenLayer:
    starts = [i for i, c in enumerate(text) if c != " " and (i == 0 or text[i - 1] == " ")]
    ends = [text.find(" ", s) if " " in text[s:] else len(text) for s in starts]
    offsets = [0, *sentence_offsets, len(starts)]
    return TokenLayer(np.array(starts), np.array(ends), np.array(offsets), marker=False)


def _document(text: str, entities: list[tuple[int, int, str]], *sentence_offsets: int) -> Document:
    found = [Entity(start, end, type, text[start:end]) for start, end, type in entities]
    return Document("d", [Passage(text, entities=found)], native=_layer(text, *sentence_offsets))


def test_entities_become_tags_and_losses_are_reported() -> None:
    text = "alpha beta gamma delta"
    document = _document(
        text, [(0, 10, "Cell line"), (6, 16, "B"), (12, 14, "C"), (16, 17, "D"), (17, 22, "E")]
    )
    data, problems = _write([document])
    assert data == "alpha\tB-Cell_line\nbeta\tI-Cell_line\ngamma\tB-C\ndelta\tB-E\n"
    assert [(p.action, p.message) for p in problems] == [
        ("dropped", "B 'beta gamma' at 6..16 overlaps another annotation"),
        ("moved", "C 'am' at 12..14 was moved to the tokens at 11..16"),
        ("dropped", "D ' ' at 16..17 covers no token"),
    ]


def test_discontinuous_entities_are_dropped() -> None:
    document = _document("a b c", [(0, 5, "A")])
    document.passages[0].entities[0].spans = ((0, 1), (4, 5))
    data, problems = _write([document])
    assert data == "a\tO\nb\tO\nc\tO\n"
    assert [p.action for p in problems] == ["dropped"]


def test_a_sentence_break_inside_an_entity_is_left_out() -> None:
    data, problems = _write([_document("a b c d", [(0, 3, "A"), (4, 5, "B")], 1, 2, 3)])
    assert data == "a\tB-A\nb\tI-A\n\nc\tB-B\n\nd\tO\n"
    assert problems == []


def test_columns_of_a_model_follow_those_that_were_read() -> None:
    (document,) = _read("a B-A\nb O\n")
    assert isinstance(document.native, TokenLayer)
    document.native.tags = {"one": ["O", "B-X"], "two": ["NN", "VB"]}
    assert _write([document])[0] == "# global.columns =\ttoken gold one two\na\tB-A\tO\tNN\nb\tO\tB-X\tVB\n"


def test_a_document_without_tokens_is_refused() -> None:
    with pytest.raises(FormatError, match="document 9 has no tokens"):
        _write([Document.from_text("a", id="9")])
