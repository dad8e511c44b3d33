"""Strings packed into one buffer: what carries text per token, instead of a Python object each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import overload

import numpy as np
import numpy.typing as npt


class StringColumn:
    """Immutable UTF-8 strings, one after another in a buffer.

    String ``i`` is ``buffer[offsets[i]:offsets[i + 1]]``. A slice shares the buffer, so its ``offsets``
    need not start at 0; :meth:`packed` gives a column of its own.

    Args:
        buffer: uint8 ``[bytes]``, contiguous.
        offsets: int64 ``[N + 1]``, ascending, within the buffer.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another rank, or the offsets do not fit the buffer.

    Example:
        >>> column = StringColumn.from_list(["IL-2", "β"])
        >>> len(column), column[1], column.offsets.tolist()
        (2, 'β', [0, 4, 6])
    """

    __slots__ = ("buffer", "offsets")

    buffer: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __init__(self, buffer: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        if buffer.dtype != np.uint8:
            raise TypeError(f"buffer: expected uint8, got {buffer.dtype}")
        if offsets.dtype != np.int64:
            raise TypeError(f"offsets: expected int64, got {offsets.dtype}")
        if buffer.ndim != 1 or offsets.ndim != 1:
            raise ValueError(
                f"expected 1-dimensional arrays, got {buffer.ndim} and {offsets.ndim} dimensions"
            )
        if offsets.size == 0 or offsets[0] < 0 or offsets[-1] > buffer.size:
            raise ValueError(f"offsets: expected at least one, within 0 to {buffer.size}")
        self.buffer = buffer
        self.offsets = offsets

    @classmethod
    def from_list(cls, strings: Iterable[str]) -> StringColumn:
        """Pack Python strings.

        Raises:
            UnicodeEncodeError: a string holds a lone surrogate.
        """
        encoded = [string.encode("utf-8") for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    @classmethod
    def concatenate(cls, columns: Iterable[StringColumn]) -> StringColumn:
        """All strings of ``columns``, in order."""
        packed = [column.packed() for column in columns]
        if not packed:
            return cls.from_list([])
        starts = np.cumsum([0] + [column.buffer.size for column in packed])
        offsets = [column.offsets[:-1] + start for column, start in zip(packed, starts, strict=False)]
        return cls(
            np.concatenate([column.buffer for column in packed]),
            np.concatenate([*offsets, starts[-1:].astype(np.int64)]),
        )

    def __len__(self) -> int:
        return self.offsets.size - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> StringColumn: ...
    def __getitem__(self, index: int | slice) -> str | StringColumn:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"expected a slice with step 1, got {step}")
            return StringColumn(self.buffer, self.offsets[start : max(start, stop) + 1])
        return self.bytes(index).decode("utf-8")

    def bytes(self, index: int) -> bytes:
        """The UTF-8 bytes of one string."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of range for {n} strings")
        index %= n
        return self.buffer[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def tolist(self) -> list[str]:
        """All strings as Python objects: for people and small inputs, not for the path of every token."""
        base = int(self.offsets[0])
        text = self.buffer[base : self.offsets[-1]].tobytes()
        bounds = (self.offsets - base).tolist()
        if text.isascii():
            ascii_text = text.decode("ascii")
            return [ascii_text[a:b] for a, b in itertools.pairwise(bounds)]
        return [text[a:b].decode("utf-8") for a, b in itertools.pairwise(bounds)]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each string, int64 ``[N]``."""
        return np.diff(self.offsets)

    def packed(self) -> StringColumn:
        """The same strings with ``offsets[0] == 0`` and a buffer that ends with the last of them."""
        start, stop = int(self.offsets[0]), int(self.offsets[-1])
        if start == 0 and stop == self.buffer.size:
            return self
        return StringColumn(np.ascontiguousarray(self.buffer[start:stop]), self.offsets - start)

    def take(self, indices: npt.NDArray[np.int64]) -> StringColumn:
        """The strings at ``indices`` (int64 ``[M]``), in that order."""
        lengths = self.lengths()[indices]
        offsets = np.zeros(lengths.size + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        source = np.repeat(self.offsets[:-1][indices] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return StringColumn(self.buffer[source], offsets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StringColumn):
            return NotImplemented
        mine, theirs = self.packed(), other.packed()
        return np.array_equal(mine.offsets, theirs.offsets) and np.array_equal(mine.buffer, theirs.buffer)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:5].tolist()))
        return f"StringColumn({len(self)} strings: {shown}{', ...' if len(self) > 5 else ''})"
