r"""The service under load: 64 clients at a time, single abstracts and 32 abstracts a request.

    pytest benchmarks/bench_serve.py

A service of its own process is started; the clients are this process, so both share the processor. Every
answer is compared with that of the tagger. The peer is ``bioner-fast tag`` on the same texts in a file. Noted
are requests and tokens a second, percentiles of the time to an answer, the processor time of the service,
which other processes disturb less, and its memory after a tenth of the requests and at the end.
BIONER_BENCHMARK_REQUESTS is the number of requests with a single abstract (20,000).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from bioner_fast.data.document import Document
from bioner_fast.formats.jsonl import document_record
from bioner_fast.tagging.tagger import Tagger
from conftest import THREADS
from large_files import whole_documents

REQUESTS = int(os.environ.get("BIONER_BENCHMARK_REQUESTS", "20000"))
CLIENTS = 64
TEXTS = min(1280, max(REQUESTS // 32 * 32, 32))
GROUP = 32


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [" ".join(parts) for parts in whole_documents(TEXTS)]


@pytest.fixture(scope="module")
def answers(texts: list[str]) -> list[dict[str, Any]]:
    """What the tagger says, as it is in JSON; without ids."""
    tagged = Tagger.load(threads=1).tag([Document.from_text(text) for text in texts])
    records = json.loads(json.dumps([document_record(document) for document in tagged]))
    assert sum(len(record["entities"]) for record in records) > len(texts)
    return [{"text": record["text"], "entities": record["entities"]} for record in records]


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[int, int]]:
    """Port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bioner_fast", "serve", "--port", str(port), "--threads", str(THREADS)]
    process = subprocess.Popen(command)
    try:
        for _ in range(1200):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(90)


def memory(pid: int) -> float:
    """Resident megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def request(texts: list[str]) -> bytes:
    body = json.dumps({"text": texts[0]} if len(texts) == 1 else {"texts": texts}).encode()
    head = "POST /tag HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def load(
    port: int, pid: int, asked: list[tuple[bytes, list[dict[str, Any]]]], count: int
) -> tuple[float, list[float], list[float]]:
    """Seconds in all, seconds of each request, and megabytes early and late."""
    numbers = iter(range(count))
    seconds: list[float] = []
    sizes: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        for number in numbers:
            sent, wanted = asked[number % len(asked)]
            begun = time.perf_counter()
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
            seconds.append(time.perf_counter() - begun)
            found = json.loads(body)["documents"]
            assert [{"text": one["text"], "entities": one["entities"]} for one in found] == wanted
            if len(seconds) in (count // 10, count):
                sizes.append(memory(pid))
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return time.perf_counter() - begun, seconds, sizes


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_the_command(texts: list[str], folder: Path) -> tuple[float, float]:
    """Seconds, and those of the processor, that the command takes for the texts, without loading."""
    taken = []
    for copies in (1, 3):
        path = folder / f"{copies}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) * copies)
        command = [sys.executable, "-m", "bioner_fast", "tag", str(path), "-o", str(folder / "out.jsonl")]
        begun, used = time.perf_counter(), of_children()
        subprocess.run([*command, "--force", "--threads", str(THREADS)], check=True, capture_output=True)
        taken.append((time.perf_counter() - begun, of_children() - used))
    return (taken[1][0] - taken[0][0]) / 2, (taken[1][1] - taken[0][1]) / 2


@pytest.mark.benchmark(group="service under load")
@pytest.mark.parametrize("group", [1, GROUP])
def test_load(
    group: int,
    texts: list[str],
    answers: list[dict[str, Any]],
    service: tuple[int, int],
    benchmark: Any,
    tmp_path: Path,
) -> None:
    port, pid = service
    asked = [(request(texts[at : at + group]), answers[at : at + group]) for at in range(0, TEXTS, group)]
    count = max(REQUESTS // group, CLIENTS)
    results = []

    def run() -> None:
        results.append(asyncio.run(load(port, pid, asked, count)))

    asyncio.run(load(port, pid, asked, max(count // 20, CLIENTS)))
    used = processor_seconds(pid)
    benchmark.pedantic(run, rounds=1, iterations=1)
    used = processor_seconds(pid) - used
    command, command_used = of_the_command(texts, tmp_path)
    (taken, seconds, sizes), ordered = results[0], sorted(results[0][1])
    assert len(seconds) == count
    prepared = Tagger.load(threads=1).prepare([Document.from_text(text) for text in texts])
    tokens = int(prepared.encoded.sentence_offsets[-1])
    asked_tokens = tokens * count * group / TEXTS
    benchmark.extra_info.update(
        role="ours",
        threads=THREADS,
        requests=count,
        requests_per_second=round(count / taken),
        p50_ms=round(1000 * ordered[len(ordered) // 2]),
        p99_ms=round(1000 * ordered[int(len(ordered) * 0.99)]),
        tokens_per_second=round(asked_tokens / taken),
        command_tokens_per_second=round(tokens / command),
        processor_us_a_request=round(1e6 * used / count),
        share_of_command=round(asked_tokens / taken * command / tokens, 3),
        share_by_processor_time=round(asked_tokens / used * command_used / tokens, 3),
        megabytes=[round(size) for size in sizes],
    )
