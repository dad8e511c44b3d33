"""Requests made from the description of the service: every answer is one that the description names."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
schemathesis = pytest.importorskip("schemathesis", reason="needs the extra fulltest")

from hypothesis import HealthCheck, Phase, given, settings

from bioner_fast.serve import create_app
from bioner_fast.tagging.tagger import Tagger


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tag"),
        ("POST", "/tag/pubtator"),
        ("POST", "/tag/bioc-json"),
        ("POST", "/tag/bioc-xml"),
        ("GET", "/models"),
        ("GET", "/ready"),
    ],
)
def test_answers_are_those_that_are_described(tagger: Tagger, method: str, path: str) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(tagger))
    # A schema cannot say which names of types are known, or what makes a text BioC.
    names = ("unsupported_method", "positive_data_acceptance")
    unchecked = [schemathesis.checks.CHECKS.get_one(name) for name in names]

    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=25, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def run(case: Any) -> None:
        # The client's own ten seconds are too few where other programmes have the processor.
        case.call_and_validate(excluded_checks=unchecked, timeout=300)

    run()
