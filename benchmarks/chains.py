"""Batches of linear chains for the benchmarks of Viterbi and the CRF, in the forms that the peers take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shapes import packed_offsets


@dataclass
class Chains:
    """Log-probabilities, so that peers which want probabilities can take part."""

    emissions: Tensor  # [N, K]
    transitions: Tensor  # [K, K]
    start: Tensor  # [K]
    offsets: Tensor  # [B + 1]
    tags: Tensor  # [N]

    @property
    def k(self) -> int:
        return self.transitions.shape[0]

    @property
    def moved(self) -> int:
        """Bytes that decoding must move: emissions read, tags written."""
        return self.emissions.nbytes + self.tags.nbytes


def make_chains(k: int, tokens: int, dtype: torch.dtype = torch.float32) -> Chains:
    generator = torch.Generator().manual_seed(k)

    def rows(*shape: int) -> Tensor:
        return torch.log_softmax(torch.randn(*shape, generator=generator) * 2, -1).to(dtype)

    tags = torch.randint(0, k, (tokens,), generator=generator)
    return Chains(rows(tokens, k), rows(k, k), rows(k), packed_offsets(tokens), tags)


@dataclass
class PaddedBatch:
    """Sentences of about one length, which is kindest to padding."""

    index: Tensor  # [n] which sentences
    emissions: Tensor  # [n, T, K]
    tags: Tensor  # [n, T]
    mask: Tensor  # [n, T]
    lengths: Tensor  # [n]


def padded_batches(chains: Chains, size: int) -> list[PaddedBatch]:
    """All sentences, sorted by length, in batches of `size`."""
    lengths = chains.offsets.diff()
    batches = []
    for index in torch.argsort(lengths).split(size):
        mask = torch.arange(int(lengths[index].max())) < lengths[index][:, None]
        position = (chains.offsets[index][:, None] + torch.arange(mask.shape[1])).clamp(
            max=len(chains.tags) - 1
        )
        emissions = chains.emissions[position] * mask[:, :, None]
        batches.append(PaddedBatch(index, emissions, chains.tags[position] * mask, mask, lengths[index]))
    return batches


def edge_potentials(batch: PaddedBatch, transitions: Tensor, start: Tensor) -> Tensor:
    """What torch-struct takes, ``[n, T - 1, to, from]``; the first edge carries start and first emission."""
    edges = batch.emissions[:, 1:, :, None] + transitions.T
    first = (batch.emissions[:, 0] + start)[:, None, None, :]
    return torch.cat([edges[:, :1] + first, edges[:, 1:]], 1)


def load_parameters(crf: torch.nn.Module, chains: Chains) -> torch.nn.Module:
    """A pytorch-crf module (or ours) with the parameters of `chains`."""
    crf.to(chains.emissions.dtype)
    with torch.no_grad():
        crf.transitions.copy_(chains.transitions)  # type: ignore[operator, union-attr]
        crf.start_transitions.copy_(chains.start)  # type: ignore[operator, union-attr]
        crf.end_transitions.zero_()  # type: ignore[operator, union-attr]
    return crf
