"""Documents and lines without end: bad, but never held in memory whole."""

from __future__ import annotations

import gzip
import io
import resource
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import read_documents

MB = b"a " * (1 << 19)
LARGE = [MB] * 3
# What comes before, the document that is too large, what comes behind, and the ids that are read.
INPUTS: dict[str, tuple[list[bytes], list[str]]] = {
    "lines": ([b"one\n", *LARGE, b"\nthree\n"], ["1", "3"]),
    "text": (LARGE, []),
    "jsonl": ([b'{"text":"x"}\n{"text":"', *LARGE, b'"}\n{"text":"y"}\n'], ["1", "3"]),
    "pubtator": ([b"1|t|x\n\n2|t|", *LARGE, b"\n2|a|\n\n3|t|y\n"], ["1", "3"]),
    "pubtator of many lines": (
        [b"1|t|x\n\n2|t|y\n", *[b"2\tCID\tD1\tD2\n" * 80000] * 3, b"\n3|t|y\n"],
        ["1", "3"],
    ),
    "conll": ([b"-DOCSTART-\nx O\n\n-DOCSTART-\n", *LARGE, b"O\n\n-DOCSTART-\ny O\n"], ["1", "3"]),
    "bioc-json": (
        [
            b'[{"documents":[{"id":"1","passages":[]},{"a":"\\\\',
            *LARGE,
            b'\\"]}"},{"id":"3","passages":[]}]}]',
        ],
        ["1", "3"],
    ),
}


def read(parts: Iterable[bytes], format: str) -> tuple[list[str], list[Problem]]:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as out:
        for part in parts:
            out.write(part)
    packed.seek(0)
    problems: list[Problem] = []
    documents = read_documents(packed, format, on_problem=problems.append, max_document_mb=1)
    return [document.id for document in documents], problems


@pytest.mark.parametrize("name", INPUTS)
def test_a_document_that_is_too_large_costs_itself(name: str) -> None:
    parts, ids = INPUTS[name]
    found, problems = read(parts, name.split()[0])
    assert found == ids
    (problem,) = problems
    assert problem.kind == "document"
    assert "is larger than 1 MB; raise --max-document-mb" in problem.message


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        ("bioc-xml", [b"<collection><document><id>1</id>", *[b"<infon key='a'>b</infon>" * 40000] * 3]),
        ("pubmed-xml", [b"<PubmedArticleSet><PubmedArticle>", *[b"<a/>" * 200000] * 3]),
        ("csv", [b"text\n", *LARGE]),
    ],
)
def test_where_nobody_can_go_on_behind_it_the_file_ends(format: str, parts: list[bytes]) -> None:
    with pytest.raises(FormatError, match="is larger than 1 MB"):
        read(parts, format)


def test_pairs_and_members_that_are_too_large(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in (("1", b"x"), ("2", b"".join(LARGE)), ("3", b"y")):
        (folder / f"{name}.txt").write_bytes(text)
        (folder / f"{name}.ann").write_bytes(b"")
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(folder, ".")
    for source in (folder, tmp_path / "in.tar.gz"):
        problems: list[Problem] = []
        documents = list(read_documents(source, "brat", on_problem=problems.append, max_document_mb=1))
        assert sorted(document.id for document in documents) == ["1", "3"]
        assert [(p.document, p.kind) for p in problems] == [("2", "document")]


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_memory_stays_small() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, problems = read([b"one\n", *[MB] * 200, b"\nthree\n"], "lines")
    assert (found, len(problems)) == (["1", "3"], 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
