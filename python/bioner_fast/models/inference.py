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

from bioner_fast.features.word_forms import WordForms
from bioner_fast.models.base import Network
from bioner_fast.models.idcnn import IdcnnNetwork
from bioner_fast.models.networks import TaggingNetwork
from bioner_fast.ops import infer

Ints = NDArray[np.int64]

# Fastest last: each has half the bytes of the one before.
PRECISIONS = ("float32", "bfloat16", "int8")
# What the tables of distinct tokens may take; when they are full, they start anew. They fill as text comes,
# and memory must not grow by a tenth for that.
CACHE_BYTES = 48 << 20
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
    them, and new ones begin.

    Args:
        make: empty tables of so many rows (pages that are not written take no memory).
        bytes_per_row: of all tables together.
    """

    def __init__(self, make: Callable[[int], dict[str, Tensor]], bytes_per_row: int) -> None:
        self._make = make
        self._capacity = max(1024, CACHE_BYTES // bytes_per_row)
        self._lock = threading.Lock()
        self._tables: dict[str, Tensor] = {}
        self._rows: dict[bytes, int] = {}
        self._used = 1  # rows: more than keys where keys came twice

    def place(
        self, keys: list[bytes], fill: Callable[[NDArray[np.int64], dict[str, Tensor], int], None]
    ) -> tuple[NDArray[np.int32], dict[str, Tensor]]:
        """Rows of keys; ``fill(which, tables, row)`` writes those of the keys ``which`` from ``row`` on.

        Threads fill at the same time; a key that is new to two of them gets two rows, with the same values.
        """
        with self._lock:
            known = self._rows
            rows = np.fromiter((known.get(key, 0) for key in keys), np.int32, len(keys))
            new = np.flatnonzero(rows == 0)
            if not self._tables or self._used + len(new) > self._capacity:
                self._tables = self._make(max(self._capacity, len(keys) + 1))
                self._rows = known = {}
                self._used = 1
                new = np.arange(len(keys))
            tables, first = self._tables, self._used
            self._used += len(new)  # before anything can fail: rows may be lost, but never given twice
        if len(new):
            fill(new, tables, first)
            rows[new] = np.arange(first, first + len(new))
            with self._lock:  # of these tables, even if new ones have begun
                known.update((keys[place], first + i) for i, place in enumerate(new.tolist()))
        return rows, tables


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


def int16_table(values: Tensor, scale: Tensor, out: Tensor) -> None:
    """Round float32 [n, parts * W] to int16 multiples of ``scale`` [W] into ``out`` uint8."""
    parts = values.view(len(values), -1, len(scale)) / scale
    parts.round_().clamp_(-32767, 32767)
    out.view(torch.int16)[:, : values.shape[1]] = parts.view(len(values), -1).to(torch.int16)


def store_linear(values: Tensor, weights: infer.Weights, threads: int) -> Tensor:
    """Float32 rows times a matrix, float32 [n, W]."""
    out = torch.empty(len(values), len(weights.bias))
    rows = torch.arange(len(values), dtype=torch.int32)[:, None]
    infer.linear(
        values.contiguous().view(torch.uint8), rows, weights, infer.Finish("store", out=out), threads
    )
    return out


def pad_rows(matrix: Tensor, rows: int) -> Tensor:
    """[n, ...] with zero rows up to ``rows``."""
    return torch.cat([matrix, matrix.new_zeros(rows - len(matrix), *matrix.shape[1:])])


def can_run(network: Network) -> bool:
    """Whether there is an engine for the network."""
    if isinstance(network, TaggingNetwork):
        return bool(network.shape.hidden)
    return isinstance(network, IdcnnNetwork)


def build_engine(
    network: Network, precision: str, ranges: Ranges | None = None, threads: int = 1, *, observe: bool = False
) -> Engine:
    """Prepare a network for inference on the CPU.

    Args:
        network: trained; :func:`can_run` says whether it will do.
        precision: one of ``PRECISIONS``.
        ranges: for int8, the largest magnitudes by layer that an observing engine found.
        threads: CPU threads.
        observe: collect ``Engine.observed``; float32 only.

    Raises:
        ValueError: an unknown precision, or int8 without ranges.
    """
    from bioner_fast.models.inference_idcnn import IdcnnEngine
    from bioner_fast.models.inference_windows import WindowEngine

    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "int8" and ranges is None:
        raise ValueError("ranges: int8 needs the ranges of the layers' values")
    engine: Engine
    with torch.inference_mode():
        if isinstance(network, IdcnnNetwork):
            engine = IdcnnEngine(network, precision, ranges or {}, threads)
        elif isinstance(network, TaggingNetwork):
            engine = WindowEngine(network, precision, ranges or {}, threads)
        else:
            raise ValueError(f"network: there is no engine for {type(network).__name__}")
    engine.observed = {} if observe and precision == "float32" else None
    return engine
