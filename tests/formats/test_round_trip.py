"""What a format can hold, it gives back; what it cannot, it reports, and offsets stay right."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

import pytest
from format_strategies import (
    XML_ILLEGAL,
    bioc_documents,
    brat_documents,
    plain_documents,
    pubtator_documents,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.formats.base import Problem
from bioner_fast.formats.convert import convert_documents
from bioner_fast.formats.registry import FORMATS, open_writer, read_documents

relaxed = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)


def write(documents: list[Document], format: str) -> tuple[bytes, list[Problem]]:
    out = io.BytesIO()
    problems: list[Problem] = []
    with open_writer(out, format, on_problem=problems.append, unique=False) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue(), problems


def read(data: bytes, format: str) -> tuple[list[Document], list[Problem]]:
    problems: list[Problem] = []
    return list(read_documents(io.BytesIO(data), format, on_problem=problems.append)), problems


def check(documents: list[Document], format: str) -> None:
    data, lost = write(documents, format)
    back, wrong = read(data, format)
    assert [str(problem) for problem in lost + wrong] == []
    assert back == documents


def unique(documents: list[Document]) -> bool:
    return len({document.id for document in documents}) == len(documents)


@relaxed
@given(st.lists(pubtator_documents(), max_size=3).filter(unique))
def test_pubtator(documents: list[Document]) -> None:
    check(documents, "pubtator")


@relaxed
@given(st.lists(bioc_documents(), max_size=2))
def test_bioc_xml(documents: list[Document]) -> None:
    check(documents, "bioc-xml")


@relaxed
@given(st.lists(bioc_documents(), max_size=2))
def test_bioc_json(documents: list[Document]) -> None:
    check(documents, "bioc-json")


@relaxed
@given(st.lists(bioc_documents(), max_size=2, unique_by=lambda document: document.id))
def test_bioc_json_and_xml_hold_the_same(documents: list[Document]) -> None:
    data, _ = write(documents, "bioc-json")
    xml, json = io.BytesIO(), io.BytesIO()
    convert_documents(io.BytesIO(data), xml, "bioc-json", "bioc-xml")
    convert_documents(io.BytesIO(xml.getvalue()), json, "bioc-xml", "bioc-json")
    assert json.getvalue() == data


@relaxed
@given(st.lists(brat_documents(), min_size=1, max_size=2).filter(unique))
def test_brat(documents: list[Document]) -> None:
    check(documents, "brat")


@pytest.mark.parametrize("format", ["pubtator", "bioc-xml", "bioc-json", "brat", "jsonl"])
@relaxed
@given(document=plain_documents())
@example(document=Document("empty"))
@example(
    document=Document(
        "1", [Passage("α👩\u200d🔬 TP53", 0, "title", [Entity(5, 9, "Gene", "TP53", 0.5, "t")])]
    )
)
def test_mentions_survive_with_right_offsets(format: str, document: Document) -> None:
    data, lost = write([document], format)
    (back,), wrong = read(data, format)
    assert back.id == document.id
    assert lost + wrong == []
    text = back.text
    assert all(text[entity.start : entity.end] == entity.text for entity in back.iter_entities())

    def mentions(some: Document) -> Counter[tuple[str, str]]:
        flat = str.maketrans("\r\n", "  ") if format == "pubtator" else {}
        return Counter((entity.text.translate(flat), entity.type) for entity in some.iter_entities())

    assert mentions(back) == mentions(document)
    if format in ("bioc-xml", "bioc-json", "brat", "jsonl"):
        spans = [(e.start, e.end, e.type, e.score, e.task) for e in document.iter_entities()]
        assert [(e.start, e.end, e.type, e.score, e.task) for e in back.iter_entities()] == spans
        assert back.text == document.text


@relaxed
@given(st.text(st.sampled_from("ab" + XML_ILLEGAL), min_size=1))
def test_characters_that_xml_cannot_hold_are_replaced_one_for_one(text: str) -> None:
    data, lost = write([Document.from_text(text, "1")], "bioc-xml")
    (back,), _ = read(data, "bioc-xml")
    assert back.text == "".join("\ufffd" if c in XML_ILLEGAL else c for c in text)
    assert [(p.kind, p.action) for p in lost] == ([("text", "changed")] if back.text != text else [])


WRITTEN = [name for name, entry in FORMATS.items() if entry.writer is not None]


@pytest.mark.parametrize(
    "format", [name for name in WRITTEN if name not in ("text", "lines", "conll", "html", "parquet")]
)
def test_no_documents(format: str) -> None:
    data, problems = write([], format)
    if format == "brat":
        return  # an archive without members is refused when it is read
    assert read(data, format) == ([], [])
    assert problems == []


@pytest.mark.parametrize("format", ["pubtator", "bioc-xml", "bioc-json", "jsonl"])
def test_compressed_paths(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"out{FORMATS[format].suffixes[0]}.gz"
    document = Document("7", [Passage("β-catenin", 0, "title", [Entity(0, 1, "Gene", "β")])])
    for _ in range(2):
        with open_writer(path, force=True) as out:
            out.write(document)
    first = path.read_bytes()
    gzip.decompress(first)
    (back,) = read_documents(path)
    assert (back.id, back.text, back.entities[0].text) == ("7", "β-catenin", "β")
    with open_writer(path, force=True) as out:
        out.write(document)
    assert path.read_bytes() == first  # no time stamp inside


def fail(path: Path, format: str | None = None) -> None:
    with open_writer(path, format, force=True) as out:
        out.write(Document.from_text("new", "1"))
        _ = 1 / 0


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.pubtator"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.pubtator"]


def test_a_failed_brat_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "out", "brat")
    assert list(tmp_path.iterdir()) == []
