"""The examples in the docstrings of ``bioner_fast.data`` do what they say."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["strings", "corpus", "schemes", "scoring", "tasks", "tag_names"])
def test_examples(name: str) -> None:
    module = importlib.import_module(f"bioner_fast.data.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0
