"""Trained networks on the CPU, made fast for weights that no longer change.

- What depends on one token alone is computed once per distinct token and kept: for the first convolution (or
  the first layer of an mlp) not the token's features but their products with the weights, so that the layer
  is a sum of table rows (:class:`RowCache`).
- Every later layer is one native pass: a product over rows where they lie (no windows are copied), and bias,
  activation, gate, residual, LayerNorm and conversion for the next product while the rows are in the cache.
- Products run in float32, bfloat16 or int8 with int32 sums. Int8 scales are fixed: per output column for
  weights, per channel for values (the largest ones seen in calibration text; larger ones saturate).

Rows are computed one by one in a fixed order, so results do not depend on batching, at any precision. The
heads, LayerNorms and first layers are float32 at every precision.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast import _text
from bioner_fast.features.word_forms import WordForms
from bioner_fast.models.base import Network
from bioner_fast.ops import infer

Ints = NDArray[np.int64]

# Fastest last: each has half the bytes of the one before.
PRECISIONS = ("float32", "bfloat16", "int8")
# What the tables of distinct tokens may take, half as much again while new ones begin. They fill as text
# comes, and memory must not grow by a tenth for that.
CACHE_BYTES = 64 << 20
# Ranges of values, by layer, as calibration found them.
Ranges = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Packed text as engines take it.

    Attributes:
        word_ids: int32 [N].
        caps: uint8 [N].
        forms: what the tokens look like, where the network uses it.
    """

    word_ids: NDArray[np.int32]
    caps: NDArray[np.uint8]
    forms: WordForms | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Tokens whose table rows are known.

    Attributes:
        rows: int32 [N], row of each token in the tables.
        tables: the tables, by name; rows once written do not change.
    """

    rows: NDArray[np.int32]
    tables: Mapping[str, Tensor]


class RowCache:
    """Table rows of distinct tokens. Threads may share one.

    Row 0 belongs to nobody and holds zeros. Rows are only added; full tables are left to whoever still reads
    them, and new ones begin with the half of the rows that most batches used. The counts are halved then, so
    that words of texts long past make room.

    Args:
        make: empty tables of so many rows (pages that are not written take no memory).
        bytes_per_row: of all tables together.
    """

    def __init__(self, make: Callable[[int], dict[str, Tensor]], bytes_per_row: int) -> None:
        self._make = make
        self._capacity = max(1024, CACHE_BYTES // bytes_per_row)
        self._lock = threading.Lock()
        self._tables: dict[str, Tensor] = {}
        self._index: _text.RowIndex | None = None
        self._uses: NDArray[np.int32] = np.zeros(0, np.int32)
        self._used = 1  # rows: more than keys where keys came twice

    def place(
        self, keys: NDArray[np.uint8], fill: Callable[[NDArray[np.int64], dict[str, Tensor], int], None]
    ) -> tuple[NDArray[np.int32], dict[str, Tensor]]:
        """Rows int32 [n] of keys uint8 [n, size], the same size in every call, and the tables they are in.

        ``fill(which, tables, row)`` writes the rows of the keys ``which`` from ``row`` on. Threads fill at
        the same time; a key that is new to two of them gets two rows, with the same values.
        """
        flat = keys.reshape(-1)
        with self._lock:
            index = self._index or _text.RowIndex(keys.shape[1])
            rows = index.find(flat)
            if not self._tables or self._used + np.count_nonzero(rows == 0) > len(self._uses):
                index = self._renew(index, len(keys))
                rows = index.find(flat)
            new = np.flatnonzero(rows == 0)
            tables, first = self._tables, self._used
            self._used += len(new)  # before anything can fail: rows may be lost, but never given twice
            self._uses[rows] += 1
            self._uses[first : self._used] = 1
        if len(new):
            fill(new, tables, first)
            rows[new] = np.arange(first, first + len(new))
            with self._lock:  # of these tables, even if new ones have begun
                index.insert(flat, new, first)
        return rows, tables

    def _renew(self, index: _text.RowIndex, coming: int) -> _text.RowIndex:
        """Begin new tables with room for so many keys; the rows most used come along, in a new index."""
        old = self._tables
        rows = index.rows().astype(np.int64)
        keep = min(len(rows), self._capacity // 2)
        # Of rows used alike, the later ones.
        best = np.sort(rows[np.lexsort((rows, self._uses[rows]))[len(rows) - keep :]])
        place = np.zeros(self._used, np.int32)
        place[best] = np.arange(1, keep + 1)
        uses = self._uses[best] // 2
        self._tables = self._make(max(self._capacity, keep + coming + 1))
        for name, table in self._tables.items():
            if keep:
                torch.index_select(old[name], 0, torch.from_numpy(best), out=table[1 : keep + 1])
        self._index = index.kept(place)
        self._uses = np.zeros(max(self._capacity, keep + coming + 1), np.int32)
        self._uses[1 : keep + 1] = uses
        self._used = keep + 1
        return self._index


class Engine(ABC):
    """A network at a precision.

    Attributes:
        precision: of the products.
        heads: name and number of tags of each head: the columns of the results.
        observed: largest magnitudes by layer, where the engine was told to observe.
    """

    def __init__(self, network: Network, precision: str, threads: int) -> None:
        self.precision = precision
        self.threads = threads
        self.heads = tuple(network.shape.tasks)
        self.observed: dict[str, Tensor] | None = None
        self._head_ends = torch.tensor([tags for _, tags in self.heads]).cumsum(0).int()

    @abstractmethod
    def place(self, tokens: Tokens) -> Placed:
        """Find the table rows of all tokens, computing those that are new."""

    @abstractmethod
    def log_probabilities(self, placed: Placed, start: int, stop: int, offsets: Ints) -> Tensor:
        """Log-probabilities float32 [n, sum of tags] of tokens [start, stop).

        Args:
            placed: from :meth:`place`.
            start, stop: which tokens.
            offsets: int64 [B + 1], their sentences, from 0 to n.
        """

    def _classify(self, hidden: Tensor, weights: infer.Weights) -> Tensor:
        """All heads on float32 rows."""
        out = torch.empty(len(hidden), int(self._head_ends[-1]))
        rows = torch.arange(len(hidden), dtype=torch.int32)[:, None]
        finish = infer.Finish("log_softmax", out=out, head_ends=self._head_ends)
        infer.linear(hidden.view(torch.uint8), rows, weights, finish, self.threads)
        return out

    def _observe(self, layer: str, values: Tensor) -> None:
        """Note the largest magnitudes of float32 rows, given as bytes."""
        if self.observed is not None and len(values):
            largest = values.view(torch.float32).abs().amax(0)
            before = self.observed.get(layer)
            self.observed[layer] = largest if before is None else torch.maximum(before, largest)


def fill_table(
    values: Tensor, weights: infer.Weights, steps: Tensor | None, table: Tensor, threads: int
) -> None:
    """Float32 rows times a matrix to rows of a table.

    Args:
        values: float32 [n, K].
        weights: of the table's W columns.
        steps: float32 [W], what an int16 table counts in; None for a float32 one.
        table: uint8 [n, bytes].
        threads: CPU threads.
    """
    rows = torch.arange(len(values), dtype=torch.int32)[:, None]
    if steps is None:
        finish = infer.Finish("store", out=table.view(torch.float32))
    else:
        scale = infer.Quantisation(steps.reciprocal(), 0)
        finish = infer.Finish("store", next=table, next_precision="int16", quantisation=scale)
    infer.linear(values.contiguous().view(torch.uint8), rows, weights, finish, threads)


def pad_rows(matrix: Tensor, rows: int) -> Tensor:
    """[n, ...] with zero rows up to ``rows``."""
    return torch.cat([matrix, matrix.new_zeros(rows - len(matrix), *matrix.shape[1:])])
