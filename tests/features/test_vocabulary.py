"""Lookup against the chain written with Python's strings; tables, OOV statistics, vocabularies of corpora."""

from __future__ import annotations

import threading
import unicodedata
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import UsageError
from bioner_fast.features.table import embedding_matrix
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import (
    PADDING_ROW,
    UNKNOWN_ROW,
    WORD_ROW,
    Vocabulary,
)
from reference import lookup as reference

column = StringColumn.from_list
newer_python = tuple(map(int, unicodedata.unidata_version.split("."))) > (15, 1, 0)

# Characters that the chain treats differently, so that forms meet words often.
tokens = st.lists(
    st.one_of(
        st.text(alphabet="aAbB0159.,+-αΑéÉ", max_size=6),
        st.text(max_size=4).filter(lambda s: s.isprintable()),
    ),
    max_size=30,
)


@given(
    st.lists(st.text(alphabet="ab0.+-αé", max_size=4), unique=True, max_size=40), tokens, st.integers(1, 3)
)
@pytest.mark.parametrize("normalization", ["default", "published", "none"])
def test_lookup_follows_the_chain(
    normalization: str, words: list[str], queries: list[str], threads: int
) -> None:
    rows = Vocabulary(column(words)).lookup(column(queries), normalization=normalization, threads=threads)
    assert rows.dtype == np.int32
    assert rows.tolist() == reference.lookup(words, queries, normalization)


@given(st.text(alphabet="0123456789+-.,ab", max_size=12))
def test_digits(token: str) -> None:
    assert _text.digit_key(token) == reference.DIGITS.sub("0", token)


@pytest.mark.skipif(newer_python, reason="this Python has a newer Unicode than the pinned tables")
def test_lower_case_is_unicodes() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) not in ("Cn", "Cs"):
            assert _text.lower_key(character) == character.lower(), hex(code)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("the", 0), ("The", 0), ("THE", 0), ("1", 1), ("1,234.5", 1), ("-7", 1), ("p0", 2), ("p53", 2),
        ("P53", -1),
        ("Sjogren", -1), ("", -1),
    ],
)  # fmt: skip
def test_examples(token: str, expected: int) -> None:
    assert Vocabulary(column(["the", "0", "p0"])).lookup(column([token])).tolist() == [expected]


def test_the_exact_form_comes_first() -> None:
    vocabulary = Vocabulary(column(["0", "the", "The", "12"]))
    assert vocabulary.lookup(column(["The", "THE", "12", "13"])).tolist() == [2, 1, 3, 0]


def test_many_words_and_threads_agree() -> None:
    words = [f"w{i}" for i in range(50_000)]
    queries = column([f"W{i}" for i in range(0, 100_000, 3)])
    vocabulary = Vocabulary(column(words))
    expected = [i if i < 50_000 else -1 for i in range(0, 100_000, 3)]
    for threads in (1, 2, 5, 0):
        assert vocabulary.lookup(queries, normalization="published", threads=threads).tolist() == expected


def test_lookups_from_several_threads() -> None:
    vocabulary = Vocabulary(column([f"w{i}" for i in range(1000)]))
    queries = column([f"w{i % 1200}" for i in range(20_000)])
    expected, found = vocabulary.lookup(queries, normalization="none"), []
    workers = [
        threading.Thread(target=lambda: found.append(vocabulary.lookup(queries, normalization="none")))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(rows, expected) for rows in found)
    assert len(found) == 4


def test_slices_of_columns() -> None:
    words, queries = column(["x", "a", "b", "c"]), column(["q", "b", "c", "z"])
    assert Vocabulary(words[1:]).lookup(queries[1:3]).tolist() == [1, 2]
    assert Vocabulary(words[:0]).lookup(queries).tolist() == [-1] * 4


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'a' twice"):
        Vocabulary(column(["a", "b", "a"]))
    with pytest.raises(UsageError, match="normalization: expected one of"):
        Vocabulary(column(["a"])).lookup(column([]), normalization="all")
    words = column(["a", "b"])
    with pytest.raises(ValueError, match="slots: expected a power of two"):
        _text.WordIndex(words.buffer, words.offsets, np.zeros(3, np.uint64))
    with pytest.raises(ValueError, match="slots: expected empty ones"):
        _text.WordIndex(words.buffer, words.offsets, np.ones(16, np.uint64))
    with pytest.raises(TypeError, match=r"slots: expected a contiguous array of uint64, got int64"):
        _text.WordIndex(words.buffer, words.offsets, np.zeros(16, np.int64))


def test_a_lying_index_never_reads_beyond_the_words() -> None:
    words = column(["a", "b"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        slots = rng.integers(0, 2**64, 16, dtype=np.uint64)
        slots[rng.integers(16)] = 0
        rows = _text.WordIndex(words.buffer, words.offsets, slots).lookup(
            words.buffer, words.offsets, 2, True, True, True, 1
        )
        assert set(rows.tolist()) <= {-1, 0, 1}


@given(st.lists(st.sampled_from(["a", "b", "The", "x1", "x2", "β"]), max_size=60))
def test_oov_statistics(queries: list[str]) -> None:
    vocabulary = Vocabulary(column(["a", "the", "x0"]))
    statistics = vocabulary.oov_statistics(column(queries), normalization="published")
    missing = Counter(token for token in queries if token in {"b", "x1", "x2", "β"})
    assert statistics.total == len(queries)
    assert statistics.missing == missing.total()
    assert statistics.distinct == len(missing)
    assert list(statistics.most_frequent) == missing.most_common()
    assert statistics.rate == (missing.total() / len(queries) if queries else 0.0)
    assert str(statistics).startswith("OOV ")


@given(st.lists(st.lists(st.sampled_from("abcdeé"), max_size=30), max_size=4), st.integers(1, 4))
def test_vocabulary_of_corpora(corpora: list[list[str]], min_count: int) -> None:
    counts = Counter(token for tokens_ in corpora for token in tokens_)
    expected = [word for word, count in counts.most_common() if count >= min_count]
    fakes = [SimpleNamespace(tokens=column(tokens_)) for tokens_ in corpora]
    if not expected:
        with pytest.raises(UsageError, match="there is no vocabulary"):
            Vocabulary.from_corpora(fakes, min_count=min_count)
        return
    vocabulary = Vocabulary.from_corpora(fakes, min_count=min_count)
    assert vocabulary.words.tolist() == expected
    assert vocabulary.lookup(vocabulary.words).tolist() == list(range(len(expected)))


def vectors_of(words: list[str]) -> WordVectors:
    matrix = np.arange(len(words) * 2, dtype=np.float32).reshape(-1, 2) + 1
    return WordVectors(column(words), matrix)


def test_embedding_matrix_draws_the_special_rows() -> None:
    vectors = vectors_of(["a", "b", "c"])
    vocabulary, table = embedding_matrix(vectors, rng=7)
    assert vocabulary.words.tolist() == ["a", "b", "c"]
    assert table.dtype == np.float32
    assert np.array_equal(table[WORD_ROW:], vectors.matrix)
    special = table[:WORD_ROW]
    assert (np.abs(special) <= 0.05).all()
    assert len(np.unique(special)) == 4
    assert np.array_equal(embedding_matrix(vectors, rng=7)[1], table)
    assert not np.array_equal(embedding_matrix(vectors, rng=8)[1], table)
    assert vocabulary.embedding_rows(column(["a", "C", "?"])).tolist() == [
        WORD_ROW,
        WORD_ROW + 2,
        UNKNOWN_ROW,
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["a", "UNKNOWN", "b", "PADDING", "c"],
        ["PADDING", "UNKNOWN", "a", "b", "c"],
        ["a", "b", "c", "UNKNOWN", "PADDING"],
    ],
)
@pytest.mark.parametrize("max_vocab", [None, 1, 2, 3, 9])
def test_embedding_matrix_takes_the_special_rows_of_the_file(words: list[str], max_vocab: int | None) -> None:
    vectors = vectors_of(words)
    vocabulary, table = embedding_matrix(vectors, max_vocab)
    kept = [word for word in words if word.islower()][:max_vocab]
    assert vocabulary.words.tolist() == kept
    assert np.array_equal(table[UNKNOWN_ROW], vectors["UNKNOWN"])
    assert np.array_equal(table[PADDING_ROW], vectors["PADDING"])
    assert np.array_equal(table[WORD_ROW:], np.array([vectors[word] for word in kept]))
    assert vocabulary.lookup(column(["UNKNOWN", "PADDING"])).tolist() == [-1, -1]


def test_embedding_matrix_with_one_special_row() -> None:
    vectors = vectors_of(["UNKNOWN", "a"])
    vocabulary, table = embedding_matrix(vectors, 1, rng=0)
    assert vocabulary.words.tolist() == ["a"]
    assert np.array_equal(table[UNKNOWN_ROW], vectors["UNKNOWN"])
    assert (np.abs(table[PADDING_ROW]) <= 0.05).all()
    with pytest.raises(UsageError, match="max_vocab"):
        embedding_matrix(vectors, 0)
