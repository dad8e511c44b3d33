"""Tagging streams of documents in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from bioner_fast.data.document import Document
from bioner_fast.tagging.tagger import BATCH_TOKENS, Prepared, Tagger, as_documents, batches

# Batches that may wait between the two threads.
_WAITING = 2


@dataclass(slots=True)
class Counts:
    """What a stream has tagged so far."""

    documents: int = 0
    tokens: int = 0
    entities: int = 0


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def tag_stream(
    tagger: Tagger,
    documents: Iterable[str | Document],
    *,
    batch_tokens: int = BATCH_TOKENS,
    merge: bool = False,
    keep_tokens: bool = False,
    counts: Counts | None = None,
) -> Generator[Document, None, None]:
    """Tag documents as they come; results are those of :meth:`Tagger.tag`, one by one, in the same order.

    A thread reads and splits ahead while the network runs. At most a few batches are in memory, so it does
    not grow with the number of documents. Closing the iterator early stops the thread.

    Args:
        counts: is kept up to date while the stream runs.

    Raises:
        Exception: whatever ``documents`` raises, once the documents before it are out.
    """
    waiting: queue.Queue[Prepared | _Failed | None] = queue.Queue(_WAITING)
    stop = threading.Event()

    def put(item: Prepared | _Failed | None) -> bool:
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
                if not put(tagger.prepare(batch)):
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
            tagged = tagger.finish(item, merge=merge, keep_tokens=keep_tokens)
            if counts is not None:
                counts.documents += len(tagged)
                counts.tokens += len(item.starts)
                counts.entities += sum(e.task is not None for d in tagged for e in d.iter_entities())
            yield from tagged
    finally:
        stop.set()
        # It may be waiting for input that never comes; being a daemon, it does not keep the process.
        thread.join(timeout=1.0)
