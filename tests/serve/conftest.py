"""A service with a tiny model. Test modules are skipped without the extra; this file is read anyway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tiny_bundle
from bioner_fast.tagging.tagger import Tagger


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    folder = tmp_path_factory.mktemp("serve") / "model"
    tiny_bundle.save_tiny(folder)
    return Tagger.load(folder, "cpu", 1)


@pytest.fixture
def client(tagger: Tagger) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    from bioner_fast.serve import create_app

    with TestClient(create_app(tagger, lanes=2)) as found:
        yield found


@pytest.fixture
def limited(tagger: Tagger) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    from bioner_fast.serve import ServeSettings, create_app

    settings = ServeSettings(
        max_body=2000, max_characters=100, token="secret", origins=("https://a.example",)
    )
    with TestClient(create_app(tagger, settings)) as found:
        yield found
