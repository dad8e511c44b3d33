"""window_gather and embedding_window beside their peers: window 7, width 200, float32.

Answers are asserted first. Bytes are those that must move: the input read once, the output written once.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bioner_fast import ops
from conftest import tokens
from shapes import WIDTH, WINDOW, packed_offsets, word_ids

N = tokens(120_000)  # 672 MB of output
ROWS = 50_000


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(0)), packed_offsets(N)


def torch_gather(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """What one writes without this package: a row of zeros behind the values, and indexing."""
    return torch.cat([values, values.new_zeros(1, WIDTH)])[index].view(N, WINDOW * WIDTH)


def window_index(offsets: torch.Tensor) -> torch.Tensor:
    """``[N, window]`` positions, N outside the sentence."""
    lengths = offsets.diff()
    begin = torch.repeat_interleave(offsets[:-1], lengths)[:, None]
    end = torch.repeat_interleave(offsets[1:], lengths)[:, None]
    index = torch.arange(N)[:, None] + torch.arange(WINDOW) - WINDOW // 2
    return torch.where((index >= begin) & (index < end), index, N)


MOVED = N * WIDTH * 4 * (1 + WINDOW)


@pytest.mark.benchmark(group="window_gather, window 7, width 200")
@pytest.mark.parametrize("side", ["ours", "torch", "thinc"])
def test_gather(side, batch, measure, peer) -> None:
    values, offsets = batch
    if side == "ours":
        found = ops.window_gather(values, offsets, WINDOW)
        assert torch.equal(found, torch_gather(values, window_index(offsets)))
        del found
        measure(lambda: ops.window_gather(values, offsets, WINDOW), tokens=N, moved=MOVED)
    elif side == "torch":
        index = window_index(offsets)
        measure(
            lambda: torch_gather(values, index), tokens=N, moved=MOVED, role="peer", peer="torch indexing"
        )
    else:
        numpy_ops = peer("thinc.api").NumpyOps()
        array, lengths = values.numpy(), offsets.diff().int().numpy()
        found = torch.from_numpy(numpy_ops.seq2col(array, WINDOW // 2, lengths=lengths))
        assert torch.equal(found, ops.window_gather(values, offsets, WINDOW))
        del found
        measure(
            lambda: numpy_ops.seq2col(array, WINDOW // 2, lengths=lengths),
            tokens=N, moved=MOVED, role="peer", peer="thinc seq2col",
        )  # fmt: skip


@pytest.mark.benchmark(group="window_gather, output preallocated")
@pytest.mark.parametrize("side", ["ours", "memcpy"])
def test_gather_preallocated(side, batch, measure) -> None:
    values, offsets = batch
    out = torch.zeros(N, WINDOW * WIDTH)
    if side == "ours":
        ops.window_gather(values, offsets, WINDOW, out=out)
        assert torch.equal(out, torch_gather(values, window_index(offsets)))
        measure(lambda: ops.window_gather(values, offsets, WINDOW, out=out), tokens=N, moved=MOVED)
    else:
        source = torch.ones_like(out)
        measure(
            lambda: out.copy_(source),
            tokens=N,
            moved=2 * out.nbytes,
            role="peer",
            peer="memcpy of the output",
        )


LOOKUP_N = tokens(60_000)


@pytest.fixture(scope="module")
def lookup() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(ROWS, WIDTH, generator=generator)
    grad = torch.randn(LOOKUP_N, WINDOW * WIDTH, generator=generator)
    return weight, word_ids(LOOKUP_N, ROWS), packed_offsets(LOOKUP_N), grad


@pytest.mark.benchmark(group="embedding_window forward + backward, {sparse}")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("side", ["ours", "torch"])
def test_lookup_and_gradient(side, sparse, lookup, measure, benchmark) -> None:
    weight, ids, offsets, grad = lookup
    benchmark.group = f"embedding_window forward + backward, {'sparse' if sparse else 'dense'} gradient"

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = weight.detach().requires_grad_()
        out = ops.embedding_window(leaf, ids, offsets, WINDOW, 0, sparse=sparse)
        return out, torch.autograd.grad(out, leaf, grad)[0]

    # The peer is given its [N, 7] ids for nothing.
    windows = ops.window_gather(ids, offsets, WINDOW, 0)

    def theirs() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = weight.detach().requires_grad_()
        out = functional.embedding(windows, leaf, sparse=sparse).view(LOOKUP_N, WINDOW * WIDTH)
        return out, torch.autograd.grad(out, leaf, grad)[0]

    moved = LOOKUP_N * WIDTH * 4 * (1 + 2 * WINDOW) + (0 if sparse else weight.nbytes)
    if side == "ours":
        for mine, other in zip(ours(), theirs(), strict=True):
            mine, other = (t.to_dense() if t.is_sparse else t for t in (mine, other))
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-3)
        measure(ours, tokens=LOOKUP_N, moved=moved)
    else:
        measure(theirs, tokens=LOOKUP_N, moved=moved, role="peer", peer="F.embedding of [N, 7] ids")
