"""Tagging streams of documents in bounded memory, with every stage busy.

A thread reads documents and cuts them into batches by a budget of tokens; lanes (threads) split, tag and
decode a batch each; the caller takes the documents in the order they came. Batches are packed, so texts of
different lengths need no padding and no sorting by length. The queue between reader and caller is bounded,
and so is everything else that a batch needs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bioner_fast.data.document import Document
from bioner_fast.tagging.prepare import BATCH_TOKENS, as_documents, batches
from bioner_fast.tagging.resolve import Answer
from bioner_fast.tagging.tagger import Tagger

# Batches that may wait for the caller beyond those that the lanes work on.
_WAITING = 2


@dataclass(slots=True)
class StreamCounts:
    """What a stream has tagged so far."""

    documents: int = 0
    tokens: int = 0
    entities: int = 0


@dataclass(frozen=True, slots=True)
class _Tagged:
    documents: list[Document]
    tokens: int
    entities: int


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def tag_stream(
    tagger: Tagger,
    documents: Iterable[str | Document],
    *,
    batch_tokens: int = BATCH_TOKENS,
    answer: Answer | None = None,
    keep_tokens: bool = False,
    counts: StreamCounts | None = None,
    lanes: int = 1,
) -> Generator[Document, None, None]:
    """Tag documents as they come; results are those of :meth:`Tagger.tag`, one by one, in the same order.

    A thread reads ahead while the lanes work. At most ``lanes`` and a few batches are in memory, so it does
    not grow with the number of documents. Closing the iterator early stops the threads.

    Args:
        tagger: is shared by the lanes.
        documents: read in another thread, one at a time.
        batch_tokens, keep_tokens: as for :meth:`Tagger.tag`.
        answer: what is asked for; all that the bundle tells by default.
        counts: is kept up to date while the stream runs.
        lanes: batches worked on at a time; results do not depend on it.

    Raises:
        Exception: whatever ``documents`` raises, once the documents before it are out.
    """
    waiting: queue.Queue[Future[_Tagged] | _Failed | None] = queue.Queue(lanes + _WAITING - 1)
    stop = threading.Event()
    pool = ThreadPoolExecutor(lanes, "bioner-lane")

    def work(batch: list[Document]) -> _Tagged:
        prepared = tagger.prepare(batch)
        tagged = tagger.finish(prepared, answer, keep_tokens=keep_tokens)
        found = sum(e.task is not None for d in tagged for e in d.iter_entities())
        return _Tagged(tagged, len(prepared.starts), found)

    def put(item: Future[_Tagged] | _Failed | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        failure: list[BaseException] = []

        def source() -> Iterator[Document]:
            # Documents that came before a failure are still tagged.
            try:
                yield from as_documents(documents)
            except BaseException as error:
                failure.append(error)

        try:
            for batch in batches(source(), batch_tokens):
                if stop.is_set() or not put(pool.submit(work, batch)):
                    return
        except BaseException as error:
            failure.insert(0, error)
        put(_Failed(failure[0]) if failure else None)

    thread = threading.Thread(target=read, name="bioner-read", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, _Failed):
                raise item.error
            done = item.result()
            del item
            if counts is not None:
                counts.documents += len(done.documents)
                counts.tokens += done.tokens
                counts.entities += done.entities
            yield from done.documents
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        # It may be waiting for input that never comes; being a daemon, it does not keep the process.
        thread.join(timeout=1.0)
