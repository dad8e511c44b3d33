"""Products by either of Torch's libraries: against float64, however their operands lie in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.models import product
from bioner_fast.ops import dense, products

there = pytest.mark.skipif(not products.works(products.onednn), reason="this Torch has no oneDNN")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def as_is(values: Tensor) -> Tensor:
    return values


def transposed(values: Tensor) -> Tensor:
    return values.t().contiguous().t()


def with_gaps(values: Tensor) -> Tensor:
    return torch.cat([values, torch.full_like(values, float("nan"))], 1)[:, : values.shape[1]]


LAYOUTS = [as_is, transposed, with_gaps]


@there
@pytest.mark.parametrize(
    ("rows", "summed", "columns"), [(1, 1, 1), (5, 7, 3), (1, 40, 33), (50, 100, 1), (0, 4, 2)]
)
@pytest.mark.parametrize("left_layout", LAYOUTS)
@pytest.mark.parametrize("right_layout", LAYOUTS)
def test_onednn(
    rows: int,
    summed: int,
    columns: int,
    left_layout: Callable[[Tensor], Tensor],
    right_layout: Callable[[Tensor], Tensor],
) -> None:
    left, right = random(rows, summed), random(summed, columns, seed=1)
    found = products.onednn(left_layout(left), right_layout(right))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), left.double() @ right.double(), rtol=1e-5, atol=1e-5)


@there
def test_onednn_of_one_row_again_and_again() -> None:
    found = products.onednn(random(3, 4), random(4, 1, seed=1).expand(4, 6))
    torch.testing.assert_close(found, random(3, 4) @ random(4, 1, seed=1).expand(4, 6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_mm_with_and_without_memory(dtype: torch.dtype) -> None:
    left, right = random(6, 5).to(dtype), random(5, 4, seed=1).to(dtype)
    expected = left.double() @ right.double()
    for out in (None, torch.full((6, 4), float("nan"), dtype=dtype)):
        found = products.mm(left, right, out)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("widened", [True, False])
@pytest.mark.parametrize("left_layout", LAYOUTS)
@pytest.mark.parametrize("right_layout", LAYOUTS)
def test_bfloat16(
    widened: bool,
    left_layout: Callable[[Tensor], Tensor],
    right_layout: Callable[[Tensor], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "_is_slow_in_bfloat16", lambda: widened)
    left, right = random(9, 30).bfloat16(), random(30, 7, seed=1).bfloat16()
    assert products.is_widened(left) == widened
    expected = left.double() @ right.double()
    for out in (None, torch.full((9, 7), float("nan"), dtype=torch.bfloat16)):
        found = products.mm(left_layout(left), right_layout(right), out)
        assert found.dtype == torch.bfloat16
        # The sums are exact to float32, so what is left is one rounding to eight bits.
        torch.testing.assert_close(found.double(), expected, rtol=2**-8 * 1.01, atol=1e-5)


def test_what_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    values = random(1, 1)
    monkeypatch.setattr(products.platform, "machine", lambda: "x86_64")
    for slow in (True, False):
        monkeypatch.setattr(dense, "available", lambda slow=slow: not slow)
        assert products.is_widened(values.bfloat16()) == slow
        assert not products.is_widened(values)
        assert not products.is_widened(values.half())
    monkeypatch.setattr(dense, "available", lambda: False)
    monkeypatch.setattr(products.platform, "machine", lambda: "aarch64")
    assert not products.is_widened(values.bfloat16())


def test_what_onednn_is_taken_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if _ops.is_intel or "avx512" not in _ops.simd_levels():
        assert not products.by_onednn(random(1, 1))
    monkeypatch.setattr(products, "_is_faster", lambda: True)
    assert products.by_onednn(random(1, 1))
    assert not products.by_onednn(random(1, 1).double())
    assert not products.by_onednn(random(1, 1).bfloat16())


def test_a_product_that_is_not_there_or_wrong_is_not_taken() -> None:
    def missing(left: Tensor, right: Tensor) -> Tensor:
        made: Tensor = torch.ops.bioner_fast.no_such_product(left, right)
        return made

    assert products.works(torch.mm)
    assert not products.works(missing)
    assert not products.works(lambda left, right: left @ right + 1)
    assert not products.works(lambda left, right: torch.mm(left))  # type: ignore[call-arg]


@there
def test_a_layer_learns_as_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_faster", lambda: True)
    found = []
    for linear in (product.linear, F.linear):
        values, weight, bias = (
            v.requires_grad_() for v in (random(9, 8), random(7, 8, seed=1), random(7, seed=2))
        )
        out = linear(with_gaps(values), weight, bias)
        (out * random(9, 7, seed=3)).sum().backward()
        found.append([out, values.grad, weight.grad, bias.grad])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
