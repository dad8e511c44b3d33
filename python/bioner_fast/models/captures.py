"""Captures of CUDA graphs, of which Torch allows one at a time in a process."""

from __future__ import annotations

import threading

CAPTURES = threading.Lock()
