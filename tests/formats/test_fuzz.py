"""Nearly valid documents: whatever is read has offsets inside its text, and every format can write it."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import OUTPUT_FORMATS, open_writer, read_documents

fuzz = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def go_through(raw: bytes, format: str) -> None:
    problems: list[Problem] = []
    try:
        documents = list(read_documents(io.BytesIO(raw), format, name="in", on_problem=problems.append))
    except FormatError:
        return
    for document in documents:
        text = document.text
        assert all(0 <= e.start <= e.end <= len(text) for e in document.iter_entities())
        for target in OUTPUT_FORMATS:
            if target in ("text", "conll", "html"):  # one document a file; wants tokens; is not read
                continue
            if target == "parquet" and importlib.util.find_spec("pyarrow") is None:
                continue
            out = io.BytesIO()
            with open_writer(out, target, on_problem=problems.append) as writer:
                writer.write(document)
            list(read_documents(io.BytesIO(out.getvalue()), target, on_problem=problems.append))


JUNK = st.none() | st.booleans() | st.integers(-5, 40) | st.sampled_from(["", "--1", "\u0663", [], {}, [7]])


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with any of the fields, seldom with junk in them."""
    rare = st.integers(0, 15)
    values = {
        key: st.builds(lambda roll, good, bad: good if roll else bad, rare, value, JUNK)
        for key, value in fields.items()
    }
    return st.fixed_dictionaries({}, optional=values)


SHORT = st.text(max_size=2)
TEXTS = st.sampled_from(["", "TP", "βx TP53", "𝛽 TP", "T P"])
NUMBERS = st.integers(-2, 30)
KEYS = st.sampled_from(["type", "score", "task", "section_type"])
INFONS = st.dictionaries(KEYS, st.sampled_from(["", "a", "0.5", "nan", "inf"]), max_size=2)


def many(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=2)


LOCATIONS = many(record(offset=NUMBERS, length=NUMBERS))
ANNOTATIONS = many(record(id=SHORT, infons=INFONS, text=TEXTS, locations=LOCATIONS))
RELATIONS = many(record(id=SHORT, infons=INFONS, nodes=many(record(refid=SHORT, role=SHORT))))
MARKS = {"infons": INFONS, "annotations": ANNOTATIONS, "relations": RELATIONS}
SENTENCES = many(record(offset=NUMBERS, text=TEXTS, **MARKS))
PASSAGES = many(record(offset=NUMBERS, text=TEXTS, sentences=SENTENCES, **MARKS))


@fuzz
@given(many(record(id=SHORT, passages=PASSAGES, **MARKS)))
def test_bioc_json(documents: list[Any]) -> None:
    go_through(json.dumps({"documents": documents}).encode(), "bioc-json")


CELLS = [
    "1",
    "2",
    "0",
    "4",
    "-1",
    "9" * 20,
    "TP53",
    "βx",
    "x",
    "Gene",
    "1|t|TP53",
    "1|a|β TP53 𝛽x",
    "",
    "T1",
    "R1",
]
CELLS += [
    "E1",
    "#1",
    "AnnotatorNotes T1",
    '{"a": "b"}',
    "Gene 0 4",
    "Gene 0 4;5 6",
    "Gene 5 2",
    "A Arg1:T1 Arg2:T2",
]
LINES = st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=7).map("\t".join), max_size=7)


@fuzz
@given(LINES)
def test_pubtator(lines: list[str]) -> None:
    go_through("\n".join(["1|t|TP53 x", "1|a|βx TP53", *lines]).encode(), "pubtator")


@fuzz
@given(LINES)
def test_brat(lines: list[str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in (("1.txt", "βTP53 x"), ("1.ann", "\n".join(lines))):
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    go_through(out.getvalue(), "brat")
