"""Tiny text that can be learnt from: every noun has its own verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vectors import WordVectors

PAIRS = [(f"protein{letter}{other}", f"acts{letter}{other}") for letter in "abcdef" for other in "uvwxyz"]
WORDS = [word for pair in PAIRS for word in pair] + ["the", "enzyme", "in", "mice", "and", "cells", "."]


def sentences(count: int, seed: int) -> list[str]:
    """Paragraphs of one sentence each."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        noun, verb = PAIRS[random.integers(len(PAIRS))]
        tail = ["in mice", "in cells", "in mice and cells"][random.integers(3)]
        made.append(f"{noun.capitalize() if number % 2 else noun} {verb} the enzyme {tail} {number}.")
    return made


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files of text and ``vectors.bin``."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "a.txt").write_text("\n".join(sentences(500, 1)) + "\n")
    (folder / "b.txt").write_text("\n\n".join(sentences(300, 2)))
    random = np.random.default_rng(0)
    matrix = random.normal(size=(len(WORDS), 12)).astype(np.float32)
    WordVectors(StringColumn.from_list(WORDS), matrix).save(folder / "vectors.bin")
    return folder
