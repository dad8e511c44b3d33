"""Small word-vector files for tests, written by hand so that the package's own writer is not trusted."""

from __future__ import annotations

import struct
from pathlib import Path

WORDS = ["protein", "the", "0", "α", "p53", "naïve"]
ROWS = [[float(i) + j / 4 for j in range(3)] for i in range(len(WORDS))]


def binary(
    words: list[bytes],
    rows: list[list[float]],
    *,
    newline: bytes = b"\n",
    count: int | None = None,
    dim: int = 3,
) -> bytes:
    """A word2vec binary."""
    n = len(words) if count is None else count
    body = b"".join(
        word + b" " + struct.pack(f"<{len(row)}f", *row) + newline
        for word, row in zip(words, rows, strict=True)
    )
    return f"{n} {dim}\n".encode() + body


def text(words: list[str], rows: list[list[float]], *, header: bool, end: str = "\n") -> bytes:
    """word2vec text, GloVe (no header) or fastText (``end=" \\n"``)."""
    head = f"{len(words)} {len(rows[0])}\n" if header else ""
    lines = (f"{word} {' '.join(map(str, row))}{end}" for word, row in zip(words, rows, strict=True))
    return (head + "".join(lines)).encode()


def encoded(words: list[str]) -> list[bytes]:
    """UTF-8."""
    return [word.encode() for word in words]


def write(folder: Path, name: str, content: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(content)
    return path
