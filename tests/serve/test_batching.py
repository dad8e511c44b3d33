"""Requests share batches, get their own documents back, and wait no more than allowed."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from bioner_fast.data.document import Document
from bioner_fast.serve.batching import Batcher, BusyError


def test_every_request_gets_its_own_documents() -> None:
    batches: list[tuple[int, str]] = []

    def tag(documents: list[Document], options: str) -> list[Document]:
        batches.append((len(documents), options))
        return [Document.from_text(d.text.upper() + options, d.id) for d in documents]

    async def run() -> None:
        batcher = Batcher(tag, lanes=2, wait=0.01, max_waiting=10**6)
        batcher.start()

        async def ask(number: int) -> None:
            options = "!" if number % 7 == 0 else "?"
            documents = [Document.from_text(f"a{number}b{k}", str(k)) for k in range(number % 4)]
            found = await batcher.submit(documents, options)
            assert [d.text for d in found] == [f"A{number}B{k}{options}" for k in range(number % 4)]

        await asyncio.gather(*(ask(number) for number in range(100)))
        await batcher.stop()

    asyncio.run(run())
    assert sum(size for size, _ in batches) == sum(number % 4 for number in range(100))
    assert max(size for size, _ in batches) > 3


def test_too_much_is_refused_and_an_error_is_the_requests_own() -> None:
    hold = threading.Event()

    def tag(documents: list[Document], options: None) -> list[Document]:
        hold.wait(10)
        if documents[0].text == "bad":
            raise ValueError("no")
        return documents

    async def run() -> None:
        batcher = Batcher(tag, lanes=1, wait=0.0, max_waiting=100)
        batcher.start()
        first = asyncio.create_task(batcher.submit([Document.from_text("bad")], None))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(batcher.submit([Document.from_text("x" * 90)], None))
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError):
            await batcher.submit([Document.from_text("x" * 90)], None)
        hold.set()
        with pytest.raises(ValueError, match="no"):
            await first
        assert [d.text for d in await second] == ["x" * 90]
        await batcher.stop()

    asyncio.run(run())


def test_what_still_waits_at_the_end_is_told_so() -> None:
    hold = threading.Event()

    def tag(documents: list[Document], options: None) -> list[Document]:
        hold.wait(10)
        return documents

    async def run() -> None:
        batcher = Batcher(tag, lanes=1, wait=0.0, max_waiting=1000)
        batcher.start()
        waiting = []
        for _ in range(3):
            waiting.append(asyncio.create_task(batcher.submit([Document.from_text("x")], None)))
            await asyncio.sleep(0.02)
        await batcher.stop()
        hold.set()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
        assert all(isinstance(one, BusyError) for one in found)

    asyncio.run(run())
