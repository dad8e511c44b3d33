"""Articles in XML, read natively as far as the file is as usual, else element by element.

The native reader (``csrc/text/xml_reader.h``) lets other threads run. Where it declines, which is before
everything that has to be reported of the XML itself, the other reader gets the rest of the file as a file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from typing import Any, cast

from bioner_fast.data.document import Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Source

# Bytes taken at a time.
_CHUNK = 1 << 18
_HEAD = 1 << 16
_DECLARATION = re.compile(rb"""<\?xml\s+version\s*=\s*(["'])1\.[0-9]+\1[^<>]*\?>""")
_ENCODING = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"']*)[\"']")
_MARK = b"\xef\xbb\xbf"


def native_articles(source: Source, format: str) -> Generator[Any, None, bool]:
    """Yield what the native reader makes of each article.

    Returns:
        Whether this was the whole file; if not, ``source`` stands where somebody else has to go on.
    """
    reader = _native_reader(source, format)
    if reader is None:
        return False
    good = True
    while good and (data := source.stream.read1(_CHUNK)):
        found, good = reader.feed(data)
        yield from found
    if good:
        found, good = reader.finish()
        yield from found
    if not good:
        raw = cast(io.RawIOBase, _Rejoined(reader.rest(), source.stream))
        source.stream = io.BufferedReader(raw, 1 << 18)
    return good


def passages_of(rows: list[tuple[str, int, str, dict[str, str]]]) -> list[Passage]:
    """Passages from what the native reader gives."""
    return [Passage(text, offset, section, [], infons) for text, offset, section, infons in rows]


def _native_reader(source: Source, format: str) -> Any:
    """None where the file is in another encoding than UTF-8, or empty, or there is no expat."""
    head = source.stream.peek(1024)[:1024].removeprefix(_MARK)
    declared = _ENCODING.match(head)
    if not head.lstrip().startswith(b"<") or (declared and declared[1].lower() not in (b"utf-8", b"utf8")):
        return None
    if head.startswith(b"<?xml") and not _DECLARATION.match(head):  # expat takes versions that lxml refuses
        return None
    from bioner_fast import _text

    try:
        return _text.ArticleReader(format, source.limit)
    except ImportError:  # an interpreter without pyexpat
        return None


class _Rejoined(io.RawIOBase):
    """Bytes that were read already, then the rest of their stream."""

    def __init__(self, first: bytes, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._error: FormatError | None = None
        try:  # as much as is looked at to tell what the file is
            while len(first) < _HEAD and (more := stream.read1(_HEAD)):
                first += more
        except FormatError as error:  # behind what there is
            self._error = error
        self._first = io.BytesIO(first)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._first.read(len(buffer))
        if not data:
            if self._error is not None:
                raise self._error
            data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)
