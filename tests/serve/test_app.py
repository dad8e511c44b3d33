"""The service: its answers are the tagger's, bad requests get one sentence, limits hold."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx2", reason="needs the extra fulltest")

from fastapi.testclient import TestClient

from bioner_fast.data.document import Document
from bioner_fast.formats.jsonl import document_record
from bioner_fast.formats.registry import open_writer, read_documents
from bioner_fast.tagging.tagger import Tagger

TEXT = "Familial breast cancer and Crohn disease 💊 in Sjögren syndrome, BRCA1 mutated."


def _expected(tagger: Tagger, *texts: str, **options: Any) -> list[dict[str, object]]:
    # As it comes out of JSON.
    found: list[dict[str, object]] = json.loads(
        json.dumps([document_record(d) for d in tagger.tag(list(texts), **options)])
    )
    return found


def test_texts_are_tagged_as_by_the_tagger(client: TestClient, tagger: Tagger) -> None:
    expected = _expected(tagger, TEXT, "", "BRCA1")
    assert any(record["entities"] for record in expected)
    answer = client.post("/tag", json={"texts": [TEXT, "", "BRCA1"]})
    assert answer.status_code == 200
    assert answer.json() == {"documents": expected}
    assert client.post("/tag", json={"text": TEXT}).json()["documents"] == expected[:1]
    one = client.post("/tag", json={"documents": [{"id": "α", "text": TEXT}]}).json()["documents"][0]
    assert (one["id"], one["entities"]) == ("α", expected[0]["entities"])
    assert client.post("/tag", json={"texts": []}).json() == {"documents": []}


def test_options(client: TestClient, tagger: Tagger) -> None:
    kind = _expected(tagger, TEXT)[0]["entities"][0]["type"]  # type: ignore[index]
    body = {"text": TEXT, "types": [kind], "min_score": 0.5, "overlaps": "longest"}
    expected = _expected(tagger, TEXT, types=[kind], min_score=0.5, overlaps="longest")
    assert client.post("/tag", json=body).json()["documents"] == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "one of text, texts and documents is needed, got none"),
        ({"text": "a", "texts": []}, "got text and texts"),
        ({"text": 1}, "text: Input should be a valid string"),
        ({"text": "a", "min_score": 2}, "min_score: Input should be less than or equal to 1"),
        ({"text": "a", "overlaps": "some"}, "overlaps: Input should be 'best', 'longest' or 'keep'"),
        ({"text": "a", "types": ["nonsense"]}, "types: 'nonsense' is unknown; known are"),
        ({"text": "a", "types": []}, "types: List should have at least 1 item"),
        ({"text": "a", "tipes": ["gene"]}, "tipes: Extra inputs are not permitted"),
    ],
)
def test_a_bad_request_gets_a_sentence(client: TestClient, body: object, message: str) -> None:
    answer = client.post("/tag", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_a_body_that_is_no_json(client: TestClient) -> None:
    answer = client.post("/tag", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "the body is no JSON")


@pytest.mark.parametrize("kind", ["pubtator", "bioc-json", "bioc-xml"])
def test_formats_come_back_with_entities(client: TestClient, tagger: Tagger, kind: str) -> None:
    body = io.BytesIO()
    with open_writer(body, kind) as writer:
        writer.write(Document.from_text(TEXT, id="12"))
    answer = client.post(f"/tag/{kind}", content=body.getvalue())
    assert answer.status_code == 200
    (found,) = read_documents(io.BytesIO(answer.content), kind)
    (expected,) = tagger.tag([Document.from_text(TEXT)])
    assert found.id == "12"
    assert [(e.start, e.end) for e in found.entities] == [(e.start, e.end) for e in expected.entities]
    bad = client.post(f"/tag/{kind}", content=b"\xff{<")
    assert bad.status_code == 422
    assert "the body" in bad.json()["detail"]


def test_lone_surrogates_and_markup_do_no_harm(client: TestClient) -> None:
    answer = client.post("/tag", content=b'{"text": "breast \\ud83d cancer"}', headers=_JSON)
    assert answer.status_code == 200
    page = client.post("/tag/html", json={"text": "<img src=x> breast cancer"}).json()
    assert "<img" not in page["html"]


_JSON = {"Content-Type": "application/json"}


def test_limits(limited: TestClient) -> None:
    token = {"Authorization": "Bearer secret"}
    large = limited.post("/tag", json={"text": "a" * 3000}, headers=token)
    assert large.status_code == 413
    assert "larger than 2,000 bytes" in large.json()["detail"]
    many = limited.post("/tag", json={"text": "a" * 101}, headers=token)
    assert many.status_code == 413
    assert "101 characters, of 100 at most" in many.json()["detail"]

    def stream() -> Any:
        yield from [b"a" * 1000] * 3

    assert limited.post("/tag", content=stream(), headers=token).status_code == 413


def test_the_token_is_asked_for(limited: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
        answer = limited.post("/tag", json={"text": "a"}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert limited.get("/health").status_code == limited.get("/ready").status_code == 200
    assert limited.get("/metrics").status_code == 401
    assert limited.get("/").status_code == 200


def test_headers_and_origins(client: TestClient, limited: TestClient) -> None:
    answer = client.get("/", headers={"Origin": "https://a.example"})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert (
        limited.options("/tag", headers=asked).headers["access-control-allow-origin"] == "https://a.example"
    )
    other = limited.get("/health", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


def test_metrics_and_models(client: TestClient, tagger: Tagger) -> None:
    client.post("/tag", json={"text": TEXT})
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'bioner_requests_total{path="/tag",status="200"} 1' in text
    assert 'bioner_requests_total{path="other",status="404"} 1' in text
    assert "bioner_documents_total 1" in text
    (model,) = client.get("/models").json()["models"]
    assert set(model["types"]) == set(tagger.bundle.types)


def test_the_description_of_the_service_is_whole(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/tag", "/tag/pubtator", "/tag/bioc-json", "/tag/bioc-xml", "/health", "/ready"} <= set(paths)
    assert {"/models", "/metrics"} <= set(paths)
