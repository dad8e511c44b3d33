"""How far a run is whose end nobody knows: counts on one line of a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from bioner_fast.tagging.stream import StreamCounts

EVERY = 0.5  # seconds between looks
_CLEAR = "\r\x1b[K"


class Counting:
    """Shows documents, tokens and tokens a second on stderr while a stream is tagged, if that is a terminal.

    Args:
        counts: what the stream keeps up to date.
        shown: false where the documents themselves go to the terminal.
    """

    def __init__(self, counts: StreamCounts, *, shown: bool = True) -> None:
        self._counts = counts
        self._shown = shown and sys.stderr.isatty()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, name="bioner-counting", daemon=True)

    def __enter__(self) -> Self:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._done.set()
            self._thread.join()

    def _show(self) -> None:
        began = time.monotonic()
        while not self._done.wait(EVERY):
            counts, rate = self._counts, self._counts.tokens / (time.monotonic() - began)
            line = f"{counts.documents:,} documents, {counts.tokens:,} tokens ({rate:,.0f} tokens/s)"
            sys.stderr.write(f"{_CLEAR}{line}")
            sys.stderr.flush()
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()
