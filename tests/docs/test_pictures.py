"""The committed pictures are those that their scripts make, and load nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest


def _texts(path: Path) -> list[str]:
    """What a picture says; places and strokes differ between versions of libraries."""
    return sorted(
        "".join(node.itertext()) for node in ElementTree.parse(path).iter() if node.tag.endswith("}text")
    )


def _make(repository: Path, script: str, *arguments: str) -> None:
    command = [sys.executable, str(repository / "tools" / script), *arguments]
    subprocess.run(command, check=True, timeout=300, env=os.environ)


def test_charts_show_the_figures_of_today(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    _make(repository, "charts.py", "--out", str(tmp_path))
    made = sorted(tmp_path.glob("*.svg"))
    assert {path.name for path in made} == {"speed.svg", "f1-speed.svg", "learning.svg"}
    for path in made:
        assert _texts(path) == _texts(repository / "docs" / "images" / path.name), (
            f"{path.name}: run tools/charts.py"
        )


def test_the_picture_of_the_terminal(repository: Path, tmp_path: Path) -> None:
    _make(repository, "picture.py", "-o", str(tmp_path / "tag.svg"))
    for path in (tmp_path / "tag.svg", repository / "docs" / "images" / "tag.svg"):
        text = path.read_text(encoding="utf-8")
        assert "@font-face" not in text
        shown = "".join(_texts(path)).replace("\xa0", " ")
        for word in ("Vemurafenib", "hepatitis", "Tnfrsf11a", " gene ", " disease "):
            assert word in shown
        assert len(re.findall(r"<rect", text)) > 10  # colours
