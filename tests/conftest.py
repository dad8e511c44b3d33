"""Fixtures every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Let programmes that tests start see Ctrl-C: background jobs of a shell inherit that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def shared_folder() -> Path | None:
    """The folder of real corpora, vectors and reference outputs: ``BIONER_SHARED`` or ``../shared``."""
    folder = Path(os.environ.get("BIONER_SHARED", _REPOSITORY.parent / "shared"))
    return folder.resolve() if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared test material; the test is skipped where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("no shared test material: set BIONER_SHARED or put it at ../shared")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The source tree that these tests belong to."""
    return _REPOSITORY
