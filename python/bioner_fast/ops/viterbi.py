"""Viterbi decoding of packed sentences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bioner_fast.ops import _native, _op

MAX_TAGS = 256
MAX_PATHS = 1024
READOUTS = {"path": 0, "forward_argmax": 1}


def viterbi_decode(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None = None,
    end: Tensor | None = None,
    readout: str = "path",
) -> tuple[Tensor, Tensor]:
    """The best tag sequence of every sentence.

    Path and score are those of float64 sums, whatever the inputs are: a float32 sentence of any length gets
    the float64 path, and CPU (any SIMD level, any number of threads) and CUDA agree bit for bit. A tie goes
    to the lowest tag, ``-inf`` is allowed everywhere, and NaN never wins. On the CPU, float32 is fastest with
    scores between -128 and 128 and sentences of at most 2,048 tokens: those are decoded in fixed point
    wherever that provably changes nothing.

    Args:
        emissions: ``[N, K]`` float32 or float64: scores of the tags of all tokens, sentences concatenated;
            1 <= K <= 256. Scores in float16 and bfloat16, here and below, become float32.
        transitions: ``[K, K]``, row = from, column = to.
        offsets: int64 or int32 ``[B + 1]``; sentence ``b`` is rows ``offsets[b]`` to ``offsets[b + 1]``.
            Empty sentences are legal.
        start: ``[K]``, added to the first token of a sentence; none is zeros.
        end: ``[K]``, added to the last.
        readout: ``"path"`` is the best sequence. ``"forward_argmax"`` is the rule of the published system:
            the tag of each position maximises the forward score there, without back-pointers, so the
            sequence may be illegal.

    Returns:
        ``tags`` int64 ``[N]`` and ``scores`` ``[B]``, the score of the best sequence: ``-inf`` where none is
        possible, 0 for an empty sentence. Neither carries a gradient.

    Raises:
        TypeError: an argument is no tensor or has another dtype.
        ValueError: a shape, a device, ``readout`` or (on CPU, and on CUDA with ``BIONER_CHECK=1``) the
            offsets are wrong.

    Example:
        >>> emissions = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 1.0]])
        >>> viterbi_decode(emissions, torch.zeros(2, 2), torch.tensor([0, 2, 3]))
        (tensor([0, 1, 0]), tensor([4., 2.]))
    """
    chain = checked_chain(emissions, transitions, offsets, start, end)
    if readout not in READOUTS:
        raise ValueError(f'`readout` must be "path" or "forward_argmax", got {readout!r}')
    tags, scores = _decode(*chain, READOUTS[readout])
    return tags, scores


def viterbi_top_k(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    k: int,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best tag sequences of every sentence, best first.

    It is exact: sums are float64, from the last token to the first. Of sequences with equal sums, the one
    whose first different tag is lower goes first (:func:`viterbi_decode` prefers the lower last one). NaN
    never wins, and ``-inf`` is allowed everywhere. Time and memory grow with k: a sentence of n tokens needs
    4 n K k bytes. CUDA tensors are brought to the CPU.

    Args:
        k: how many sequences, 1 to 1,024.

    The other arguments, and the errors, are those of :func:`viterbi_decode`.

    Returns:
        ``tags`` int64 ``[N, k]``, a column for each rank, and ``scores`` ``[B, k]``. Where a sentence has
        fewer than k possible sequences, the rest have score ``-inf`` and tags 0. An empty sentence has one
        sequence, with score 0. Neither carries a gradient.

    Example:
        >>> emissions = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> tags, scores = viterbi_top_k(emissions, torch.zeros(2, 2), torch.tensor([0, 2]), 3)
        >>> tags.T.tolist(), scores.tolist()
        ([[0, 1], [1, 1], [0, 0]], [[4.0, 3.0, 1.0]])
    """
    emissions, transitions, offsets, *ends = checked_chain(emissions, transitions, offsets, start, end)
    if isinstance(k, bool) or not isinstance(k, int):
        raise TypeError(f"`k` must be an int, got {type(k).__name__}")
    if not 1 <= k <= MAX_PATHS:
        raise ValueError(f"`k` must be between 1 and {MAX_PATHS}, got {k}")
    tags, scores = _top_k(emissions, transitions, offsets, k, *ends)
    return tags, scores


def checked_chain(
    emissions: Tensor, transitions: Tensor, offsets: Tensor, start: Tensor | None, end: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """The arguments that Viterbi and the CRF share, checked, and as ops take them."""
    emissions = _scores("emissions", emissions, 2)
    k = emissions.shape[1]
    if k < 1 or k > MAX_TAGS:
        raise ValueError(
            f"`emissions` must have between 1 and {MAX_TAGS} tags, got shape {list(emissions.shape)}"
        )
    transitions = _scores("transitions", transitions, 2)
    _native.check_like("transitions", transitions, "emissions", emissions)
    _native.check_shape("transitions", transitions, (k, k), "[K, K]")
    offsets = _native.check_offsets(offsets, "emissions", emissions)
    ends: list[Tensor | None] = []
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            value = _scores(name, value, 1)
            _native.check_like(name, value, "emissions", emissions)
            _native.check_shape(name, value, (k,), "[K]")
        ends.append(value)
    return emissions, transitions, offsets, ends[0], ends[1]


def _scores(name: str, value: Tensor, rank: int) -> Tensor:
    """Half floats are widened here, so that Torch gives their gradients in their own type."""
    value = _native.check_tensor(name, value, _native.FLOATS, rank)
    return value if value.dtype in _native.FULL_FLOATS else value.float()


def _fake_decode(emissions: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    tags = torch.empty(emissions.shape[0], dtype=torch.int64, device=emissions.device)
    return tags, emissions.new_empty(others[1].shape[0] - 1)


@_op.register(
    "viterbi_decode(Tensor emissions, Tensor transitions, Tensor offsets, Tensor? start, Tensor? end, "
    "int readout) -> (Tensor, Tensor)",
    fake=_fake_decode,
    rule=_op.refusal("viterbi_decode has no derivative; give it tensors that are detached"),
    constant=True,
)
def _decode(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None,
    end: Tensor | None,
    readout: int,
) -> tuple[Tensor, Tensor]:
    tokens, k = emissions.shape
    _native.check_cuda_offsets(offsets, tokens)
    tags = torch.empty(tokens, dtype=torch.int64, device=emissions.device)
    scores = emissions.new_empty(offsets.shape[0] - 1)
    back = torch.empty(tokens * k, dtype=torch.uint8, device=emissions.device) if emissions.is_cuda else None
    _native.call(
        "viterbi_decode", emissions, emissions, transitions, offsets, start, end, readout, tags, scores, back
    )
    return tags, scores


def _fake_top_k(
    emissions: Tensor, transitions: Tensor, offsets: Tensor, k: int, *ends: Any
) -> tuple[Tensor, Tensor]:
    tags = torch.empty(emissions.shape[0], k, dtype=torch.int64, device=emissions.device)
    return tags, emissions.new_empty(offsets.shape[0] - 1, k)


@_op.register(
    "viterbi_top_k(Tensor emissions, Tensor transitions, Tensor offsets, int k, Tensor? start, Tensor? end) "
    "-> (Tensor, Tensor)",
    fake=_fake_top_k,
    rule=_op.refusal("viterbi_top_k has no derivative; give it tensors that are detached"),
    constant=True,
)
def _top_k(
    emissions: Tensor, transitions: Tensor, offsets: Tensor, k: int, start: Tensor | None, end: Tensor | None
) -> tuple[Tensor, Tensor]:
    inputs = [None if part is None else part.cpu() for part in (emissions, transitions, offsets, start, end)]
    tags = torch.empty(emissions.shape[0], k, dtype=torch.int64)
    scores = torch.empty(offsets.shape[0] - 1, k, dtype=emissions.dtype)
    _native.call("viterbi_top_k", tags, *inputs, tags, scores)
    return tags.to(emissions.device), scores.to(emissions.device)
