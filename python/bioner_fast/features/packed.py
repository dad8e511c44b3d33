"""Small operations on packed strings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioner_fast.data.strings import StringColumn


def concatenate(columns: list[StringColumn]) -> StringColumn:
    """The strings of several columns in one."""
    if not columns:
        return StringColumn.from_list([])
    buffers, offsets, end = [], [np.zeros(1, np.int64)], 0
    for column in columns:
        low, high = int(column.offsets[0]), int(column.offsets[-1])
        buffers.append(column.buffer[low:high])
        offsets.append(column.offsets[1:] - low + end)
        end += high - low
    return StringColumn(np.concatenate(buffers), np.concatenate(offsets))


def take(strings: StringColumn, positions: npt.NDArray[np.int64]) -> StringColumn:
    """The strings at ``positions`` int64 [M], in a column of their own."""
    starts, lengths = strings.offsets[:-1][positions], np.diff(strings.offsets)[positions]
    offsets = np.zeros(len(positions) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    source = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return StringColumn(strings.buffer[source], offsets)
