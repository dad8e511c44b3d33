"""The limits of the service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Limits and access.

    Attributes:
        max_body: bytes of a request's body.
        max_characters: characters of all texts of a request.
        max_waiting: characters of all requests that wait for their turn; further ones get 503.
        seconds: how long a body may take to come, and an answer to be made.
        wait: seconds that a request waits for others to be tagged with.
        token: what ``Authorization: Bearer`` must carry; None lets everybody in.
        origins: origins of other pages that may call the service (CORS); none by default.
    """

    max_body: int = 16 << 20
    max_characters: int = 4_000_000
    max_waiting: int = 32_000_000
    seconds: float = 60.0
    wait: float = 0.002
    token: str | None = None
    origins: tuple[str, ...] = ()
