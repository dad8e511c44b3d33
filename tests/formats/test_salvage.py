"""Where problems are collected, one bad document costs one document; what breaks a file off is an error."""

from __future__ import annotations

import gzip
import io

import pytest

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import read_documents

# format, bytes, ids that remain, (id, line) of the documents that are reported
CASES = [
    ("lines", b"one\ntw\xffo\nthree\n", ["1", "3"], [("2", 2)]),
    ("text", b"first\n\xff", [], [("in", 2)]),
    (
        "jsonl",
        b'{"id": "a", "text": "x"}\n{"id": "b", "text": "\xff"}\n{\n[]\n{"id": "c"}\n'
        b'{"id": "d", "text": ""}\n',
        ["a", "d"],
        [(None, 2), (None, 3), (None, 4), ("c", 5)],
    ),
    (
        "pubtator",
        b"1|t|TP53\n\n2|t|A\xff\n2|a|b\n2\t0\t1\tA\tX\n\n3|t|A\n3\t0\tx\tA\tX\n\n4|t|B\n4|a|c\n4\t0\t1\tB\xff\tX\n\n5|t|C\n",
        ["1", "5"],
        [("2", 3), ("3", 8), ("4", 12)],
    ),
    (
        "conll",
        b"-DOCSTART-\ta\n\nx\tO\n\n-DOCSTART-\tb\n\nx\tO\ny\nz\tO\n\n-DOCSTART-\tc\n\n\xff\tO\n\n"
        b"-DOCSTART-\td\n\nx\0\tO\n\n-DOCSTART-\te\n\nw\tO\n",
        ["a", "e"],
        [("b", 8), ("c", 13), ("d", 17)],
    ),
    ("conll", b"x\tO\ny\n", [], [("in", 2)]),
    (
        "bioc-json",
        b'{"documents": [{"id": "1", "passages": 7},\n{"id": "2", "passages": []}]}',
        ["2"],
        [("1", 1)],
    ),
    (
        "bioc-xml",
        b"<collection><document><id>1</id><passage><text>a</text></passage></document>\n"
        b"<document><id>2</id></document></collection>",
        ["2"],
        [("1", 1)],
    ),
    (
        "pubmed-xml",
        b"<PubmedArticleSet>\n<PubmedArticle><MedlineCitation/></PubmedArticle>\n"
        b"<PubmedArticle><MedlineCitation><PMID>2</PMID></MedlineCitation></PubmedArticle></PubmedArticleSet>",
        ["2"],
        [(None, 2)],
    ),
]


@pytest.mark.parametrize(("format", "data", "ids", "bad"), CASES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_others_are_read(
    format: str, data: bytes, ids: list[str], bad: list[tuple[str | None, int]], packed: bool
) -> None:
    problems: list[Problem] = []
    stream = io.BytesIO(gzip.compress(data) if packed else data)
    documents = list(read_documents(stream, format, name="in.txt", on_problem=problems.append))
    assert [document.id for document in documents] == ids
    assert [(p.document, p.line) for p in problems] == bad
    assert {(p.kind, p.action, p.path) for p in problems} == {("document", "skipped", "in.txt")}
    # Where nobody collects them, the first one ends the reading.
    with pytest.raises(FormatError):
        list(read_documents(io.BytesIO(data), format, name="in.txt"))


@pytest.mark.parametrize(
    ("format", "data", "before", "message"),
    [
        (
            "bioc-xml",
            b"<collection><document><id>1</id></document><document><id>2</oops>",
            ["1"],
            "well-formed",
        ),
        (
            "bioc-xml",
            b"<collection><document><id>1</id></document><document><id>\xff</id>",
            ["1"],
            "well-formed",
        ),
        (
            "bioc-json",
            b'{"documents": [{"id": "1", "passages": []}, {"id": 2 3}' + b" " * 99,
            ["1"],
            "not JSON",
        ),
        (
            "pubmed-xml",
            b"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID></MedlineCitation></PubmedArticle>"
            b"<PubmedArticle><MedlineCitation><PMID>2</PMID>",
            ["1"],
            "ends early",
        ),
    ],
)
def test_what_follows_damage_in_a_tree_is_not_guessed(
    format: str, data: bytes, before: list[str], message: str
) -> None:
    read, error = _until_it_fails(data, format)
    assert [document.id for document in read] == before
    assert message in error


def test_compressed_data_that_ends_early_is_no_end() -> None:
    read, error = _until_it_fails(
        gzip.compress(b"".join(b"%d\n" % n for n in range(100_000)))[:-1000], "lines"
    )
    assert 0 < len(read) < 100_000
    assert "the file is truncated" in error


def _until_it_fails(data: bytes, format: str) -> tuple[list[Document], str]:
    read: list[Document] = []
    documents = read_documents(io.BytesIO(data), format, name="in", on_problem=list[Problem]().append)
    with pytest.raises(FormatError) as caught:
        read.extend(documents)
    return read, str(caught.value)
