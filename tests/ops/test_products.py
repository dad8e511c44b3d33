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
    monkeypatch.setattr(products, "widens", lambda: widened)
    left, right = random(9, 30).bfloat16(), random(30, 7, seed=1).bfloat16()
    expected = left.double() @ right.double()
    for out in (None, torch.full((9, 7), float("nan"), dtype=torch.bfloat16)):
        found = products.mm(left_layout(left), right_layout(right), out)
        assert found.dtype == torch.bfloat16
        # The sums are exact to float32, so what is left is one rounding to eight bits.
        torch.testing.assert_close(found.double(), expected, rtol=2**-8 * 1.01, atol=1e-5)


def test_what_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, available, expected in (
        ("x86_64", False, True),
        ("x86_64", True, False),
        ("aarch64", False, False),
    ):
        monkeypatch.setattr(products.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(dense, "available", lambda available=available: available)
        assert products.widens() == expected


# Columns below, at and beyond vectors, blocks and two threads' shares of every level.
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-5), (torch.bfloat16, 4e-3)]
)
@pytest.mark.parametrize(("rows", "summed"), [(1, 1), (5, 30), (40, 9), (3, 700)])
@pytest.mark.parametrize("columns", [1, 16, 100, 333])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sparse(
    simd_level: str, dtype: torch.dtype, tolerance: float, rows: int, summed: int, columns: int, share: float
) -> None:
    left = random(rows, summed).to(dtype)
    left[torch.rand(rows, summed, generator=torch.Generator().manual_seed(2)) >= share] = 0
    right = random(summed, columns, seed=1).to(dtype)
    out = torch.full((rows, columns), float("nan"), dtype=dtype)
    assert products.sparse_mm(left, right, out) is out
    expected = left.double() @ right.double()
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_sparse_without_rows_columns_or_sums(simd_level: str) -> None:
    for rows, summed, columns in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        out = torch.full((rows, columns), float("nan"))
        products.sparse_mm(random(rows, summed), random(summed, columns), out)
        assert torch.equal(out, torch.zeros(rows, columns))


def test_sparse_leaves_out_what_is_zero(simd_level: str) -> None:
    right = torch.full((3, 40), float("nan"))
    right[1] = 2
    left = torch.tensor([[0.0, 3.0, -0.0], [0.0, 0.0, 0.0], [float("inf"), 0.0, 0.0]])
    out = products.sparse_mm(left, right, torch.empty(3, 40))
    assert (out[0] == 6).all()
    assert (out[1] == 0).all()
    assert out[2].isnan().all()


def test_sparse_rounds_as_torch(simd_level: str) -> None:
    values = torch.tensor(
        [1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3e38, 1e-40, float("inf"), float("nan")]
    )
    left, right = (
        torch.ones(1, 2).bfloat16(),
        torch.stack([values.bfloat16(), (values - values.bfloat16()).bfloat16()]),
    )
    right[1] = right[1].nan_to_num(0)
    expected = (left.float() @ right.float()).bfloat16()
    found = products.sparse_mm(left, right, torch.empty(1, len(values), dtype=torch.bfloat16))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_sparse_does_not_depend_on_threads() -> None:
    left, right = F.relu(random(200, 300)), random(300, 1000, seed=1)
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(products.sparse_mm(left, right, torch.empty(200, 1000)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_sparse_refuses_what_does_not_fit() -> None:
    left, right = random(2, 3), random(3, 4)
    with pytest.raises(ValueError, match="right"):
        products.sparse_mm(left, random(2, 4), torch.empty(2, 4))
    with pytest.raises(ValueError, match="out"):
        products.sparse_mm(left, right, torch.empty(4, 2))
    with pytest.raises(TypeError, match="left"):
        products.sparse_mm(left.half(), right.half(), torch.empty(2, 4).half())
    with pytest.raises(TypeError, match="right"):
        products.sparse_mm(left, right.double(), torch.empty(2, 4))


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
