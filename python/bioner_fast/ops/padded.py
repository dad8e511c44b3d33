"""Padded batches, ``[B, T, K]`` and a mask, and a ``CRF`` module with the interface of pytorch-crf.

Switching from pytorch-crf is one line: ``from bioner_fast.ops import CRF``.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from bioner_fast.ops import _native
from bioner_fast.ops.crf import crf_log_likelihood, crf_marginals
from bioner_fast.ops.viterbi import viterbi_decode


def pack(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pack a padded batch.

    Args:
        values: ``[B, T, ...]``.
        mask: ``[B, T]`` of any type, not zero for tokens; or ``[B]`` int64 or int32, how many tokens at the
            beginning of each row.

    Returns:
        ``values[N, ...]``, the tokens in order, and offsets, int64 ``[B + 1]``.

    Raises:
        TypeError, ValueError: `values` is no tensor, or `mask` no tensor of such a shape and type.

    Example:
        >>> pack(torch.tensor([[1, 2], [3, 0]]), torch.tensor([[True, True], [True, False]]))
        (tensor([1, 2, 3]), tensor([0, 2, 3]))
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"`values` must be a tensor, got {type(values).__name__}")
    mask = _as_mask(mask, values)
    if values.shape[:2] != mask.shape:
        raise ValueError(f"`mask` must have shape [B, T] = {list(values.shape[:2])}, got {list(mask.shape)}")
    offsets = nn.functional.pad(mask.sum(1).cumsum(0), (1, 0))
    return values[mask], offsets


_MASKS = (torch.bool, torch.uint8, torch.int8, torch.int16, *_native.INTEGERS, *_native.FLOATS)


def _as_mask(mask: Tensor, padded: Tensor) -> Tensor:
    """A bool mask of any mask, or of lengths of the rows of `padded`."""
    mask = _native.check_tensor("mask", mask, _MASKS, (1, 2))
    if torch._C._are_functorch_transforms_active() and torch._C._functorch.is_batchedtensor(mask):
        raise RuntimeError(
            "a mask under vmap must be the same for all examples: packing needs its number of tokens"
        )
    if mask.dim() == 2:
        return mask.bool()
    lengths = _native.check_tensor("mask", mask, _native.INTEGERS, 1)
    return torch.arange(padded.shape[1], device=lengths.device) < lengths[:, None]


def unpack(values: Tensor, mask: Tensor, fill: float = 0) -> Tensor:
    """The inverse of :func:`pack`: ``[B, T, ...]`` with `fill` at padding. It raises as that does.

    A ValueError is also what another number of rows than of tokens gives (on CUDA with ``BIONER_CHECK=1``).

    Example:
        >>> unpack(torch.tensor([1, 2, 3]), torch.tensor([[True, True], [True, False]]))
        tensor([[1, 2],
                [3, 0]])
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"`values` must be a tensor, got {type(values).__name__}")
    mask = _native.check_tensor("mask", mask, _MASKS, 2).bool()
    looks = mask.device.type == "cpu" or (mask.is_cuda and _native.checks_contents())
    if looks and not torch.compiler.is_compiling() and len(values) != (tokens := int(mask.sum())):
        raise ValueError(f"`values` must have a row for each of the {tokens} tokens, got {len(values)}")
    padded = values.new_full((*mask.shape, *values.shape[1:]), fill)
    padded[mask] = values
    return padded


class CRF(nn.Module):
    """A conditional random field with the parameters and methods of ``torchcrf.CRF``.

    Differences: K is at most 256, emissions in float16 and bfloat16 are computed in float32 (as is the
    result), ``decode`` takes neither ``nbest`` nor ``pad_tag``, a mask may have holes and rows without a
    token (its true positions are the sentence), and TorchScript cannot compile it.

    Args:
        num_tags: K.
        batch_first: whether tensors are ``[B, T, ...]``; otherwise ``[T, B, ...]``, the default of
            pytorch-crf.

    Attributes:
        start_transitions, end_transitions: ``[K]``.
        transitions: ``[K, K]``, row = from, column = to.

    Raises:
        TypeError: `num_tags` is no int; or, from any method, an argument is no tensor or of another dtype.
        ValueError: `num_tags` is not in 1 .. 256; or, from any method, a shape, a mask or a tag is wrong.

    Example:
        >>> crf = CRF(5, batch_first=True)
        >>> emissions = torch.randn(2, 3, 5, requires_grad=True)
        >>> tags = torch.tensor([[0, 1, 2], [3, 4, 0]])
        >>> loss = -crf(emissions, tags, reduction="mean")
        >>> loss.backward()
        >>> [len(path) for path in crf.decode(emissions)]
        [3, 3]
    """

    def __init__(self, num_tags: int, batch_first: bool = False) -> None:
        if isinstance(num_tags, bool) or not isinstance(num_tags, int):
            raise TypeError(f"`num_tags` must be an int, got {type(num_tags).__name__}")
        if not 1 <= num_tags <= 256:
            raise ValueError(f"`num_tags` must be between 1 and 256, got {num_tags}")
        super().__init__()
        self.num_tags = num_tags
        self.batch_first = batch_first
        self.start_transitions = nn.Parameter(torch.empty(num_tags))
        self.end_transitions = nn.Parameter(torch.empty(num_tags))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in [-0.1, 0.1]."""
        for parameter in (self.start_transitions, self.end_transitions, self.transitions):
            nn.init.uniform_(parameter, -0.1, 0.1)

    def extra_repr(self) -> str:
        return f"num_tags={self.num_tags}"

    def forward(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, reduction: str = "sum"
    ) -> Tensor:
        """Log-likelihood of `tags`.

        Args:
            emissions: ``[T, B, K]`` (``[B, T, K]`` with ``batch_first``).
            tags: int64 or int32 ``[T, B]``.
            mask: ``[T, B]`` of any type, not zero for tokens; none is all true.
            reduction: ``"none"`` gives ``[B]``; ``"sum"``, ``"mean"`` (over sentences) and ``"token_mean"``
                a scalar.
        """
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(f'`reduction` must be "none", "sum", "mean" or "token_mean", got {reduction!r}')
        emissions, mask = self._arrange(emissions, mask)
        _native.check_tensor("tags", tags, _native.INTEGERS, 2)
        tags = tags if self.batch_first else tags.transpose(0, 1)
        if tags.shape != mask.shape:
            raise ValueError(f"`tags` must have the leading shape of `emissions`, got {list(tags.shape)}")
        packed, offsets = pack(emissions, mask)
        likelihood = crf_log_likelihood(
            packed, tags[mask], self.transitions, offsets, self.start_transitions, self.end_transitions
        )
        if reduction == "none":
            return likelihood
        if reduction == "sum":
            return likelihood.sum()
        return likelihood.mean() if reduction == "mean" else likelihood.sum() / mask.sum()

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tags of every sentence, without padding.

        ``torch.export`` knows no such lists: export a module that returns emissions, and decode outside.
        """
        if getattr(torch.compiler, "is_exporting", bool)():
            raise RuntimeError("CRF.decode returns Python lists: export the emissions, and decode outside")
        emissions, mask = self._arrange(emissions, mask)
        packed, offsets = pack(emissions, mask)
        tags, _ = viterbi_decode(
            packed, self.transitions, offsets, self.start_transitions, self.end_transitions
        )
        flat = tags.tolist()
        bounds = offsets.tolist()
        return [flat[begin:end] for begin, end in itertools.pairwise(bounds)]

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """p(tag of a token | emissions), shaped like `emissions`; zeros at padding."""
        arranged, mask = self._arrange(emissions, mask)
        packed, offsets = pack(arranged, mask)
        out = crf_marginals(packed, self.transitions, offsets, self.start_transitions, self.end_transitions)
        padded = unpack(out, mask)
        return padded if self.batch_first else padded.transpose(0, 1)

    def _arrange(self, emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Batch-first emissions and a bool mask."""
        _native.check_tensor("emissions", emissions, _native.FLOATS, 3)
        if emissions.shape[2] != self.num_tags:
            raise ValueError(
                f"`emissions` must have {self.num_tags} tags in the last dimension, "
                f"got shape {list(emissions.shape)}"
            )
        if mask is not None:
            mask = _native.check_tensor("mask", mask, _MASKS, 2).bool()
            if mask.shape != emissions.shape[:2]:
                raise ValueError(
                    f"`mask` must have the leading shape of `emissions`, {list(emissions.shape[:2])}, "
                    f"got {list(mask.shape)}"
                )
        if not self.batch_first:
            emissions = emissions.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
        if mask is None:
            mask = torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
        return emissions, mask
