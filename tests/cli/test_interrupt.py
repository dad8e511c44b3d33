"""Ctrl-C outside of training, and what the command line logs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data import predictions


def test_ctrl_c_is_a_line_and_a_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "load_predictions", interrupted)
    assert run(["evaluate", "any.tsv"]) == 130
    assert capsys.readouterr().err == "bioner-fast: interrupted\n"


def test_only_the_package_logs_at_its_level() -> None:
    code = (
        "import logging; from bioner_fast.cli.main import run; run(['--version']); "
        "on = [logging.getLogger(name).isEnabledFor(logging.INFO) for name in ('bioner_fast', 'torch')]; "
        "assert on == [True, False], on"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
