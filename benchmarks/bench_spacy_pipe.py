r"""The spaCy pipe beside the tagger on the same texts, the tokenizer of the blank pipeline taken off.

    pytest benchmarks/bench_spacy_pipe.py

Entities are compared before anything is timed. ``times_tagger`` is (pipe - blank pipeline) / tagger, the best
of three rounds in turns, by processor time. BIONER_BENCHMARK_TEXTS is the number of abstracts (10,000).
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from bioner_fast.tagging.tagger import Tagger
from large_files import whole_documents

spacy = pytest.importorskip("spacy", reason="needs the extra spacy")

TEXTS = int(os.environ.get("BIONER_BENCHMARK_TEXTS", "10000"))


@pytest.mark.benchmark(group="spaCy pipe")
def test_pipe(benchmark: Any) -> None:
    importlib.import_module("bioner_fast.integrations.spacy")  # where no entry point is installed
    texts = [" ".join(parts) for parts in whole_documents(TEXTS)]
    tagger = Tagger.load(threads=1)
    blank, nlp = spacy.blank("en"), spacy.blank("en")
    nlp.add_pipe("bioner_fast", config={"threads": 1})
    some = texts[:200]
    spans = entities = 0
    for doc, document in zip(nlp.pipe(some), tagger.tag(some), strict=True):
        found = {(*span._.mention, span.label_) for span in doc.spans["bioner_fast"]}
        wanted = {(e.start, e.end, e.type) for e in document.iter_entities()}
        assert found <= wanted
        spans, entities = spans + len(found), entities + len(wanted)
    # Two entities on one token of the tokenizer ("A549/H1299") are one span.
    assert spans >= 0.95 * entities > 0
    work: dict[str, Callable[[], object]] = {
        "tagger": lambda: tagger.tag(texts),
        "blank": lambda: sum(1 for _ in blank.pipe(texts)),
        "pipe": lambda: sum(1 for _ in nlp.pipe(texts)),
    }
    best = dict.fromkeys(work, float("inf"))

    def in_turns() -> None:
        for name, call in work.items():
            start = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - start)

    benchmark.pedantic(in_turns, rounds=3, iterations=1)
    ratio = (best["pipe"] - best["blank"]) / best["tagger"]
    seconds = {name: round(value, 3) for name, value in best.items()}
    benchmark.extra_info.update(role="ours", texts=TEXTS, times_tagger=round(ratio, 2), seconds=seconds)
