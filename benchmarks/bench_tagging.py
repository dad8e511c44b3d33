r"""Raw text to entities in JSON lines, at each precision, threads as everywhere.

Before anything is timed, what is found is compared: float32 with the network as torch runs it (the same
entities), bfloat16 and int8 with float32 (F1 of their entities against those of float32, noted as
``agreement``).

    BIONER_BENCHMARK_MODEL=runs/NCBI-disease-IOB-idcnn/model \
        BIONER_BENCHMARK_SPACY=runs/spacy/NCBI-disease-IOB/model-best pytest benchmarks/bench_tagging.py

Without it, an idcnn and a cnn of the usual sizes are trained on the sample of the package for a moment. Text
is that of the public corpora where they are at hand (BIONER_SHARED or ../shared), else of the sample, as
documents of eight sentences, over and over; each round tags them with warm tables.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.features.tokenize import tokenize
from bioner_fast.formats.registry import open_writer
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.engine import PRECISIONS, Tokens
from bioner_fast.resources import data_folder
from bioner_fast.tagging.blocks import BlockNetwork
from bioner_fast.tagging.stream import tag_stream
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from conftest import THREADS, tokens

N = tokens(200_000)
REPOSITORY = Path(__file__).parents[1]
MODEL = os.environ.get("BIONER_BENCHMARK_MODEL")
SPACY = os.environ.get("BIONER_BENCHMARK_SPACY")
# F1 of the entities of a precision against those of float32; on devel, `auto` asks for more.
AGREEMENT = {"float32": 100.0, "bfloat16": 99.0, "int8": 98.0}


def sentences() -> Iterator[str]:
    """Of the corpora, again and again."""
    shared = Path(os.environ.get("BIONER_SHARED", REPOSITORY.parent / "shared")) / "corpora"
    paths = sorted(shared.glob("*-IOB/train.tsv")) or sorted((data_folder() / "samples").glob("*/train.tsv"))
    for corpus in itertools.cycle([Corpus.read(path) for path in paths]):
        words = corpus.tokens.tolist()
        yield from (" ".join(words[a:b]) for a, b in itertools.pairwise(corpus.sentence_offsets.tolist()))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Documents of at least N tokens together."""
    made, count, source = [], 0, sentences()
    while count < N:
        document = " ".join(itertools.islice(source, 8))
        made.append(document)
        count += document.count(" ") + 1
    return made


@pytest.fixture(scope="module", params=[Path(MODEL).parent.name] if MODEL else ["idcnn", "cnn"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A name and a bundle."""
    if MODEL:
        return request.param, Path(MODEL)
    out = tmp_path_factory.mktemp("bench") / request.param
    rate = 0.003  # high for a cnn, which has to find something after a moment
    config = TrainConfig(
        tasks=("sample-disease",), arch=request.param, epochs=6, learning_rate=rate, threads=1, out=str(out)
    )
    return request.param, train(config).model


def tag(tagger: Tagger, texts: list[str]) -> bytes:
    """JSON lines."""
    stream = io.BytesIO()
    with open_writer(stream, "jsonl") as out:
        for document in tag_stream(tagger, texts, lanes=THREADS):
            out.write(document)
    return stream.getvalue()


def spans(documents: list[Document]) -> set[tuple[object, ...]]:
    return {(d.id, e.start, e.end, e.type, e.task) for d in documents for e in d.iter_entities()}


def spans_of_torch(tagger: Tagger, texts: list[str]) -> set[tuple[object, ...]]:
    """What the network finds without the engine."""
    documents = [Document.from_text(text, id=str(i + 1)) for i, text in enumerate(texts)]
    prepared = tagger.prepare(documents)
    encoded = prepared.encoded
    blocks = BlockNetwork(tagger.bundle.network, torch.device("cpu"), "float32")
    emissions = blocks.log_probabilities(
        Tokens(encoded.word_ids, encoded.caps, encoded.forms), encoded.sentence_offsets
    )
    return spans(tagger.assemble(prepared, emissions))


def agreement(found: set[tuple[object, ...]], wanted: set[tuple[object, ...]]) -> float:
    """F1 in percent."""
    return 200 * len(found & wanted) / max(len(found) + len(wanted), 1)


@pytest.mark.benchmark(group="raw text to entities")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_tagging(
    precision: str, bundle: tuple[str, Path], texts: list[str], measure: Callable[..., object]
) -> None:
    name, path = bundle
    loaded = load_bundle(path)
    tagger = Tagger(loaded, "cpu", 1, precision)  # a batch is one thread's work
    some = texts[: max(len(texts) // 20, 1)]
    plain = Tagger(loaded, "cpu", 1, "float32")
    if precision == "float32":
        wanted, found = spans_of_torch(plain, some), spans(plain.tag(some))
    else:
        wanted, found = spans(plain.tag(texts)), spans(tagger.tag(texts))
    score = agreement(found, wanted)
    assert wanted
    assert score >= AGREEMENT[precision]
    n = int(tagger.prepare([Document.from_text(text) for text in texts]).encoded.sentence_offsets[-1])
    written = measure(
        lambda: tag(tagger, texts), tokens=n, moved=sum(map(len, texts)), rounds=3,
        model=name, precision=precision, agreement=round(score, 3),
        devel=dict(loaded.inference.devel) if loaded.inference else None,
    )  # fmt: skip
    assert isinstance(written, bytes)
    assert written.count(b"\n") == len(texts)


@pytest.mark.benchmark(group="raw text to entities")
def test_spacy(
    texts: list[str],
    peer: Callable[[str], ModuleType],
    measure: Callable[..., object],
    benchmark: Any,
) -> None:
    """spaCy's NER (benchmarks/spacy_ner/train.py) at its best: one process or as many as our threads, of
    several batch sizes the fastest on a quarter of the text.

    Processes start anew with every ``nlp.pipe``: ``startup_seconds`` is what that takes, from the times of a
    quarter of the text and of all of it, so that a reader can take it off.
    """
    if not SPACY:
        pytest.skip("BIONER_BENCHMARK_SPACY names no pipeline of benchmarks/spacy_ner/train.py")
    spacy = peer("spacy")
    rule = importlib.util.spec_from_file_location(
        "corpus_tokenizer", REPOSITORY / "benchmarks" / "spacy_ner" / "corpus_tokenizer.py"
    )
    rule.loader.exec_module(importlib.util.module_from_spec(rule))  # type: ignore[union-attr, arg-type]
    nlp = spacy.load(SPACY)

    def run(some: list[str], processes: int, size: int) -> bytes:
        lines = []
        for text, doc in zip(some, nlp.pipe(some, batch_size=size, n_process=processes), strict=True):
            entities = [
                {"start": e.start_char, "end": e.end_char, "type": e.label_, "text": e.text} for e in doc.ents
            ]
            lines.append(json.dumps({"text": text, "entities": entities}, ensure_ascii=False) + "\n")
        return "".join(lines).encode()

    part = texts[: max(len(texts) // 4, 1)]
    answer = [json.loads(line) for line in run(part, 1, 64).splitlines()]
    assert [document["text"] for document in answer] == part
    found = [(document["text"], entity) for document in answer for entity in document["entities"]]
    assert found
    assert all(text[e["start"] : e["end"]] == e["text"] for text, e in found)
    seconds = {}
    for choice in itertools.product({1, THREADS}, (8, 32, 128)):
        start = time.perf_counter()
        run(part, *choice)
        seconds[choice] = time.perf_counter() - start
    best = min(seconds, key=lambda choice: seconds[choice])
    n = sum(len(tokens) for tokens in map(tokenize, texts))
    times: list[float] = []

    def all_of_it() -> bytes:
        start = time.perf_counter()
        written = run(texts, *best)
        times.append(time.perf_counter() - start)
        return written

    rest = len(texts) - len(part)
    written = measure(
        all_of_it, tokens=n, moved=sum(map(len, texts)), rounds=1, warmup_rounds=0,
        role="peer", peer="spaCy NER, accuracy preset", processes=best[0], batch_size=best[1],
    )  # fmt: skip
    assert isinstance(written, bytes)
    assert written.count(b"\n") == len(texts)
    startup = seconds[best] - (times[0] - seconds[best]) * len(part) / rest if rest else 0.0
    benchmark.extra_info["startup_seconds"] = round(max(startup, 0.0), 2)
