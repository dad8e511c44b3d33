"""Dilated convolutions over packed text: rows of neighbours by index, nothing across sentence borders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def neighbours(first: Tensor, last: Tensor, shift: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Indices for :func:`gather_neighbours` over a run of n tokens.

    Args:
        first, last: int64 [n], the first and last token of each token's sentence.
        shift: the number that the first token of the run has among them.
        dilation: how far a neighbour is.

    Returns:
        ``read`` int64 [3 n]: for each token the rows of its left neighbour (``dilation`` before it), itself
        and the right one, n where there is none; ``write`` int64 [3 n]: where in [n, 3] each token was read,
        3 n for nowhere.
    """
    n = len(first)
    rows = torch.arange(n, device=first.device)
    left, right = rows - dilation, rows + dilation
    has_left = left >= (first - shift).clamp_(min=0)
    has_right = right <= (last - shift).clamp_(max=n - 1)
    read = torch.stack([torch.where(has_left, left, n), rows, torch.where(has_right, right, n)], 1)
    # A token is the left neighbour (column 0) of its right neighbour, and the other way round.
    as_left = torch.where(has_right, 3 * right, 3 * n)
    as_right = torch.where(has_left, 3 * left + 2, 3 * n)
    return read.view(-1), torch.stack([as_left, 3 * rows + 1, as_right], 1).view(-1)


def gather_neighbours(values: Tensor, read: Tensor, write: Tensor) -> Tensor:
    """Rows of each token's neighbours side by side.

    Args:
        values: float [n, D].
        read, write: from :func:`neighbours`.

    Returns:
        [n, 3 D].
    """
    result: Tensor = _Gather.apply(values, read, write)  # type: ignore[no-untyped-call]
    return result


class _Gather(torch.autograd.Function):
    """Both directions are gathers, so that nothing depends on the order of a sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, read: Tensor, write: Tensor) -> Tensor:
        ctx.save_for_backward(write)
        return _rows(values, read).view(len(values), -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (write,) = ctx.saved_tensors
        n = len(write) // 3
        parts = _rows(gradients[0].reshape(3 * n, -1), write)
        return parts.view(n, 3, -1).sum(1), None, None


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of ``values``, of zeros where the number is ``len(values)``."""
    padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
    return padded.index_select(0, rows)
