"""Loading a word2vec binary of 1,000,000 x 200 (BIONER_BENCHMARK_TOKENS: so many words) beside gensim.

``first load`` makes the memory-mapped copy, synced to the disk, that ``later load`` opens; gensim has nothing
of the kind. All ends with every vector at hand, and every vector is compared before anything is timed. The
file is in the page cache for both sides. It takes a gigabyte of disk for the file and one for the copy.

    pytest benchmarks/bench_vectors.py --benchmark-json=bench.json
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vector_files import write_vectors
from bioner_fast.features.vectors import WordVectors
from conftest import THREADS, tokens

WORDS, DIM = tokens(1_000_000), 200
GROUP = f"load word2vec binary, {WORDS:,} x {DIM}"


@pytest.fixture(scope="module")
def vectors() -> tuple[list[str], np.ndarray]:
    """Words as long as those of a vocabulary, and random vectors."""
    matrix = np.random.default_rng(0).standard_normal((WORDS, DIM), dtype=np.float32)
    return [f"word{i}" for i in range(WORDS)], matrix


@pytest.fixture(scope="module")
def file(vectors: tuple[list[str], np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    words, matrix = vectors
    path = tmp_path_factory.mktemp("vectors") / "vectors.bin"
    write_vectors(path, StringColumn.from_list(words), matrix, "word2vec-binary")
    return path


def load(file: Path) -> WordVectors:
    return WordVectors.load(file, cache_dir=file.parent / "cache", threads=THREADS)


def note(benchmark: Any, **facts: object) -> None:
    """What report.py shows; its tokens are words here."""
    benchmark.extra_info.update(tokens=WORDS, **facts)
    if benchmark.stats is not None:
        benchmark.extra_info["tokens_per_second"] = WORDS / benchmark.stats.stats.median


@pytest.mark.benchmark(group=GROUP)
def test_first_load(benchmark: Any, vectors: tuple[list[str], np.ndarray], file: Path) -> None:
    def forget() -> None:
        shutil.rmtree(file.parent / "cache", ignore_errors=True)

    words, matrix = vectors
    loaded = load(file)
    assert loaded.words.tolist() == words
    assert np.array_equal(loaded.matrix, matrix)
    assert all(np.array_equal(loaded[words[i]], matrix[i]) for i in range(0, WORDS, 997))
    del loaded
    benchmark.pedantic(load, (file,), setup=forget, rounds=5, warmup_rounds=1)
    note(benchmark, role="ours", threads=THREADS)


@pytest.mark.benchmark(group=GROUP + ", again")
def test_later_load(benchmark: Any, vectors: tuple[list[str], np.ndarray], file: Path) -> None:
    words, matrix = vectors
    load(file)
    at = WORDS // 2

    def again() -> np.ndarray:
        return load(file)[words[at]]

    row = benchmark.pedantic(again, rounds=9, warmup_rounds=1)
    assert np.array_equal(row, matrix[at])
    note(benchmark, role="ours", threads=THREADS)


@pytest.mark.benchmark(group=GROUP)
def test_gensim(
    benchmark: Any, vectors: tuple[list[str], np.ndarray], file: Path, peer: Callable[[str], ModuleType]
) -> None:
    keyed = peer("gensim.models").KeyedVectors
    words, matrix = vectors
    found = keyed.load_word2vec_format(str(file), binary=True)
    assert found.index_to_key == words
    assert np.array_equal(found.vectors, matrix)
    del found

    def run() -> None:  # so that a round does not hold what the one before loaded
        keyed.load_word2vec_format(str(file), binary=True)

    benchmark.pedantic(run, rounds=3)
    note(benchmark, role="peer", peer="gensim load_word2vec_format", threads=1)
