"""Raw text as a stream: files of several kinds, read in turn, in pools of bounded size."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import walk
from bioner_fast.formats.registry import document_stem, get_format, guess_format, read_documents
from bioner_fast.log import logger

# Characters of one file before the next one has its turn.
TURN = 1 << 16
_XZ = b"\xfd7zXZ\x00"


def find_texts(names: Sequence[str]) -> list[tuple[str, str]]:
    """The files that some arguments mean, each with its format, in order.

    A ``.txt`` file holds a paragraph a line; a folder stands for the files of known formats in it and below.
    ``.gz`` and ``.xz`` come off any name.

    Raises:
        UsageError: nothing is named, a file comes twice, or its name says no format.
        BionerError: a file is missing, or a folder holds none.
    """
    if not names:
        raise UsageError("TEXT: name at least one file of text")
    found: list[tuple[str, str]] = []
    for name in names:
        if not os.path.exists(name):
            raise BionerError(f"{name}: no such file or folder")
        if os.path.isdir(name):
            inside = [
                os.path.join(at, file) for at, _, files in walk(name) for file in files if file[0] != "."
            ]
            known = [(path, format) for path in sorted(inside) if (format := _known(path)) is not None]
            if not known:
                raise BionerError(f"{name} holds no text of a known format (.txt, .jsonl, .xml; .gz, .xz)")
            found += known
        else:
            found.append((name, _format(name)))
    paths = [os.path.realpath(path) for path, _ in found]
    if len(set(paths)) < len(paths):
        raise UsageError(f"TEXT: {next(path for path in paths if paths.count(path) > 1)} comes twice")
    return found


def _known(path: str) -> str | None:
    try:
        return _format(path)
    except UsageError:
        return None


def _format(path: str) -> str:
    format = guess_format(path[:-3] if path.lower().endswith(".xz") else path)
    if format == "text":
        return "lines"
    if get_format(format).reader is None:
        raise UsageError(f"{path}: text cannot be read from {format}")
    return format


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if they are packed by xz; other kinds of packing the formats know."""
    with open(path, "rb") as stream:
        if stream.peek(6)[:6] == _XZ:
            with lzma.open(stream) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield cast(BinaryIO, stream)


def read_texts(path: str, format: str) -> Iterator[str]:
    """The texts of a file one by one: paragraphs of ``lines``, else documents.

    Raises:
        BionerError: it cannot be read to its end; the message names file and line.
    """
    try:
        with _opened(path) as stream:
            for document in read_documents(stream, format, name=path):
                if text := document.text.strip():
                    yield text
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        raise FormatError(path, f"the file is damaged or cut off ({error})") from None


def in_turn(files: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The texts of several files, TURN characters of each in turn; where one ends the others go on."""
    streams = [read_texts(path, format) for path, format in files]
    while streams:
        for stream in list(streams):
            size = 0
            for text in stream:
                yield text
                size += len(text)
                if size >= TURN:
                    break
            else:
                streams.remove(stream)


def pools(files: Sequence[tuple[str, str]], characters: int) -> Iterator[list[str]]:
    """Texts in lists of about so many characters, the last one shorter.

    Example:
        >>> list(pools([], 100))
        []
    """
    pool: list[str] = []
    size = 0
    for text in in_turn(files):
        pool.append(text)
        size += len(text)
        if size >= characters:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool


def stems(files: Sequence[tuple[str, str]]) -> list[str]:
    """Names of files for people."""
    return [document_stem(Path(path).name) for path, _ in files]


def note(files: Sequence[tuple[str, str]]) -> None:
    """Say in the log what is read."""
    logger.info("text: %s", ", ".join(f"{path} ({format})" for path, format in files))
