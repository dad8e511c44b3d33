"""Reading column files, tokenising, scoring, beside plain Python, pandas, spaCy, NLTK, seqeval, nervaluate.

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
from bioner_fast.features.tokenize import segment
from bioner_fast.resources import data_folder

N_TOKENS = int(os.environ.get("BIONER_BENCHMARK_TOKENS", "1000000"))
THREADS = int(os.environ.get("BIONER_BENCHMARK_THREADS", str(min(2, os.cpu_count() or 1))))
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


class Node:
    """Token, sentence, document or data set, as the published reader holds them: an object each."""

    def __init__(self, text: str | None = None, target: str | None = None) -> None:
        self.data = {"text": text}
        self.target_text = target
        self.target: int | None = None
        self.prediction = self.prediction_text = None
        self.features: dict[str, object] = {}
        self.inputs: dict[str, object] = {}
        self.parent: Node | None = None
        self.position: int | None = None
        self.children: list[Node] = []

    def add(self, child: Node) -> None:
        child.parent, child.position = self, len(self.children)
        self.children.append(child)


def read_objects(path: Path) -> Node:
    """A reader with the steps of the published one: a tree of objects, then targets by first appearance."""
    data, document, words, tags = Node(), Node(), [], []

    def end_sentence() -> None:
        if words:
            sentence = Node()
            for word, tag in zip(words, tags, strict=True):
                sentence.add(Node(word, tag))
            document.add(sentence)
            words.clear()
            tags.clear()

    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if not fields:
                end_sentence()
            elif fields[0] == "-DOCSTART-":
                end_sentence()
                if document.children:
                    data.add(document)
                document = Node()
            else:
                word, tag = fields
                words.append(word)
                tags.append(tag)
    end_sentence()
    data.add(document)
    codes: dict[str | None, int] = {"O": 0}
    for document in data.children:
        for sentence in document.children:
            for token in sentence.children:
                token.target = codes.setdefault(token.target_text, len(codes))
    return data


def note(benchmark, tokens: int, name: str | None = None, threads: int = 1) -> None:
    """What report.py shows: whose row it is and how much was done."""
    benchmark.extra_info.update(tokens=tokens, role="peer" if name else "ours", threads=threads)
    if name:
        benchmark.extra_info["peer"] = name
    if benchmark.stats is not None:
        benchmark.extra_info["tokens_per_second"] = tokens / benchmark.stats.stats.median


@pytest.mark.benchmark(group="read a column file")
class TestReading:
    def test_bioner_fast(self, benchmark, column_file: Path) -> None:
        tokens, tags, names, offsets = read_plainly(column_file)
        found = Corpus.read(column_file)
        assert found.tokens.tolist() == tokens
        assert (found.tag_ids.tolist(), list(found.tag_names)) == (tags, names)
        assert found.sentence_offsets.tolist() == offsets
        del tokens, tags, found  # a million objects slow the collector down
        benchmark(Corpus.read, column_file, threads=THREADS)
        note(benchmark, int(offsets[-1]), threads=THREADS)

    def test_plain_python(self, benchmark, column_file: Path, corpus: Corpus) -> None:
        benchmark.pedantic(read_plainly, (column_file,), rounds=5)
        note(benchmark, corpus.n_tokens, "plain Python, lists")

    def test_objects(self, benchmark, column_file: Path, corpus: Corpus) -> None:
        tree = benchmark.pedantic(read_objects, (column_file,), rounds=2)
        tokens = [token for document in tree.children for s in document.children for token in s.children]
        assert [token.data["text"] for token in tokens] == corpus.tokens.tolist()
        assert [token.target_text for token in tokens] == corpus.tags()
        note(benchmark, corpus.n_tokens, "plain Python, objects as published")

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
        benchmark(read)
        note(benchmark, corpus.n_tokens, "pandas")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Titles and abstracts as written, where they are at hand; else the sample's tokens with spaces."""
    shared = Path(os.environ.get("BIONER_SHARED", REPOSITORY.parent / "shared")) / "formats" / "pubtator"
    found: list[str] = []
    for path in sorted(shared.glob("*.PubTator")):
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split("|", 2)
            if len(fields) == 3 and fields[1] in ("t", "a"):
                found.append(fields[2])
    if not found:
        for path in sorted((data_folder() / "samples").glob("*/train.tsv")):
            found.append(" ".join(Corpus.read(path).tokens.tolist()))
    return found


@pytest.mark.benchmark(group="tokenise and split sentences, one thread")
class TestTokenising:
    """Raw text. Rates are in tokens of ours for all, since each library's rule gives other numbers."""

    @staticmethod
    def n_tokens(texts: list[str]) -> int:
        return len(segment(texts, threads=1).tokens)

    def test_bioner_fast(self, benchmark, texts: list[str]) -> None:
        result = segment(texts, threads=1)
        tokens, starts, ends = result.tokens.tolist(), result.starts.tolist(), result.ends.tolist()
        bounds = result.token_offsets.tolist()
        for text, low, high in zip(texts, bounds[:-1], bounds[1:], strict=True):
            assert [text[a:b] for a, b in zip(starts[low:high], ends[low:high], strict=True)] == tokens[
                low:high
            ]
            assert "".join(tokens[low:high]) == "".join(text.split())
        benchmark(segment, texts, threads=1)
        note(benchmark, len(tokens))

    def test_spacy(self, benchmark, texts: list[str]) -> None:
        nlp = peer("spacy").blank("en")
        nlp.add_pipe("sentencizer")
        for doc, text in zip(nlp.pipe(texts), texts, strict=True):
            assert all(text[token.idx : token.idx + len(token)] == token.text for token in doc)
            assert sum(1 for _ in doc.sents) >= (len(doc) > 0)
        # Once warm: its tokenizer keeps what it has met.
        benchmark.pedantic(lambda: list(nlp.pipe(texts)), rounds=3)
        note(benchmark, self.n_tokens(texts), "spaCy blank + sentencizer")

    def test_nltk(self, benchmark, texts: list[str]) -> None:
        """What ``nltk.word_tokenize`` does, with the English Punkt model from a package."""
        split = peer("punkt").sent_tokenize
        tokenize = peer("nltk.tokenize").NLTKWordTokenizer().tokenize

        def run() -> list[list[list[str]]]:
            return [[tokenize(sentence) for sentence in split(text)] for text in texts]

        sentences = run()
        assert len(sentences) == len(texts)
        assert all(found for found, text in zip(sentences, texts, strict=True) if text.strip())
        benchmark.pedantic(run, rounds=2)
        note(benchmark, self.n_tokens(texts), "NLTK word_tokenize + Punkt")


def sentences_of(corpus: Corpus, ids: np.ndarray, n_tokens: int) -> list[list[str]]:
    tags = [corpus.tag_names[i] for i in ids[:n_tokens].tolist()]
    bounds = [bound for bound in corpus.sentence_offsets.tolist() if bound < n_tokens] + [n_tokens]
    return [tags[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.benchmark(group="score chunks of a million tokens")
class TestScoring:
    def test_bioner_fast(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        benchmark(score, corpus, predicted, corpus.tag_names)
        note(benchmark, corpus.n_tokens)

    def test_seqeval(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        metrics = peer("seqeval.metrics")
        n = corpus.n_tokens
        gold, guess = sentences_of(corpus, corpus.tag_ids, n), sentences_of(corpus, predicted, n)
        # In its default mode seqeval follows conlleval.
        expected = score(corpus, predicted, corpus.tag_names).f1
        assert 100 * metrics.f1_score(gold, guess) == pytest.approx(expected, abs=1e-9)
        benchmark.pedantic(metrics.f1_score, (gold, guess), rounds=2)
        note(benchmark, n, "seqeval")

    def test_nervaluate(self, benchmark, corpus: Corpus, predicted: np.ndarray) -> None:
        evaluator = peer("nervaluate").Evaluator
        n = corpus.n_tokens
        types = sorted({name[2:] for name in corpus.tag_names if name != "O"})
        # Its reader takes legal sequences only; of these its strict scores are conlleval's.
        legal = convert(corpus.with_tags(predicted, corpus.tag_names), Scheme.IOB2)
        gold = convert(corpus, Scheme.IOB2)
        expected = score(gold, legal.tag_ids, legal.tag_names)
        wanted, guess = sentences_of(gold, gold.tag_ids, n), sentences_of(legal, legal.tag_ids, n)

        def evaluate() -> dict:
            return evaluator(wanted, guess, tags=types, loader="list").evaluate()

        found = benchmark.pedantic(evaluate, rounds=1)["overall"]["strict"]
        assert 100 * found.precision == pytest.approx(expected.precision, abs=1e-9)
        assert 100 * found.recall == pytest.approx(expected.recall, abs=1e-9)
        note(benchmark, n, "nervaluate")


@pytest.mark.benchmark(group="IOB to IOBES")
def test_conversion(benchmark, corpus: Corpus) -> None:
    converted = benchmark(convert, corpus, Scheme.IOBES)
    note(benchmark, corpus.n_tokens)
    assert converted.n_tokens == corpus.n_tokens
    assert {name[0] for name in converted.tag_names} == set("OBIES")
