"""What lies beside the matrix products of a training step, forward and backward, in native passes.

CPU only; :class:`bioner_fast.models.windowed.step.WindowStep` composes them. ``T`` is float32 or float64,
``G`` the type of a product's operands: ``T``, or bfloat16 beside float32. Gradients are written transposed
too: the product that makes a weight's gradient reads them so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bioner_fast.ops import _native


def positions(
    values: Tensor, bias: Tensor, starts: Tensor, slots: int, features: Tensor, column: int
) -> None:
    """``relu(values + bias)``, in place, and from it the windows of tokens.

    Args:
        values: G [R, F], products; changed in place.
        bias: T [F].
        starts: int64 [N], ascending: the first position of each token's window.
        slots: P, the positions of a window.
        features: G [N, W]; columns ``column`` to ``column + P * F`` are written, position by position.

    Raises:
        ValueError, TypeError: shapes, dtypes or starts do not fit.
    """
    _native.call("step_positions", bias, values, bias, starts, slots, features, column)


def positions_grad(
    grad: Tensor, values: Tensor, starts: Tensor, slots: int, column: int,
    rows: Tensor | None, columns: Tensor | None, bias: Tensor,
) -> None:  # fmt: skip
    """The gradient of :func:`positions`.

    Args:
        grad: G [N, W], of its ``features``.
        values: G [R, F], as it left them.
        rows, columns: written, of its products: G [R, F] and G [F, R], or larger ones, in which zeros follow
            the values up to a multiple of 32; None for not wanted.
        bias: T [F], written.
    """
    _native.call("step_positions_grad", bias, grad, values, starts, slots, column, rows, columns, bias)


def units(sums: Tensor, bias: Tensor, seed: int, share: float, out: Tensor) -> None:
    """``dropout(relu(sums + bias))``; the dropout is that of :func:`bioner_fast.ops.gated.dropout`.

    Args:
        sums: G [N, H], products.
        bias: T [H].
        seed, share: of the dropout; a share of 0 keeps all.
        out: T or G [N, H], written.
    """
    _native.call("step_units", bias, sums, bias, seed, share, out)


def units_grad(
    grad: Tensor, out: Tensor, share: float, rows: Tensor | None, columns: Tensor | None, bias: Tensor
) -> None:
    """The gradient of :func:`units`.

    Args:
        grad: of ``out``, alike.
        out: as :func:`units` left it.
        share: of the dropout.
        rows, columns: written, of its products: G [N, H] and G [H, N], or larger ones, in which zeros follow
            the values up to a multiple of 32; None for one that is not wanted.
        bias: T [H], written.
    """
    _native.call("step_units_grad", bias, grad, out, share, rows, columns, bias)


def rows(table: Tensor, ids: Tensor, caps: Tensor | None, cap_ids: Tensor, out: Tensor) -> None:
    """Rows of a table, beside rows of a second one.

    Args:
        table: T [V, D]; ids: int64 [M].
        caps: T [C, E], or None; cap_ids: int64 [M].
        out: T [M, D + E], written.

    Raises:
        ValueError, TypeError: shapes, dtypes or ids do not fit.
    """
    _native.call("step_rows", table, table, ids, caps, None if caps is None else cap_ids, out)


def caps_grad(grad: Tensor, cap_ids: Tensor, caps: Tensor) -> Tensor:
    """The gradient of :func:`rows` for ``caps``, from that of ``out``."""
    made = torch.zeros_like(caps)
    _native.call("step_rows_caps", made, grad, cap_ids, made)
    return made


def fold(windows: Tensor, starts: Tensor, rows: int) -> Tensor:
    """Gradients of rows, from those of the windows that they are in.

    Args:
        windows: T [N, W, D].
        starts: int64 [N], ascending: the row where each window begins.
        rows: R.

    Returns:
        T [R, D]: for each row the sum over windows, zero where it is in none.

    Raises:
        ValueError, TypeError: shapes, dtypes or starts do not fit.

    Example:
        >>> fold(torch.ones(2, 3, 1), torch.tensor([0, 1]), 5).flatten().tolist()
        [1.0, 2.0, 2.0, 1.0, 0.0]
    """
    made = windows.new_empty(rows, windows.shape[2])
    _native.call("step_fold", made, windows, starts, made)
    return made


def rows_sgd(table: Tensor, ids: Tensor, grad: Tensor, *, rate: float) -> None:
    """``table[ids[m]] -= rate grad[m]``, one m after another.

    Args:
        table: T [V, D], changed in place; ids: int64 [M].
        grad: T [M, D or more]; the first D columns count.

    Raises:
        ValueError, TypeError: shapes, dtypes or ids do not fit.
    """
    _native.call("step_rows_sgd", table, _native.written("table", table), ids, grad, rate)


def head(
    hidden: Tensor, weights: Tensor, bias: Tensor, gold: Tensor, size: int,
    grad_hidden: Tensor, clip: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Cross entropy of a linear head, divided by ``size``, and its gradients.

    Args:
        hidden: T [N, H]; weights: T [K, H]; bias: T [K]; gold: int64 [N].
        size: rows of the batch that the loss is a mean of.
        grad_hidden: T [N, H], written.
        clip: log-probabilities below and above are clipped, and have no gradient.

    Returns:
        The loss, a scalar, and the gradients of weights and bias.

    Raises:
        ValueError, TypeError: shapes, dtypes or tags do not fit.

    Example:
        >>> hidden, weights = torch.ones(1, 2), torch.zeros(4, 2)
        >>> loss, _, grad = head(hidden, weights, torch.zeros(4), torch.tensor([3]), 1, torch.empty(1, 2))
        >>> round(loss.item(), 4), grad.tolist()
        (1.3863, [0.25, 0.25, 0.25, -0.75])
    """
    grad_logits = hidden.new_empty(len(hidden), len(weights))
    grad_weights, grad_bias = torch.empty_like(weights), torch.empty_like(bias)
    loss = _native.call(
        "step_head", hidden, hidden, weights, bias, gold, 1 / size, *clip,
        grad_logits, grad_hidden, grad_weights, grad_bias,
    )  # fmt: skip
    return hidden.new_tensor(loss), grad_weights, grad_bias


def adam(
    values: Tensor, grad: Tensor, first: Tensor, second: Tensor, low: Tensor | None = None, *,
    beta1: float, beta2: float, step_size: float, epsilon: float, decay: float = 1.0,
) -> None:  # fmt: skip
    """Adam: running means m of g and v of its square; ``w = decay w - step_size m / (sqrt(v) + epsilon)``.

    Args:
        values: w, T; first, second: m and v, alike; all changed in place.
        grad: g, G.
        low: G, written: the new values, rounded.

    Example:
        >>> w, g = torch.ones(2), torch.tensor([0.5, -0.5])
        >>> m, v = torch.zeros(2), torch.zeros(2)
        >>> adam(w, g, m, v, beta1=0.9, beta2=0.999, step_size=0.001, epsilon=1e-8)
        >>> m
        tensor([ 0.0500, -0.0500])
    """
    for name, changed in (("values", values), ("first", first), ("second", second)):
        _native.written(name, changed)
    _native.call(
        "step_adam", values, values, grad, first, second, low, beta1, beta2, step_size, epsilon, decay
    )  # fmt: skip


def sgd(values: Tensor, grad: Tensor, low: Tensor | None = None, *, rate: float) -> None:
    """``w = w - rate g``; arguments as for :func:`adam`."""
    _native.call("step_sgd", values, _native.written("values", values), grad, low, rate)
