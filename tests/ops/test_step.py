"""The passes of a training step: against loops, on every SIMD level, at every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.ops import step
from reference import step as reference

# Value type, product type, tolerance.
TYPES = [
    (torch.float64, torch.float64, 1e-13),
    (torch.float32, torch.float32, 1e-5),
    (torch.float32, torch.bfloat16, 2e-2),
]
types = pytest.mark.parametrize(("dtype", "product", "tolerance"), TYPES, ids=["f64", "f32", "bf16"])
# Rows and columns below, at and beyond a tile of 32.
SHAPES = [(1, 1), (5, 3), (32, 32), (33, 100), (70, 47), (200, 64)]


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """The same values at every type, but for rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def close(found: Tensor, expected: np.ndarray, tolerance: float) -> None:
    scale = max(float(np.abs(expected).max(initial=0)), 1.0)
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=0, atol=tolerance * scale)


def windows(rows: int, slots: int, width: int = 3) -> Tensor:
    """Starts that overlap, with gaps."""
    starts = [s for s in range(rows - slots + 1) if s % 7 != width]
    return torch.tensor(starts, dtype=torch.int64)


@types
@pytest.mark.parametrize(("rows", "filters"), SHAPES)
@pytest.mark.parametrize("slots", [1, 3, 5])
def test_positions(
    simd_level: str, dtype: torch.dtype, product: torch.dtype, tolerance: float, rows: int, filters: int,
    slots: int,
) -> None:  # fmt: skip
    slots = min(slots, rows)
    starts = windows(rows, slots)
    values, bias = random(rows, filters, dtype=product), random(filters, dtype=dtype, seed=1)
    active, placed = reference.positions(
        values.double().numpy(), bias.double().numpy(), starts.tolist(), slots
    )
    stride, column = slots * filters + 9, 4
    features = torch.full((len(starts), stride), 7.0, dtype=product)
    step.positions(values, bias, starts, slots, features, column)
    close(values, active, tolerance)
    close(features[:, column:-5], placed, tolerance)
    assert (features[:, :column] == 7).all()
    assert (features[:, -5:] == 7).all()

    grad = random(len(starts), stride, dtype=product, seed=2)
    into = grad[:, column:-5].double().numpy()
    expected = reference.positions_grad(into, values.double().numpy(), starts.tolist(), slots)
    made, transposed = torch.empty_like(values), values.new_empty(filters, rows)
    sums = torch.empty_like(bias)
    step.positions_grad(grad, values, starts, slots, column, made, transposed, sums)
    close(made, expected, tolerance)
    assert torch.equal(made.t(), transposed)
    close(sums, expected.sum(0), tolerance)
    again, only = torch.empty_like(values), torch.empty_like(transposed)
    step.positions_grad(grad, values, starts, slots, column, again, None, sums)
    step.positions_grad(grad, values, starts, slots, column, None, only, sums)
    assert torch.equal(again, made)
    assert torch.equal(only, transposed)


@types
@pytest.mark.parametrize(("tokens", "width"), SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.75])
@pytest.mark.parametrize("last", [True, False])
def test_units(
    simd_level: str, dtype: torch.dtype, product: torch.dtype, tolerance: float, tokens: int, width: int,
    share: float, last: bool,
) -> None:  # fmt: skip
    sums, bias = random(tokens, width, dtype=product), random(width, dtype=dtype, seed=1)
    out = torch.empty(tokens, width, dtype=dtype if last else product)
    step.units(sums, bias, 99, share, out)
    expected = reference.units(sums.double().numpy(), bias.double().numpy(), 99, share)
    close(out, expected, tolerance)

    grad = random(tokens, width, dtype=out.dtype, seed=2)
    wanted = np.where(out.double().numpy() > 0, grad.double().numpy() / (1 - share), 0)
    rows, columns = sums.new_empty(tokens, width), sums.new_empty(width, tokens)
    total = torch.empty_like(bias)
    step.units_grad(grad, out, share, rows, columns, total)
    close(rows, wanted, tolerance)
    assert torch.equal(rows.t(), columns)
    close(total, wanted.sum(0), tolerance)


@types
@pytest.mark.parametrize(("rows", "filters"), SHAPES)
def test_gradients_of_positions_with_room(
    simd_level: str, dtype: torch.dtype, product: torch.dtype, tolerance: float, rows: int, filters: int
) -> None:
    """As for units, below."""
    starts, values = windows(rows, 1, width=9), random(rows, filters, dtype=product)
    grad = random(len(starts), filters, dtype=product, seed=1)
    columns, sums = torch.empty(filters, rows, dtype=product), torch.empty(filters, dtype=dtype)
    step.positions_grad(grad, values, starts, 1, 0, None, columns, sums)
    room = -(-filters // 32) * 32, -(-rows // 32) * 32
    high, again = torch.full(room, 7.0, dtype=product), torch.empty_like(sums)
    step.positions_grad(grad, values, starts, 1, 0, None, high, again)
    assert torch.equal(again, sums)
    assert torch.equal(high[:filters, :rows], columns)
    assert (high[:filters, rows:] == 0).all()


@types
@pytest.mark.parametrize(("tokens", "width"), SHAPES)
def test_gradients_of_units_with_room(
    simd_level: str, dtype: torch.dtype, product: torch.dtype, tolerance: float, tokens: int, width: int
) -> None:
    """In larger matrices the values are the same, and zeros follow as far as a block."""
    out, grad = random(tokens, width, dtype=dtype), random(tokens, width, dtype=dtype, seed=1)
    rows, columns = (torch.empty(*shape, dtype=product) for shape in ((tokens, width), (width, tokens)))
    sums = torch.empty(width, dtype=dtype)
    step.units_grad(grad, out, 0.5, rows, columns, sums)
    room = -(-tokens // 32) * 32, -(-width // 32) * 32
    wide, high = torch.full(room, 7.0, dtype=product), torch.full(room[::-1], 7.0, dtype=product)
    again = torch.empty_like(sums)
    step.units_grad(grad, out, 0.5, wide, high, again)
    assert torch.equal(again, sums)
    assert torch.equal(wide[:tokens, :width], rows)
    assert torch.equal(high[:width, :tokens], columns)
    assert (wide[:tokens, width:] == 0).all()
    assert (high[:width, tokens:] == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("tokens", "width"), [(1, 1), (5, 3), (33, 100), (70, 47)])
@pytest.mark.parametrize("tags", [1, 3, 4, 5, 6, 13])
@pytest.mark.parametrize("clip", [(-1e9, 0.0), (-1.5, -0.5)])
def test_head(
    simd_level: str, dtype: torch.dtype, tolerance: float, tokens: int, width: int, tags: int,
    clip: tuple[float, float],
) -> None:  # fmt: skip
    hidden, weights = random(tokens, width, dtype=dtype), random(tags, width, dtype=dtype, seed=1) / width
    bias = random(tags, dtype=dtype, seed=2)
    gold = torch.randint(0, tags, (tokens,), generator=torch.Generator().manual_seed(3))
    into = torch.empty_like(hidden)
    loss, *learnt = step.head(hidden, weights, bias, gold, tokens + 1, into, clip)
    numbers = (hidden.double().numpy(), weights.double().numpy(), bias.double().numpy(), gold.tolist())
    expected = reference.head(*numbers, tokens + 1, clip)
    assert float(loss) == pytest.approx(expected[0], abs=tolerance)
    for found, wanted in zip((into, *learnt), expected[1:], strict=True):
        close(found, wanted, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (40, 7, 205)])
def test_fold(simd_level: str, dtype: torch.dtype, tolerance: float, shape: tuple[int, int, int]) -> None:
    tokens, window, width = shape
    steps = torch.randint(0, window + 3, (tokens,), generator=torch.Generator().manual_seed(1))
    starts = steps.cumsum(0)  # some at the same row, some with rows between that no window has
    rows = int(starts[-1]) + window + 2
    grad = random(*shape, dtype=dtype)
    expected = np.zeros((rows, width))
    for n, start in enumerate(starts.tolist()):
        expected[start : start + window] += grad[n].double().numpy()
    close(step.fold(grad, starts, rows), expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("caps_dim", [0, 5])
def test_rows_and_their_step(simd_level: str, dtype: torch.dtype, caps_dim: int) -> None:
    """Repeated rows included."""
    table, caps = random(30, 21, dtype=dtype), random(4, caps_dim, dtype=dtype, seed=1)
    ids = torch.randint(0, 30, (200,), generator=torch.Generator().manual_seed(2))
    cap_ids = ids % 4
    made = torch.empty(200, 21 + caps_dim, dtype=dtype)
    step.rows(table, ids, caps if caps_dim else None, cap_ids, made)
    assert torch.equal(made, torch.cat([table[ids], caps[cap_ids]], 1))

    grad = random(200, 21 + caps_dim, dtype=dtype, seed=3)
    expected, wanted = table.clone(), torch.zeros_like(caps)
    for m in range(200):
        expected[ids[m]] -= 0.1 * grad[m, :21]
        wanted[cap_ids[m]] += grad[m, 21:]
    step.rows_sgd(table, ids, grad, rate=0.1)
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-13 if dtype == torch.float64 else 1e-5)
    if caps_dim:
        found = step.caps_grad(grad, cap_ids, caps)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-4)


@types
@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("count", [1, 15, 16, 1000, 70_000])
def test_updates(
    simd_level: str, dtype: torch.dtype, product: torch.dtype, tolerance: float, kind: str, count: int
) -> None:
    values, grad = random(count, dtype=dtype), random(count, dtype=product, seed=1)
    first, second = random(count, dtype=dtype, seed=2), random(count, dtype=dtype, seed=3).abs()
    low = torch.empty_like(grad)
    before = [t.double().tolist() for t in (values, grad, first, second)]
    if kind == "sgd":
        step.sgd(values, grad, low, rate=0.1)
        expected = [w - 0.1 * g for w, g in zip(*before[:2], strict=True)]
    else:
        how = {"beta1": 0.9, "beta2": 0.999, "step_size": 0.01, "epsilon": 1e-3, "decay": 0.9}
        step.adam(values, grad, first, second, low, **how)
        results = [reference.adam(*one, **how) for one in zip(*before, strict=True)]
        expected, means, squares = map(list, zip(*results, strict=True))
        close(first, np.array(means), min(tolerance, 1e-5))
        close(second, np.array(squares), min(tolerance, 1e-5))
    close(values, np.array(expected), min(tolerance, 1e-5))
    assert torch.equal(low, values.to(product))


def everything(product: torch.dtype) -> list[Tensor]:
    """Results of all passes."""
    values, bias = random(400, 100, dtype=product), random(100, dtype=torch.float32, seed=1)
    starts = windows(400, 5)
    features = torch.empty(len(starts), 500, dtype=product)
    step.positions(values, bias, starts, 5, features, 0)
    made, total = torch.empty_like(values), torch.empty_like(bias)
    transposed = values.new_empty(100, 400)
    step.positions_grad(features, values, starts, 5, 0, made, transposed, total)
    sums, wide = random(400, 1000, dtype=product, seed=2), random(1000, dtype=torch.float32, seed=3)
    out = torch.empty(400, 1000)
    step.units(sums, wide, 5, 0.5, out)
    rows, columns, more = sums.new_zeros(416, 1024), sums.new_zeros(1024, 416), torch.empty_like(wide)
    step.units_grad(random(400, 1000, dtype=torch.float32, seed=4), out, 0.5, rows, columns, more)
    w, m, v = (random(300_000, dtype=torch.float32, seed=s).abs() for s in (5, 6, 7))
    step.adam(w, random(300_000, dtype=product), m, v, beta1=0.9, beta2=0.99, step_size=0.1, epsilon=1e-8)
    weights, into = random(7, 1000, dtype=torch.float32, seed=8), torch.empty_like(out)
    learnt = step.head(out, weights, torch.zeros(7), torch.arange(400) % 7, 400, into)
    table, ids = random(50, 300, dtype=torch.float32, seed=9), torch.arange(2000) ** 2 % 50
    looked_up = torch.empty(2000, 300)
    step.rows(table, ids, None, ids, looked_up)
    step.rows_sgd(table, ids, looked_up, rate=0.01)
    folded = step.fold(looked_up[:1998].view(666, 3, 300), torch.arange(666), 668)
    return [
        values, features, made, transposed, total, out, rows, columns, more, w, m, v, into, *learnt, table,
        folded,
    ]  # fmt: skip


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_levels_and_threads_agree_bit_for_bit(product: torch.dtype) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        _ops.force_simd("scalar")
        expected = everything(product)
        for level in _ops.simd_levels():
            _ops.force_simd(level)
            for threads in (1, 3):
                torch.set_num_threads(threads)
                for found, value in zip(everything(product), expected, strict=True):
                    assert torch.equal(found, value), (level, threads)
    finally:
        _ops.force_simd("")
        torch.set_num_threads(before)


def positions_call(**changed: Any) -> Callable[[], None]:
    how: dict[str, Any] = {
        "values": torch.zeros(5, 2), "bias": torch.zeros(2), "starts": torch.tensor([0, 1]), "slots": 3,
        "features": torch.zeros(2, 6), "column": 0,
    }  # fmt: skip
    return lambda: step.positions(**how | changed)


def head_call(**changed: Any) -> Callable[[], None]:
    how: dict[str, Any] = {
        "hidden": torch.zeros(2, 3), "weights": torch.zeros(4, 3), "bias": torch.zeros(4),
        "gold": torch.tensor([0, 3]), "size": 2, "grad_hidden": torch.zeros(2, 3),
    }  # fmt: skip
    return lambda: step.head(**how | changed)


def rows_call(**changed: Any) -> Callable[[], None]:
    how: dict[str, Any] = {
        "table": torch.zeros(5, 2), "ids": torch.tensor([0, 4]), "caps": torch.zeros(3, 1),
        "cap_ids": torch.tensor([2, 0]), "out": torch.zeros(2, 3),
    }  # fmt: skip
    return lambda: step.rows(**how | changed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (positions_call(starts=torch.tensor([0, 3])), "`starts` must ascend within"),
        (positions_call(starts=torch.tensor([1, 0])), "`starts` must ascend within"),
        (positions_call(starts=torch.tensor([-1, 0])), "`starts` must ascend within"),
        (positions_call(starts=torch.tensor([0])), "`starts` must have shape"),
        (positions_call(slots=0), "`slots` must lie in"),
        (positions_call(slots=6), "`slots` must lie in"),
        (positions_call(column=1), "`column` and `slots` must lie within"),
        (positions_call(column=-1), "`column` and `slots` must lie within"),
        (positions_call(column=2**62), "`column` and `slots` must lie within"),
        (positions_call(bias=torch.zeros(3)), "`bias` must have shape"),
        (positions_call(values=torch.zeros(5, 2).double()), "`values` must be float32 or bfloat16"),
        (lambda: step.units(torch.zeros(2, 3), torch.zeros(3), 0, 1.0, torch.zeros(2, 3)), "`share` must be"),
        (lambda: step.units(torch.zeros(2, 4), torch.zeros(3), 0, 0.5, torch.zeros(2, 3)), "`sums` must"),
        (
            lambda: step.units_grad(torch.zeros(2, 3), torch.zeros(2, 3), 0.5, None, None, torch.zeros(3)),
            "`grad_rows` or `grad_columns` must be given",
        ),
        (
            lambda: step.units_grad(
                torch.zeros(2, 3), torch.zeros(2, 3), 0.5, torch.zeros(2, 2), None, torch.zeros(3)
            ),
            "`grad_rows` must have at least shape",
        ),
        (head_call(gold=torch.tensor([0, 4])), "`gold`"),
        (head_call(gold=torch.tensor([0])), "`gold` must have shape"),
        (head_call(weights=torch.zeros(4, 2)), "`weights` must have shape"),
        (head_call(weights=torch.zeros(0, 3)), "must have a row for each tag"),
        (head_call(bias=torch.zeros(4).double()), "`bias` must be float32"),
        (head_call(grad_hidden=torch.zeros(2, 2)), "`grad_hidden` must have shape"),
        (rows_call(ids=torch.tensor([0, 5])), "`ids`"),
        (rows_call(cap_ids=torch.tensor([0, -1])), "`cap_ids`"),
        (rows_call(out=torch.zeros(2, 4)), "`rows` must have shape"),
        (
            lambda: step.rows_sgd(torch.zeros(3, 2), torch.tensor([3]), torch.zeros(1, 2), rate=0.1),
            "`ids`",
        ),
        (
            lambda: step.rows_sgd(torch.zeros(3, 2), torch.tensor([0]), torch.zeros(1, 1), rate=0.1),
            "`grad` must have at least the columns",
        ),
        (lambda: step.sgd(torch.zeros(3), torch.zeros(2), rate=0.1), "`grad` must have as many elements"),
        # What is changed in place: a copy would be.
        (lambda: step.sgd(torch.zeros(2, 3).t(), torch.zeros(3, 2), rate=0.1), "`values` must be contiguous"),
        (
            lambda: step.rows_sgd(torch.zeros(2, 3).t(), torch.tensor([0]), torch.zeros(1, 2), rate=0.1),
            "`table` must be contiguous",
        ),
        (
            lambda: step.adam(
                *(torch.zeros(3, 2) for _ in range(3)), torch.zeros(2, 3).t(),
                beta1=0.9, beta2=0.9, step_size=0.1, epsilon=0.1,
            ),
            "`second` must be contiguous",
        ),
        (lambda: step.fold(torch.zeros(1, 2, 3), torch.tensor([1]), 2), "`starts` must ascend within"),
        (lambda: step.fold(torch.zeros(2, 2, 3), torch.tensor([1, 0]), 9), "`starts` must ascend within"),
        (lambda: step.fold(torch.zeros(2, 2, 3), torch.tensor([0]), 9), "`starts` must have shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Callable[[], None], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
