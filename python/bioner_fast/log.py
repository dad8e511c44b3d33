"""Logging: the library logs under ``bioner_fast``; the command line sends it to stderr."""

from __future__ import annotations

import logging

logger = logging.getLogger("bioner_fast")
logger.addHandler(logging.NullHandler())
