"""Fixtures every test may use."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Let programmes that tests start see Ctrl-C: background jobs of a shell inherit that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# How a reason to skip names the extra of the package that is missing.
_EXTRA = re.compile(r"extra (\w+)|'\.\[(\w+)\]'")


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Note what is skipped for the lack of an extra, or let it fail where the extra has to be there.

    ``BIONER_SKIPPED_FILE`` names the file; ``BIONER_EXTRAS`` the extras that are installed, with commas.
    """
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return
    reason = str(report.longrepr[2])
    named = _EXTRA.search(reason)
    if named is None and "not installed" not in reason:
        return
    extra = "test" if named is None else named[1] or named[2]
    if file := os.environ.get("BIONER_SKIPPED_FILE"):
        with open(file, "a", encoding="utf-8") as out:
            out.write(report.nodeid + "\n")
    if extra in os.environ.get("BIONER_EXTRAS", "").split(","):
        report.outcome = "failed"
        report.longrepr = f"the extra {extra} is installed (BIONER_EXTRAS), but: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge tests that skip themselves."""
    report = yield
    # Captured logs hold names of files that are not UTF-8; processes of pytest-xdist cannot exchange these.
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge modules that skip themselves."""
    report = yield
    _judge(report)
    return report


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
