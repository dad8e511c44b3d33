"""The HTTP service (extra ``serve``): :func:`create_app` makes it, ``bioner-fast serve`` runs it."""

from __future__ import annotations

from bioner_fast.serve.app import create_app
from bioner_fast.serve.settings import ServeSettings

__all__ = ["ServeSettings", "create_app"]
