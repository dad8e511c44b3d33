"""Reading column files and scoring tags, beside a plain Python reader, pandas, seqeval and nervaluate.

Every run checks the answer first. The text is that of the public corpora where they are at hand
(BIONER_SHARED or ../shared), else the samples of the package, over and over.

    pytest benchmarks/bench_text.py -o python_files=bench_*.py --benchmark-group-by=group
"""

from __future__ import annotations

import importlib
import itertools
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import Scheme, convert
from bioner_fast.data.scoring import score
from bioner_fast.resources import data_folder

N_TOKENS = 1_000_000
REPOSITORY = Path(__file__).parents[1]


def peer(name: str) -> ModuleType:
    """A library to compare with; absent ones skip, or fail where BIONER_REQUIRE_PEERS is set."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("BIONER_REQUIRE_PEERS"):
            raise
        pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="module")
def column_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At least a million tokens."""
    shared = Path(os.environ.get("BIONER_SHARED", REPOSITORY.parent / "shared")) / "corpora"
    paths = sorted(shared.glob("*-IOB/train.tsv")) or sorted((data_folder() / "samples").glob("*/train.tsv"))
    path = tmp_path_factory.mktemp("text") / "million.tsv"
    n = 0
    with path.open("wb") as out:
        for source in itertools.cycle(paths):
            data = source.read_bytes()
            out.write(data.rstrip(b"\n") + b"\n\n")
            n += data.count(b"\t")
            if n >= N_TOKENS:
                return path
    raise AssertionError("no corpora")


@pytest.fixture(scope="module")
def corpus(column_file: Path) -> Corpus:
    return Corpus.read(column_file)


@pytest.fixture(scope="module")
def predicted(corpus: Corpus) -> np.ndarray:
    """Gold tags with one in ten replaced by a random one."""
    rng = np.random.default_rng(0)
    wrong = rng.integers(0, len(corpus.tag_names), corpus.n_tokens)
    return np.where(rng.random(corpus.n_tokens) < 0.1, wrong, corpus.tag_ids).astype(np.int32)


def read_plainly(path: Path) -> tuple[list[str], list[int], list[str], list[int]]:
    """What a reader in Python does for the same columns."""
    tokens: list[str] = []
    tags: list[int] = []
    codes: dict[str, int] = {}
    offsets = [0]
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if not fields:
                if offsets[-1] != len(tokens):
                    offsets.append(len(tokens))
                continue
            token, tag = fields
            tokens.append(token)
            tags.append(codes.setdefault(tag, len(codes)))
    if offsets[-1] != len(tokens):
        offsets.append(len(tokens))
    return tokens, tags, list(codes), offsets


@pytest.mark.benchmark(group="read a column file")
class TestReading:
    def test_bioner_fast(self, benchmark, column_file: Path) -> None:
        tokens, tags, names, offsets = read_plainly(column_file)
        found = Corpus.read(column_file)
        assert found.tokens.tolist() == tokens
        assert (found.tag_ids.tolist(), list(found.tag_names)) == (tags, names)
        assert found.sentence_offsets.tolist() == offsets
        benchmark.extra_info["tokens"] = len(tokens)
        benchmark(Corpus.read, column_file)

    def test_plain_python(self, benchmark, column_file: Path, corpus: Corpus) -> None:
        benchmark.extra_info["tokens"] = corpus.n_tokens
        benchmark(read_plainly, column_file)

    def test_pandas(self, benchmark, column_file: Path, corpus: Corpus) -> None:
        pandas = peer("pandas")

        def read() -> object:
            # The C engine at its plainest; blank lines stay, they are the sentence breaks.
            return pandas.read_csv(
                column_file,
                sep="\t",
                header=None,
                names=["token", "tag"],
                quoting=3,
                keep_default_na=False,
                skip_blank_lines=False,
            )

        frame = read()
        assert int((frame["token"] != "").sum()) == corpus.n_tokens
        benchmark.extra_info["tokens"] = corpus.n_tokens
        benchmark(read)


def sentences_of(corpus: Corpus, ids: np.ndarray, n_tokens: int) -> list[list[str]]:
    tags = [corpus.tag_names[i] for i in ids[:n_tokens].tolist()]
    bounds = [bound for bound in corpus.sentence_offsets.tolist() if bound < n_tokens] + [n_tokens]
    return [tags[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.benchmark(group="score chunks of a million tokens")
class TestScoring:
    def test_bioner_fast(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        benchmark.extra_info["tokens"] = corpus.n_tokens
        benchmark(score, corpus, predicted, corpus.tag_names)

    def test_seqeval(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        metrics = peer("seqeval.metrics")
        n = corpus.n_tokens
        gold, guess = sentences_of(corpus, corpus.tag_ids, n), sentences_of(corpus, predicted, n)
        # In its default mode seqeval follows conlleval.
        expected = score(corpus, predicted, corpus.tag_names).f1
        assert 100 * metrics.f1_score(gold, guess) == pytest.approx(expected, abs=1e-9)
        benchmark.extra_info["tokens"] = n
        benchmark.pedantic(metrics.f1_score, (gold, guess), rounds=2)

    def test_nervaluate(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        evaluator = peer("nervaluate").Evaluator
        # It is slow: a tenth of the text; compare tokens per second.
        n = corpus.n_tokens // 10
        types = sorted({name[2:] for name in corpus.tag_names if name != "O"})
        # Its reader takes legal sequences only.
        legal = convert(corpus.with_tags(predicted, corpus.tag_names), Scheme.IOB2)
        gold = sentences_of(convert(corpus, Scheme.IOB2), convert(corpus, Scheme.IOB2).tag_ids, n)
        guess = sentences_of(legal, legal.tag_ids, n)

        def evaluate() -> object:
            return evaluator(gold, guess, tags=types, loader="list").evaluate()

        benchmark.extra_info["tokens"] = n
        benchmark.pedantic(evaluate, rounds=1)


@pytest.mark.benchmark(group="IOB to IOBES")
def test_conversion(benchmark, corpus: Corpus) -> None:
    benchmark.extra_info["tokens"] = corpus.n_tokens
    converted = benchmark(convert, corpus, Scheme.IOBES)
    assert converted.n_tokens == corpus.n_tokens
    assert {name[0] for name in converted.tag_names} == set("OBIES")
