"""Lookups, OOV counts, windows and capitalisation of the published system."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.capitalization import CAPITALIZATION_CLASSES, capitalization
from bioner_fast.features.table import embedding_matrix
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import PADDING_ROW, UNKNOWN_ROW, Vocabulary

# The published code reads one row more than it is asked for.
FILES = {
    "full": ("NCBI-disease.vec.bin", None),
    "nospecial": ("NCBI-disease.nospecial.vec.bin", None),
    "maxrank100": ("NCBI-disease.vec.bin", 101),
}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    folder = shared / "golden" / "features"
    return {
        "folder": folder,
        "facts": json.loads((folder / "NCBI-disease.json").read_text(encoding="utf-8")),
        "arrays": np.load(folder / "NCBI-disease.npz"),
    }


@pytest.fixture(scope="module")
def corpora(shared: Path) -> list[Corpus]:
    folder = shared / "corpora" / "NCBI-disease-IOB"
    return [Corpus.read(folder / f"{split}.tsv") for split in ("train", "devel", "test")]


@pytest.fixture(scope="module")
def tokens(corpora: list[Corpus]) -> StringColumn:
    return StringColumn.concatenate(corpus.tokens for corpus in corpora)


def table(golden: dict[str, Any], name: str, folder: Path) -> tuple[Vocabulary, np.ndarray]:
    file, rank = FILES[name]
    return embedding_matrix(WordVectors.load(golden["folder"] / file, max_rank=rank, cache_dir=folder), rng=0)


@pytest.mark.parametrize("name", FILES)
def test_lookups(golden: dict[str, Any], tokens: StringColumn, name: str, tmp_path: Path) -> None:
    vocabulary, matrix = table(golden, name, tmp_path)
    expected = golden["arrays"][f"idx_{name}"]
    weights = golden["arrays"][f"weights_{name}"]  # the published table holds the words of the corpus only
    rows = vocabulary.embedding_rows(tokens, normalization="published")
    known = expected != golden["facts"][name]["UNKNOWN_index"]
    assert np.array_equal(rows != UNKNOWN_ROW, known)
    assert np.array_equal(matrix[rows[known]], weights[expected[known]])
    # The same word has the same row and another word another row.
    pairs = set(zip(rows.tolist(), expected.tolist(), strict=True))
    assert len(pairs) == len(set(rows.tolist())) == len(set(expected.tolist()))


@pytest.mark.parametrize("name", FILES)
def test_oov_statistics(golden: dict[str, Any], tokens: StringColumn, name: str, tmp_path: Path) -> None:
    facts = golden["facts"][name]
    vocabulary, _ = table(golden, name, tmp_path)
    statistics = vocabulary.oov_statistics(tokens, normalization="published", top=len(facts["top_oov"]))
    assert statistics.total == facts["total"]
    assert statistics.missing == facts["missing"]
    assert statistics.distinct == facts["distinct_oov"]
    assert round(statistics.rate, 8) == facts["rate"]
    assert [[count, word] for word, count in statistics.most_frequent] == facts["top_oov"]
    assert str(statistics) == facts["summary"][facts["summary"].index("OOV") :]


def test_digits_are_found_where_the_published_code_misses_them(
    golden: dict[str, Any], tokens: StringColumn, tmp_path: Path
) -> None:
    vocabulary, _ = table(golden, "full", tmp_path)
    published = vocabulary.lookup(tokens, normalization="published")
    ours = vocabulary.lookup(tokens)
    assert np.array_equal(ours[published >= 0], published[published >= 0])
    zero = vocabulary.find("0")
    gained = {token for token, a, b in zip(tokens, published, ours, strict=True) if a < 0 <= b == zero}
    assert "1" in gained
    assert all(any(c.isdigit() for c in token) for token in gained)


@pytest.mark.parametrize("name", FILES)
def test_windows(golden: dict[str, Any], corpora: list[Corpus], name: str, tmp_path: Path) -> None:
    vocabulary, _ = table(golden, name, tmp_path)
    expected = golden["arrays"][f"window7_{name}"]
    n, facts = len(expected), golden["facts"]
    assert corpora[0].tokens[:n].tolist() == facts["windows_tokens"]
    rows = vocabulary.embedding_rows(corpora[0].tokens, normalization="published")
    # Their numbers for our rows, by the lookups of the same tokens.
    theirs = {PADDING_ROW: facts[name]["PADDING_index"]}
    theirs |= dict(zip(rows.tolist(), golden["arrays"][f"idx_{name}"].tolist(), strict=False))
    windows = []
    offsets = corpora[0].sentence_offsets.tolist()
    for begin, end in itertools.pairwise(offsets):
        for t in range(begin, end):
            window = [rows[m] if begin <= m < end else PADDING_ROW for m in range(t - 3, t + 4)]
            windows.append([theirs[int(row)] for row in window])
        if len(windows) >= n:
            break
    assert np.array_equal(np.array(windows[:n]), expected)


def test_capitalization(golden: dict[str, Any], tokens: StringColumn) -> None:
    facts = golden["facts"]["caps"]
    names = [CAPITALIZATION_CLASSES[i] for i in capitalization(tokens[: len(facts["categories"])])]
    assert names == facts["categories"]
    assert [facts["index_map"][name] for name in names] == facts["index"]


def test_real_vectors(shared: Path, tokens: StringColumn, tmp_path: Path) -> None:
    """The coverage that the vectors' own documentation states for this corpus."""
    vectors = WordVectors.load(shared / "vectors" / "bio-w2v-200.bin", cache_dir=tmp_path)
    assert vectors.matrix.shape == (177550, 200)
    statistics = vectors.vocabulary.oov_statistics(tokens)
    assert round(100 * statistics.rate, 2) == 0.21
    types = len(set(tokens.tolist()))
    assert round(100 * statistics.distinct / types, 2) == 3.15
    exact = vectors.vocabulary.lookup(tokens, normalization="none") >= 0
    assert round(100 * exact.mean(), 2) == 99.52
