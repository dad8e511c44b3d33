"""Dense layers in bfloat16: against products in float64, at shapes below, at and beyond blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.ops import dense

pytestmark = pytest.mark.usefixtures("dense_level")

# Rows, inputs, outputs.
SHAPES = [
    (1, 1, 1),
    (7, 40, 5),
    (16, 16, 16),
    (17, 48, 33),
    (32, 32, 32),
    (33, 31, 17),
    (64, 96, 64),
    (50, 1435, 300),
]
shapes = pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
HOW = {"beta1": 0.9, "beta2": 0.99, "step_size": 0.1, "epsilon": 1e-3, "decay": 0.9}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def new(name: str, shape: tuple[int, ...]) -> Tensor:
    """Memory that holds what would spoil a sum."""
    return torch.full(shape, float("nan"), dtype=torch.bfloat16)


def padded(values: Tensor) -> Tensor:
    """With room for whole blocks: zeros beside the values, what would spoil a sum below them."""
    rows, columns = values.shape
    made = new("", (dense.padded(rows), dense.padded(columns)))
    made[:rows] = 0
    made[:rows, :columns] = values
    return made


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    scale = max(float(expected.abs().max()), 1.0)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance * scale)


class Layer:
    """Weights, inputs and gradients, and what they are rounded."""

    def __init__(self, rows: int, inputs: int, outputs: int) -> None:
        self.weights, self.x = random(outputs, inputs, seed=1) / inputs**0.5, random(rows, inputs, seed=2)
        self.grad = random(rows, outputs, seed=3)
        self.low, self.operand = dense.blocks(self.weights), dense.operand(self.x, inputs, new)
        self.gradient = dense.WeightGradient(padded(self.grad.t()), self.operand)
        exact = [value.bfloat16().double() for value in (self.weights, self.x, self.grad)]
        self.result, self.into = exact[1] @ exact[0].t(), exact[2] @ exact[0]
        self.weight_grad = exact[2].t() @ exact[1]


@shapes
def test_products(rows: int, inputs: int, outputs: int) -> None:
    layer = Layer(rows, inputs, outputs)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 5e-3)):
        out = torch.empty(rows, outputs, dtype=dtype)
        dense.forward(layer.operand, layer.low, out)
        close(out, layer.result, tolerance)
        into = torch.empty(rows, inputs, dtype=dtype)
        dense.backward(padded(layer.grad), outputs, layer.low, into)
        close(into, layer.into, tolerance)
    close(layer.gradient.dense(outputs), layer.weight_grad)


@shapes
def test_inputs_in_bfloat16_with_columns_to_leave_out(rows: int, inputs: int, outputs: int) -> None:
    layer = Layer(rows, inputs, outputs)
    wide = torch.cat([layer.x, torch.full((rows, 3), float("nan"))], 1).bfloat16()
    again = dense.operand(wide, inputs, new)
    assert torch.equal(again.over_columns, layer.operand.over_columns)
    assert torch.equal(again.over_rows, layer.operand.over_rows)


@shapes
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_steps(rows: int, inputs: int, outputs: int, kind: str) -> None:
    layer = Layer(rows, inputs, outputs)
    weights, grad = layer.weights.clone(), layer.weight_grad
    if kind == "sgd":
        dense.sgd(weights, layer.gradient, layer.low, rate=0.1)
        close(weights, layer.weights - 0.1 * grad)
    else:
        first, second = random(outputs, inputs, seed=4), random(outputs, inputs, seed=5).abs()
        mean, square = 0.9 * first + 0.1 * grad, 0.99 * second + 0.01 * grad * grad
        dense.adam(weights, layer.gradient, first, second, layer.low, **HOW)
        close(first, mean)
        close(second, square)
        close(weights, 0.9 * layer.weights - 0.1 * mean / (square.sqrt() + 1e-3), 1e-4)
    assert torch.equal(layer.low, dense.blocks(weights))


def test_threads_change_nothing() -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            layer = Layer(200, 600, 500)
            out, into = torch.empty(200, 500), torch.empty(200, 600)
            dense.forward(layer.operand, layer.low, out)
            dense.backward(padded(layer.grad), 500, layer.low, into)
            first, second = torch.zeros(500, 600), torch.zeros(500, 600)
            dense.adam(layer.weights, layer.gradient, first, second, layer.low, **HOW)
            operand = layer.operand.over_columns, layer.operand.over_rows
            found.append((out, into, layer.weights, first, second, layer.low, *operand))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert torch.equal(one, other)


def test_tiles_are_amx(dense_level: str) -> None:
    assert dense.available()
    assert dense.in_tiles() == (dense_level == "avx512_amx")


@pytest.mark.parametrize("level", ["scalar", "avx512_vnni"])
def test_levels_below_cannot(level: str) -> None:
    layer = Layer(2, 3, 4)
    try:
        _ops.force_simd(level)
        assert not dense.available()
        assert not dense.in_tiles()
        with pytest.raises(ValueError, match="need a processor with AMX"):
            dense.forward(layer.operand, layer.low, torch.empty(2, 4))
    finally:
        _ops.force_simd("")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: dense.forward(n.operand, n.low, torch.empty(40, 4)), "`x` must have shape"),
        (lambda n: dense.forward(n.operand, n.low[:-1], torch.empty(2, 4)), "`weights` must have shape"),
        (lambda n: dense.forward(n.operand, n.low, torch.empty(2, 4).double()), "`out` must be"),
        (lambda n: dense.forward(n.operand, n.low.float(), torch.empty(2, 4)), "`weights` must be"),
        (lambda n: dense.backward(padded(n.grad)[:2], 4, n.low, torch.empty(2, 3)), "`grad` must have at"),
        (lambda n: dense.backward(padded(n.grad), 4, n.low, torch.empty(33, 3)), "`grad` must have at"),
        (lambda n: dense.backward(padded(n.grad), 0, n.low, torch.empty(2, 3)), "`outputs` must be pos"),
        (lambda n: dense.operand(n.x, 4, new), "`columns` must be at most"),
        (lambda n: dense.operand(n.x.double(), 3, new), "`values` must be"),
        (lambda n: dense.sgd(torch.zeros(40, 3), n.gradient, n.low, rate=1), "`grad` must have at"),
        (lambda n: dense.sgd(torch.zeros(4, 33), n.gradient, n.low, rate=1), "`x` must have shape"),
        (lambda n: dense.adam(n.weights, n.gradient, n.x, n.x, n.low, **HOW), "`first` must have shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Callable[[Layer], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call(Layer(2, 3, 4))
