"""BioC: every element of the standard, real files in both forms, the reference library as witness."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.data.document import Document
from bioner_fast.formats.base import Problem
from bioner_fast.formats.bioc import BiocNative
from bioner_fast.formats.convert import convert_documents
from bioner_fast.formats.registry import read_documents

NAMES = ["CRAFT-example", "NCBIdevset-example", "everything"]


def read(data: str, format: str = "bioc-json") -> tuple[list[Document], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BytesIO(data.encode())
    return list(read_documents(stream, format, name="in", on_problem=problems.append)), problems


def document(passages: list[dict[str, Any]], **fields: Any) -> str:
    return json.dumps({"documents": [{"id": "1", "passages": passages, **fields}]}, ensure_ascii=False)


def annotation(offset: int, length: int, text: str, id: str = "a", **infons: str) -> dict[str, Any]:
    return {"id": id, "infons": infons, "text": text, "locations": [{"offset": offset, "length": length}]}


@pytest.mark.parametrize("name", NAMES)
def test_xml_and_json_of_the_same_documents_agree(shared: Path, name: str) -> None:
    xml = list(read_documents(shared / "formats" / "bioc-xml" / f"{name}.xml"))
    assert xml == list(read_documents(shared / "formats" / "bioc-json" / f"{name}.json"))
    assert (
        sum(len(d.entities) for d in xml)
        == {"CRAFT-example": 40, "NCBIdevset-example": 74, "everything": 5}[name]
    )


def shape(collection: Any) -> Any:
    """A collection as the reference library sees it, without what both sides may leave out."""

    def marks(node: Any) -> list[Any]:
        annotations = [
            (a.id, dict(a.infons), a.text, [(x.offset, x.length) for x in a.locations])
            for a in node.annotations
        ]
        relations = [(r.id, dict(r.infons), [(n.refid, n.role) for n in r.nodes]) for r in node.relations]
        return [annotations, relations]

    documents = []
    for item in collection.documents:
        passages = []
        for p in item.passages:
            sentences = [(s.offset, s.text, dict(s.infons), marks(s)) for s in p.sentences]
            passages.append((p.offset, p.text or "", dict(p.infons), sentences, marks(p)))
        documents.append((item.id, dict(item.infons), passages, marks(item)))
    return (collection.source, collection.date, collection.key, dict(collection.infons), documents)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", ["bioc-xml", "bioc-json"])
@pytest.mark.parametrize("source", ["bioc-xml", "bioc-json"])
@pytest.mark.parametrize("name", NAMES)
def test_the_reference_library_reads_the_same(
    shared: Path, tmp_path: Path, name: str, source: str, target: str
) -> None:
    pytest.importorskip("bioc", reason="the reference library of BioC is not installed")
    from bioc import biocjson, biocxml

    def load(path: Path) -> Any:
        with open(path, encoding="utf-8") as stream:
            return (biocxml if path.suffix == ".xml" else biocjson).load(stream)

    original = shared / "formats" / source / f"{name}.{source[5:]}"
    converted = tmp_path / f"out.{target[5:]}"
    problems: list[Problem] = []
    convert_documents(original, converted, on_problem=problems.append)
    assert not problems
    assert shape(load(converted)) == shape(load(original))


def test_everything(shared: Path) -> None:
    first, second = read_documents(shared / "formats" / "bioc-xml" / "everything.xml")
    native = first.native
    assert isinstance(native, BiocNative)
    assert (native.collection.source, native.collection.infons) == (
        "source",
        {"collection-infon-key": "collection-infon-value"},
    )
    assert [e.level for e in first.iter_entities()] == ["passage", "passage", "document"]
    assert [r.id for r in first.iter_relations()] == ["R2", "R1"]
    (passage,) = second.passages
    assert (passage.offset, passage.text) == (27, "abcdefg测试Non-ASCII")
    assert [(s.start, s.end) for s in passage.sentences] == [(27, 34), (34, 45)]
    assert [second.text[e.start : e.end] for e in passage.entities] == ["bc", "测试"]


def test_nested_and_discontinuous_annotations(shared: Path) -> None:
    (craft,) = read_documents(shared / "formats" / "bioc-xml" / "CRAFT-example.xml")
    broken = [e for e in craft.iter_entities() if e.spans]
    assert broken
    assert all((e.start, e.end) == (e.spans[0][0], e.spans[-1][1]) for e in broken)
    assert broken[0].text == "embryonic stem ... cells"


@pytest.mark.parametrize(("unit", "width"), [("UTF-16 units", 2), ("UTF-8 bytes", 4)])
def test_units(unit: str, width: int) -> None:
    passages = [
        {"offset": 0, "text": "𝛽 x"},
        {"offset": width + 3, "text": "𝛽 TP53", "annotations": [annotation(2 * width + 4, 4, "TP53")]},
    ]
    (back,), (problem,) = read(document(passages))
    assert [p.offset for p in back.passages] == [0, 4]
    assert [(e.start, e.end) for e in back.iter_entities()] == [(6, 10)]
    assert unit in problem.message


def test_offsets_from_the_passage() -> None:
    passages = [
        {"offset": 0, "text": "a title"},
        {"offset": 8, "text": "on TP53", "annotations": [annotation(3, 4, "TP53")]},
    ]
    (back,), (problem,) = read(document(passages))
    assert [(e.start, e.end) for e in back.passages[1].entities] == [(11, 15)]
    assert "count from their passage" in problem.message


def test_passages_that_overlap_are_put_apart() -> None:
    passages = [
        {"offset": 0, "text": "a title"},
        {"offset": 3, "text": "on TP53", "annotations": [annotation(6, 4, "TP53")]},
    ]
    (back,), problems = read(document(passages))
    assert back.text == "a titleon TP53"
    assert [back.text[e.start : e.end] for e in back.iter_entities()] == ["TP53"]
    assert any("lies inside the text before it" in p.message for p in problems)


def test_annotations_without_location_stay_in_bioc() -> None:
    loose = {"id": "s", "infons": {"type": "Species"}, "text": "mouse", "locations": []}
    data = document([{"offset": 0, "text": "a", "annotations": [loose]}])
    out, lost = io.BytesIO(), []
    convert_documents(io.BytesIO(data.encode()), out, "bioc-json", "bioc-xml", on_problem=lost.append)
    assert not lost
    assert b"mouse" in out.getvalue()
    convert_documents(
        io.BytesIO(data.encode()), io.BytesIO(), "bioc-json", "pubtator", on_problem=lost.append
    )
    assert [p.action for p in lost] == ["dropped"]


@pytest.mark.parametrize(
    "data",
    [
        '{"id": "1", "passages": [{"offset": 0, "text": "a"}]}',
        '{"PubTator3": [{"id": "1", "passages": [{"offset": 0, "text": "a"}]}]}',
        '[{"source": "PMC", "documents": [{"id": "1", "passages": [{"offset": 0, "text": "a"}]}]}]',
        '{"documents": []}\n{"id": 1, "passages": [{"offset": 0, "text": "a"}]}\n',
    ],
)
def test_json_as_services_give_it(data: str) -> None:
    (back,), problems = read(data)
    assert (back.id, back.text, problems) == ("1", "a", [])


def test_json_infons_that_are_no_strings() -> None:
    passages = [{"offset": 0, "text": "a", "infons": {"year": 2020, "none": None, "list": ["x"]}}]
    (back,), _ = read(document(passages))
    assert back.passages[0].infons == {"year": "2020", "list": '["x"]'}


def test_documents_longer_than_the_buffer() -> None:
    text = "𝛽 TP53 " * 60_000
    data = document([{"offset": 0, "text": text}]).replace("]}]}", "]}, " + "{}".format(
        json.dumps({"id": "2", "passages": []})) + "]}")  # fmt: skip
    first, second = read(data)[0]
    assert (first.text == text, second.id) == (True, "2")


def test_a_bad_document_does_not_stop_the_others() -> None:
    good = {"id": "2", "passages": [{"offset": 0, "text": "a"}]}
    bad = {"id": "1", "passages": [{"offset": "x", "text": "a"}]}
    documents, (problem,) = read(json.dumps({"documents": [bad, good]}))
    assert [d.id for d in documents] == ["2"]
    assert (problem.document, problem.action) == ("1", "skipped")
    assert "whole number" in problem.message


def test_score_and_task_return_as_such() -> None:
    marked = annotation(0, 1, "a", type="Gene", score="0.5", task="genes")
    (back,), _ = read(document([{"offset": 0, "text": "a", "annotations": [marked]}]))
    (entity,) = back.entities
    assert (entity.score, entity.task, entity.infons) == (0.5, "genes", {})
    marked = annotation(0, 1, "a", type="Gene", score="0.50")
    (back,), _ = read(document([{"offset": 0, "text": "a", "annotations": [marked]}]))
    assert back.entities[0].infons == {"score": "0.50"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": "7", "_id": "123|PMC9", "pmid": 123}, "7"),
        ({"id": "", "_id": "123|PMC9", "pmid": 124}, "124"),
        ({"_id": "123|PMC9", "pmid": None, "pmcid": "PMC9"}, "PMC9"),
        ({"_id": "123|None"}, "123"),
        ({}, ""),
    ],
)
def test_identifiers_of_pubtator_3(fields: dict[str, Any], expected: str) -> None:
    passages = [{"offset": 0, "text": "a"}]
    (back,), problems = read(json.dumps({"PubTator3": [{**fields, "passages": passages}]}))
    assert (back.id, problems) == (expected, [])


def test_identifiers_of_other_kinds_are_refused() -> None:
    documents, (problem,) = read(json.dumps({"documents": [{"id": {}, "passages": []}]}))
    assert not documents
    assert "expected 'id' to be text or a whole number, found dict" in problem.message


def test_relations_of_pubtator_3() -> None:
    relation = {
        "id": "R1",
        "infons": {
            "type": "Association",
            "role1": {"type": "Gene", "identifier": "7157"},
            "role2": "Disease|MESH:D009369",
        },
        "nodes": [{"refid": "0", "role": "3,4"}],
    }
    marks = [annotation(0, 4, "TP53", "3"), annotation(8, 6, "cancer", "4")]
    data = document([{"offset": 0, "text": "TP53 in cancer", "annotations": marks}], relations=[relation])
    (back,), problems = read(data)
    assert back.relations[0].nodes == (("3", "role1"), ("4", "role2"))
    for target, expected in (
        ("pubtator", b"1\tAssociation\t7157\tMESH:D009369\n"),
        ("brat", b"R1\tAssociation role1:T1 role2:T2\n"),
    ):
        out = io.BytesIO()
        convert_documents(io.BytesIO(data.encode()), out, "bioc-json", target, on_problem=problems.append)
        assert expected in out.getvalue()
    assert not problems
