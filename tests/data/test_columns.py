"""The lines of column files: both readers take them for the same."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast import _text
from bioner_fast.data.columns import Lines, column_names
from bioner_fast.data.corpus import Corpus, replace_last_column
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.formats.registry import read_documents

Shape = list[tuple[str, list[list[tuple[str, str]]]]]


def by_documents(data: str) -> Shape | None:
    """Ids and sentences of tokens and tags, read as documents; None where the file is refused."""
    try:
        documents = list(read_documents(io.BytesIO(data.encode()), "conll", name="f.tsv"))
    except FormatError:
        return None
    found: Shape = []
    for document in documents:
        layer = document.native
        assert isinstance(layer, TokenLayer)
        tokens = [document.text[a:b] for a, b in zip(layer.starts, layer.ends, strict=True)]
        if tokens and not layer.given:  # tokens alone are no corpus
            return None
        tags = layer.given[-1] if layer.given else []
        bounds = layer.sentence_offsets.tolist()
        pairs = list(zip(tokens, tags, strict=True))
        found.append(
            (document.id if layer.named else "", [pairs[a:b] for a, b in itertools.pairwise(bounds)])
        )
    return found


def by_corpus(folder: Path, data: str) -> Shape | None:
    """The same by the native reader."""
    path = folder / "f.tsv"
    path.write_bytes(data.encode())
    try:
        corpus = Corpus.read(path)
    except FormatError:
        return None
    pairs = list(zip(corpus.tokens.tolist(), corpus.tags(), strict=True))
    bounds = corpus.sentence_offsets.tolist()
    sentences = [pairs[a:b] for a, b in itertools.pairwise(bounds)]
    spans = itertools.pairwise(corpus.document_offsets.tolist())
    return [(id, sentences[a:b]) for id, (a, b) in zip(corpus.document_ids, spans, strict=True)]


FIELD = st.sampled_from(
    ["p53", "5 mg", "", " ", "#", "# a", "##", "O", "B-X", "-DOCSTART-", "-", "#doc:", "=", "é"]
)
SEPARATOR = st.sampled_from(["\t", "\t", " ", "\t\t", " \t"])
MARK = st.sampled_from(
    ["-DOCSTART-\tO", "-DOCSTART- -X- O O", "-docstart- 7", "--DOCSTART--", "-DOCSTART-(8)", "-DOCSTART-x\tO",
     "# doc_id = 1",
     "# doc_id = 1", "# newdoc id = 2", "# newdoc", "###MEDLINE:95", "### PMID: 96\tO",
     "#begin document (a/b); part 000",
     "#end document", "# sent_id = 3", "# text = a\tb", "#", "# id abc\tdomain=en", "#\tO", "#tag O", "# O"]
)  # fmt: skip
TOKEN = st.tuples(FIELD, SEPARATOR, FIELD).map("".join)
GOOD = st.sampled_from(["a\tO", "b c\tB-X", "d O", " e \tI-X ", "\tO", " \tO"])


@given(st.lists(st.one_of(GOOD, GOOD, MARK, TOKEN, st.just("")), max_size=12))
def test_both_readers_agree(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    data = "\n".join(lines)
    documents, corpus = by_documents(data), by_corpus(tmp_path_factory.mktemp("f"), data)
    assert documents == corpus


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("-DOCSTART-", ("start", "")),
        ("-DOCSTART- -X- -X- O", ("start", "")),
        ("-DOCSTART-\tO", ("start", "")),
        ("-DOCSTART- -DOCSTART- O", ("start", "")),
        ("-DOCSTART-\t12 a\tO", ("start", "12 a")),
        ("-docstart- (12)", ("start", "(12)")),
        ("--DOCSTART--", ("start", "")),
        ("-DOCSTART-12", ("start", "12")),
        ("-DOCSTART-x O", None),
        ("-DOCSTART O", None),
        ("# newdoc", ("start", "")),
        ("# newdoc id = n-1", ("start", "n-1")),
        ("#begin document (bc/cctv_0); part 000", ("start", "bc/cctv_0")),
        ("#end document", ("end", "")),
        ("###MEDLINE:95369245", ("name", "95369245")),
        ("###MEDLINE:95369245\tO", ("name", "95369245")),
        ("# doc_id = train 7", ("name", "train 7")),
        ("# PMID: 1", ("name", "1")),
        ("#doc:5\tO", None),
        ("#\tO", None),
    ],
)
def test_marks(line: str, mark: tuple[str, str] | None) -> None:
    assert _text.conll_mark(line, True) == mark


@pytest.mark.parametrize("line", ["# sent_id = 1", "# text = We report: it", "# id 0f1e\tdomain=en", "#"])
def test_comments(line: str) -> None:
    assert _text.conll_mark(line, False) == ("comment", "")


def test_documents_are_named_by_comments() -> None:
    data = (
        "# doc_id = a\n# sent_id = 1\nx O\n\n# doc_id = a\ny O\n\n"
        "-DOCSTART- -X-\n# doc_id = b\nz O\n#end document\nw O\n"
    )
    one, two, three = [("x", "O")], [("y", "O")], [("z", "O")]
    assert by_documents(data) == [("a", [one, two]), ("b", [three]), ("", [[("w", "O")]])]


def test_a_blank_token_is_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = "5 mg\tO\nTP53\tB-Gene\n \tO\n\tI-Gene\nMDM2\tB-Gene\n"
    problems: list[Problem] = []
    (document,) = read_documents(io.BytesIO(data.encode()), "conll", name="f.tsv", on_problem=problems.append)
    assert [(entity.type, entity.text) for entity in document.entities] == [
        ("Gene", "TP53"),
        ("Gene", "MDM2"),
    ]
    assert [str(problem) for problem in problems] == [
        "f.tsv:3: document f: 2 lines whose tokens are empty or blank were left out"
    ]
    assert by_corpus(tmp_path, data) == [("", [[("5 mg", "O"), ("TP53", "B-Gene"), ("MDM2", "B-Gene")]])]
    assert "f.tsv:3: 2 lines whose tokens are empty or blank were left out" in caplog.text


def test_stray_tags_are_told_once_a_file() -> None:
    data = "-DOCSTART-\t1\n\na\tB-X\nb\to\n\n-DOCSTART-\t2\n\nc\to\nd\tU-X\n"
    problems: list[Problem] = []
    documents = list(
        read_documents(io.BytesIO(data.encode()), "conll", name="f.tsv", on_problem=problems.append)
    )
    assert [[entity.text for entity in document.entities] for document in documents] == [["a"], ["d"]]
    assert [str(problem) for problem in problems] == [
        "f.tsv: document 1: tags of no scheme are read as O: o (1 token)"
    ]


def test_tags_of_no_chunks_are_told(caplog: pytest.LogCaptureFixture) -> None:
    (document,) = read_documents(io.BytesIO(b"a\tNN\nb\tVB\n"), "conll", name="f.tsv")
    assert document.entities == []
    assert "its tags (NN, VB) are none of chunks: no entities are read" in caplog.text


@given(st.lists(st.one_of(GOOD, MARK, st.just("")), max_size=12))
def test_replacing_a_column_by_itself_changes_nothing_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("f")
    data = "\n".join(lines)
    before = by_corpus(folder, data)
    if before is None:
        return
    tags = [tag for _, sentences in before for sentence in sentences for _, tag in sentence]
    after = by_corpus(folder, replace_last_column(data.encode(), ["S-" + tag for tag in tags]).decode())
    assert after == [
        (id, [[(token, "S-" + tag) for token, tag in sentence] for sentence in sentences])
        for id, sentences in before
    ]


def test_names_of_columns() -> None:
    assert column_names(b"\xef\xbb\xbf\n# global.columns = token gold x\r\na\tO\tO\n") == [
        "token",
        "gold",
        "x",
    ]
    assert column_names(b"a\tO\n# global.columns = token gold\n") is None
    lines = Lines()
    assert [line.kind for line in lines.read("# global.columns = a b")] == []
    assert [line.kind for line in lines.finish()] == ["comment"]
