"""The gated block of the sentence encoder: what lies beside its matrix products runs in two native passes.

    x = drop(h[t - d]) | drop(h[t]) | drop(h[t + d])       native: dropout, neighbours, conversion in one pass
    y = x W                                                a GEMM, in float32 or bfloat16
    out = LayerNorm(h + a * sigmoid(b)),  a | b = y + bias native: the rest in one pass

and the same backwards. The random bits of dropout are a hash of a seed and of a value's number, so that no
mask is stored and nothing depends on threads. CPU only; :func:`available` says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bioner_fast.ops import _native, _op, products


def available(values: Tensor) -> bool:
    """Whether these ops work on ``values``: float32 and float64 on the CPU."""
    return values.device.type == "cpu" and values.dtype in _native.FULL_FLOATS


_salt = 0


def set_salt(number: int) -> None:
    """Processes that draw the same :func:`seeds` get different ones if their salts differ."""
    global _salt
    _salt = number * 0x9E3779B97F4A7C15 & (2**63 - 1)


def seeds(count: int) -> list[int]:
    """Seeds for :func:`dropout` and :func:`gated_block`, from Torch's generator of the CPU."""
    return [seed ^ _salt for seed in torch.empty(count, dtype=torch.int64).random_().tolist()]


def dropout(values: Tensor, share: float, seed: int, dtype: torch.dtype | None = None) -> Tensor:
    """Zero a random ``share`` of the values, scale the others by ``1 / (1 - share)`` and convert.

    Args:
        values: float32 or float64 [N, C] on the CPU.
        share: of the values, 0 <= share < 1.
        seed: fixes which, at least 0.
        dtype: of the result: that of ``values``, or bfloat16 for float32.

    Example:
        >>> dropout(torch.ones(1, 4), 0.5, seed=1).unique().tolist()
        [0.0, 2.0]
    """
    _check_no_transform(values)
    result: Tensor = _Dropout.apply(values, share, seed, dtype or values.dtype)  # type: ignore[no-untyped-call]
    return result


def gated_block(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm: tuple[Tensor, Tensor, float],
    bounds: tuple[Tensor, Tensor, int],
    *,
    dilation: int,
    share: float = 0.0,
    seed: int = 0,
    product: torch.dtype | None = None,
) -> Tensor:
    """``LayerNorm(h + GLU(conv(drop(h))))`` with a convolution of three tokens.

    Args:
        hidden: float32 or float64 [N, C] on the CPU.
        weight: [2 * C, 3 * C]: of the left neighbour, the token itself, the right neighbour.
        bias: [2 * C].
        norm: weight [C], bias [C] and epsilon of the LayerNorm.
        bounds: int64 [N] each, the first and the last token of each token's sentence, and the number that
            the first row of ``hidden`` has among them. A neighbour outside the sentence, or outside
            ``hidden``, is a row of zeros.
        dilation: how far the neighbours are.
        share, seed: of dropout; see :func:`dropout`.
        product: type of the matrix products: that of ``hidden``, or bfloat16 for float32.

    Returns:
        [N, C], differentiable in all but ``bounds``.
    """
    _native.check_tensor("hidden", hidden, _native.FULL_FLOATS, 2)
    width = hidden.shape[1]
    _native.check_shape("weight", weight, (2 * width, 3 * width), "[2 * C, 3 * C]")
    _check_no_transform(hidden, weight, bias, *norm[:2])
    norm_weight, norm_bias, epsilon = norm
    result: Tensor = _GatedBlock.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, norm_weight, norm_bias, *bounds, dilation, share, seed,
        product or hidden.dtype, epsilon,
    )  # fmt: skip
    return result


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Which rows a :func:`gated_block_at` reads; from :func:`neighbours`.

    Attributes:
        own: int64 [M], the row of each output's own token.
        read: int64 [3 M], rows of the left neighbour, the token and the right one; n where there is none.
        write: int64 [3 n], where in [M, 3] each row was read as left, own and right one; 3 M for nowhere.
    """

    own: Tensor
    read: Tensor
    write: Tensor


def neighbours(outputs: Tensor, rows: Tensor, first: Tensor, last: Tensor, dilation: int) -> Neighbours:
    """What :func:`gated_block_at` needs to know about some tokens of a packed text.

    Args:
        outputs: int64 [M], ascending: the tokens whose values are wanted.
        rows: int64 [n], ascending: the tokens that the hidden rows belong to, with all that outputs read.
        first, last: int64 [N], the first and the last token of each token's sentence.
        dilation: how far the neighbours are.

    Example:
        >>> zeros = torch.zeros(3).long()
        >>> neighbours(torch.tensor([1]), torch.arange(3), zeros, zeros + 2, 1).read.tolist()
        [0, 1, 2]
    """
    tokens, n, m = len(first), len(rows), len(outputs)
    row_of = torch.full((tokens,), n)
    row_of[rows] = torch.arange(n)
    output_of = torch.full((tokens,), -1)
    output_of[outputs] = torch.arange(m)
    left, right = outputs - dilation, outputs + dilation
    read = torch.stack(
        [
            torch.where(left >= first[outputs], row_of[left.clamp(min=0)], n),
            row_of[outputs],
            torch.where(right <= last[outputs], row_of[right.clamp(max=tokens - 1)], n),
        ],
        1,
    ).view(-1)
    write = torch.full((3 * n + 3,), 3 * m)
    # Each of [M, 3] is read from one row, and a row is at most once the left one of any token.
    write[3 * read + torch.arange(3).repeat(m)] = torch.where(read < n, torch.arange(3 * m), 3 * m)
    return Neighbours(row_of[outputs], read, write[: 3 * n])


def needed(outputs: Tensor, first: Tensor, last: Tensor, dilation: int) -> Tensor:
    """The tokens that a block of this dilation reads for some outputs, int64, ascending.

    Args:
        outputs: int64 [M].
        first, last: int64 [N], the first and the last token of each token's sentence.
        dilation: how far the neighbours are.
    """
    wanted = torch.zeros(len(first), dtype=torch.bool)
    left, right = outputs - dilation, outputs + dilation
    for tokens in (outputs, left[left >= first[outputs]], right[right <= last[outputs]]):
        wanted[tokens] = True
    return wanted.nonzero().view(-1)


def gated_block_at(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm: tuple[Tensor, Tensor, float],
    where: Neighbours,
    *,
    share: float = 0.0,
    seed: int = 0,
    product: torch.dtype | None = None,
) -> Tensor:
    """As :func:`gated_block`, for some tokens only: what nobody reads is not computed, in either direction.

    Args:
        hidden: float32 or float64 [n, C] on the CPU, the rows of some tokens.
        weight, bias, norm: as for :func:`gated_block`.
        where: which of them are read for which outputs.
        share, seed: of dropout; the seed drops other values than it does in :func:`gated_block`.
        product: type of the matrix products.

    Returns:
        [M, C], differentiable in all but ``where``.
    """
    _native.check_tensor("hidden", hidden, _native.FULL_FLOATS, 2)
    width = hidden.shape[1]
    _native.check_shape("weight", weight, (2 * width, 3 * width), "[2 * C, 3 * C]")
    _check_no_transform(hidden, weight, bias, *norm[:2])
    result: Tensor = _GatedBlockAt.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, *norm[:2], where.own, where.read, where.write, share, seed,
        product or hidden.dtype, norm[2],
    )  # fmt: skip
    return result


def _check_no_transform(*values: Tensor) -> None:
    if torch._C._are_functorch_transforms_active() or _op.has_tangent(*values):
        raise RuntimeError("gated blocks and their dropout give gradients to backward() only")


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, share: float, seed: int, dtype: torch.dtype) -> Tensor:
        ctx.how = share, seed, values.dtype
        out = values.new_empty(values.shape, dtype=dtype)
        _native.call("gated_taps", values, values, None, None, 0, 1, seed, share, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        share, seed, dtype = ctx.how
        (grad,) = gradients
        out = grad.new_empty(grad.shape, dtype=dtype)
        _native.call("gated_taps_grad", grad, grad, None, None, None, 0, 1, seed, share, out)
        return out, None, None, None


class _GatedBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor,
        first: Tensor, last: Tensor, shift: int, dilation: int, share: float, seed: int,
        product: torch.dtype, epsilon: float,
    ) -> Tensor:  # fmt: skip
        hidden = hidden.contiguous()  # what is made like it must be contiguous, too
        tokens, width = hidden.shape
        rows = hidden.new_empty(tokens, 3 * width, dtype=product)
        _native.call("gated_taps", hidden, hidden, first, last, shift, dilation, seed, share, rows)
        kernel = weight.detach().to(product)
        mixed = products.mm(rows, kernel.t())
        stats, out = hidden.new_empty(tokens, 2), torch.empty_like(hidden)
        _native.call("gated_gate", hidden, mixed, bias, hidden, norm_weight, norm_bias, epsilon, stats, out)
        ctx.save_for_backward(hidden, kernel, bias, norm_weight, first, last, rows, mixed, stats)
        ctx.how = shift, dilation, seed, share, weight.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, kernel, bias, norm_weight, first, last, rows, mixed, stats = ctx.saved_tensors
        shift, dilation, seed, share, dtype = ctx.how
        tokens, width = hidden.shape
        blocks = -(-tokens // _native.extension().gated_tokens_per_block)
        grad_mixed, grad_sum = torch.empty_like(mixed), torch.empty_like(hidden)
        grad_weight, grad_shift = torch.empty_like(norm_weight), torch.empty_like(norm_weight)
        grad_bias = torch.empty_like(bias)
        _native.call(
            "gated_gate_grad", hidden, gradients[0], mixed, bias, hidden, norm_weight, stats,
            hidden.new_empty(blocks, 4 * width), grad_mixed, grad_sum, grad_weight, grad_shift, grad_bias,
        )  # fmt: skip
        grad_kernel = products.mm(grad_mixed.t(), rows).to(dtype)
        grad_rows = products.mm(grad_mixed, kernel)
        grad_hidden = torch.empty_like(hidden)
        _native.call(
            "gated_taps_grad", hidden, grad_rows, grad_sum, first, last, shift, dilation, seed, share,
            grad_hidden,
        )  # fmt: skip
        return grad_hidden, grad_kernel, grad_bias, grad_weight, grad_shift, *[None] * 8


class _GatedBlockAt(torch.autograd.Function):
    """Both directions gather rows, so that nothing depends on the order of a sum."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor,
        own: Tensor, read: Tensor, write: Tensor, share: float, seed: int, product: torch.dtype,
        epsilon: float,
    ) -> Tensor:  # fmt: skip
        hidden = hidden.contiguous()
        width = hidden.shape[1]
        dropped = hidden.new_zeros(len(hidden) + 1, width, dtype=product)
        _native.call("gated_taps", hidden, hidden, None, None, 0, 1, seed, share, dropped[:-1])
        rows = dropped.index_select(0, read).view(len(own), 3 * width)
        kernel = weight.detach().to(product)
        mixed, kept = products.mm(rows, kernel.t()), hidden.index_select(0, own)
        stats, out = hidden.new_empty(len(own), 2), torch.empty_like(kept)
        _native.call("gated_gate", hidden, mixed, bias, kept, norm_weight, norm_bias, epsilon, stats, out)
        ctx.save_for_backward(kept, kernel, bias, norm_weight, own, write, rows, mixed, stats)
        ctx.how = len(hidden), seed, share, weight.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, kernel, bias, norm_weight, own, write, rows, mixed, stats = ctx.saved_tensors
        count, seed, share, dtype = ctx.how
        outputs, width = kept.shape
        blocks = -(-outputs // _native.extension().gated_tokens_per_block)
        grad_mixed, grad_sum = torch.empty_like(mixed), torch.empty_like(kept)
        grad_weight, grad_shift = torch.empty_like(norm_weight), torch.empty_like(norm_weight)
        grad_bias = torch.empty_like(bias)
        _native.call(
            "gated_gate_grad", kept, gradients[0].contiguous(), mixed, bias, kept, norm_weight, stats,
            kept.new_empty(blocks, 4 * width), grad_mixed, grad_sum, grad_weight, grad_shift, grad_bias,
        )  # fmt: skip
        grad_kernel = products.mm(grad_mixed.t(), rows).to(dtype)
        grad_rows = kept.new_zeros(3 * outputs + 1, width)
        grad_rows[:-1].view(outputs, 3 * width).copy_(products.mm(grad_mixed, kernel))
        grad_dropped = grad_rows.index_select(0, write).view(count, 3, width).sum(1)
        grad_hidden = torch.empty_like(grad_dropped)
        _native.call("gated_taps_grad", kept, grad_dropped, None, None, None, 0, 1, seed, share, grad_hidden)
        grad_hidden.index_add_(0, own, grad_sum)
        return grad_hidden, grad_kernel, grad_bias, grad_weight, grad_shift, *[None] * 7
