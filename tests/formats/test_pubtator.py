"""PubTator: real files byte for byte, offsets in any unit, columns and relations."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import open_writer, read_documents


def read(text: str) -> tuple[list[Document], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BytesIO(text.encode())
    return list(read_documents(stream, "pubtator", name="in", on_problem=problems.append)), problems


def write(*documents: Document) -> tuple[str, list[Problem]]:
    problems: list[Problem] = []
    out = io.BytesIO()
    with open_writer(out, "pubtator", on_problem=problems.append) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue().decode(), problems


@pytest.mark.parametrize(
    ("name", "documents", "entities", "relations", "problems"),
    [
        ("BC5CDR_Test.PubTator", 500, 9796, 0, 0),
        ("BioRED_TrainDev.PubTator", 500, 16884, 0, 0),
        ("DrugProt_Test.PubTator", 750, 18339, 0, 3),  # white space at edges
        ("tmVar.Normalization.txt", 158, 674, 0, 1),  # a line of three phrases
        ("NCBIdisease_TrainDev.PubTator", 693, 5932, 0, 1),
    ],
)
def test_real_files(
    shared: Path, name: str, documents: int, entities: int, relations: int, problems: int
) -> None:
    path = shared / "formats" / "pubtator" / name
    found: list[Problem] = []
    read = list(read_documents(path, "pubtator", on_problem=found.append))
    assert len(read) == documents
    assert sum(len(document.entities) for document in read) == entities
    assert sum(len(document.relations) for document in read) == relations
    action = {"DrugProt_Test.PubTator": "moved", "tmVar.Normalization.txt": "dropped"}.get(name, "kept")
    assert [problem.action for problem in found] == [action] * problems
    for document in read:
        text = document.text
        assert all(text[e.start : e.end] == e.text for e in document.iter_entities())
    back, lost = write(*read)
    repeated = ["8528200"] if name.startswith("NCBIdisease") else []
    assert [problem.document for problem in lost] == repeated
    if not problems:
        assert back == path.read_text(encoding="utf-8")


def test_columns_and_relations() -> None:
    text = "1|t|A b\n1|a|c d\n1\t0\t1\tA\tGene\t7157\tx\ty\n1\t4\t5\tc\tDisease\n1\tCID\tD1\tD2\tNovel\n\n"
    (document,), problems = read(text)
    assert not problems
    gene, disease = document.entities
    assert gene.infons == {"identifier": "7157", "column7": "x", "column8": "y"}
    assert (disease.start, disease.text, disease.infons) == (4, "c", {})
    assert document.relations == [
        Relation(type="CID", infons={"entity1": "D1", "entity2": "D2", "column5": "Novel"})
    ]
    assert write(document) == (text, [])


def test_crlf_blank_lines_and_a_byte_order_mark() -> None:
    plain = "1|t|A b\n1|a|c d\n1\t0\t1\tA\tGene\n\n2|t|E\n2|a|\n2\t0\t1\tE\tGene\n\n"
    messy = "\ufeff\r\n\r\n" + plain.replace("\n", "\r\n").replace("1|a", "\r\n1|a") + "\r\n \r\n"
    assert read(messy) == read(plain)
    assert len(read(messy)[0]) == 2


def test_documents_need_no_blank_line_between_them() -> None:
    (first, second), _ = read("1|t|A\n1|a|B\n2|t|C\n2|a|D\n")
    assert (first.id, first.text, second.id, second.text) == ("1", "A B", "2", "C D")


def test_the_same_identifier_twice_is_two_documents() -> None:
    assert [document.text for document in read("1|t|A\n1|a|B\n\n1|t|C\n1|a|D\n")[0]] == ["A B", "C D"]


@pytest.mark.parametrize(("unit", "width"), [("UTF-16", 2), ("UTF-8", 4)])
def test_other_units_are_recognised(unit: str, width: int) -> None:
    start = len("𝛽") * width + 1
    (document,), (problem,) = read(f"1|t|𝛽 TP53 and TP53\n1\t{start}\t{start + 4}\tTP53\tGene\n")
    (entity,) = document.entities
    assert (entity.start, entity.end) == (2, 6)
    assert problem.action == "moved"
    assert unit in problem.message


def test_wrong_offsets_are_reported() -> None:
    rows = ["3\t7\tTP53\tGene", "0\t4\tTP54\tGene", "0\t4\ttp53\tGene", "90\t95\tBRCA1\tGene"]
    (document,), problems = read("1|t|TP53 binds MDM2\n" + "".join(f"1\t{row}\n" for row in rows))
    assert [(e.start, e.end, e.text) for e in document.entities] == [(0, 4, "TP53")] * 3
    assert [(p.line, p.action) for p in problems] == [(2, "moved"), (3, "kept"), (4, "kept"), (5, "dropped")]
    assert "'TP53' is not at 3-7; moved to 0-4" in str(problems[0])
    assert str(problems[3]).startswith("in:5: document 1: 'BRCA1': 90-95 is outside")


def test_an_abstract_without_a_title_keeps_its_offsets() -> None:
    text = "1|t|\n1|a|TP53\n1\t1\t5\tTP53\tGene\n\n"
    assert write(*read(text)[0]) == (text, [])


def test_one_untitled_passage_keeps_its_offsets() -> None:
    document = Document("1", [Passage("TP53", entities=[Entity(0, 4, "Gene", "TP53")])])
    assert write(document)[0] == "1|t|TP53\n1|a|\n1\t0\t4\tTP53\tGene\n\n"


def test_many_passages_are_joined_and_offsets_follow() -> None:
    passages = [
        Passage("T", 10, "title"),
        Passage("one\ntwo", 20, "INTRO", [Entity(24, 27, "X", "two")]),
        Passage("three", 40, "METHODS", [Entity(40, 45, "X", "three")]),
    ]
    text, problems = write(Document("1", passages))
    assert text == "1|t|T\n1|a|one two three\n1\t6\t9\ttwo\tX\n1\t10\t15\tthree\tX\n\n"
    assert not problems


def test_what_pubtator_cannot_hold_is_reported() -> None:
    entities = [
        Entity(0, 16, "D", "breast cancer", id="a", spans=((0, 6), (10, 16)), infons={"MESH": "D1"}),
        Entity(10, 16, "D", "cancer", id="b", infons={"identifier": "D2"}),
        Entity(7, 9, "D", "or", id="c"),
    ]
    relations = [Relation((("a", ""), ("b", "")), "R", "1"), Relation((("a", ""), ("c", "")), "R", "2")]
    document = Document("1", [Passage("breast or cancer", entities=entities)], relations=relations)
    document.passages[0].text = "breast or cancer"
    text, problems = write(document)
    assert "1\t0\t16\tbreast or cancer\tD\tD1\n" in text
    assert "1\tR\tD1\tD2\n" in text
    assert [(p.kind, p.action) for p in problems] == [("annotation", "moved"), ("relation", "dropped")]


def test_identifiers_that_would_break_a_line_are_refused() -> None:
    text, (problem,) = write(Document.from_text("a", "x|y"), Document.from_text("b", "z"))
    assert text == "z|t|b\nz|a|\n\n"
    assert (problem.kind, problem.action, problem.document) == ("document", "skipped", "x|y")


def test_types_that_a_model_found_are_written_as_pubtator_does() -> None:
    text = "HeLa cells and p53"
    found = [
        Entity(0, 4, "cell_line", "HeLa", score=0.9, task="general"),
        Entity(15, 18, "gene", "p53", score=0.9, task="general"),
        Entity(5, 10, "cell_type", "cells"),  # was read: its type is its corpus' own
    ]
    written, problems = write(Document("1", [Passage(text, entities=found)]))
    assert [line.split("\t")[4] for line in written.splitlines()[2:] if line] == [
        "CellLine",
        "Gene",
        "cell_type",
    ]
    assert not problems
    (again,), problems = read(written)
    assert [(e.start, e.end) for e in again.entities] == [(0, 4), (15, 18), (5, 10)]
    assert not problems


def test_tags_of_words_are_sections() -> None:
    text = "3|title|MEN1 mutations\n3|abstract|MEN1 is here.\n3|body|p|SUB|x\n3|body|And TP53.\n"
    (document,), problems = read(text + "3\t41\t45\tTP53\tGene\t7157\n")
    assert not problems
    assert [(p.section, p.text) for p in document.passages[2:]] == [
        ("body", "p|SUB|x"),
        ("body", "And TP53."),
    ]
    assert [(e.start, e.end) for e in document.entities] == [(41, 45)]
    # A word that begins no document is no tag.
    (problem,) = read("3|t|TP53\n4|SUB|x\n")[1]
    assert "expected 'id|t|text'" in problem.message


def test_lines_of_the_fbk_flavour_are_read() -> None:
    (document,), problems = read("1|t|TP53 in cancer\n1|a|\n1\tT1\tGene\t0\t4\tTP53\n")
    assert [(e.id, e.start, e.end, e.type) for e in document.entities] == [("T1", 0, 4, "Gene")]
    assert not problems


@pytest.mark.parametrize(
    "line",
    [
        "1\t0-4\tTP53\tGene\t7157",
        "1\t8,13\t12,19\tlung cancer\tDisease\tD008175",
        "1\t0.0\t4.0\tTP53\tGene\t7157",
        "1\tO\t4\tTP53\tGene",
        "1\t0\tx4\tTP53\tGene",
        "1\tGene\t4",
        "1\tCID\tD1\t",
        "1\tCID\tlung cancer\tD1",
        "1\tCID\tD1\tD2\tNovel\tmore",
    ],
)
def test_what_is_no_relation_is_not_taken_for_one(line: str) -> None:
    documents, (problem,) = read(f"1|t|TP53 in lung cancer\n1|a|\n{line}\n")
    assert not documents
    assert (problem.kind, problem.line) == ("document", 3)
    assert "two concepts of a relation" in problem.message


def test_documents_without_identifier_get_none_of_pubmed() -> None:
    text, (problem,) = write(Document.from_text("a", ""))
    assert text == "document-1|t|a\ndocument-1|a|\n\n"
    assert problem.action == "changed"
