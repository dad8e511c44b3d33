"""Signals whose exceptions come where Python cannot raise them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

LOST = """
import signal, sys, time, weakref
from bioner_fast.interruption import deliver_lost_interrupts
deliver_lost_interrupts()
def leave(signum, frame):
    sys.exit(128 + signum)
signal.signal(signal.SIGTERM, leave)
class Thing:
    pass
def callback(_):
    {callback}
thing = Thing()
seen = weakref.ref(thing, callback)
del thing
time.sleep(30)
print("went on")
"""


def run(callback: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOST.format(callback=callback)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_a_callback_still_ends_the_process(name: str) -> None:
    done = run(f"signal.raise_signal(signal.{name})")
    assert "went on" not in done.stdout
    assert "Exception ignored" not in done.stderr
    if name == "SIGTERM":
        assert done.returncode == 143
        assert done.stderr == ""
    else:
        assert "KeyboardInterrupt" in done.stderr.splitlines()[-1]


def test_other_errors_of_callbacks_are_shown() -> None:
    done = run("signal.alarm(1); raise ValueError('seen')")
    assert "Exception ignored" in done.stderr
    assert "ValueError: seen" in done.stderr
