"""Input that may be gzip."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO, cast

from bioner_fast.errors import FormatError

# The first bytes of gzip.
GZIP = b"\x1f\x8b"
# What a document may take, unless a caller says otherwise (``--max-document-mb``).
MAX_DOCUMENT_MB = 256
_CHUNK = 1 << 20


class _CheckedGzip(io.RawIOBase):
    """Gzip decompression whose failures are one sentence about the file."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._gzip = gzip.GzipFile(fileobj=stream, mode="rb")
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._gzip.read1(len(buffer))
        except EOFError:
            raise FormatError(
                self._path, "the compressed data ends early; the file is truncated, fetch it again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            detail = " ".join(str(error).split())
            raise FormatError(
                self._path, f"the compressed data is damaged ({detail}); fetch it again"
            ) from None
        buffer[: len(data)] = data
        return len(data)


def decompressed(stream: BinaryIO, path: str) -> io.BufferedReader:
    """A buffered reader with ``peek``; gzip is recognised by its first two bytes, not by the name.

    Raises:
        FormatError: an empty file is called ``.gz``, which no compressed file is.
    """
    buffered = (
        stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    )
    head = buffered.peek(2)[:2]
    if not head and path.lower().endswith((".gz", ".tgz")):
        raise FormatError(path, "the file is empty, not even compressed; fetch it again")
    if head != GZIP:
        return buffered
    return io.BufferedReader(_CheckedGzip(cast(BinaryIO, buffered), path), _CHUNK)
