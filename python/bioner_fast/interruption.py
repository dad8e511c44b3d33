"""Ctrl-C and SIGTERM that cannot get lost."""

from __future__ import annotations

import os
import signal
import sys
import threading

# Long enough for the callback, in which an exception goes nowhere, to be over.
_AGAIN_AFTER = 0.01  # seconds


def deliver_lost_interrupts() -> None:
    """Send a signal again whose exception Python could not raise.

    A handler's exception that comes while a finaliser or a callback of a weak reference runs is printed and
    forgotten: the process would go on as if nobody had pressed Ctrl-C. From now on such a
    ``KeyboardInterrupt`` or ``SystemExit`` of a signal is not printed, and its signal comes again. Other
    exceptions are shown as before.
    """
    show = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        number = _signal_of(lost.exc_type, lost.exc_value)
        if number is None:
            show(lost)
            return
        timer = threading.Timer(_AGAIN_AFTER, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = hook


def _signal_of(kind: type[BaseException], error: BaseException | None) -> int | None:
    """The signal whose handler raised the exception; None if none did."""
    if issubclass(kind, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
        return error.code - 128
    return None
