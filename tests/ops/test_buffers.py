"""Memory of large outputs: kept when they are freed, used again, never shared by two live tensors."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
import torch

from bioner_fast import _ops, ops
from bioner_fast.ops import _native
from ops.test_runtime import run_python

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="buffers are kept on Linux only"),
]

WIDTH = 512
ROWS = _ops.recycled_bytes // (4 * WIDTH) + 3  # just over the limit
OFFSETS = torch.tensor([0, ROWS])


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    _ops.drop_buffers()
    yield
    gc.collect()
    _ops.drop_buffers()


def large(dtype: torch.dtype = torch.float32, rows: int = ROWS) -> torch.Tensor:
    return _native.new_output(torch.empty(0, dtype=dtype), rows, WIDTH)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_large_output_is_an_ordinary_tensor(dtype) -> None:
    rows = 2 * ROWS
    made = large(dtype, rows)
    assert (made.dtype, made.shape, made.is_contiguous()) == (dtype, (rows, WIDTH), True)
    made.fill_(1.5)
    assert made.sum(dtype=torch.float64) == 1.5 * rows * WIDTH
    assert torch.equal(made.clone(), made)


def test_pages_come_back_and_live_tensors_share_none() -> None:
    first, second = large(), large()
    first.fill_(1)
    second.fill_(2)
    assert _ops.kept_buffer_bytes() == 0
    place = first.data_ptr()
    view = first[5:9]
    del first
    assert _ops.kept_buffer_bytes() == 0  # a view is enough to hold them
    del view
    assert _ops.kept_buffer_bytes() >= _ops.recycled_bytes
    third = large(rows=ROWS - 2)
    assert third.data_ptr() == place
    assert _ops.kept_buffer_bytes() == 0
    third.fill_(3)
    assert second.eq(2).all()


def test_a_buffer_far_too_large_is_left_for_who_needs_it() -> None:
    kept = large(rows=5 * ROWS)
    place = kept.data_ptr()
    del kept
    assert large().data_ptr() != place
    assert large(rows=4 * ROWS).data_ptr() == place


def test_small_outputs_and_an_untaken_capsule_keep_nothing_back() -> None:
    del [small := _native.new_output(torch.empty(0), 10, WIDTH)][:]
    del small
    assert _ops.kept_buffer_bytes() == 0
    capsule = _ops.take_output(ROWS, WIDTH, "float32")
    del capsule
    kept = _ops.kept_buffer_bytes()
    assert kept >= _ops.recycled_bytes
    taken = torch.utils.dlpack.from_dlpack(_ops.take_output(ROWS, WIDTH, "float32"))
    assert _ops.kept_buffer_bytes() == 0
    del taken
    assert _ops.kept_buffer_bytes() == kept


def test_what_cannot_be_had_is_none_and_what_is_wrong_raises() -> None:
    assert _ops.take_output(1 << 40, 1 << 40, "float64") is None
    assert _ops.take_output(1 << 44, 8, "float64") is None
    assert _ops.take_output(0, 5, "float32") is None
    with pytest.raises(TypeError, match=r"`dtype` must be float16, .* got int8"):
        _ops.take_output(1, 1, "int8")
    with pytest.raises(ValueError, match="must not be negative"):
        _ops.take_output(-1, 1, "float32")


def test_results_and_gradients_over_reused_pages() -> None:
    """Old contents show nowhere: every element of every output is written."""
    large(rows=9 * ROWS).fill_(float("nan"))
    table = torch.randn(3 * ROWS, WIDTH, requires_grad=True)
    ids = torch.arange(ROWS) % 7
    assert ops.embedding_window(table, ids, OFFSETS, 1, 0).isfinite().all()
    windows = ops.embedding_window(table, ids, OFFSETS, 3, 9)
    expected = ops.window_gather(table[ids], OFFSETS, 3, table[9])
    assert torch.equal(windows, expected)
    for sparse in (False, True):
        leaf = table.detach().requires_grad_()
        ops.embedding_window(leaf, ids, OFFSETS, 3, 9, sparse=sparse).sum().backward()
        found = leaf.grad.to_dense()
        counts = torch.bincount(ids, minlength=len(table)) * 3.0
        counts[ids[0]] -= 1  # the first and the last token are in two windows each
        counts[ids[-1]] -= 1
        counts[9] += 2
        assert torch.equal(found, counts[:, None].expand(-1, WIDTH))


def test_threads_take_and_give_at_once() -> None:
    wrong = []

    def work(mark: int) -> None:
        for i in range(10):
            made = large()
            made[::97].fill_(mark * 100 + i)
            if not made[::97].eq(mark * 100 + i).all():
                wrong.append((mark, i))

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_environment_keeps_nothing() -> None:
    code = """
import torch
from bioner_fast import _ops
from bioner_fast.ops import _native
made = _native.new_output(torch.empty(0), 1 << 14, 1 << 10).fill_(1)
assert made.nbytes >= _ops.recycled_bytes
del made
print(_ops.kept_buffer_bytes())
"""
    assert run_python(code, BIONER_KEEP_MB="0").stdout.strip() == "0"
    assert run_python(code, BIONER_KEEP_MB="100").stdout.strip() == str(64 << 20)


def test_a_forked_child_takes_buffers_of_its_own() -> None:
    code = """
import os, sys
from bioner_fast import _ops
one = _ops.take_output(1 << 13, 1 << 10, "float32")
if os.fork() == 0:
    capsule = _ops.take_output(1 << 13, 1 << 10, "float32")
    del capsule
    os._exit(0 if _ops.kept_buffer_bytes() == 32 << 20 else 3)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
