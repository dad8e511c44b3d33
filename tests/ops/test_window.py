"""window_gather: values and gradients; what it shares with embedding_window (test_embedding_window.py)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast import ops
from ops.windows import FLOATS, WINDOWS, pack, plain, random
from reference import window as reference

# ---- The oracle


@pytest.mark.parametrize("window", [1, 3, 5])
def test_the_reference_is_proved_by_enumeration(window: int) -> None:
    """All packings of up to four tokens, against padding and slicing; gradients against the whole matrix."""
    pad = -1.0
    for count in range(4):
        for lengths in itertools.product(range(4), repeat=count):
            n = sum(lengths)
            offsets = pack(list(lengths))
            values = np.arange(n, dtype=np.float64)
            pieces = []
            for begin, end in itertools.pairwise(offsets.tolist()):
                padded = np.pad(values[begin:end], window // 2, constant_values=pad)
                pieces += [padded[i : i + window] for i in range(end - begin)]
            expected = np.array(pieces).reshape(n, window)
            found = reference.window_gather(values[:, None], offsets, window, np.array([pad]))
            assert np.array_equal(found, expected)
            # The op is linear: its matrix, column by column, and the transpose are the gradients.
            matrix = np.zeros((n * window, n + 1))
            for column in range(n + 1):
                unit = np.zeros(n + 1)
                unit[column] = 1
                matrix[:, column] = reference.window_gather(unit[:n, None], offsets, window, unit[n:]).ravel()
            grad = np.random.default_rng(0).integers(-9, 9, (n, window)).astype(np.float64)
            transposed = matrix.T @ grad.ravel()
            assert np.array_equal(reference.grad_values(grad, offsets, window).ravel(), transposed[:n])
            assert np.array_equal(reference.grad_padding(grad, offsets, window), transposed[n:])
            ids = np.arange(n) % 2
            table = np.concatenate([transposed[:n], [0.0]])
            expected_rows = [table[:n][ids == row].sum() + (row == 1) * transposed[n] for row in range(3)]
            rows = reference.grad_weight(grad, ids, offsets, window, 3, padding_idx=1)
            assert np.array_equal(rows.ravel(), expected_rows)


# ---- window_gather


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("width", [1, 5, 64])
@pytest.mark.parametrize("padded", [False, True], ids=["zeros", "padding"])
def test_gather_equals_the_reference(device, offsets, dtype, window, width, padded) -> None:
    values = random(int(offsets[-1]), width, dtype=dtype)
    padding = random(width, dtype=dtype, seed=1) if padded else None
    found = ops.window_gather(
        values.to(device), offsets.to(device), window, padding.to(device) if padded else None
    )
    pad = plain(padding) if padded else None
    expected = reference.window_gather(plain(values), offsets.numpy(), window, pad)
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert np.array_equal(plain(found), expected)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("padding", [None, 0, -7, 2**31 - 1])
def test_gather_of_ids_equals_the_reference(device, offsets, dtype, padding) -> None:
    ids = torch.arange(10, 10 + int(offsets[-1]), dtype=dtype)
    found = ops.window_gather(ids.to(device), offsets.to(device), 5, padding)
    assert found.dtype == dtype
    assert np.array_equal(found.cpu(), reference.window_gather(ids.numpy(), offsets.numpy(), 5, padding))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradient_of_values_agrees_bit_for_bit(device, offsets, dtype) -> None:
    """The order of summation is part of the op: equality, not closeness."""
    window, width = 7, 37
    grad = random(int(offsets[-1]), window * width, dtype=dtype)
    found = torch.ops.bioner_fast.window_grad_values(grad.to(device), offsets.to(device), window)
    sums = torch.from_numpy(reference.grad_values(plain(grad), offsets.numpy(), window))
    assert torch.equal(found.cpu(), sums.to(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradient_of_padding(device, offsets, dtype) -> None:
    window, width = 7, 37
    grad = random(int(offsets[-1]), window * width, dtype=dtype)
    found = torch.ops.bioner_fast.window_grad_padding(grad.to(device), offsets.to(device), window)
    expected = torch.from_numpy(reference.grad_padding(plain(grad), offsets.numpy(), window))
    assert found.dtype == dtype
    torch.testing.assert_close(found.cpu(), expected.to(dtype))


def big_batch() -> tuple[torch.Tensor, int]:
    rng = np.random.default_rng(3)
    offsets = torch.from_numpy(pack(rng.integers(0, 60, 200).tolist()))
    return offsets, int(offsets[-1])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_levels_and_threads_do_not_change_a_bit(simd_level, threads, dtype) -> None:
    offsets, n = big_batch()
    window, width = 7, 53
    values, padding = random(n, width, dtype=dtype), random(width, dtype=dtype)
    grad = random(n, window * width, dtype=dtype, seed=2)
    ids = torch.from_numpy(np.random.default_rng(4).zipf(1.3, n) % 97)
    weight = random(97, width, dtype=dtype)

    def results() -> list[torch.Tensor]:
        return [
            ops.window_gather(values, offsets, window, padding),
            ops.embedding_window(weight, ids, offsets, window, 96),
            torch.ops.bioner_fast.window_grad_values(grad, offsets, window),
            torch.ops.bioner_fast.window_grad_padding(grad, offsets, window),
            torch.ops.bioner_fast.embedding_grad_weight(grad, ids, offsets, window, 97, 96),
        ]

    found = results()
    torch.set_num_threads(1)
    ops._native.extension().force_simd("scalar")
    for mine, alone in zip(found, results(), strict=True):
        assert torch.equal(mine, alone)


@pytest.mark.parametrize("width", [200, 131])
def test_outputs_beyond_the_caches_are_streamed_alike(simd_level, width) -> None:
    """64 MB and more take another path; unaligned rows and an unaligned start come with it."""
    lengths = [26] * 720
    offsets = torch.from_numpy(pack(lengths))
    n, window = int(offsets[-1]), 7
    values = random(n, width, dtype=torch.float32)
    padding = random(width, dtype=torch.float32)
    room = torch.empty(n * window * width + 3)
    out = room[3:].view(n, window * width)
    assert out.nbytes > 64 << 20
    ops.window_gather(values, offsets, window, padding, out=out)
    cells = torch.nn.functional.pad(values.view(720, 26, width), (0, 0, 3, 3))
    cells[:, :3], cells[:, -3:] = padding, padding
    expected = cells.unfold(1, window, 1).transpose(2, 3).reshape(n, window * width)
    assert torch.equal(out, expected)
    ids = torch.randint(0, 50, (n,))
    weight = random(50, width, dtype=torch.float32)
    found = ops.embedding_window(weight, ids, offsets, window, 7)
    assert torch.equal(found, ops.window_gather(weight[ids], offsets, window, weight[7]))


def test_non_contiguous_input_and_partial_gradients(device) -> None:
    offsets = torch.tensor([0, 4, 4, 9], device=device)
    values = random(5, 9, dtype=torch.float64).to(device).t()
    padding = random(10, dtype=torch.float64).to(device)[::2]
    assert not values.is_contiguous()
    assert not padding.is_contiguous()
    expected = ops.window_gather(values.contiguous(), offsets, 3, padding.contiguous())
    assert torch.equal(ops.window_gather(values, offsets, 3, padding), expected)
    strided = torch.stack([offsets, offsets], 1)[:, 0]
    assert torch.equal(ops.window_gather(values, strided, 3, padding), expected)
    for wanted in itertools.product([False, True], repeat=2):
        v = values.detach().clone().requires_grad_(wanted[0])
        p = padding.detach().clone().requires_grad_(wanted[1])
        result = ops.window_gather(v, offsets, 3, p)
        assert result.requires_grad == any(wanted)
        if any(wanted):
            result.sum().backward()
        assert (v.grad is not None, p.grad is not None) == wanted
    # An expanded gradient, as sum() makes it, is not contiguous either.
    v = values.detach().clone().requires_grad_()
    ops.window_gather(v, offsets, 3).sum().backward()
    assert torch.equal(v.grad[:, 0].cpu(), torch.tensor([2.0, 3, 3, 2, 2, 3, 3, 3, 2], dtype=torch.float64))


def test_out_is_written_and_returned() -> None:
    offsets = torch.tensor([0, 2])
    values = random(2, 3, dtype=torch.float32)
    out = torch.empty(2, 9)
    assert ops.window_gather(values, offsets, 3, out=out) is out
    assert torch.equal(out, ops.window_gather(values, offsets, 3))
    ids = torch.tensor([4, 5])
    out = torch.empty(2, 3, dtype=torch.int64)
    ops.window_gather(ids, offsets, 3, 9, out=out)
    assert out.tolist() == [[9, 4, 5], [4, 5, 9]]
    with pytest.raises(ValueError, match="`out` must have shape"):
        ops.window_gather(values, offsets, 3, out=torch.empty(2, 8))
    with pytest.raises(ValueError, match="`out` must be contiguous"):
        ops.window_gather(values, offsets, 3, out=torch.empty(9, 2).t())
    with pytest.raises(ValueError, match="gradient"):
        ops.window_gather(values.requires_grad_(), offsets, 3, out=torch.empty(2, 9))


# ---- As Torch ops


def test_gradcheck(device) -> None:
    offsets = torch.tensor([0, 0, 4, 4, 5, 7, 7], device=device)
    values = random(7, 3, dtype=torch.float64).to(device).requires_grad_()
    padding = random(3, dtype=torch.float64).to(device).requires_grad_()
    weight = random(5, 3, dtype=torch.float64).to(device).requires_grad_()
    ids = torch.tensor([1, 1, 4, 2, 4, 1, 0], device=device)
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda v, p: ops.window_gather(v, offsets, 5, p), (values, padding))
        assert check(lambda w: ops.embedding_window(w, ids, offsets, 5, 3), (weight,))


def test_opcheck(device) -> None:
    offsets = torch.tensor([0, 0, 4, 5], device=device)
    ids = torch.tensor([1, 0, 2, 2, 1], device=device)
    for values, padding in itertools.product(
        [
            random(5, 3, dtype=torch.float64).to(device).requires_grad_(),
            random(5, 3, dtype=torch.float16).to(device),
        ],
        [False, True],
    ):
        pad = values.detach()[0].clone().requires_grad_(values.requires_grad) if padding else None
        torch.library.opcheck(torch.ops.bioner_fast.window_gather.default, (values, offsets, 3, pad))
    torch.library.opcheck(torch.ops.bioner_fast.window_gather_ids.default, (ids, offsets, 3, -1))
    out = torch.empty(5, 9, dtype=torch.float64, device=device)
    values = random(5, 3, dtype=torch.float64).to(device)
    torch.library.opcheck(torch.ops.bioner_fast.window_gather_out.default, (values, offsets, 3, None, out))
    weight = random(4, 3, dtype=torch.float32).to(device).requires_grad_()
    torch.library.opcheck(torch.ops.bioner_fast.embedding_window.default, (weight, ids, offsets, 3, 0))
    grad = random(5, 9, dtype=torch.float64).to(device).requires_grad_()
    torch.library.opcheck(torch.ops.bioner_fast.window_grad_values.default, (grad, offsets, 3))
    torch.library.opcheck(torch.ops.bioner_fast.window_grad_padding.default, (grad, offsets, 3))
    torch.library.opcheck(torch.ops.bioner_fast.embedding_grad_weight.default, (grad, ids, offsets, 3, 4, 0))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_without_graph_breaks(device, dynamic) -> None:
    def loss(values, padding, weight, ids, offsets):
        windows = ops.window_gather(values * 2, offsets, 3, padding)
        looked_up = ops.embedding_window(weight, ids, offsets, 3, 0)
        return (windows.sum(1) * looked_up.sum(1)).sum() + ops.window_gather(ids, offsets, 3, 1).sum()

    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for lengths in ([2, 0, 3], [1, 1, 1, 4]):
        offsets = torch.from_numpy(pack(lengths)).to(device)
        n = sum(lengths)
        ids = (torch.arange(n) % 4).to(device)
        arguments = [
            random(n, 2, dtype=torch.float64),
            random(2, dtype=torch.float64),
            random(4, 2, dtype=torch.float64),
        ]
        results = []
        for function in (loss, compiled):
            leaves = [a.detach().clone().to(device).requires_grad_() for a in arguments]
            value = function(*leaves, ids, offsets)
            value.backward()
            results.append([value.detach(), *[leaf.grad for leaf in leaves]])
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs)


# ---- Wrong arguments


GOOD = {
    "values": torch.zeros(3, 2),
    "offsets": torch.tensor([0, 1, 3]),
    "window": 3,
    "padding": torch.zeros(2),
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": [1.0]}, TypeError, "`values` must be a tensor, got list"),
        (
            {"values": torch.zeros(3, 2, dtype=torch.complex64)},
            TypeError,
            "`values` must be float16.*complex64",
        ),
        ({"values": torch.zeros(3, 2).to_sparse()}, TypeError, "`values` must be a dense tensor"),
        ({"values": torch.zeros(3)}, ValueError, r"`values` must have shape \[N, D\].*\[3\]"),
        ({"values": torch.zeros(3, 2, 1)}, ValueError, r"`values` must have 1 or 2 dimensions.*\[3, 2, 1\]"),
        ({"values": torch.zeros(3, 2, dtype=torch.int64)}, ValueError, r"`values` must have shape \[N\]"),
        (
            {"offsets": torch.tensor([0.0, 1.0, 3.0])},
            TypeError,
            "`offsets` must be int32 or int64, got float32",
        ),
        ({"offsets": torch.tensor([[0, 3]])}, ValueError, "`offsets` must have 1 dimension"),
        ({"offsets": torch.tensor([], dtype=torch.int64)}, ValueError, "at least one element"),
        ({"offsets": torch.tensor([1, 3])}, ValueError, "`offsets` must start at 0, got 1"),
        (
            {"offsets": torch.tensor([0, 2, 1, 3])},
            ValueError,
            "must not decrease, got 2 then 1 at position 2",
        ),
        ({"offsets": torch.tensor([0, 2])}, ValueError, r"end at the number of tokens \(3\), got 2"),
        (
            {"offsets": torch.tensor([0, 1, 3], device="meta")},
            ValueError,
            "`offsets` must be on the device of",
        ),
        ({"window": 4}, ValueError, "`window` must be odd.*got 4"),
        ({"window": -3}, ValueError, "`window` must be odd.*got -3"),
        ({"window": 3.0}, TypeError, "`window` must be an int, got float"),
        ({"padding": torch.zeros(3)}, ValueError, r"`padding` must have shape \[D\] = \[2\], got \[3\]"),
        (
            {"padding": torch.zeros(2, dtype=torch.float64)},
            TypeError,
            "`padding` must have the dtype of `values`",
        ),
        ({"padding": 0}, TypeError, "`padding` must be a tensor, got int"),
    ],
)
def test_wrong_arguments_of_gather(change, error, message) -> None:
    with pytest.raises(error, match=message):
        ops.window_gather(**{**GOOD, **change})


def test_wrong_padding_of_ids() -> None:
    ids, offsets = torch.zeros(3, dtype=torch.int32), torch.tensor([0, 3])
    with pytest.raises(TypeError, match="`padding` must be an int where `values` are ids, got Tensor"):
        ops.window_gather(ids, offsets, 3, torch.tensor(1))
    with pytest.raises(ValueError, match="`padding` must fit int32"):
        ops.window_gather(ids, offsets, 3, 2**31)


# ---- Random shapes


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), max_size=8),
    width=st.integers(0, 9),
    window=st.sampled_from([1, 3, 5, 11]),
    seed=st.integers(0, 2**16),
)
def test_random_batches(lengths, width, window, seed) -> None:
    offsets = torch.from_numpy(pack(lengths))
    n = sum(lengths)
    values, padding = (
        random(n, width, dtype=torch.float32, seed=seed),
        random(width, dtype=torch.float32, seed=seed),
    )
    expected = reference.window_gather(values.numpy(), offsets.numpy(), window, padding.numpy())
    assert np.array_equal(ops.window_gather(values, offsets, window, padding), expected)
    ids = torch.from_numpy(np.random.default_rng(seed).integers(0, 6, n))
    weight = random(6, width, dtype=torch.float32, seed=seed + 1)
    expected = reference.embedding_window(weight.numpy(), ids.numpy(), offsets.numpy(), window, 2)
    assert np.array_equal(ops.embedding_window(weight, ids, offsets, window, 2), expected)
