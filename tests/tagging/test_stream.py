"""Streams: the same as the tagger, in order, in bounded memory, and failures where they happened."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bioner_fast.data.document import Document
from bioner_fast.tagging.resolve import Answer
from bioner_fast.tagging.stream import StreamCounts, tag_stream
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return Tagger.load(save_tiny(tmp_path_factory.mktemp("bundle") / "model"), device="cpu")


def _documents(n: int) -> list[Document]:
    texts = ["breast cancer gene", "", "the BRCA1 protein of a tumor cell . " * 20, "in"]
    return [Document.from_text(texts[i % 4], id=f"d{i}") for i in range(n)]


def _readers() -> int:
    return sum(thread.name == "bioner-read" for thread in threading.enumerate())


def test_a_stream_is_the_tagger_document_by_document(tagger: Tagger) -> None:
    documents = _documents(40)
    expected = tagger.tag(documents, merge=True)
    counts = StreamCounts()
    assert (
        list(tag_stream(tagger, iter(documents), batch_tokens=50, answer=Answer("best"), counts=counts))
        == expected
    )
    assert counts.documents == 40
    assert counts.entities == sum(len(d.entities) for d in expected) > 0
    assert counts.tokens == 10 * (3 + 8 * 20 + 1)
    assert list(tag_stream(tagger, [])) == []
    assert _readers() == 0


def test_reading_stays_a_few_batches_ahead(tagger: Tagger) -> None:
    read = 0

    def endless() -> Iterator[Document]:
        nonlocal read
        while True:
            read += 1
            yield Document.from_text("breast cancer", id=str(read))

    stream = tag_stream(tagger, endless(), batch_tokens=20)
    for taken, _ in zip(range(1, 200), stream, strict=False):
        # Seven documents of this size make a batch; five batches may be under way.
        assert read <= taken + 6 * 7
    stream.close()
    assert _readers() == 0


def test_a_failing_source_fails_after_the_documents_before_it(tagger: Tagger) -> None:
    def failing() -> Iterator[Document]:
        yield from _documents(5)
        raise ValueError("line 6 is bad")

    stream = tag_stream(tagger, failing(), batch_tokens=10)
    assert [next(stream).id for _ in range(5)] == [f"d{i}" for i in range(5)]
    with pytest.raises(ValueError, match="line 6 is bad"):
        next(stream)
    assert _readers() == 0


def test_a_failure_while_preparing_is_raised_not_lost(
    tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(documents: object) -> object:
        raise MemoryError("no room")

    monkeypatch.setattr(tagger, "prepare", broken)
    with pytest.raises(MemoryError, match="no room"):
        list(tag_stream(tagger, _documents(3)))
    assert _readers() == 0


def test_lanes_change_neither_order_nor_results(tagger: Tagger) -> None:
    documents = _documents(60)
    expected = tagger.tag(documents)
    for lanes in (1, 2, 5):
        counts = StreamCounts()
        stream = tag_stream(tagger, iter(documents), batch_tokens=30, lanes=lanes, counts=counts)
        assert list(stream) == expected
        assert counts.documents == 60


MEMORY = """
import resource, sys
from pathlib import Path
from bioner_fast.cli.main import run
small = ["--threads", "2", "--batch-tokens", "2000"]
status = run(["tag", "-m", sys.argv[1], sys.argv[2], "-o", sys.argv[3], *small])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs between systems")
@pytest.mark.parametrize("format", ["jsonl", "pubmed-xml"])
def test_memory_does_not_grow_with_the_number_of_documents(tmp_path: Path, format: str) -> None:
    model = save_tiny(tmp_path / "model")
    text = "the BRCA1 protein of a breast cancer cell , TNF - alpha and Crohn disease in patients . " * 8
    if format == "jsonl":
        before, one, after = "", '{"id": "NUMBER", "text": "TEXT"}\n', ""
    else:
        one = "<PubmedArticle><MedlineCitation><PMID>NUMBER</PMID><Article><ArticleTitle>TEXT</ArticleTitle>"
        one += "</Article></MedlineCitation></PubmedArticle>\n"
        before, after = "<PubmedArticleSet>", "</PubmedArticleSet>"
    one = one.replace("TEXT", text)
    peaks = []
    for documents in (400, 4000):
        source = tmp_path / f"{documents}.{'jsonl' if format == 'jsonl' else 'xml'}"
        source.write_text(before + "".join(one.replace("NUMBER", str(n)) for n in range(documents)) + after)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(model), str(source), str(tmp_path / f"{documents}.out.jsonl")],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert len((tmp_path / f"{documents}.out.jsonl").read_text().splitlines()) == documents
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.1 * peaks[0]
