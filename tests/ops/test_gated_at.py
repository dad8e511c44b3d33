"""A gated block of some tokens is the rows of the block of all, and so are its gradients."""

from __future__ import annotations

import pytest
import torch

from bioner_fast.ops import gated


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("some_rows", [False, True])
def test_rows_and_gradients_are_those_of_the_whole_block(dilation: int, some_rows: bool) -> None:
    generator = torch.Generator().manual_seed(dilation)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    lengths = torch.tensor([7, 1, 2, 12, 5])
    offsets = torch.cat([torch.zeros(1).long(), lengths.cumsum(0)])
    first = torch.repeat_interleave(offsets[:-1], lengths)
    last = torch.repeat_interleave(offsets[1:] - 1, lengths)
    width, n = 16, int(offsets[-1])
    leaves = [drawn(n, width), drawn(2 * width, 3 * width), drawn(2 * width), drawn(width), drawn(width)]
    outputs = torch.tensor([0, 4, 6, 7, 9, 13, 14, 20, n - 1])
    rows = gated.needed(outputs, first, last, dilation) if some_rows else torch.arange(n)
    weights = drawn(len(outputs), width)

    results = []
    for sparse in (False, True):
        hidden, kernel, bias, scale, shift = (leaf.clone().requires_grad_() for leaf in leaves)
        norm = (scale, shift, 1e-5)
        if sparse:
            where = gated.neighbours(outputs, rows, first, last, dilation)
            out = gated.gated_block_at(hidden[rows], kernel, bias, norm, where)
        else:
            out = gated.gated_block(hidden, kernel, bias, norm, (first, last, 0), dilation=dilation)[outputs]
        (out * weights).sum().backward()
        results.append([out, hidden.grad, kernel.grad, bias.grad, scale.grad, shift.grad])
    for dense, some in zip(*results, strict=True):
        torch.testing.assert_close(some, dense, rtol=1e-10, atol=1e-10)


def test_dropout_drops_the_same_backwards_as_forwards() -> None:
    torch.manual_seed(0)
    first, last = torch.zeros(6).long(), torch.full((6,), 5)
    where = gated.neighbours(torch.tensor([1, 3]), torch.arange(6), first, last, 1)
    hidden = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    kernel, bias = torch.randn(16, 24, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
    norm = (torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64), 1e-5)

    def block(values: torch.Tensor) -> torch.Tensor:
        return gated.gated_block_at(values, kernel, bias, norm, where, share=0.5, seed=3)

    assert torch.autograd.gradcheck(block, (hidden,))
    assert not torch.allclose(block(hidden), gated.gated_block_at(hidden, kernel, bias, norm, where))
