"""Requests that come together are tagged together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from bioner_fast.data.document import Document
from bioner_fast.tagging.prepare import BATCH_TOKENS

Options = TypeVar("Options")

# Of one batch, as batches of files are cut: about five characters are a token.
_BATCH_CHARACTERS = BATCH_TOKENS * 5


class BusyError(Exception):
    """More waits than the limit allows."""


@dataclass(slots=True)
class _Waiting(Generic[Options]):
    documents: Sequence[Document]
    options: Options
    characters: int
    result: asyncio.Future[list[Document]]


class Batcher(Generic[Options]):
    """Collects what requests bring and tags it in lanes.

    Args:
        tag: is called in a thread with documents of several requests that have the same options; gives as
            many documents, in order.
        lanes: threads.
        wait: seconds that a free lane waits for further requests before it begins.
        max_waiting: characters that may wait.
    """

    def __init__(
        self,
        tag: Callable[[list[Document], Options], list[Document]],
        lanes: int,
        wait: float,
        max_waiting: int,
    ) -> None:
        self._tag = tag
        self._lanes = lanes
        self._wait = wait
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting[Options]] = deque()
        self._characters = 0
        self._arrived = asyncio.Event()
        self._pool = ThreadPoolExecutor(lanes, "bioner-serve")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Requests that wait for a lane."""
        return len(self._queue)

    def start(self) -> None:
        """Start the lanes, in the running event loop."""
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(self._lanes)]

    async def stop(self) -> None:
        """Stop the lanes; requests that still wait get :class:`BusyError`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _fail(self._queue, BusyError())
        self._queue.clear()
        self._characters = 0
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def submit(self, documents: Sequence[Document], options: Options) -> list[Document]:
        """Tag documents; they come back in order.

        Raises:
            BusyError: too much waits already.
        """
        if not documents:
            return []
        characters = sum(len(p.text) for d in documents for p in d.passages) + 5 * len(documents)
        if self._queue and self._characters + characters > self._max_waiting:
            raise BusyError
        one = _Waiting(documents, options, characters, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._characters += characters
        self._arrived.set()
        return await one.result

    async def _lane(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            if self._wait > 0 and self._characters < _BATCH_CHARACTERS:
                await asyncio.sleep(self._wait)
            batch = self._take()
            if not batch:
                continue
            documents = [document for one in batch for document in one.documents]
            try:
                tagged = await loop.run_in_executor(self._pool, self._tag, documents, batch[0].options)
            except asyncio.CancelledError:
                _fail(batch, BusyError())
                raise
            except Exception as error:
                _fail(batch, error)
                continue
            at = 0
            for one in batch:
                if not one.result.done():  # nobody waits any more
                    one.result.set_result(tagged[at : at + len(one.documents)])
                at += len(one.documents)

    def _take(self) -> list[_Waiting[Options]]:
        """The next requests of equal options, up to a batch's size; at least one where any waits."""
        batch: list[_Waiting[Options]] = []
        size = 0
        while self._queue:
            one = self._queue[0]
            full = size + one.characters > _BATCH_CHARACTERS
            if batch and (full or one.options != batch[0].options):
                break
            self._queue.popleft()
            self._characters -= one.characters
            if not one.result.done():
                batch.append(one)
                size += one.characters
        return batch


def _fail(batch: Iterable[_Waiting[Options]], error: Exception) -> None:
    for one in batch:
        if not one.result.done():
            one.result.set_exception(error)
