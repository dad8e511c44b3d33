from __future__ import annotations

import hashlib
import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.corpus import Corpus, read_predictions
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError

# Whatever is not white space, a NUL or a surrogate can be a token.
field = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r "), min_size=1, max_size=20
)
# Alone in a file, lines that begin with # are comments where spaces separate.
tokens = field.filter(lambda token: token != "-DOCSTART-" and not token.startswith("#"))
# A first token that starts with U+FEFF would be taken for a byte-order mark.
sentences = st.lists(
    st.lists(st.tuples(tokens.filter(lambda token: token[0] != "\ufeff"), field), min_size=1, max_size=6),
    max_size=6,
)


def read(tmp_path: Path, data: bytes | str, **options: int | None) -> Corpus:
    path = tmp_path / "corpus.tsv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return Corpus.read(path, **options)


def shape(corpus: Corpus) -> list[list[tuple[str, str]]]:
    pairs = list(zip(corpus.tokens.tolist(), corpus.tags(), strict=True))
    bounds = corpus.sentence_offsets.tolist()
    return [pairs[a:b] for a, b in itertools.pairwise(bounds)]


@given(sentences)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, content: list[list[tuple[str, str]]]) -> None:
    path = tmp_path_factory.mktemp("corpus") / "a.tsv"
    corpus = Corpus.from_sentences(content)
    corpus.write(path)
    again = Corpus.read(path)
    assert shape(again) == content
    assert again.digest() == corpus.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert again.tag_names == tuple(dict.fromkeys(tag for s in content for _, tag in s)) or not content


@given(
    sentences,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["\t", " ", "   ", "\t \t"]),
    st.sampled_from(["", "\ufeff"]),
    st.booleans(),
    st.sampled_from(["", " \t", "\n\n"]),
)
def test_all_dialects_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    content: list[list[tuple[str, str]]],
    newline: str,
    separator: str,
    mark: str,
    is_final: bool,
    blank: str,
) -> None:
    lines = []
    for sentence in content:
        lines += [separator.join(pair) for pair in sentence] + [blank.replace("\n", newline)]
    text = mark + newline.join(lines) + (newline if is_final else "")
    path = tmp_path_factory.mktemp("corpus") / "a.tsv"
    path.write_bytes(text.encode())
    assert shape(Corpus.read(path)) == content


def test_a_long_corpus_equals_the_plain_reader(tmp_path: Path) -> None:
    """Enough lines of every length to cross each block boundary of the native scanner."""
    rng = np.random.default_rng(7)
    content = [
        [
            ("é" * int(rng.integers(0, 3)) + "x" * int(rng.integers(1, 90)), f"T{rng.integers(50)}")
            for _ in range(9)
        ]
        for _ in range(400)
    ]
    text = "\n\n".join("\n".join("\t".join(pair) for pair in sentence) for sentence in content)
    assert shape(read(tmp_path, text)) == content


def test_documents(tmp_path: Path) -> None:
    corpus = read(
        tmp_path,
        "a\tO\n\n-DOCSTART-\tO\n\nb\tO\n\nc\tO\n-DOCSTART-\tPMID 7\n-DOCSTART- -X-\tO O\nd\tO\n",
    )
    assert corpus.document_ids == ("", "", "PMID 7", "")
    assert corpus.document_offsets.tolist() == [0, 1, 3, 3, 4]
    assert corpus.sentence_offsets.tolist() == [0, 1, 2, 3, 4]
    path = tmp_path / "again.tsv"
    corpus.write(path)
    again = Corpus.read(path)
    assert again.document_ids == corpus.document_ids
    assert again.document_offsets.tolist() == corpus.document_offsets.tolist()


def test_columns(tmp_path: Path) -> None:
    text = "p53 NN B-NP B-Gene\nbinds VBZ B-VP O\n"
    assert read(tmp_path, text).tags() == ["B-Gene", "O"]
    assert read(tmp_path, text, tag_column=1).tags() == ["NN", "VBZ"]
    swapped = read(tmp_path, text, token_column=-1, tag_column=0)
    assert (swapped.tokens.tolist(), swapped.tags()) == (["B-Gene", "O"], ["p53", "binds"])
    untagged = read(tmp_path, "p53\nbinds\n", tag_column=None)
    assert (untagged.tokens.tolist(), untagged.tag_names) == (["p53", "binds"], ("O",))


@pytest.mark.parametrize("text", ["", "\n\n", "\r\n \n", "\ufeff", "\t\n", "# a comment\n", "\tO\n"])
def test_a_file_without_tokens_is_an_empty_corpus(tmp_path: Path, text: str) -> None:
    corpus = read(tmp_path, text)
    assert (corpus.n_tokens, corpus.n_sentences, corpus.n_documents, corpus.tag_names) == (0, 0, 0, ("O",))


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        ("a\tO\nb\n", 2, 'expected 2 columns as in the lines before, found 1: "b"'),
        ("a\tO\n\nb\tO\tx y\n", 3, r'expected 2 columns as in the lines before, found 3: "b\tO\tx y"'),
        ("a b c\nd e\n", 2, "expected 3 columns as in the lines before, found 2"),
        (
            "\n\nalone\n",
            3,
            "expected at least 2 columns (token and tag, separated by a tab or spaces), found 1",
        ),
        ("a\tO\nb\0\tO\n", 2, "found a NUL byte"),
        (b"a\tO\n\xff\tO\n", 2, "expected UTF-8, found the byte 0xFF"),
        (b"a\tO\n\xed\xa0\x80\tO\n", 2, "expected UTF-8, found the byte 0xED"),
        (b"a\tO\nb\xe2\x82", 2, "expected UTF-8, found the byte 0xE2"),
        ("a\tO".encode("utf-16"), 1, "byte-order mark of UTF-16"),
        ("a\tO\rb\tO\n", 1, "a carriage return inside the line"),
        ("x" * (1 << 20) + "x\tO\n", 1, "expected a token of at most 1048576 bytes, found 1048577"),
        ("a\tO\n" + "b " * 300, 2, "expected at most 256 columns, found more"),
        ("".join(f"a\tT{i}\n" for i in range(70_000)), 65_537, "more: is this column the tag?"),
    ],
)
def test_malformed_files_name_file_and_line(
    tmp_path: Path, data: bytes | str, line: int, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, data)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{tmp_path / 'corpus.tsv'}:{line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected a tag in column 5 .* found 2 columns"):
        read(tmp_path, "a\tO\n", tag_column=5)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("corpus") / "a.tsv"
    path.write_bytes(data)
    try:
        corpus = Corpus.read(path)
    except FormatError:
        return
    assert all(
        token.strip(" ") == token != "" and not set(token) & set("\t\n\r\0") for token in corpus.tokens
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BionerError, match="there is no such file"):
        Corpus.read(tmp_path / "absent.tsv")
    with pytest.raises(BionerError, match="found a folder"):
        Corpus.read(tmp_path)


@pytest.mark.parametrize(
    "token", ["", " a", "a ", "a\tb", "a\n", "-DOCSTART-", "--docstart--", "##doc: 1", "# a", "a\0"]
)
def test_tokens_that_would_not_come_back_are_not_written(tmp_path: Path, token: str) -> None:
    path = tmp_path / "out.tsv"
    with pytest.raises(FormatError, match="a column file cannot hold it"):
        Corpus.from_sentences([[("a", "O"), (token, "O")]]).write(path)
    assert list(tmp_path.iterdir()) == []


def test_predictions(tmp_path: Path) -> None:
    corpus = Corpus.from_sentences([[("a", "B-X"), ("b", "O")], [("c", "O")]])
    path = tmp_path / "predictions.tsv"
    corpus.write(path, predicted=(np.array([1, 0, 1]), ("O", "S-X")))
    assert path.read_text() == "a\tB-X\tS-X\nb\tO\tO\n\nc\tO\tS-X\n"
    gold, ids, names = read_predictions(path)
    assert gold.digest() == corpus.digest()
    assert [names[i] for i in ids] == ["S-X", "O", "S-X"]
    corpus.write(path)
    with pytest.raises(FormatError, match="expected at least 3 columns"):
        read_predictions(path)


@given(sentences.filter(bool), st.integers(-3, 40), st.integers(-3, 40))
def test_slices_cut_sentences(content: list[list[tuple[str, str]]], start: int, stop: int) -> None:
    corpus = Corpus.from_sentences(content)
    flat = [(s, pair) for s, sentence in enumerate(content) for pair in sentence][start:stop]
    expected = [[pair for t, pair in flat if t == s] for s in sorted({s for s, _ in flat})]
    part = corpus.slice_tokens(start, stop)
    assert shape(part) == expected
    assert part.n_documents == (1 if expected else 0)


def test_inconsistent_columns_are_refused() -> None:
    one = np.array([0, 1])
    column = StringColumn.from_list(["a"])
    with pytest.raises(ValueError, match="tag_ids"):
        Corpus(column, np.zeros(2, np.int32), ("O",), one, one, ("",))
    with pytest.raises(ValueError, match="sentence_offsets"):
        Corpus(column, np.zeros(1, np.int32), ("O",), np.array([0, 2]), one, ("",))
    with pytest.raises(ValueError, match="document_ids"):
        Corpus(column, np.zeros(1, np.int32), ("O",), one, one, ())
    with pytest.raises(ValueError, match="tag_ids: expected values from 0 to 0, got 1"):
        Corpus(column, np.ones(1, np.int32), ("O",), one, one, ("",)).to_bytes()


def test_real_corpora_come_back_byte_for_byte(shared: Path) -> None:
    paths = sorted((shared / "corpora").glob("*/devel.tsv"))
    assert paths
    for path in paths:
        written = Corpus.read(path).to_bytes()
        if written.startswith(b"-DOCSTART-"):
            assert written.replace(b"\r", b"") == path.read_bytes().rstrip(b"\n") + b"\n"
        else:
            assert written == path.read_bytes().rstrip(b"\n") + b"\n"


@pytest.mark.skipif(sys.platform == "win32", reason="names there are Unicode")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.tsv")
    try:
        path.write_text("p53\tB-Gene\nbinds\n")
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(FormatError, match=r"caf.*\.tsv:2: expected 2 columns"):
        Corpus.read(path)
    path.write_text("p53\tB-Gene\nbinds\tO\n")
    corpus = Corpus.read(path)
    assert corpus.path == str(path)
    corpus.write(path)
    assert Corpus.read(path).tags() == ["B-Gene", "O"]
