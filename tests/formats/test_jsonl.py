"""JSON lines: ids, entities, passages and unknown keys survive; what is wrong is named with its line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import open_writer, read_documents

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WORD = st.text("abcXYZ-α", min_size=1, max_size=6)


def _read(data: str | bytes, problems: list[Problem] | None = None) -> list[Document]:
    raw = data.encode() if isinstance(data, str) else data
    collect = None if problems is None else problems.append
    return list(read_documents(io.BytesIO(raw), "jsonl", name="in.jsonl", on_problem=collect))


def _write(documents: list[Document]) -> bytes:
    out = io.BytesIO()
    with open_writer(out, "jsonl") as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue()


@st.composite
def entities(draw: st.DrawFn, text: str, offset: int) -> Entity:
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, len(text)))
    if inner := text[start:end].strip():  # readers cut white space at the edges
        start += len(text[start:end]) - len(text[start:end].lstrip())
        end = start + len(inner)
    spans = ((offset + start, offset + start), (offset + end, offset + end)) if draw(st.booleans()) else ()
    return Entity(
        offset + start,
        offset + end,
        draw(WORD),
        text[start:end],
        score=draw(st.none() | st.integers(0, 1000).map(lambda n: n / 1000)),
        task=draw(st.none() | WORD),
        id=draw(st.none() | WORD),
        spans=spans,
        infons=draw(st.dictionaries(WORD, WORD, max_size=1)),
    )


@st.composite
def documents(draw: st.DrawFn) -> Document:
    passages: list[Passage] = []
    position = 0
    for _ in range(draw(st.integers(1, 3))):
        offset = position + (draw(st.integers(0, 2)) if passages else 0)
        text = draw(TEXT)
        passage = Passage(
            text, offset, draw(st.none() | WORD), infons=draw(st.dictionaries(WORD, WORD, max_size=1))
        )
        # An entity belongs to the last passage that begins at or before it; keep those that say so uniquely.
        if text and (not passages or offset > position or passages[-1].text):
            found = draw(st.lists(entities(text, offset), max_size=3))
            passage.entities = [e for e in found if e.start < offset + len(text)]
        passages.append(passage)
        position = offset + len(text)
    return Document(draw(WORD), passages, infons=draw(st.dictionaries(WORD, WORD, max_size=1)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(documents(), max_size=4, unique_by=lambda document: document.id))
def test_round_trip(given_documents: list[Document]) -> None:
    data = _write(given_documents)
    back = _read(data)
    for document in back:
        document.native = None
    assert back == given_documents
    assert _write(back) == data


def test_one_line_a_document_not_escaped() -> None:
    document = Document(
        "1", [Passage("β\u2028🙂", entities=[Entity(0, 1, "X", "β", score=0.12345678, task="t")])]
    )
    data = _write([document])
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert json.loads(data) == {
        "id": "1",
        "text": "β\u2028🙂",
        "entities": [{"start": 0, "end": 1, "type": "X", "text": "β", "score": 0.123457, "task": "t"}],
    }


def test_ids_and_unknown_keys_come_back_as_they_were() -> None:
    lines = [
        '{"id": 12, "text": "a", "entities": [], "year": [2020]}',
        '{"id": "x", "text": "b", "entities": []}',
    ]
    documents = _read("\n".join(lines))
    assert [document.id for document in documents] == ["12", "x"]
    assert [json.loads(line) for line in _write(documents).splitlines()] == [
        json.loads(line) for line in lines
    ]


def test_missing_ids_are_line_numbers_and_blank_lines_count() -> None:
    documents = _read('\ufeff{"text": "a"}\r\n\r\n{"text": "b", "id": null}')
    assert [(document.id, document.text) for document in documents] == [("1", "a"), ("3", "b")]


def test_a_lone_surrogate_becomes_one_replacement_character() -> None:
    problems: list[Problem] = []
    (document,) = _read('{"text": "a\\ud83db", "entities": [{"start": 2, "end": 3, "type": "T"}]}', problems)
    assert document.text == "a\ufffdb"
    assert document.entities[0].text == "b"
    assert [p.action for p in problems] == ["changed"]
    _write([document])


BAD: list[tuple[str, str]] = [
    ("{", "expected one JSON object a line"),
    ("[" * 100_000, "expected one JSON object a line"),
    ("1" * 5000, "expected one JSON object a line"),
    ("[1]", 'expected an object with "text", found an array'),
    ("3", "found a number"),
    ("null", "found null"),
    ("{}", 'expected "text" to be a string, found nothing'),
    ('{"text": 3}', 'expected "text" to be a string, found a number'),
    ('{"text": "a", "id": true}', '"id" to be a string or a whole number, found a truth value'),
    ('{"text": "a", "entities": {}}', '"entities" to be an array'),
    ('{"text": "a", "entities": [3]}', "every entity to be an object"),
    ('{"text": "a", "entities": [{"start": 0, "end": 2, "type": "T"}]}', "inside the text of 1 code points"),
    ('{"text": "a", "entities": [{"start": 1, "end": 0, "type": "T"}]}', "inside the text"),
    ('{"text": "a", "entities": [{"start": 0, "end": 1.0, "type": "T"}]}', "inside the text"),
    ('{"text": "a", "entities": [{"start": 0, "end": 1}]}', '"type" of an entity'),
    (
        '{"text": "a", "entities": [{"start": 0, "end": 1, "type": "T", "score": "x"}]}',
        '"score" of an entity',
    ),
    ('{"text": "a", "entities": [{"start": 0, "end": 1, "type": "T", "task": 1}]}', "to be strings"),
    (
        '{"text": "a", "entities": [{"start": 0, "end": 1, "type": "T", "score": 1' + "0" * 400 + "}]}",
        "finite number",
    ),
    ('{"text": "a", "entities": [{"start": 0, "end": 1, "type": "T", "score": 1e400}]}', "finite number"),
    ('{"text": "a", "label": [[0, 1]]}', "[start, end, type]"),
    ('{"text": "a", "label": [[0, 1, "A"]], "spans": [{"start": 0, "end": 1, "label": "A"}]}', "stand under"),
    ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": "A"}], "answer": "reject"}', '"reject"'),
    ('{"text": "a", "entities": [{"start": 0, "end": 1, "type": "T", "spans": [[0, 9]]}]}', '"spans"'),
    ('{"text": "a", "passages": [{"offset": 0}]}', "every passage"),
    ('{"text": "ab", "passages": [{"offset": 0, "length": 1}]}', "cover the text"),
    ('{"text": "a", "passages": [], "entities": [{"start": 0, "end": 1, "type": "T"}]}', "found none"),
    ('{"text": "a", "infons": {"k": 1}}', '"infons" to be an object of strings'),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_bad_records_name_file_and_line(line: str, message: str) -> None:
    data = '{"text": "good"}\n' + line + '\n{"text": "also good"}\n'
    with pytest.raises(FormatError) as caught:
        _read(data)
    assert caught.value.line == 2
    assert str(caught.value).startswith("in.jsonl:2: ")
    assert message in str(caught.value)
    # Where problems are collected the other documents come through.
    problems: list[Problem] = []
    assert [document.text for document in _read(data, problems)] == ["good", "also good"]
    assert [(p.kind, p.line) for p in problems] == [("document", 2)]


def test_scores_that_are_no_numbers_are_refused_on_output() -> None:
    document = Document("1", [Passage("a", entities=[Entity(0, 1, "T", "a", score=float("nan"))])])
    with pytest.raises(FormatError, match="document 1"):
        _write([document])


KEYS = st.sampled_from(
    ["id", "text", "entities", "passages", "start", "end", "type", "offset", "length", "infons"]
)
ATOMS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)


@given(st.recursive(ATOMS, lambda children: st.lists(children) | st.dictionaries(KEYS, children)))
def test_any_json_is_read_or_refused_in_one_sentence(value: Any) -> None:
    problems: list[Problem] = []
    documents = _read(json.dumps(value) + "\n", problems)
    assert len(documents) + sum(p.kind == "document" for p in problems) == 1
    assert not any("\n" in str(p) for p in problems)


@pytest.mark.parametrize(
    "fields",
    [
        '"label": [[0, 4, "Gene"], [9, 13, "Gene"]]',
        '"labels": [[0, 4, "Gene"], [9, 13, "Gene"]], "entities": []',
        '"entities": [[0, 4, "Gene"], [9, 13, "Gene"]]',
        '"entities": [{"id": 1, "label": "Gene", "start_offset": 0, "end_offset": 4},'
        ' {"id": 2, "label": "Gene", "start_offset": 9, "end_offset": 13}]',
        '"spans": [{"start": 0, "end": 4, "token_start": 0, "label": "Gene"},'
        ' {"start": 9, "end": 13, "label": "Gene"}], "answer": "accept"',
    ],
)
def test_annotations_of_doccano_and_prodigy_are_read(fields: str) -> None:
    (document,) = _read('{"text": "TP53 and MDM2", ' + fields + "}")
    assert [(e.start, e.type, e.text) for e in document.entities] == [
        (0, "Gene", "TP53"),
        (9, "Gene", "MDM2"),
    ]
    record = json.loads(_write([document]))
    assert not {"label", "labels", "spans"} & set(record)
    assert len(record["entities"]) == 2


def test_labels_of_whole_texts_are_handed_through() -> None:
    (document,) = _read('{"text": "a", "label": ["relevant"], "entities": []}')
    assert json.loads(_write([document]))["label"] == ["relevant"]


def test_offsets_of_javascript() -> None:
    problems: list[Problem] = []
    line = (
        '{"id": "a", "text": "💊 TP53", "entities": [{"start": 3, "end": 7, "type": "Gene", "text": "TP53"}],'
    )
    line += ' "passages": [{"offset": 0, "length": 2}, {"offset": 3, "length": 4}]}'
    (document,) = _read(line, problems)
    assert [(e.start, e.end) for e in document.passages[1].entities] == [(2, 6)]
    assert [p.text for p in document.passages] == ["💊", "TP53"]
    assert [(p.action, p.line) for p in problems] == [("moved", 1)]
    assert "UTF-16 units" in problems[0].message
