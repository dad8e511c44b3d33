"""Processes that end with the one that started them, also while they are still importing.

Imports nothing that takes time: a new process ties itself to its parent first, and then loads what it is for.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
# How often the parent is looked for where the system does not tell of its end, in seconds.
_LOOK_EVERY = 0.2


def tie(parent: int) -> None:
    """End this process when its parent ends, whatever it is doing, until :func:`untie`.

    Linux goes by the thread that started this process: that thread has to wait until it is untied.

    Args:
        parent: number of the process that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it ended before
            os._exit(1)
    elif os.name == "posix":
        threading.Thread(target=_look_for, args=(parent,), daemon=True).start()


def untie() -> None:
    """From here on this process sees by itself to ending with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def _look_for(parent: int) -> NoReturn:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)


def start(parent: int, module: str, function: str, *arguments: object) -> None:
    """Tie this process to its parent, import a module, and call a function of it."""
    tie(parent)
    getattr(importlib.import_module(module), function)(*arguments)


if __name__ == "__main__":
    start(int(sys.argv[1]), sys.argv[2], "main")
