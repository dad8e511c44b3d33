"""A service with a tiny model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tiny_bundle

pytest.importorskip("fastapi", reason="needs the extra serve")

from fastapi.testclient import TestClient

from bioner_fast.serve import ServeSettings, create_app
from bioner_fast.tagging.tagger import Tagger


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    folder = tmp_path_factory.mktemp("serve") / "model"
    tiny_bundle.save_tiny(folder)
    return Tagger.load(folder, "cpu", 1)


@pytest.fixture
def client(tagger: Tagger) -> Iterator[TestClient]:
    with TestClient(create_app(tagger, lanes=2)) as found:
        yield found


@pytest.fixture
def limited(tagger: Tagger) -> Iterator[TestClient]:
    settings = ServeSettings(
        max_body=2000, max_characters=100, token="secret", origins=("https://a.example",)
    )
    with TestClient(create_app(tagger, settings)) as found:
        yield found
