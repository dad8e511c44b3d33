"""The application: its endpoints, their models for OpenAPI, and what an error looks like."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import bioner_fast
from bioner_fast.data.document import Document
from bioner_fast.data.markup import colours, type_counts
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.formats.html import article, legend
from bioner_fast.formats.jsonl import document_record
from bioner_fast.formats.registry import open_writer, read_documents
from bioner_fast.serve.batching import Batcher, BusyError
from bioner_fast.serve.guard import Guard, Metrics
from bioner_fast.serve.page import PAGE, PAGE_SCRIPT
from bioner_fast.serve.settings import ServeSettings
from bioner_fast.tagging.tagger import Tagger

Overlaps = Literal["best", "longest", "keep"]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TextDocument(BaseModel):
    """A document to tag."""

    model_config = ConfigDict(extra="forbid")
    id: str
    text: str


class TagRequest(BaseModel):
    """One of ``text``, ``texts`` and ``documents``, and options."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "TP53 is mutated in breast cancer."}]}
    )
    text: str | None = None
    texts: list[str] | None = None
    documents: list[TextDocument] | None = None
    types: list[str] | None = Field(
        None, min_length=1, description="Types of entities that are wanted; all by default."
    )
    min_score: Score | None = Field(None, description="The least score of an entity.")
    overlaps: Overlaps | None = Field(None, description="Which of overlapping entities are given.")


class FoundEntity(BaseModel):
    """An entity: code-point offsets into the text, end exclusive."""

    start: int
    end: int
    type: str
    text: str
    score: float
    task: str


class TaggedDocument(BaseModel):
    """A document with its entities."""

    id: str
    text: str
    entities: list[FoundEntity]


class TagAnswer(BaseModel):
    """The documents, in the order they came."""

    documents: list[TaggedDocument]


class ErrorMessage(BaseModel):
    """What was wrong, in a sentence."""

    detail: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a request wants of its entities."""

    types: tuple[str, ...] | None = None
    min_score: float | None = None
    overlaps: Overlaps | None = None


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorMessage, "description": text}
    for status, text in {
        400: "The body is no JSON, or ended early",
        401: "The token is missing or wrong",
        408: "The body did not come in time",
        413: "The body, or the text in it, is too large",
        415: "The body has another content type",
        422: "The request is not as described here",
        503: "The service is busy; Retry-After says when to come again",
    }.items()
}
_FORMATS = {
    "pubtator": "text/plain; charset=utf-8",
    "bioc-json": "application/json",
    "bioc-xml": "application/xml",
}


def create_app(tagger: Tagger, settings: ServeSettings | None = None, *, lanes: int = 1) -> FastAPI:
    """The service as an ASGI application.

    Args:
        tagger: is shared by all requests.
        settings: limits and access.
        lanes: batches that are tagged at a time.

    Example:
        >>> app = create_app(Tagger.load())  # doctest: +SKIP
    """
    settings = settings or ServeSettings()
    metrics = Metrics()
    state = _State()

    def tag(documents: list[Document], options: Options) -> list[Document]:
        tagged = tagger.tag(
            documents, types=options.types, min_score=options.min_score or 0.0, overlaps=options.overlaps
        )
        return list(tagged)

    batcher: Batcher[Options] = Batcher(tag, lanes, settings.wait, settings.max_waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        state.ready = True
        yield
        state.ready = False
        await batcher.stop()

    app = FastAPI(
        title="bioner_fast",
        version=bioner_fast.__version__,
        description="Finds genes, diseases, chemicals and other entities in biomedical text.",
        lifespan=lifespan,
        docs_url=None,  # these pages fetch scripts from elsewhere
        redoc_url=None,
    )

    async def answer(documents: list[Document], options: Options) -> list[Document]:
        known = tagger.bundle.types
        unknown = next((name for name in options.types or () if name not in known), None)
        if unknown is not None:
            raise HTTPException(422, f"types: {unknown!r} is unknown; known are {', '.join(sorted(known))}")
        characters = sum(len(passage.text) for one in documents for passage in one.passages)
        if characters > settings.max_characters:
            raise HTTPException(
                413, f"the texts have {characters:,} characters, of {settings.max_characters:,} at most"
            )
        try:
            async with asyncio.timeout(settings.seconds):
                tagged = await batcher.submit(documents, options)
        except (BusyError, TimeoutError):
            message = "the service is busy; try again in a second"
            raise HTTPException(503, message, {"Retry-After": "1"}) from None
        except UsageError as error:  # what the tagger alone knows to be wrong
            raise HTTPException(422, str(error)) from None
        metrics.documents += len(tagged)
        metrics.entities += sum(len(p.entities) for one in tagged for p in one.passages)
        return tagged

    @app.post("/tag", response_model=TagAnswer, responses=_PROBLEMS)
    async def tag_texts(body: TagRequest) -> Response:
        """Tag texts; entities are as in JSON lines."""
        tagged = await answer(_documents(body), _options(body))
        records = [document_record(document) for document in tagged]
        return Response(_json({"documents": records}), media_type="application/json")

    @app.post("/tag/html", responses=_PROBLEMS, include_in_schema=False)
    async def tag_page(body: TagRequest) -> Response:
        """For the page: the entities in colours."""
        tagged = await answer(_documents(body), _options(body))
        counts = type_counts(entity for document in tagged for entity in document.iter_entities())
        palette = colours(name for name, _ in counts)
        found = {
            "html": "".join(article(document, palette) for document in tagged),
            "legend": legend(counts, palette),
            "entities": sum(count for _, count in counts),
        }
        return Response(_json(found), media_type="application/json")

    for name, media_type in _FORMATS.items():
        _add_format(app, name, media_type, answer)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That the process runs."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"model": ErrorMessage, "description": "It is starting or stopping"}})
    async def ready() -> dict[str, str]:
        """Whether it takes requests."""
        if not state.ready:
            raise HTTPException(503, "the service is starting or stopping", {"Retry-After": "1"})
        return {"status": "ready"}

    @app.get("/models", responses={401: _PROBLEMS[401]})
    async def models() -> dict[str, list[dict[str, object]]]:
        """The model that is served."""
        bundle = tagger.bundle
        return {"models": [{"name": bundle.path.name, "types": list(bundle.types)}]}

    @app.get("/metrics", response_class=PlainTextResponse, responses={401: _PROBLEMS[401]})
    async def show_metrics() -> PlainTextResponse:
        """Counts in the text format of Prometheus."""
        return PlainTextResponse(metrics.text(batcher.waiting))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.get("/page.js", include_in_schema=False)
    async def page_script() -> Response:
        return Response(PAGE_SCRIPT, media_type="text/javascript")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": _sentence(error)}, 422)

    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    paths = {str(route.path) for route in app.routes if hasattr(route, "path")}
    app.add_middleware(Guard, settings=settings, metrics=metrics, paths=paths)
    return app


@dataclass(slots=True)
class _State:
    ready: bool = False


def _add_format(app: FastAPI, name: str, media_type: str, answer: Callable[..., Any]) -> None:
    """An endpoint whose body and answer are documents of a format."""
    content = media_type.partition(";")[0]
    described = {
        "requestBody": {"required": True, "content": {content: {"schema": {"type": "string"}}}},
    }
    answers: dict[int | str, dict[str, Any]] = {200: {"content": {content: {}}}, **_PROBLEMS}

    @app.post(f"/tag/{name}", response_class=Response, openapi_extra=described, responses=answers)
    async def tag_format(
        request: Request,
        types: Annotated[list[str] | None, Query()] = None,
        min_score: Annotated[float | None, Query(ge=0, le=1)] = None,
        overlaps: Annotated[Overlaps | None, Query()] = None,
    ) -> Response:
        body = await request.body()
        loop = asyncio.get_running_loop()
        try:
            documents = await loop.run_in_executor(None, partial(_read, body, name))
        except BionerError as error:
            raise HTTPException(422, str(error)) from None
        tagged = await answer(documents, Options(_tuple(types), min_score, overlaps))
        written = await loop.run_in_executor(None, partial(_write, tagged, name))
        return Response(written, media_type=media_type)

    tag_format.__doc__ = f"Tag documents in {name}; the answer is the same documents with their entities."


def _read(body: bytes, name: str) -> list[Document]:
    return list(read_documents(io.BytesIO(body), name, name="the body"))


def _write(documents: list[Document], name: str) -> bytes:
    out = io.BytesIO()
    with open_writer(out, name, unique=False) as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue()


def _documents(body: TagRequest) -> list[Document]:
    given = [name for name in ("text", "texts", "documents") if getattr(body, name) is not None]
    if len(given) != 1:
        raise HTTPException(
            422, f"one of text, texts and documents is needed, got {' and '.join(given) or 'none'}"
        )
    if body.documents is not None:
        return [Document.from_text(one.text, one.id) for one in body.documents]
    texts = body.texts if body.texts is not None else [body.text or ""]
    return [Document.from_text(text, str(number)) for number, text in enumerate(texts, start=1)]


def _options(body: TagRequest) -> Options:
    return Options(_tuple(body.types), body.min_score, body.overlaps)


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(names))


def _json(record: object) -> bytes:
    # JSON may hold half of a surrogate pair; UTF-8 cannot.
    return json.dumps(record, ensure_ascii=False).encode("utf-8", errors="replace")


def _sentence(error: RequestValidationError) -> str:
    """The first of what is wrong with a request."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return "the body is no JSON"
    return f"{place}: {first['msg']}" if place else str(first["msg"])
