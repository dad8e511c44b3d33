"""Every format is recognised and read; what is wrong with a file is said in one sentence."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vector_makers import ROWS, WORDS, binary, encoded, text, write

from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.features.vectors import FORMATS, WordVectors


def load(path: Path, **options: object) -> WordVectors:
    return WordVectors.load(path, cache=False, **options)  # type: ignore[arg-type]


FILES = {
    "v.bin": ("word2vec-binary", binary(encoded(WORDS), ROWS)),
    "tight.bin": ("word2vec-binary", binary(encoded(WORDS), ROWS, newline=b"")),
    "v.txt": ("word2vec-text", text(WORDS, ROWS, header=True)),
    "crlf.txt": ("word2vec-text", text(WORDS, ROWS, header=True, end="\r\n")),
    "v.vec": ("fasttext", text(WORDS, ROWS, header=True, end=" \n")),
    "glove.txt": ("glove", text(WORDS, ROWS, header=False)),
    "open.txt": ("glove", text(WORDS, ROWS, header=False).rstrip(b"\n")),
    "blank.txt": ("glove", text(WORDS, ROWS, header=False) + b"\n \n"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("threads", [1, 3])
def test_formats_are_recognised(tmp_path: Path, name: str, threads: int) -> None:
    format, content = FILES[name]
    vectors = load(write(tmp_path, name, content), threads=threads)
    assert vectors.statistics is not None
    assert vectors.statistics.format == format
    assert vectors.words.tolist() == WORDS
    assert vectors.matrix.dtype == np.float32
    assert np.array_equal(vectors.matrix, np.array(ROWS, np.float32))
    assert vectors.dim == 3
    assert np.array_equal(vectors["α"], np.array(ROWS[3], np.float32))
    with pytest.raises(KeyError):
        vectors["unseen"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("rank", [1, 4, 6, 100])
def test_max_rank_takes_the_first_entries(tmp_path: Path, name: str, rank: int) -> None:
    vectors = load(write(tmp_path, name, FILES[name][1]), max_rank=rank)
    assert vectors.words.tolist() == WORDS[:rank]
    assert vectors.matrix.shape == (min(rank, 6), 3)


def test_the_format_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "v.x", FILES["v.txt"][1])
    for format in ("word2vec-text", "fasttext"):
        assert load(path, format=format).words.tolist() == WORDS
    with pytest.raises(FormatError, match=r"v\.x"):
        load(path, format="glove")
    with pytest.raises(UsageError, match="format: expected one of"):
        load(path, format="word2vec")


def test_words_with_spaces_are_words(tmp_path: Path) -> None:
    path = write(tmp_path, "glove.txt", b"the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\n")
    assert load(path).words.tolist() == ["the", ". . .", "at name@domain.com"]


def test_repeated_words_keep_the_first(tmp_path: Path) -> None:
    words, rows = ["a", "b", "a", "c", "b", "d"], ROWS
    for name, content in {
        "d.bin": binary(encoded(words), rows),
        "d.txt": text(words, rows, header=True),
    }.items():
        vectors = load(write(tmp_path, name, content))
        assert vectors.words.tolist() == ["a", "b", "c", "d"]
        assert np.array_equal(vectors.matrix, np.array(rows, np.float32)[[0, 1, 3, 5]])
        assert vectors.statistics is not None
        assert vectors.statistics.duplicates == 2
        assert np.array_equal(vectors["d"], np.array(rows[5], np.float32))
        assert load(tmp_path / name, max_rank=4).words.tolist() == ["a", "b", "c"]


def test_words_that_are_not_utf8(tmp_path: Path) -> None:
    words = [b"ok", b"caf\xe9", b"\xff\xfe", "é".encode()]
    vectors = load(write(tmp_path, "v.bin", binary(words, ROWS[:4])))
    assert vectors.words.tolist() == ["ok", "caf\ufffd", "\ufffd\ufffd", "é"]
    assert vectors.statistics is not None
    assert vectors.statistics.invalid_utf8 == 2


def test_odd_vectors_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [[0.0, -0.0, 0.0], [1.0, float("nan"), 0.0], [float("inf"), 0.0, 0.0], [1e-45, 0.0, 0.0]]
    for name, content in {
        "odd.bin": binary(encoded(WORDS[:4]), rows),
        "odd.txt": text(WORDS[:4], rows, header=True),
    }.items():
        vectors = load(write(tmp_path, name, content))
        assert vectors.statistics is not None
        assert (vectors.statistics.zero_rows, vectors.statistics.not_finite_rows) == (1, 2)
        assert "2 vectors have an infinity or NaN" in caplog.text
        caplog.clear()


GOOD = binary(encoded(WORDS), ROWS)
MALFORMED = {
    "empty file": (b"", "the file is empty"),
    "prose": (b"These are not vectors at all.\n", r":1: not word vectors"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed with gzip"),
    "zip": (b"PK\x03\x04aaaa", "zip archive"),
    "fastText model": (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00", "fastText model"),
    "header only": (b"5 3\n", "cut off"),
    "header without line end": (b"5 3", "COUNT DIMENSION"),
    "no words": (b"0 3\n", "at least one word"),
    "no dimensions": (b"1 0\na\n", "dimensions"),
    "count beyond the file": (binary(encoded(WORDS), ROWS, count=10**12), "or its first line is wrong"),
    "cut in the values": (GOOD[:-4], "cut off in entry 6 of 6 \\(after the word 'p53'\\)"),
    "cut in a word": (GOOD[:-16], "cut off in entry 6"),
    "cut by a byte": (GOOD[:-2], "cut off in entry 6"),
    "more than promised": (GOOD + b"x 123", "bytes follow the last"),
    "wrong dimension": (
        b"4 2\n" + b"".join(w + b" " + struct.pack("<3f", 0, 0, 0) + b"\n" for w in [b"a", b"b", b"c", b"d"]),
        "does not begin with a word",
    ),
    "text: too few values": (b"2 3\na 1 2 3\nb 1 2\n", r":3: expected a word and 3 numbers, got 3 field"),
    "text: no word": (b"2 3\na 1 2 3\n1 2 3\n", r":3: expected a word and 3 numbers"),
    "text: too many values": (b"2 3\na 1 2 3\nb 1 2 3 4\n", r":3: expected a word and 3 numbers, got more"),
    "text: not a number": (b"2 3\na 1 2 3\nb 1 x2 3\n", r":3: expected a number, got 'x2'"),
    "text: fewer words than promised": (b"3 3\na 1.00 2.00 3\nb 1.00 2 3\n", "promises 3 words, 2 are there"),
    "text: more words than promised": (b"1 3\na 1 2 3\nb 1 2 3\n", r":3: the header promises 1 words"),
    "text: blank line within": (b"2 3\na 1 2 3\n\nb 1 2 3\n", r":3: "),
    "glove: too few values": (b"a 1 2 3\nb 1 2\n", r":2: expected a word and 3 numbers"),
    "glove: not a number": (b"a 1 2 3\nb 1 2,5 3\n", r":2: expected a number, got '2,5'"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("cache", [False, True])
def test_malformed_files(tmp_path: Path, case: str, cache: bool) -> None:
    content, message = MALFORMED[case]
    path = write(tmp_path, "bad.vectors", content)
    with pytest.raises(FormatError, match=message) as caught:
        WordVectors.load(path, cache=cache)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.vectors"], "nothing half-written is left"


def test_a_word_without_end(tmp_path: Path) -> None:
    path = write(tmp_path, "v.bin", b"1 3\n" + b"x" * 100_000)
    with pytest.raises(FormatError, match="no space within"):
        load(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(BionerError, match="there is no word-vector file"):
        WordVectors.load(tmp_path / "none.bin")
    with pytest.raises(BionerError, match="is a folder"):
        WordVectors.load(tmp_path)
    with pytest.raises(UsageError, match="max_rank"):
        WordVectors.load(write(tmp_path, "v.bin", GOOD), max_rank=0)


@given(st.binary(max_size=200))
def test_any_bytes_give_vectors_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "any.bin", content)
    with contextlib.suppress(FormatError):
        vectors = load(path)
        assert vectors.matrix.shape == (len(vectors.words), vectors.dim)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_damaged_byte_gives_vectors_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "damaged.bin", GOOD[:at] + bytes([value]) + GOOD[at + 1 :])
    with contextlib.suppress(FormatError):
        assert len(load(path).words) <= 6


numbers = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.integers(-(10**25), 10**25).map(float),
    st.sampled_from([1e-46, 3.4028235e38, 3.4028236e38, 1e39, 0.1, 1 / 3, 123456789.123456789]),
)


@given(
    st.lists(
        st.tuples(numbers, st.sampled_from(["{!r}", "{:.17g}", "{:e}", "{:.3f}", "{:.30f}"])), min_size=1
    )
)
def test_numbers_are_read_as_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[float, str]]
) -> None:
    fields = [format.format(value) for value, format in values]
    path = write(tmp_path_factory.getbasetemp(), "n.txt", f"1 {len(fields)}\nw {' '.join(fields)}\n".encode())
    with np.errstate(over="ignore"):
        expected = np.array([float(field) for field in fields]).astype(np.float32)
    assert np.array_equal(load(path).matrix[0], expected)


@pytest.mark.parametrize(
    "field",
    ["1.5e-400", "-1.5e-400", "1e400", "-1e400", "0.001e312", "1000e306", "-0." + "0" * 400 + "1", "9" * 400,
     "0." + "0" * 400 + "1e900", "1" + "0" * 400 + "e-900", "1e99999999999999999999"],
)  # fmt: skip
def test_numbers_beyond_double_are_zero_or_infinite(tmp_path: Path, field: str) -> None:
    found = load(write(tmp_path, "n.txt", f"1 2\nw 1 {field}\n".encode())).matrix[0, 1]
    with np.errstate(over="ignore"):
        expected = np.float32(float(field))
    assert found == expected
    assert np.signbit(found) == np.signbit(expected)


@pytest.mark.parametrize("format", FORMATS)
def test_writing_and_reading_gives_the_same(tmp_path: Path, format: str) -> None:
    rng = np.random.default_rng(5)
    words = [f"w{i}" for i in range(600)] + ["β", "p53"]
    matrix = rng.normal(size=(602, 7)).astype(np.float32)
    matrix[3] = [0, -0.0, 1e-45, 3.4028235e38, -1e-7, 16777217, 0.1]
    path = tmp_path / "out"
    WordVectors(StringColumn.from_list(words), matrix).save(path, format)
    back = load(path, format=format)
    assert back.words.tolist() == words
    assert back.matrix.tobytes() == matrix.tobytes()


def test_words_that_cannot_be_written(tmp_path: Path) -> None:
    matrix = np.zeros((2, 2), np.float32)
    for word, format in [("a b", "word2vec-binary"), ("a\nb", "glove"), ("", "fasttext")]:
        with pytest.raises(BionerError, match=r"word 2, .* cannot be written"):
            WordVectors(StringColumn.from_list(["ok", word]), matrix).save(tmp_path / "out", format)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError):
        WordVectors(StringColumn.from_list(["a", "b"]), matrix).save(tmp_path / "out", "pickle")


def test_matrix_and_words_must_agree() -> None:
    with pytest.raises(ValueError, match="expected 1 rows"):
        WordVectors(StringColumn.from_list(["a"]), np.zeros((2, 3), np.float32))
