"""Transition scores between tags: the part of a CRF that is learnt, and what the tag scheme forbids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bioner_fast.ops import crf_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bioner_fast.data.schemes import TagSet


class Transitions(nn.Module):
    """Scores of K tags following one another, starting and ending a sentence; zeros before training."""

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def reset_parameters(self) -> None:
        """Zeros."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()

    def tables(self) -> dict[str, Tensor]:
        """Copies of the learnt scores by name, without constraints."""
        return {name: value.detach().clone() for name, value in self.named_parameters()}

    def log_likelihood(
        self,
        emissions: Tensor,
        tags: Tensor,
        offsets: Tensor,
        constraints: tuple[Tensor, Tensor, Tensor],
        open_tags: Tensor | None = None,
    ) -> Tensor:
        """log p(tags) of each sentence among the sequences that the constraints allow, [B].

        Where tags are open, it is the log-probability of all sequences that agree with them: what a corpus
        does not label is never taken for O (Greenberg et al. 2018).

        Args:
            emissions: [N, K] logits or log-probabilities (equal rows shifts cancel).
            tags: int64 [N].
            offsets: int64 [B + 1].
            constraints: from :func:`constraints`; tag 0 is O.
            open_tags: bool [J, K]: which tags the codes K, K + 1, ... in ``tags`` leave possible, O among
                them.
        """
        transitions, start, end = constraints
        chain = self.transitions + transitions, offsets, self.start + start, self.end + end
        if open_tags is None:
            return crf_log_likelihood(emissions, tags, *chain)
        n_tags = emissions.shape[1]
        rows = torch.cat([torch.eye(n_tags, dtype=torch.bool, device=tags.device), open_tags])
        path = torch.where(tags < n_tags, tags, 0)
        # Both have the score of the same path; what is left is the logarithm of the share of what agrees.
        agreeing = emissions.masked_fill(~rows[tags], -torch.inf)
        whole, part = (crf_log_likelihood(values, path, *chain) for values in (emissions, agreeing))
        return whole - part


def constraints(tagset: TagSet, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the tag scheme allows, as tensors of ``like``'s type and device: 0 allowed, -inf forbidden."""
    transitions, start, end = (torch.as_tensor(table).to(like) for table in tagset.constraints())
    return transitions, start, end


def constrained(tagset: TagSet, tables: Mapping[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Learnt ``tables`` of a chain with the constraints added: what decoding and marginals run on."""
    transitions, start, end = constraints(tagset, like)
    return (
        transitions + tables["transitions"].to(like),
        start + tables["start"].to(like),
        end + tables["end"].to(like),
    )


def first_illegal(tags: Tensor, offsets: Tensor, tagset: TagSet) -> int | None:
    """The first sentence whose tags the scheme forbids; None if there is none.

    Args:
        tags: int64 [N], on the CPU.
        offsets: int64 [B + 1], on the CPU.
    """
    transitions, start, end = (torch.as_tensor(table) == 0 for table in tagset.constraints())
    n = len(tags)
    if n == 0:
        return None
    filled = offsets.diff() > 0
    firsts, lasts = offsets[:-1][filled], offsets[1:][filled] - 1
    bad = torch.zeros(n, dtype=torch.bool)
    inside = torch.ones(n, dtype=torch.bool)
    inside[firsts] = False
    after = inside.nonzero().squeeze(1)
    bad[after] = ~transitions[tags[after - 1], tags[after]]
    bad[firsts] |= ~start[tags[firsts]]
    bad[lasts] |= ~end[tags[lasts]]
    if not bool(bad.any()):
        return None
    token = int(bad.nonzero()[0])
    return int(torch.searchsorted(offsets, token, right=True)) - 1
