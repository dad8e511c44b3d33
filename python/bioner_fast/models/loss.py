"""The loss of the published code."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Probabilities are clipped to [CLIP, 1 - CLIP]; outside, the gradient is zero.
CLIP = 1e-7
LEAST, MOST = math.log(CLIP), math.log1p(-CLIP)


def clipped_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over rows of ``-log clip(p[target])``.

    Args:
        logits: [N, K].
        targets: int64 [N].

    Returns:
        A scalar. Divide by the rows of the whole batch: rows of other tasks count there as zeros.
    """
    result: Tensor = _ClippedCrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return result


def joint_cross_entropy(logits: Tensor, columns: Tensor, owner: Tensor) -> Tensor:
    """:func:`clipped_cross_entropy` of heads whose logits lie side by side; every row belongs to one of them.

    Args:
        logits: [N, K], K the tags of all heads.
        columns: int64 [N], the column of each row's tag; its head is the one that the column belongs to.
        owner: int64 [K], the head of each column.

    Returns:
        A scalar, the sum over rows. No launch on a GPU depends on which rows belong to which head.
    """
    others = owner != owner.index_select(0, columns)[:, None]
    gold = F.log_softmax(logits.masked_fill(others, -math.inf), 1).gather(1, columns[:, None])
    return -gold.clamp(LEAST, MOST).sum()


def loss_and_gradient(logits: Tensor, targets: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """:func:`clipped_cross_entropy` divided by ``size``, and its gradient [N, K] for the logits."""
    log_probabilities = F.log_softmax(logits, 1)
    places = targets[:, None]
    gold = log_probabilities.gather(1, places)
    clipped = gold.clamp(LEAST, MOST)
    factors = (gold == clipped).to(logits.dtype).mul_(1 / size)
    grad = log_probabilities.exp_().mul_(factors).scatter_add_(1, places, factors.neg())
    return clipped.sum().div_(-size), grad


class _ClippedCrossEntropy(torch.autograd.Function):
    """Its gradient is known: fewer passes than by automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        log_probabilities = F.log_softmax(logits, 1)
        gold = log_probabilities.gather(1, targets[:, None])
        clipped = gold.clamp(LEAST, MOST)
        ctx.save_for_backward(log_probabilities, targets, gold == clipped)
        return -clipped.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        log_probabilities, targets, inside = ctx.saved_tensors
        places = targets[:, None]
        grad = log_probabilities.exp()
        grad.scatter_add_(1, places, grad.new_full((), -1.0).expand(places.shape))
        return grad.mul_(inside * gradients[0]), None
