"""Matrix products of training in bfloat16, with float32 weights, sums and gradients; TF32 on GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bioner_fast.ops import gated, products


def dropout(values: Tensor, share: float, dtype: torch.dtype | None = None) -> Tensor:
    """Zero a random ``share`` of the values [N, C] and scale the others by ``1 / (1 - share)``.

    Args:
        values: floating.
        share: 0 for none.
        dtype: what the result is converted to (for :func:`linear`); None for no change.
    """
    if gated.available(values):
        if share == 0 and dtype is None:
            return values
        return gated.dropout(values, share, gated.seeds(1)[0] if share > 0 else 0, dtype)
    return F.dropout(values, share).to(dtype or values.dtype)


@contextmanager
def on_gpus(*, tf32: bool) -> Iterator[None]:
    """Within, float32 products on GPUs round their operands to TF32 or, without, are those of a CPU.

    Whatever was set before is set again afterwards. Sums of bfloat16 products are kept in float32.
    """
    precision, matmul = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul
    reduced = matmul.allow_bf16_reduced_precision_reduction
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        matmul.allow_bf16_reduced_precision_reduction = reduced


def linear(values: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """``values @ weight.T + bias``.

    In bfloat16 each of the three products (forward and both gradients) reads operands rounded to it and sums
    in float32; the weight, its gradient, the bias and the result stay as they are.

    Args:
        values: [N, I], of the weight's type or ``dtype``.
        weight: [O, I].
        bias: [O].
        dtype: of the products; None for the weight's.

    Returns:
        [N, O] of the weight's type.
    """
    dtype = dtype or weight.dtype
    if dtype == weight.dtype and not products.by_onednn(values):
        return F.linear(values, weight, bias)
    result: Tensor = _Linear.apply(values, weight, bias, dtype)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        low, kernel = values.to(dtype), weight.to(dtype)
        ctx.save_for_backward(low, kernel)
        ctx.types = values.dtype, weight.dtype
        return products.mm(low, kernel.t()).to(weight.dtype).add_(bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        low, kernel = ctx.saved_tensors
        values_type, weight_type = ctx.types
        (grad,) = gradients
        rounded = grad.to(low.dtype)
        into = products.mm(rounded, kernel).to(values_type) if ctx.needs_input_grad[0] else None
        return into, products.mm(rounded.t(), low).to(weight_type), grad.sum(0), None
