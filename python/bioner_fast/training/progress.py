"""How far training is: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from bioner_fast.log import logger

LINE_EVERY = 30.0  # seconds between plain lines


class Progress:
    """Shows steps, loss, tokens per second and the time left.

    Args:
        total: steps of the whole run.
        done: steps that are done already.
        shown: false for a process that leaves reporting to another one.
    """

    def __init__(self, total: int, done: int = 0, *, shown: bool = True) -> None:
        self.total, self.done = total, done
        self._first = done
        self._tokens = 0
        self._began = self._last = time.monotonic()
        self._bar: object | None = None
        self._shown = shown
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._rich = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._rich.add_task("training", total=total, completed=done, facts="")
            self._bar = self._rich

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._rich.stop()

    def update(self, epoch: str, steps: int, tokens: int, loss: float) -> None:
        """Report ``steps`` more steps of ``tokens`` tokens."""
        self.done += steps
        self._tokens += tokens
        now = time.monotonic()
        speed = self._tokens / max(now - self._began, 1e-9)
        facts = f"loss {loss:.4f}  {speed:,.0f} tokens/s"
        if self._bar is not None:
            self._rich.update(self._task, completed=self.done, description=epoch, facts=facts)
        elif self._shown and now - self._last >= LINE_EVERY:
            self._last = now
            left = (self.total - self.done) * (now - self._began) / max(self.done - self._first, 1)
            logger.info("%s, step %d of %d, %s, %s left", epoch, self.done, self.total, facts, clock(left))

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._rich.console.print(text, highlight=False, markup=False)
        elif self._shown:
            logger.info("%s", text)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{rest:02d}"
