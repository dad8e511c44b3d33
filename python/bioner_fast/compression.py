"""Input that may be gzip."""

from __future__ import annotations

import contextlib
import io
import zlib
from typing import Any, BinaryIO, cast

from bioner_fast.errors import FormatError

_inflate: Any = zlib
with contextlib.suppress(ImportError):  # inflates three times as fast; not there on every kind of machine
    from isal import isal_zlib as _inflate

# The first bytes of gzip.
GZIP = b"\x1f\x8b"
# What a document may take, unless a caller says otherwise (``--max-document-mb``).
MAX_DOCUMENT_MB = 256
# What begins other compressed files, and what unpacks them.
_OTHERS = {
    b"\xfd7zXZ\0": "xz -dk",
    b"BZh91AY&SY": "bzip2 -dk",
    b"\x28\xb5\x2f\xfd": "zstd -d",
    b"PK\x03\x04": "unzip",
}
_CHUNK = 1 << 20
# Compressed bytes taken at a time, and what makes zlib expect the header and the checksum of gzip.
_PACKED = 1 << 17
_WINDOW = 31


class _CheckedGzip(io.RawIOBase):
    """Gzip decompression, of one member or several, whose failures are one sentence about the file."""

    def __init__(self, stream: io.BufferedReader, path: str) -> None:
        self._stream = stream
        self._path = path
        self._packed = b""
        self._member: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = b""
        while not data and (self._member is not None or self._begin()):
            packed = self._packed or self._stream.read1(_PACKED)
            try:
                data = self._member.decompress(packed, len(buffer))
            except _inflate.error as error:
                raise self._damaged(" ".join(str(error).split())) from None
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
                continue
            self._packed = self._member.unconsumed_tail
            if not data and not packed:
                message = "the compressed data ends early; the file is truncated, fetch it again"
                raise FormatError(self._path, message)
        buffer[: len(data)] = data
        return len(data)

    def _begin(self) -> bool:
        """Begin the next member; false behind the last one, which zeros may follow."""
        while len(self._packed) < len(GZIP) and (more := self._stream.read1(_PACKED)):
            self._packed = (self._packed + more).lstrip(b"\0")
        self._packed = self._packed.lstrip(b"\0")
        if not self._packed:
            return False
        if not self._packed.startswith(GZIP):
            raise self._damaged("what follows is not compressed")
        self._member = _inflate.decompressobj(_WINDOW)
        return True

    def _damaged(self, detail: str) -> FormatError:
        return FormatError(self._path, f"the compressed data is damaged ({detail}); fetch it again")


def decompressed(stream: BinaryIO, path: str) -> io.BufferedReader:
    """A buffered reader with ``peek``; gzip is recognised by its first two bytes, not by the name.

    Raises:
        FormatError: an empty file is called ``.gz``, which no compressed file is, or the file is packed
            in another way.
    """
    buffered = (
        stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    )
    begin = buffered.peek(16)
    head = begin[:2]
    for mark, command in _OTHERS.items():
        if begin.startswith(mark):
            raise FormatError(path, f"the file is packed, and not by gzip; unpack it first ({command})")
    if not head and path.lower().endswith((".gz", ".tgz")):
        raise FormatError(path, "the file is empty, not even compressed; fetch it again")
    if head != GZIP:
        return buffered
    return io.BufferedReader(_CheckedGzip(buffered, path), _CHUNK)
