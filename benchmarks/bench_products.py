"""Products of a training step on CPUs beside Torch's: without what dropout takes, and widened from bfloat16.

The shapes are those of the published cnn's hidden layer: 200 tokens, 1,200 inputs, 1,200 units, dropout 0.75.
Behind dropout and relu an eighth of a gradient's values are left.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from bioner_fast.ops import gated, products, step
from conftest import THREADS

TOKENS, WIDTH, DROPOUT = 200, 1200, 0.75
LEFT = (1 - DROPOUT) / 2  # of the values
TIMES = 20
SHAPES = {"input": (TOKENS, WIDTH), "weight": (WIDTH, TOKENS)}  # whose gradient: left operand


@pytest.mark.parametrize("side", ["sparse", "bioner_fast", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("of", SHAPES)
def test_gradient(of: str, dtype: torch.dtype, side: str, measure: Any, benchmark: Any) -> None:
    """The gradient of a hidden layer's input, and that of its weight."""
    benchmark.group = f"gradient of the {of}, {str(dtype).removeprefix('torch.')}, {THREADS} threads"
    generator = torch.Generator().manual_seed(0)
    rows, summed = SHAPES[of]
    left = torch.randn(rows, summed, generator=generator).to(dtype)
    left[torch.rand(rows, summed, generator=generator) >= LEFT] = 0
    right = torch.randn(summed, WIDTH, generator=generator).to(dtype)
    out = torch.empty(rows, WIDTH, dtype=dtype)
    expected = left.double() @ right.double()
    scale = float(expected.abs().max())
    multiply: Any = {"sparse": products.sparse_mm, "bioner_fast": products.mm, "torch": torch.mm}[side]

    def once() -> torch.Tensor:
        result: torch.Tensor = multiply(left, right, out=out)
        return result

    torch.testing.assert_close(once().double() / scale, expected / scale, rtol=0, atol=4e-3)

    def run() -> None:
        for _ in range(TIMES):
            once()

    role = "peer" if side == "torch" else "ours" if side == "sparse" else "option"
    measure(run, tokens=TOKENS * TIMES, moved=0, role=role, peer=side)


@pytest.mark.parametrize("side", ["sparse", "bioner_fast", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_layer(dtype: torch.dtype, side: str, measure: Any, benchmark: Any) -> None:
    """The hidden layer itself, relu and dropout with it."""
    benchmark.group = f"hidden layer, {str(dtype).removeprefix('torch.')}, {THREADS} threads"
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(TOKENS, WIDTH, generator=generator).relu_().to(dtype)
    weight = (torch.randn(WIDTH, WIDTH, generator=generator) / WIDTH**0.5).to(dtype)
    bias = torch.randn(WIDTH, generator=generator)
    out, sums = torch.empty(TOKENS, WIDTH), torch.empty(TOKENS, WIDTH, dtype=dtype)

    def sparse() -> torch.Tensor:
        return products.kept_units(left, weight, bias, 1, DROPOUT, out)

    def dense() -> torch.Tensor:
        step.units(products.mm(left, weight.t(), out=sums), bias, 1, DROPOUT, out)
        return out

    def plain() -> torch.Tensor:
        return F.dropout(F.relu(F.linear(left, weight).float() + bias), DROPOUT)

    units = F.relu((left.double() @ weight.double().t()) + bias.double())
    mask = gated.dropout(torch.ones(TOKENS, WIDTH, dtype=torch.float64), DROPOUT, 1)
    if side == "torch":  # has a mask of its own
        made = plain().double()
        expected = units * (made > 0) / (1 - DROPOUT)
    else:
        made = (sparse if side == "sparse" else dense)().double()
        expected = units * mask
    torch.testing.assert_close(made, expected, rtol=1e-2, atol=5e-2)
    once = {"sparse": sparse, "bioner_fast": dense, "torch": plain}[side]

    def run() -> None:
        for _ in range(TIMES):
            once()

    role = "peer" if side == "torch" else "ours" if side == "sparse" else "option"
    measure(run, tokens=TOKENS * TIMES, moved=0, role=role, peer=side)
