"""Clients that are slow, leave, or are too many: each gets its answer, and the service stays up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra serve")

from bioner_fast.formats.jsonl import document_record
from bioner_fast.serve import ServeSettings, create_app
from bioner_fast.tagging.tagger import Tagger

SETTINGS = ServeSettings(seconds=2.0, max_waiting=3000)
TEXT = "Familial breast cancer is rare, and so is gout. "


@pytest.fixture(scope="module")
def port(tagger: Tagger) -> Iterator[int]:
    config = uvicorn.Config(create_app(tagger, SETTINGS), port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def request(body: bytes, length: int | None = None) -> bytes:
    head = "POST /tag HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length:"
    return f"{head} {len(body) if length is None else length}\r\n\r\n".encode() + body


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def ask(port: int, text: str = TEXT) -> tuple[int, dict[str, str], bytes]:
    async with connection(port) as (reader, writer):
        writer.write(request(json.dumps({"text": text}).encode()))
        return await answer(reader)


async def is_up(port: int) -> bool:
    return (await ask(port))[0] == 200


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(test(), 300)

    asyncio.run(within())


def test_half_a_body(port: int) -> None:
    async def test() -> None:
        async with connection(port) as (reader, writer):
            writer.write(request(b'{"text": "a', 1000))
            assert await is_up(port)
            status, headers, body = await answer(reader)
            assert (status, json.loads(body)) == (408, {"detail": "the body did not come in time"})
            assert headers["connection"] == "close"
            assert await reader.read() == b""  # and the connection ends
        assert await is_up(port)

    run(test)


def test_clients_that_leave(port: int) -> None:
    async def test() -> None:
        for sent in (
            b"",
            b"POST /tag HTT",
            request(b"", 50),
            request(b'{"te', 50),
            request(json.dumps({"text": TEXT * 50}).encode()),
        ):
            for _ in range(20):
                async with connection(port) as (_, writer):
                    writer.write(sent)
                    await writer.drain()
        assert await is_up(port)

    run(test)


def test_a_slow_client_holds_nobody_up(port: int) -> None:
    async def test() -> None:
        whole = request(json.dumps({"text": TEXT}).encode())
        async with connection(port) as (reader, writer):
            for at in range(0, len(whole), 20):
                writer.write(whole[at : at + 20])
                await writer.drain()
                assert await is_up(port)
            assert (await answer(reader))[0] == 200

    run(test)


@pytest.mark.parametrize("sent", [b"\x00\xff" * 200, b"GET / HTTP/9\r\n\r\n", b"POST /tag HTTP/1.1\r\n\r\n"])
def test_what_is_no_request(port: int, sent: bytes) -> None:
    async def test() -> None:
        async with connection(port) as (reader, writer):
            writer.write(sent)
            writer.write_eof()
            assert b" 200 " not in (await reader.read(100))
        assert await is_up(port)

    run(test)


def test_a_flood_gets_answers_or_is_told_to_wait(port: int, tagger: Tagger) -> None:
    texts = [f"{number}. {TEXT}" for number in range(200)]
    wanted = [document_record(document)["entities"] for document in tagger.tag(texts)]

    async def test() -> None:
        answers = await asyncio.gather(*(ask(port, text) for text in texts))
        seen = {status for status, _, _ in answers}
        assert 200 in seen
        assert seen <= {200, 503}
        for (status, headers, body), entities in zip(answers, wanted, strict=True):
            if status == 200:
                assert json.loads(body)["documents"][0]["entities"] == entities
            else:
                assert headers["retry-after"] == "1"
        assert await is_up(port)

    run(test)
