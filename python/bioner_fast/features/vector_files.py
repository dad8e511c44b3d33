"""Word-vector files as they are: which format a file has, where its entries lie, and how to write one.

Formats:
    ``word2vec-binary``: ``count dim`` on a line, then for each word its bytes, a space, ``dim`` little-endian
    float32 and an optional newline.
    ``word2vec-text``: ``count dim`` on a line, then a line ``word v1 ... v_dim`` for each word.
    ``fasttext``: the same as text (fastText's ``.vec``, which ends lines with a space).
    ``glove``: the same without the first line.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import atomic_write

FORMATS = ("word2vec-binary", "word2vec-text", "glove", "fasttext")

_MAX_DIM = 1 << 16
_HEAD = 1 << 20
_BLOCK_BYTES = 32 << 20
# What is often passed by mistake -> what it is and what to do.
_FOREIGN = {
    b"\x1f\x8b": "is compressed with gzip; decompress it first",
    b"PK\x03\x04": "is a zip archive; unpack it first",
    b"BZh": "is compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "is compressed with xz; decompress it first",
    b"\xba\x16\x4f\x2f": "is a fastText model (.bin); use its .vec file",
    b"\x80\x02c": "is a Python pickle; export the vectors as word2vec first",
}


@dataclass(frozen=True)
class Header:
    """What a file says about itself, or what its first lines show.

    Attributes:
        format: one of ``FORMATS``.
        count: number of words it promises, None where there is no header (GloVe).
        dim: length of a vector.
        begin: byte at which the entries begin.
    """

    format: str
    count: int | None
    dim: int
    begin: int

    @property
    def binary(self) -> bool:
        """Whether the values are binary."""
        return self.format == "word2vec-binary"


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field


def _is_entry(line: bytes, dim: int) -> bool:
    """Whether a line is a word and ``dim`` numbers."""
    fields = line.split()
    return len(fields) >= dim and all(_is_number(field) for field in fields[-dim:])


def read_header(path: str | os.PathLike[str], head: bytes, size: int, format: str | None = None) -> Header:
    """Find out the format of a file from its first bytes.

    Args:
        path: named in messages; ``.vec`` tells fastText from word2vec text.
        head: the first megabyte of the file (all of it, if it is shorter).
        size: size of the file in bytes.
        format: the format, where the caller knows it.

    Raises:
        FormatError: it is none of the formats, or not the one given.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if not head:
        raise FormatError(path, "the file is empty")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise FormatError(path, what)
    line, newline, rest = head.partition(b"\n")
    fields = line.split()
    counts = len(fields) == 2 and all(field.isdigit() and len(field) < 16 for field in fields)
    if format == "glove" or (format is None and not counts):
        return _headerless(path, fields, format)
    if not counts or not newline:
        raise FormatError(path, f"expected 'COUNT DIMENSION' on the first line of {format}", 1)
    count, dim = int(fields[0]), int(fields[1])
    if not 1 <= dim <= _MAX_DIM or count < 1:
        raise FormatError(
            path, f"expected at least one word and 1 to {_MAX_DIM} dimensions, got {count} and {dim}", 1
        )
    if format is None:
        second = rest.partition(b"\n")[0]
        if not _is_entry(second, dim):
            format = "word2vec-binary"
        elif Path(path).suffix == ".vec":
            format = "fasttext"
        else:
            format = "word2vec-text"
    begin = len(line) + 1
    # The smallest entry is a letter, a space and the values: a wrong count is found before memory is
    # asked for.
    smallest = 2 + 4 * dim if format == "word2vec-binary" else 1 + 2 * dim
    if count * smallest > size - begin + 1:
        raise FormatError(
            path,
            f"the file is cut off, or its first line is wrong: {count} words of {dim} dimensions "
            f"do not fit into {size - begin} bytes",
        )
    return Header(format, count, dim, begin)


def _headerless(path: str | os.PathLike[str], fields: list[bytes], format: str | None) -> Header:
    """GloVe: the first line is an entry, and all but its first field are its values."""
    dim = len(fields) - 1
    if not 1 <= dim <= _MAX_DIM or not all(_is_number(field) for field in fields[1:]):
        expected = "a word and numbers" if format else "'COUNT DIMENSION', or a word and numbers (GloVe),"
        raise FormatError(path, f"not word vectors: expected {expected} on the first line", 1)
    return Header("glove", None, dim, 0)


def file_state(status: os.stat_result) -> dict[str, int]:
    """What tells a file from itself after a change, even one that kept its size and time of change."""
    return {
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


class VectorFile:
    """A word-vector file, mapped into memory; a context manager.

    Args:
        path: the file.
        format: one of ``FORMATS``; None finds it out.

    Raises:
        BionerError: there is no such file.
        FormatError: it is not a word-vector file.
    """

    def __init__(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        self.path = os.fspath(path)
        self._stack = contextlib.ExitStack()
        try:
            if Path(self.path).is_dir():
                raise BionerError(f"{self.path} is a folder; a word-vector file was expected")
            if Path(self.path).exists() and not Path(self.path).is_file():
                raise BionerError(
                    f"{self.path} is a pipe or a device; word vectors are read from a regular file"
                )
            try:
                stream = self._stack.enter_context(open(self.path, "rb"))  # noqa: SIM115 (closed by the stack)
            except FileNotFoundError:
                raise BionerError(f"there is no word-vector file {self.path}") from None
            self._stream = stream
            self.state = file_state(os.fstat(stream.fileno()))
            self.size = self.state["bytes"]
            self.header = read_header(self.path, stream.read(_HEAD), self.size, format)
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._stack.callback(self._data.close)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def scan(
        self, max_rank: int | None = None, threads: int = 0
    ) -> tuple[StringColumn, npt.NDArray[np.int64], int]:
        """Read the words, in the order of the file.

        Returns:
            ``words`` [n], ``value_offsets`` int64 [n] (where the values of each begin), and how many words
            were not UTF-8 (their wrong bytes are U+FFFD).

        Raises:
            FormatError: an entry is cut off or malformed, or the number of entries is not the promised one.
        """
        header = self.header
        self.check_unchanged()  # reading what was cut off would end the process
        text, offsets, value_offsets, invalid = _text.scan_vectors(
            self._data,
            self.path,
            header.binary,
            header.begin,
            -1 if header.count is None else header.count,
            -1 if max_rank is None else max_rank,
            header.dim,
            threads,
        )
        return StringColumn(text, offsets), value_offsets, invalid

    def rows(
        self,
        value_offsets: npt.NDArray[np.int64],
        threads: int = 0,
        into: npt.NDArray[np.float32] | None = None,
    ) -> Iterator[tuple[npt.NDArray[np.float32], int, int]]:
        """Yield the vectors in blocks: float32 [m, dim] (reused by the next block), zero rows, rows not
        finite.

        Raises:
            FormatError: a value is not a number.
        """
        dim = self.header.dim
        step = max(1, _BLOCK_BYTES // (4 * dim))
        block = np.empty((min(step, len(value_offsets)) if into is None else 0, dim), np.float32)
        for start in range(0, len(value_offsets), step):
            part = value_offsets[start : start + step]
            rows = block[: len(part)] if into is None else into[start : start + step]
            self.check_unchanged()
            zero, not_finite = _text.read_vector_rows(
                self._data, self.path, self.header.binary, part, rows, threads
            )
            if self.header.binary and sys.byteorder == "big":
                rows.byteswap(inplace=True)
            yield rows, zero, not_finite

    def check_unchanged(self) -> None:
        """Raise BionerError if the file was written to, or another took its place, since it was opened."""
        try:
            now = file_state(os.stat(self.path))
        except OSError:
            now = {}
        if now != self.state or os.fstat(self._stream.fileno()).st_size != self.size:
            raise BionerError(f"{self.path} changed while it was read; try again when it is written")


def write_vectors(
    path: str | os.PathLike[str],
    words: StringColumn,
    matrix: npt.NDArray[np.float32],
    format: str,
    threads: int = 0,
) -> None:
    """Write word vectors in one of ``FORMATS``, atomically.

    Text keeps every float32 exactly (the shortest digits that read back the same).

    Args:
        words: [V]; no spaces or line ends in them for the binary format, no line ends for text.
        matrix: float32 [V, D].

    Raises:
        UsageError: the format is unknown.
        BionerError: a word cannot be written in this format.

    Example:
        >>> write_vectors("small.vec", vectors.words[:1000], vectors.matrix[:1000], "fasttext")  # doctest:
        +SKIP
    """
    if format not in FORMATS:
        raise UsageError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    binary = format == "word2vec-binary"
    _check_words(words, format, b"\n \0" if binary else b"\n")
    count, dim = matrix.shape
    step = max(1, _BLOCK_BYTES // (4 * dim))
    end = " \n" if format == "fasttext" else "\n"
    with atomic_write(path, "wb") as out:
        if format != "glove":
            out.write(f"{count} {dim}\n".encode())
        for start in range(0, count, step):
            part = words[start : start + step]
            block = np.ascontiguousarray(matrix[start : start + step], "<f4" if binary else np.float32)
            if binary and sys.byteorder == "big":
                block = block.view(np.float32)
            out.write(_text.format_vectors(part.buffer, part.offsets, block, binary, end, threads))


def _check_words(words: StringColumn, format: str, forbidden: bytes) -> None:
    """Raise BionerError if a word is empty or has a byte in it that would end it."""
    text = words.buffer[int(words.offsets[0]) : int(words.offsets[-1])]
    bad = np.flatnonzero(np.isin(text, np.frombuffer(forbidden, np.uint8)))
    if len(bad):
        number = int(np.searchsorted(words.offsets - words.offsets[0], bad[0], side="right")) - 1
    elif len(empty := np.flatnonzero(np.diff(words.offsets) == 0)):
        number = int(empty[0])
    else:
        return
    raise BionerError(f"word {number + 1}, {words[number]!r}, cannot be written as {format}")
