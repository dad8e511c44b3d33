"""Products by either of Torch's libraries, and sparse ones: against float64, in any layout of memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.models import product
from bioner_fast.ops import dense, products, step
from reference import step as reference

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
    sparse_level: str,
    dtype: torch.dtype,
    tolerance: float,
    rows: int,
    summed: int,
    columns: int,
    share: float,
) -> None:
    left = random(rows, summed).to(dtype)
    left[torch.rand(rows, summed, generator=torch.Generator().manual_seed(2)) >= share] = 0
    right = random(summed, columns, seed=1).to(dtype)
    out = torch.full((rows, columns), float("nan"), dtype=dtype)
    assert products.sparse_mm(left, right, out) is out
    expected = left.double() @ right.double()
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_sparse_without_rows_columns_or_sums(sparse_level: str) -> None:
    for rows, summed, columns in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        out = torch.full((rows, columns), float("nan"))
        products.sparse_mm(random(rows, summed), random(summed, columns), out)
        assert torch.equal(out, torch.zeros(rows, columns))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sparse_leaves_out_what_is_zero(sparse_level: str, dtype: torch.dtype) -> None:
    right = torch.full((4, 40), float("nan"), dtype=dtype)
    right[1], right[3] = 2, float("inf")
    left = torch.tensor(
        [[0.0, 3.0, -0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [float("inf"), 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    )
    out = products.sparse_mm(left.to(dtype), right, torch.empty(4, 40, dtype=dtype))
    assert (out[0] == 6).all()
    assert (out[1] == 0).all()
    assert out[2].isnan().all()
    assert (out[3] == float("inf")).all()


def test_sparse_rounds_as_torch(sparse_level: str) -> None:
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
    # Instructions for bfloat16 take subnormal numbers for zero.
    torch.testing.assert_close(found, expected, rtol=0, atol=2.0**-126, equal_nan=True)


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


# Sums below, at and beyond vectors and parts; units below, at and beyond blocks.
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-5), (torch.bfloat16, 8e-3)]
)
@pytest.mark.parametrize(("rows", "summed"), [(1, 1), (5, 30), (40, 64), (3, 1500)])
@pytest.mark.parametrize("units", [1, 31, 32, 100])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.75, 0.999])
def test_kept_units(
    sparse_level: str, dtype: torch.dtype, tolerance: float, rows: int, summed: int, units: int, share: float
) -> None:
    left, right = random(rows, summed).to(dtype), (random(units, summed, seed=1) / summed**0.5).to(dtype)
    bias = random(units, seed=2).to(torch.float64 if dtype == torch.float64 else torch.float32)
    out = torch.full((rows, units), float("nan"), dtype=bias.dtype)
    assert products.kept_units(left, right, bias, 99, share, out) is out
    sums = (left.double() @ right.double().t()).to(dtype).double()
    expected = torch.from_numpy(reference.units(sums.numpy(), bias.double().numpy(), 99, share))
    # Of a sum near zero relu may keep nothing on one side.
    scale = 1 / (1 - share)
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance * scale)
    kept = torch.from_numpy(reference.units(np.ones_like(sums), np.zeros(units), 99, share)) > 0
    assert (out[~kept] == 0).all()


def test_kept_units_round_as_a_dense_product(sparse_level: str) -> None:
    """Sums that are exact in float32: the same bits as sums in bfloat16 and a pass over them."""
    left, right = (torch.randint(-8, 9, shape).bfloat16() for shape in ((50, 300), (70, 300)))
    bias = random(70)
    for share in (0.0, 0.75):
        expected, found = torch.empty(50, 70), torch.empty(50, 70)
        sums = (left.double() @ right.double().t()).bfloat16()
        step.units(sums, bias, 7, share, expected)
        products.kept_units(left, right, bias, 7, share, found)
        assert torch.equal(found, expected)


def test_kept_units_without_rows_units_or_sums(sparse_level: str) -> None:
    for rows, summed, units in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        out = torch.full((rows, units), float("nan"))
        bias = torch.arange(-1.0, units - 1)
        products.kept_units(random(rows, summed), random(units, summed), bias, 0, 0.0, out)
        assert torch.equal(out, F.relu(bias).expand(rows, -1))


def test_kept_units_leave_out_what_is_dropped(sparse_level: str) -> None:
    left, right, bias = torch.ones(20, 40), torch.full((64, 40), float("inf")), torch.zeros(64)
    out = products.kept_units(left, right, bias, 5, 0.75, torch.empty(20, 64))
    kept = torch.from_numpy(reference.units(np.ones((20, 64)), np.zeros(64), 5, 0.75)) > 0
    assert torch.equal(out, torch.where(kept, float("inf"), 0.0))


def test_kept_units_do_not_depend_on_threads() -> None:
    left, right, bias = random(200, 300), random(1000, 300, seed=1), random(1000, seed=2)
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(products.kept_units(left, right, bias, 3, 0.75, torch.empty(200, 1000)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_kept_units_refuse_what_does_not_fit() -> None:
    left, right, bias, out = random(2, 3), random(4, 3), random(4), torch.empty(2, 4)
    for wrong in (
        (left, random(4, 2), bias, 0, 0.5, out),
        (left, right, random(3), 0, 0.5, out),
        (left, right, bias, 0, 0.5, torch.empty(4, 2)),
        (left, right, bias, 0, 1.0, out),
    ):
        with pytest.raises(ValueError, match=r"`(right|bias|out|share)` must"):
            products.kept_units(*wrong)
    for wrong in (
        (left.half(), right.half(), bias, 0, 0.5, out),
        (left, right.double(), bias, 0, 0.5, out),
        (left, right, bias.bfloat16(), 0, 0.5, out),
        (left.bfloat16(), right.bfloat16(), bias, 0, 0.5, out.bfloat16()),
    ):
        with pytest.raises(TypeError, match=r"`(left|right|bias|out)` must"):
            products.kept_units(*wrong)


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
