"""Building blocks of CPU inference: products over gathered rows, sums of table rows, and what follows.

Native code only (``csrc/inference``); no gradients. Rows of values travel as bytes: ``uint8 [rows, stride]``
holds float32, bfloat16 or quantised elements. Columns are padded with zeros to multiples of 16
(:func:`padded`).

A row of a result depends on its own inputs alone, in a fixed order: results do not depend on which rows come
together or on the number of threads. Int8 results are the same bits at every SIMD level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bioner_fast.ops import _native

TYPES = {"float32": 0, "bfloat16": 1, "int8": 2}
SIZES = {"float32": 4, "bfloat16": 2, "int8": 1}
# What results may be stored as, beside the types of products.
_STORED = {**TYPES, "int16": 3}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
_FINISH = {"store": 0, "relu": 1, "norm": 2, "glu": 3, "log_softmax": 4}
_LANES, _PANEL = 16, 64


def padded(columns: int) -> int:
    """Columns, filled up to whole vectors."""
    return -(-columns // _LANES) * _LANES


def is_native(precision: str) -> bool:
    """Whether the SIMD level in use has instructions made for this precision (VNNI, AVX512-BF16)."""
    native: bool = _native.extension().infer_is_native(TYPES[precision])
    return native


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How elements become bytes: ``round(value * scale) + zero``, cut to 0..255.

    Attributes:
        scale: float32 [K].
        zero: what the value 0 becomes.
    """

    scale: Tensor
    zero: int

    @classmethod
    def of(cls, largest: Tensor, *, signed: bool) -> Quantisation:
        """For values up to ``largest`` [K] in magnitude."""
        zero, steps = (128, 127.0) if signed else (0, 255.0)
        return cls((steps / largest.float().clamp_min(1e-6)).contiguous(), zero)


@dataclass(frozen=True, slots=True)
class Weights:
    """A matrix in the order that :func:`linear` reads it.

    Attributes:
        precision: of the product.
        lengths: bytes of each segment of the sum.
        panels: uint8, the matrix in panels of 64 columns.
        bias: float32 [W].
        scale, shift: float32 and int32 [W], int8 only: what an int32 sum stands for.
    """

    precision: str
    lengths: tuple[int, ...]
    panels: Tensor
    bias: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None


def pack(
    weight: Tensor,
    bias: Tensor,
    segments: Sequence[int],
    precision: str,
    quantisation: Quantisation | None = None,
) -> Weights:
    """Prepare a matrix.

    Args:
        weight: float [W, K], W a multiple of 16.
        bias: float [W].
        segments: how many of the K columns each segment takes; each a multiple of 4 bytes.
        precision: ``float32``, ``bfloat16`` or ``int8``.
        quantisation: of the K values that the matrix will meet, for int8.

    Example:
        >>> pack(torch.eye(16), torch.zeros(16), [8, 8], "bfloat16").lengths
        (16, 16)
    """
    size = SIZES[precision]
    columns, total = weight.shape
    if columns % _LANES or sum(segments) != total or any(k * size % 4 for k in segments):
        raise ValueError(f"weight {list(weight.shape)} does not fit segments {list(segments)}")
    scale = shift = None
    weight = weight.detach().float()
    if precision == "int8":
        assert quantisation is not None
        weight = weight / quantisation.scale
        scale = (weight.abs().amax(1) / 127).clamp_min(1e-30)
        weight = (weight / scale[:, None]).round()
        shift = (quantisation.zero * weight.double().sum(1)).to(torch.int32)
    elements = weight.to(_DTYPES[precision])
    group = 4 // size
    panels = [
        part.reshape(len(part), total // group, group).transpose(0, 1).contiguous().view(torch.uint8).view(-1)
        for part in torch.split(elements, _PANEL)
    ]
    return Weights(
        precision,
        tuple(k * size for k in segments),
        torch.cat(panels),
        bias.detach().float().contiguous(),
        scale,
        shift,
    )


@dataclass(slots=True)
class Finish:
    """What follows a product or a sum, and where the results go.

    Attributes:
        kind: ``store``: as it is; ``relu``; ``norm``: LayerNorm; ``glu``: LayerNorm(residual + a *
            sigmoid(b)), where a and b are the halves of the columns; ``log_softmax`` over ranges of columns.
        out: float32 [N, >= columns], or None.
        next: uint8 [N, stride], the results as the next product or a table takes them, or None.
        next_precision: what ``next`` holds; ``int16`` is for tables.
        quantisation: for int8 and int16, over the padded columns; int16 has no zero.
        channels: columns that count in LayerNorm.
        norm: gamma and beta float32 [padded columns], and epsilon.
        residual: float32 [*, >= columns]; ``residual_rows`` int32 [N]: which row each takes, None: its own.
        groups, group_columns: ``relu``: of each of so many equal groups of columns, the first so many go to
            ``next``, side by side.
        head_ends: int32, ``log_softmax``: where each range ends.
    """

    kind: str
    out: Tensor | None = None
    next: Tensor | None = None
    next_precision: str = "float32"
    quantisation: Quantisation | None = None
    channels: int = 0
    norm: tuple[Tensor, Tensor, float] | None = None
    residual: Tensor | None = None
    residual_rows: Tensor | None = None
    groups: int = 1
    group_columns: int = 0
    head_ends: Tensor | None = None

    def facts(self) -> dict[str, Any]:
        """What the extension takes."""
        gamma, beta, epsilon = self.norm or (None, None, 0.0)
        quantisation = self.quantisation
        facts: dict[str, Any] = {
            "finish": _FINISH[self.kind],
            "out": self.out,
            "next": self.next,
            "next_type": _STORED[self.next_precision],
            "next_scale": None if quantisation is None else quantisation.scale,
            "next_zero": 0.0 if quantisation is None else float(quantisation.zero),
            "channels": self.channels,
            "gamma": gamma,
            "beta": beta,
            "epsilon": epsilon,
            "residual": self.residual,
            "residual_rows": self.residual_rows,
            "groups": self.groups,
            "group_columns": self.group_columns,
            "head_ends": self.head_ends,
        }
        return {name: _native.argument(value) for name, value in facts.items()}


def linear(values: Tensor, index: Tensor, weights: Weights, finish: Finish, threads: int) -> None:
    """Rows times a matrix: segment s of row i is the beginning of ``values[index[i, s]]``.

    Args:
        values: uint8 [rows, stride], elements of the matrix' precision.
        index: int32 [N, segments].
        weights: from :func:`pack`.
        finish: what follows, and the outputs.
        threads: CPU threads.

    Raises:
        ValueError: a shape does not fit, or an index lies outside.
    """
    if len(index) == 0:
        return
    argument = _native.argument
    _native.extension().infer_linear(
        TYPES[weights.precision],
        argument(values),
        argument(index),
        list(weights.lengths),
        argument(weights.panels),
        argument(weights.bias),
        argument(weights.scale),
        argument(weights.shift),
        finish.facts(),
        threads,
    )


@dataclass(frozen=True, slots=True)
class Taps:
    """How rows of a table are summed: group g of columns adds its part of ``taps[g]`` consecutive entries.

    Attributes:
        taps: int32 [groups].
        bias: float32 [groups * width].
        scale: float32 [groups * width] of an int16 table, None for float32.
    """

    taps: Tensor
    bias: Tensor
    scale: Tensor | None = None


def table_sum(
    table: Tensor, index: Tensor, rows: int, step: int, taps: Taps, finish: Finish, threads: int
) -> None:
    """Sums of parts of table rows: a matrix product whose products were looked up.

    Row i sums, in group g, part t of ``table[index[i * step + t]]`` for t below ``taps.taps[g]``; the parts
    of a table row are those of the first group, in order, then those of the second, and so on.

    Args:
        table: uint8 [*, stride]: int16 (with ``taps.scale``) or float32 elements.
        index: int32, rows of the table.
        rows: N.
        step: places in ``index`` from one row to the next.
        taps: the parts.
        finish: what follows, and the outputs.
        threads: CPU threads.

    Raises:
        ValueError: a shape does not fit, or an index lies outside.
    """
    if rows == 0:
        return
    argument = _native.argument
    _native.extension().infer_table_sum(
        argument(table),
        taps.scale is not None,
        argument(index),
        rows,
        step,
        argument(taps.taps),
        argument(taps.bias),
        argument(taps.scale),
        finish.facts(),
        threads,
    )


@dataclass(frozen=True, slots=True)
class CharacterTables:
    """Filters of three characters, multiplied out.

    Attributes:
        tables: float32 [characters, 3, padded filters]: what a character adds to the response at the one
            after it, at itself and at the one before it.
        bias: float32 [padded filters].
        filters: how many there are.
    """

    tables: Tensor
    bias: Tensor
    filters: int


def characters(words: Tensor, tables: CharacterTables, out: Tensor, column: int, threads: int) -> None:
    """The largest response of each filter over each word, with bias and ReLU.

    Args:
        words: uint8 [N, slots], characters; 0 where there is none.
        tables: the filters.
        out: float32 [N, stride]; written from ``column`` on.
        column: the first column.
        threads: CPU threads.

    Raises:
        ValueError: a shape does not fit, or a character has no row.

    Example:
        >>> tables = CharacterTables(torch.ones(5, 3, 16), torch.zeros(16), 2)
        >>> out = torch.zeros(1, 3)
        >>> characters(torch.tensor([[1, 4, 0]], dtype=torch.uint8), tables, out, 1, 1)
        >>> out.tolist()
        [[0.0, 3.0, 3.0]]
    """
    if len(words) == 0:
        return
    argument = _native.argument
    _native.extension().infer_characters(
        argument(words),
        argument(tables.tables),
        argument(tables.bias),
        argument(out),
        tables.filters,
        column,
        threads,
    )
