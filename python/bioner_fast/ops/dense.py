"""A dense layer's training in bfloat16: products, and a step that never stores its gradient.

In AMX tiles or, without, by AVX512-BF16. CPU only, where :func:`available` says so;
:class:`bioner_fast.models.windowed.step.WindowStep` composes them. ``csrc/training/dense/dense.h`` has the
layouts.
With weights W [O, I], inputs x [N, I] and y = x W^T [N, O]:

    x = operand(...)                              x twice, as the products read it
    forward(x, W.low, y)
    backward(dy.rows, O, W.low, dx)
    step(W, WeightGradient(dy.columns, x), ...)   dW = dy^T x, and W with its rounded copy from it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bioner_fast.ops import _native

# Rows and columns of blocks of weights, and the values that a tile sums over.
BLOCK = 32
_TILE = 16
_TILE_VALUES = 512


def available() -> bool:
    """Whether this processor has AMX tiles or a worthwhile AVX512-BF16, and BIONER_SIMD leaves them on."""
    return bool(_native.extension().dense_available())


def in_tiles() -> bool:
    """Whether this processor has AMX tiles, and BIONER_SIMD leaves them on."""
    return bool(_native.extension().dense_in_tiles())


def padded(n: int) -> int:
    """``n`` rounded up to whole blocks."""
    return -(-n // BLOCK) * BLOCK


def blocks(weights: Tensor) -> Tensor:
    """Weights [O, ...] rounded to bfloat16, in the blocks that the products read, one after another.

    Example:
        >>> blocks(torch.ones(1, 1)).shape
        torch.Size([1024])
    """
    rows = weights.detach().to(torch.bfloat16).view(len(weights), -1)
    outputs, inputs = rows.shape
    low = F.pad(rows, (0, padded(inputs) - inputs, 0, padded(outputs) - outputs))
    return low.view(-1, BLOCK, low.shape[1] // BLOCK, BLOCK).transpose(1, 2).reshape(-1)


@dataclass(frozen=True)
class Operand:
    """Inputs x of a layer, as its products read them.

    Attributes:
        rows: N.
        columns: I.
        over_columns: bfloat16, panels that sum over I.
        over_rows: bfloat16, panels that sum over N.
    """

    rows: int
    columns: int
    over_columns: Tensor
    over_rows: Tensor


def operand(values: Tensor, columns: int, new: Callable[[str, tuple[int, ...]], Tensor]) -> Operand:
    """Inputs of a layer for its products.

    Args:
        values: float32 or bfloat16 [N, S], N at least 1; the first ``columns`` columns are the inputs.
        columns: I.
        new: makes bfloat16 memory under a name, of a shape.

    Raises:
        ValueError, TypeError: shapes or dtypes do not fit, or the processor has neither AMX nor AVX512-BF16.
    """
    rows = len(values)
    over_columns = new("over columns", (_panels(columns, rows),))
    over_rows = new("over rows", (_panels(rows, columns),))
    _native.call("dense_operand", values, values, columns, over_columns, over_rows)
    return Operand(rows, columns, over_columns, over_rows)


def _panels(summed: int, columns: int) -> int:
    """Values of panels of ``columns`` columns."""
    return -(-columns // _TILE) * (padded(summed) // BLOCK) * _TILE_VALUES


def forward(x: Operand, low: Tensor, out: Tensor) -> None:
    """``x W^T``.

    Args:
        low: of :func:`blocks`.
        out: float32 or bfloat16 [N, O], written.

    Raises:
        ValueError, TypeError: shapes or dtypes do not fit, or the processor has neither AMX nor AVX512-BF16.
    """
    _native.call("dense_forward", out, x.over_columns, x.columns, low, out)


def backward(rows: Tensor, outputs: int, low: Tensor, out: Tensor) -> None:
    """``dy W``.

    Args:
        rows: dy, bfloat16 with room for whole blocks of [N, O], zero from column O on.
        outputs: O.
        low: of :func:`blocks`.
        out: float32 or bfloat16 [N, I], written.

    Raises:
        ValueError, TypeError: shapes or dtypes do not fit, or the processor has neither AMX nor AVX512-BF16.
    """
    _native.call("dense_backward", out, rows, outputs, low, out)


@dataclass(frozen=True)
class WeightGradient:
    """``dy^T x``, not yet multiplied.

    Attributes:
        columns: dy^T, bfloat16 with room for whole blocks of [O, N], zero from column N on.
        x: the layer's inputs.
    """

    columns: Tensor
    x: Operand

    def dense(self, outputs: int) -> Tensor:
        """The product, float32 [O, I]."""
        x = self.x
        tiles = x.over_rows.view(-1, padded(x.rows) // BLOCK, _TILE, _TILE, 2)
        inputs = tiles.permute(1, 2, 4, 0, 3).reshape(padded(x.rows), -1)[: x.rows, : x.columns]
        return self.columns[:outputs, : x.rows].float() @ inputs.float()


def _flat(weights: Tensor) -> Tensor:
    return weights.view(len(weights), -1)


def adam(
    weights: Tensor, gradient: WeightGradient, first: Tensor, second: Tensor, low: Tensor, *,
    beta1: float, beta2: float, step_size: float, epsilon: float, decay: float = 1.0,
) -> None:  # fmt: skip
    """As :func:`bioner_fast.ops.step.adam`, with a gradient summed in float32.

    Args:
        weights, first, second: float32 [O, ...], changed in place.
        low: of :func:`blocks`, written.

    Raises:
        ValueError, TypeError: shapes or dtypes do not fit, or the processor has neither AMX nor AVX512-BF16.
    """
    _native.call(
        "dense_step", weights, _flat(weights), gradient.columns, gradient.x.over_rows, gradient.x.rows,
        _flat(first), _flat(second), low, step_size, beta1, beta2, epsilon, decay,
    )  # fmt: skip


def sgd(weights: Tensor, gradient: WeightGradient, low: Tensor, *, rate: float) -> None:
    """``W = W - rate dW``; arguments as for :func:`adam`."""
    _native.call(
        "dense_step", weights, _flat(weights), gradient.columns, gradient.x.over_rows, gradient.x.rows,
        None, None, low, rate, 0.0, 0.0, 0.0, 1.0,
    )  # fmt: skip
