"""crf_log_likelihood, forward and backward, beside pytorch-crf and torch-struct at their best batch sizes.

Values and gradients are asserted first.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from bench_viterbi import BATCH_SIZES, STRUCT_BATCH_SIZES, best_batch_size
from bioner_fast import ops
from chains import Chains, edge_potentials, load_parameters, make_chains, padded_batches
from conftest import THREADS, tokens

SIZES = {5: 60_000, 9: 40_000, 25: 20_000, 65: 5_000}
STRUCT_SIZES = {9: 1_500, 25: 600}


def leaves(c: Chains) -> list[Tensor]:
    return [x.clone().requires_grad_() for x in (c.emissions, c.transitions, c.start)]


def ours(c: Chains, parameters: list[Tensor]) -> tuple[Tensor, ...]:
    emissions, transitions, start = parameters
    loss = ops.crf_log_likelihood(emissions, c.tags, transitions, c.offsets, start).sum()
    return (loss.detach(), *torch.autograd.grad(loss, parameters))


CASES = [
    *((k, n, side) for k, n in SIZES.items() for side in ("ours", "pytorch-crf")),
    *((k, n, side) for k, n in STRUCT_SIZES.items() for side in ("ours", "torch-struct")),
]


@pytest.mark.parametrize(("k", "size", "side"), CASES)
def test_forward_and_backward(k, size, side, measure, peer, benchmark) -> None:
    c = make_chains(k, tokens(size))
    benchmark.group = f"CRF log-likelihood and gradients, {k} tags, {len(c.tags):,} tokens, {THREADS} threads"
    moved = 3 * c.emissions.nbytes  # read twice, gradient written
    parameters = leaves(c)
    value, _, d_transitions, d_start = ours(c, parameters)
    if side == "ours":
        measure(lambda: ours(c, parameters), tokens=len(c.tags), moved=moved, rounds=15)
        return
    if side == "pytorch-crf":
        crf = load_parameters(peer("torchcrf").CRF(k, batch_first=True), c)
        learned = [crf.transitions, crf.start_transitions, crf.end_transitions]

        def likelihood(b: Any, emissions: Tensor) -> Tensor:
            return crf(emissions, b.tags, b.mask)

    else:
        struct = peer("torch_struct")
        learned = parameters[1:]

        def likelihood(b: Any, emissions: Tensor) -> Tensor:
            b.emissions = emissions
            chain = struct.LinearChainCRF(edge_potentials(b, *learned), lengths=b.lengths)
            return chain.log_prob(
                chain.struct.to_parts(b.tags, k, lengths=b.lengths).type_as(emissions)
            ).sum()

    def run(batches: Any) -> list[Tensor]:
        total: list[Tensor] = []
        for b in batches:
            emissions = b.emissions.detach().requires_grad_()
            loss = likelihood(b, emissions)
            gradients = torch.autograd.grad(loss, [emissions, *learned])
            found = [loss.detach(), *gradients[1:3]]
            total = [a + x for a, x in zip(total, found, strict=True)] if total else found
        return total

    def batches_of(size: int) -> Any:
        batches = padded_batches(c, size)
        if side == "torch-struct":  # it has no edge for sentences of one token
            batches = [b for b in batches if b.mask.shape[1] > 1]
        return batches

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = BATCH_SIZES if side == "pytorch-crf" else STRUCT_BATCH_SIZES
        best_size, batches = best_batch_size(run, batches_of, sizes)
        found = run(batches)
        if side == "pytorch-crf":
            for a, b in zip(found, (value, d_transitions, d_start), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-2)
        else:  # it skips sentences of one token, which are rare
            torch.testing.assert_close(found[0], value, rtol=2e-2, atol=0)
        measure(
            lambda: run(batches),
            tokens=len(c.tags),
            moved=moved,
            role="peer",
            peer=side,
            rounds=3,
            batch_size=best_size,
        )
