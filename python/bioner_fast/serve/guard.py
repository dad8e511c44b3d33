"""What every request passes first: its size and time, the token, headers of the answer, and the counts."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from bioner_fast.serve.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For monitors, which have no token.
_OPEN = ("/health", "/ready")
# The page asks for the token itself; it holds nothing secret.
_PAGE = ("/", "/page.js")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]


class Metrics:
    """Counts since the start, in the text format of Prometheus."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.documents = 0
        self.entities = 0
        self.seconds = 0.0

    def text(self, waiting: int) -> str:
        """All of them, and how many requests wait."""
        lines = ["# TYPE bioner_requests_total counter"]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'bioner_requests_total{{path="{path}",status="{status}"}} {count}')
        for name, kind, value in (
            ("documents_total", "counter", self.documents),
            ("entities_total", "counter", self.entities),
            ("request_seconds_total", "counter", round(self.seconds, 6)),
            ("waiting_requests", "gauge", waiting),
        ):
            lines += [f"# TYPE bioner_{name} {kind}", f"bioner_{name} {value}"]
        return "\n".join(lines) + "\n"


class _RefusedError(Exception):
    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, paths: set[str]) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._paths = paths  # other paths are counted together: anybody could invent any number
        self._token = None if settings.token is None else settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500
        started = False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            await self._app(scope, _replay(body, receive), answer)
        except _RefusedError as error:
            if not started:
                await _refuse(answer, error)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.requests[path, status] += 1
            self._metrics.seconds += time.perf_counter() - begun

    def _admit(self, scope: Scope) -> None:
        if self._token is None or scope["path"] in _OPEN or scope["path"] in _PAGE:
            return
        if scope["method"] == "OPTIONS":  # a browser asks before it sends the token
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = given.partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise _RefusedError(401, "the request needs the header Authorization: Bearer TOKEN")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, within its limits of size and time."""
        limit = self._settings.max_body
        too_large = _RefusedError(413, f"the body is larger than {limit:,} bytes; send less at a time")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _RefusedError(400, "the body ended early")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise too_large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise _RefusedError(408, "the body did not come in time") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body, then what the connection says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, error: _RefusedError) -> None:
    body = json.dumps({"detail": error.detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
