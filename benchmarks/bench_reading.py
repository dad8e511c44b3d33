r"""Reading documents beside ``gzip -dc`` of the same file: PubMed XML, a JATS archive, JSON lines.

    pytest benchmarks/bench_reading.py

Texts are raw text where it is at hand (BIONER_SHARED or ../shared), else sentences of the sample
(``benchmarks/large_files.py``). What is read is compared with what was written before anything is timed. Each
round reads once and unpacks once; ``times_gzip`` is the quotient of the best of both, by processor time,
which other processes disturb less than the clock.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.formats.registry import read_documents
from conftest import tokens
from large_files import whole_documents, write_jats, write_jsonl, write_pubmed

# About 300 tokens an abstract, 8,000 an article.
ABSTRACTS = tokens(1_800_000) // 300
ARTICLES = max(tokens(1_800_000) // 6_000, 1)
FORMATS = ("pubmed-xml", "jats", "jsonl")


def letters(text: str) -> str:
    return re.sub(r"\W", "", text)


@pytest.fixture(scope="module", params=FORMATS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Any]:
    """Format, file and texts."""
    folder = tmp_path_factory.mktemp("reading")
    if request.param == "pubmed-xml":
        path, texts = folder / "in.xml.gz", whole_documents(ABSTRACTS)
        write_pubmed(path, texts)
    elif request.param == "jats":
        path, texts = folder / "in.tar.gz", whole_documents(ARTICLES, "fulltext-01")
        write_jats(path, texts)
    else:
        path, texts = folder / "in.jsonl.gz", whole_documents(ABSTRACTS)
        write_jsonl(path, texts)
    return request.param, path, texts


def check(format: str, path: Path, texts: list[list[str]]) -> None:
    for number, (document, parts) in enumerate(zip(read_documents(path, format), texts, strict=True), 1):
        title, *paragraphs = (re.sub(" +", " ", part) for part in parts)
        if format == "pubmed-xml":
            assert document.id == str(number)
            assert [p.text.strip() for p in document.passages] == [p.strip() for p in parts]
        elif format == "jats":
            assert document.id == f"PMC{number}"
            assert document.passages[0].text == parts[0]
            body = letters(document.text.replace("2+", ""))
            assert all(letters(one)[:20].replace("2", "") in body.replace("2", "") for one in paragraphs)
        else:
            assert document.text == " ".join(parts)
        assert title


def of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.benchmark(group="reading beside gzip -dc")
def test_reading(written: tuple[str, Path, Any], measure: Callable[..., object], benchmark: Any) -> None:
    format, path, texts = written
    gzip = shutil.which("gzip")
    if gzip is None:
        pytest.skip("gzip, the peer, is not installed")
    check(format, path, texts)
    ours: list[float] = []
    theirs: list[float] = []

    def read() -> int:
        before = of_children()
        subprocess.run([gzip, "-dc", path], stdout=subprocess.DEVNULL, check=True)
        theirs.append(of_children() - before)
        start = time.process_time()
        count = sum(1 for _ in read_documents(path, format))
        ours.append(time.process_time() - start)
        return count

    words = sum(part.count(" ") + 1 for parts in texts for part in parts)
    assert measure(read, tokens=words, moved=os.path.getsize(path), rounds=5, format=format) == len(texts)
    benchmark.extra_info.update(
        read_seconds=round(min(ours), 4),
        gzip_seconds=round(min(theirs), 4),
        times_gzip=round(min(ours) / min(theirs), 2),
        ns_per_token=round(1e9 * min(ours) / words),
    )
