"""embedding_window: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bioner_fast import _ops, ops
from ops.windows import FLOATS, plain, random
from reference import window as reference

# ---- Values and gradients


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("id_dtype", [torch.int32, torch.int64], ids=str)
def test_lookup_equals_the_reference(device, offsets, dtype, id_dtype) -> None:
    weight = random(11, 6, dtype=dtype)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 11, int(offsets[-1]))).to(id_dtype)
    found = ops.embedding_window(weight.to(device), ids.to(device), offsets.to(device), 5, 3)
    expected = reference.embedding_window(plain(weight), ids.numpy(), offsets.numpy(), 5, 3)
    assert found.dtype == dtype
    assert np.array_equal(plain(found), expected)


def weight_gradients(weight, ids, offsets, window, padding_idx, grad) -> list[torch.Tensor]:
    results = []
    for sparse in (False, True):
        leaf = weight.detach().clone().requires_grad_()
        windows = ops.embedding_window(leaf, ids, offsets, window, padding_idx, sparse=sparse)
        results += torch.autograd.grad(windows, leaf, grad)
    return results


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("padding_idx", [0, 12, 39])
def test_gradient_of_weight(device, offsets, dtype, window, padding_idx) -> None:
    width = 18
    n = int(offsets[-1])
    weight = random(40, width, dtype=dtype).to(device)
    # Row 12 is used by most tokens, rows from 30 by none.
    ids = torch.from_numpy(np.minimum(np.random.default_rng(0).geometric(0.3, n) * 6, 29)).to(device)
    grad = random(n, window * width, dtype=dtype, seed=1)
    dense, sparse = weight_gradients(weight, ids, offsets.to(device), window, padding_idx, grad.to(device))
    rows = reference.grad_weight(plain(grad), ids.cpu().numpy(), offsets.numpy(), window, 40, padding_idx)
    torch.testing.assert_close(dense.cpu(), torch.from_numpy(rows).to(dtype))
    assert sparse.layout == torch.sparse_coo
    if device.type == "cpu":
        assert sparse.is_coalesced()
        assert torch.equal(sparse.to_dense(), dense)
        used = np.flatnonzero(np.bincount(ids.numpy(), minlength=40))
        if window > 1 and n > 0:
            used = np.union1d(used, [padding_idx])
        assert sparse.indices()[0].tolist() == used.tolist()
    else:
        torch.testing.assert_close(sparse.to_dense(), dense)


def test_gradient_of_weight_where_runs_cross_blocks(device) -> None:
    """Rows in use by thousands of tokens, by exactly a block's worth, and by one."""
    block = ops._native.extension().window_keys_per_block
    counts = [3 * block + 5, block, 1, 2 * block, block - 1, 7]
    ids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    ids = ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))].to(device)
    n = len(ids)
    offsets = torch.tensor([0, 5, n], device=device)
    for padding_idx in range(len(counts) + 1):
        grad = random(n, 15, dtype=torch.float64, seed=padding_idx)
        dense, sparse = weight_gradients(
            torch.zeros(9, 5, dtype=torch.float64, device=device),
            ids,
            offsets,
            3,
            padding_idx,
            grad.to(device),
        )
        rows = reference.grad_weight(
            grad.numpy(), ids.cpu().numpy(), offsets.cpu().numpy(), 3, 9, padding_idx
        )
        torch.testing.assert_close(dense.cpu(), torch.from_numpy(rows))
        torch.testing.assert_close(sparse.to_dense().cpu(), torch.from_numpy(rows))


def test_half_types_accumulate_in_float32(device) -> None:
    """4,000 ones sum to 4,000; a float16 sum would stop at 2,048 and a bfloat16 one at 256."""
    for dtype in (torch.float16, torch.bfloat16):
        offsets = torch.arange(2001, device=device)
        grad = torch.ones(2000, 3, dtype=dtype, device=device)
        assert torch.ops.bioner_fast.window_grad_padding(grad, offsets, 3).item() == 4000
        ids = torch.zeros(2000, dtype=torch.int64, device=device)
        dense, sparse = weight_gradients(
            torch.zeros(2, 1, dtype=dtype, device=device), ids, offsets, 3, 1, grad
        )
        assert dense.flatten().tolist() == [2000, 4000]
        if device.type == "cpu":
            assert sparse.to_dense().flatten().tolist() == [2000, 4000]


def test_sparse_gradient_trains_as_dense_does() -> None:
    offsets = torch.tensor([0, 3, 5])
    ids = torch.tensor([4, 2, 4, 1, 1])
    weights = []
    for sparse in (False, True):
        weight = torch.nn.Parameter(random(8, 3, dtype=torch.float32))
        optimizer = torch.optim.SGD([weight], 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            ops.embedding_window(weight, ids, offsets, 3, 0, sparse=sparse).square().sum().backward()
            optimizer.step()
        weights.append(weight.detach())
    assert torch.equal(*weights)


def test_a_sparse_gradient_has_no_derivative() -> None:
    weight = torch.ones(3, 2, requires_grad=True)
    ids, offsets = torch.tensor([1, 2]), torch.tensor([0, 2])
    loss = ops.embedding_window(weight, ids, offsets, 3, 0, sparse=True).square().sum()
    with pytest.raises(RuntimeError, match="no second derivative; sparse=False"):
        torch.autograd.grad(loss, weight, create_graph=True)


# Dynamo itself reads .grad of what goes into the rest of the function.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_sparse_gradient_is_a_graph_break() -> None:
    offsets, ids = torch.tensor([0, 3, 5]), torch.tensor([4, 2, 4, 1, 1])

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return ops.embedding_window(weight * 1, ids, offsets, 3, 0, sparse=True).square().sum()

    def leaf_loss(weight: torch.Tensor) -> torch.Tensor:
        return ops.embedding_window(weight, ids, offsets, 3, 0, sparse=True).square().sum() * 2

    weights = [random(8, 3, dtype=torch.float64).requires_grad_() for _ in range(2)]
    for function, weight in zip(
        (leaf_loss, torch.compile(leaf_loss, backend="aot_eager")), weights, strict=True
    ):
        function(weight).backward()
        assert weight.grad.is_sparse
    assert torch.equal(weights[0].grad.to_dense(), weights[1].grad.to_dense())
    with pytest.raises(RuntimeError, match=r"torch\.compile knows no sparse gradients; use sparse=False"):
        torch.compile(loss, backend="aot_eager", fullgraph=True)(weights[0])


# ---- Wrong arguments


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": torch.zeros(4)}, ValueError, "`weight` must have 2 dimensions"),
        ({"ids": torch.zeros(3)}, TypeError, "`ids` must be int32 or int64, got float32"),
        ({"ids": torch.tensor([0, 1, 4])}, ValueError, r"`ids` must lie in \[0, 4\), got 4 at position 2"),
        ({"ids": torch.tensor([0, -1, 1])}, ValueError, r"`ids` must lie in \[0, 4\), got -1 at position 1"),
        ({"padding_idx": 4}, ValueError, r"`padding_idx` must lie in \[0, 4\), got 4"),
        ({"padding_idx": None}, TypeError, "`padding_idx` must be an int, got NoneType"),
        ({"offsets": torch.tensor([0, 4])}, ValueError, r"number of tokens \(3\), got 4"),
        ({"sparse": 1}, TypeError, "`sparse` must be a bool"),
    ],
)
def test_wrong_arguments_of_lookup(change, error, message) -> None:
    good = {
        "weight": torch.zeros(4, 2),
        "ids": torch.tensor([0, 1, 2]),
        "offsets": torch.tensor([0, 3]),
        "window": 3,
        "padding_idx": 0,
    }
    with pytest.raises(error, match=message):
        ops.embedding_window(**{**good, **change})


@pytest.mark.parametrize(("apart", "padding_idx"), [(True, 2), (False, 3)])
def test_a_padding_row_that_is_not_where_it_is_said_to_be(apart: bool, padding_idx: int) -> None:
    """The binding itself: a row apart that tokens have, too, would be written beyond the end."""
    keys = torch.tensor([1 << 32, 2 << 32 | 1, 4 << 32 | 2])
    count = 3 + (apart and padding_idx == 3)
    rows, out, workspace = keys.new_empty(count), torch.empty(count, 2), torch.empty(1, 2)
    tensors = torch.zeros(3, 6), keys, torch.tensor([0, 3])
    scratch = keys.new_empty(3), keys.new_empty(2), torch.empty(3, dtype=torch.int32)
    with pytest.raises(ValueError, match="`padding_is_apart` must say whether"):
        _ops.embedding_grad_weight(
            *tensors, 3, 5, padding_idx, apart, torch.zeros(2), workspace, *scratch, rows, out, 1, 0
        )
