"""Linear-chain CRF over packed sentences: log-likelihood with gradients, marginals, marginals of spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bioner_fast.ops import _native, _op
from bioner_fast.ops.viterbi import checked_chain


def crf_log_likelihood(
    emissions: Tensor,
    tags: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """log p(tags | emissions) of every sentence.

    Differentiable in `emissions`, `transitions`, `start` and `end`. Everything is computed in float64
    inside; results do not depend on the number of threads.

    Args:
        emissions: ``[N, K]`` float32 or float64, sentences concatenated; 1 <= K <= 256. ``-inf`` is allowed
            everywhere. Scores in float16 and bfloat16 (autocast), here and below, become float32, and so does
            the result; their gradients have their own type.
        tags: int64 or int32 ``[N]`` in ``[0, K)``.
        transitions: ``[K, K]``, row = from, column = to.
        offsets: int64 or int32 ``[B + 1]``; empty sentences are legal.
        start: ``[K]``, added to the first token of a sentence; none is zeros.
        end: ``[K]``, added to the last.

    Returns:
        ``[B]``. An impossible gold path gives ``-inf`` and contributes no gradient, never NaN. An empty
        sentence gives 0.

    Raises:
        TypeError: an argument is no tensor or has another dtype.
        ValueError: a shape, a device or (on CPU, and on CUDA with ``BIONER_CHECK=1``) the contents of
            `offsets` or `tags` are wrong.

    Example:
        >>> emissions = torch.zeros(3, 2)
        >>> tags, offsets = torch.tensor([0, 1, 1]), torch.tensor([0, 2, 3])
        >>> crf_log_likelihood(emissions, tags, torch.zeros(2, 2), offsets).exp()
        tensor([0.2500, 0.5000])
    """
    emissions, *others = checked_chain(emissions, transitions, offsets, start, end)
    likelihood: Tensor = _log_likelihood(emissions, _checked_tags(tags, emissions), *others)
    return likelihood


def crf_marginals(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """p(tag of a token | emissions), ``[N, K]``: rows sum to one, or are zeros where no sequence is possible.

    Arguments and errors are those of :func:`crf_log_likelihood`. Carries no gradient for ``backward()``;
    forward mode and ``torch.func`` derive it once.

    Example:
        >>> crf_marginals(torch.tensor([[0.0, 1.0]]), torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([[0.2689, 0.7311]])
    """
    out: Tensor = _marginals(*checked_chain(emissions, transitions, offsets, start, end))
    return out


def span_marginals(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    spans: Tensor,
    tags: Tensor,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """The probability that the tokens of a span carry exactly the given tags, whatever the others carry.

    With transitions of 0 and ``-inf``, and log-probabilities as emissions, it is the probability under the
    model restricted to legal sequences: the score of an entity.

    Args:
        spans: int64 or int32 ``[M, 3]``, rows (sentence, start, end): indices of tokens in the batch, end
            exclusive, inside that sentence.
        tags: int64 or int32 ``[N]``; only those inside spans matter, but all must lie in ``[0, K)``.

    The other arguments, and the errors, are those of :func:`crf_log_likelihood`. CUDA tensors are brought to
    the CPU.

    Returns:
        ``[M]``, in ``[0, 1]``. Carries no gradient.

    Example:
        >>> offsets, spans, tags = torch.tensor([0, 3]), torch.tensor([[0, 1, 3]]), torch.tensor([0, 1, 1])
        >>> span_marginals(torch.zeros(3, 2), torch.zeros(2, 2), offsets, spans, tags)
        tensor([0.2500])
    """
    emissions, *others = checked_chain(emissions, transitions, offsets, start, end)
    tags = _checked_tags(tags, emissions)
    spans = _native.check_tensor("spans", spans, _native.INTEGERS, 2)
    spans = _native.as_int64(spans)
    _native.check_like("spans", spans, "emissions", emissions, dtype=False)
    if spans.shape[1] != 3:
        raise ValueError(f"`spans` must have shape [M, 3], got {list(spans.shape)}")
    out: Tensor = _span_marginals(emissions, tags, *others, spans)
    return out


def _checked_tags(tags: Any, emissions: Tensor) -> Tensor:
    tags = _native.check_tensor("tags", tags, _native.INTEGERS, 1)
    _native.check_like("tags", tags, "emissions", emissions, dtype=False)
    _native.check_shape("tags", tags, (emissions.shape[0],), "[N]")
    return _native.as_int64(tags)


def _check_cuda_contents(emissions: Tensor, offsets: Tensor, tags: Tensor | None) -> None:
    _native.check_cuda_offsets(offsets, emissions.shape[0])
    if tags is not None:
        _native.check_cuda_ids("tags", tags, emissions.shape[1])


def _workspace(emissions: Tensor, offsets: Tensor, gradients: bool) -> Tensor | None:
    """Device memory of a CUDA kernel; on the CPU the binding brings its own."""
    if not emissions.is_cuda or emissions.device.type == "meta":
        return None
    tokens, k = emissions.shape
    size = _native.extension().crf_cuda_workspace_bytes(tokens, offsets.shape[0] - 1, k, gradients)
    return torch.empty(size, dtype=torch.uint8, device=emissions.device)


# ---- The ops. With L for the log-likelihood, d and e for directions among the scores, sums over sentences:
#
#   crf_log_likelihood   L                    crf_gradients        sum of upstream * L'
#   crf_tangent          L' d                 crf_curvature        sum of upstream * L'' d
#                                             crf_bend             d L'' e
#
# Each is derived by others, up to L''. That is minus the second derivative of log Z, so it derives the
# marginals, too; there no tags are given, and no sentence has an impossible gold path.

_SCORES = "Tensor emissions, {tags} tags, Tensor transitions, Tensor offsets, Tensor? start, Tensor? end"
_CHAIN = _SCORES.format(tags="Tensor")
_CHAIN_OF_ANY = _SCORES.format(tags="Tensor?")


def _along(name: str) -> str:
    return ", ".join(f"Tensor? {name}_{part}" for part in ("emissions", "transitions", "start", "end"))


def _of_scores(values: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """What belongs to emissions, transitions, start and end, of what belongs to the inputs of ``_CHAIN``."""
    emissions, _, transitions, _, start, end = values
    return emissions, transitions, start, end


def _new_sentences(
    emissions: Tensor, tags: Tensor | None, transitions: Tensor, offsets: Tensor, *_: Any
) -> Tensor:
    return emissions.new_empty(offsets.shape[0] - 1)


def _new_scores(upstream: Tensor, emissions: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tokens, k = emissions.shape
    new = emissions.new_empty
    return new(tokens, k), new(k, k), new(k), new(k)


def _chosen(needs: Sequence[bool], gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of ``_CHAIN``, from those of the scores."""
    emissions, transitions, start, end = gradients
    made = (emissions, None, transitions, None, start, end)
    return tuple(gradient if need else None for need, gradient in zip(needs, made, strict=True))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    total, *others = parts
    for part in others:
        total = total + part
    return total


def _backward_likelihood(
    needs: Sequence[bool], inputs: Sequence[Any], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    return _chosen(needs, _gradients(upstream, *inputs, bool(needs[2])))


def _jvp_likelihood(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    tangent: Tensor = _tangent(*inputs, *_of_scores(tangents))
    return tangent


@_op.register(
    f"crf_log_likelihood({_CHAIN}) -> Tensor",
    fake=_new_sentences,
    rule=_op.Rule((0, 1, 2, 3, 4, 5), _backward_likelihood, _jvp_likelihood),
)
def _log_likelihood(
    emissions: Tensor,
    tags: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None,
    end: Tensor | None,
) -> Tensor:
    _check_cuda_contents(emissions, offsets, tags)
    out = emissions.new_empty(offsets.shape[0] - 1)
    _native.call("crf_log_likelihood", emissions, emissions, tags, transitions, offsets, start, end, out)
    return out


def _backward_gradients(
    needs: Sequence[bool], inputs: Sequence[Any], *outer: Tensor
) -> tuple[Tensor | None, ...]:
    upstream, *chain, need_transitions = inputs
    along = (outer[0], outer[1] if need_transitions else None, outer[2], outer[3])
    d_upstream = _tangent(*chain, *along) if needs[0] else None
    if not any(needs[1:-1]):
        return d_upstream, *[None] * 7
    return d_upstream, *_chosen(needs[1:-1], _curvature(upstream, *chain, *along)), None


def _jvp_gradients(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    upstream, *chain, need_transitions = inputs
    d_upstream, *d_chain, _ = tangents
    along = _of_scores(d_chain)
    parts = []
    if d_upstream is not None:
        parts.append(_gradients(d_upstream, *chain, need_transitions))
    if any(direction is not None for direction in along):
        emissions, transitions, start, end = _curvature(upstream, *chain, *along)
        none = transitions.new_zeros(0, 0)
        parts.append((emissions, transitions if need_transitions else none, start, end))
    return tuple(_sum(of_score) for of_score in zip(*parts, strict=True))


def _fake_gradients(upstream: Tensor, *others: Any) -> tuple[Tensor, ...]:
    emissions, transitions, start, end = _new_scores(upstream, *others)
    return emissions, transitions if others[-1] else emissions.new_empty(0, 0), start, end


@_op.register(
    f"crf_gradients(Tensor upstream, {_CHAIN}, bool need_transitions) -> (Tensor, Tensor, Tensor, Tensor)",
    fake=_fake_gradients,
    rule=_op.Rule((0, 1, 2, 3, 4, 5, 6), _backward_gradients, _jvp_gradients),
)
def _gradients(
    upstream: Tensor,
    emissions: Tensor,
    tags: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None,
    end: Tensor | None,
    need_transitions: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tokens, k = emissions.shape
    d_emissions = emissions.new_empty(tokens, k)
    d_transitions = emissions.new_empty((k, k) if need_transitions else (0, 0))
    d_start = emissions.new_empty(k)
    d_end = emissions.new_empty(k)
    _native.call(
        "crf_gradients",
        emissions,
        upstream,
        emissions,
        tags,
        transitions,
        offsets,
        start,
        end,
        d_emissions,
        d_transitions if need_transitions else None,
        d_start,
        d_end,
        _workspace(emissions, offsets, True),
    )
    return d_emissions, d_transitions, d_start, d_end


# What follows has code for the CPU only: CUDA tensors are brought there, and results back.


def _on_cpu(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.cpu() for tensor in tensors]


def _arguments(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [_native.argument(tensor) for tensor in tensors]


def _backward_tangent(
    needs: Sequence[bool], inputs: Sequence[Any], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    chain, along = inputs[:6], inputs[6:]
    of_scores: Sequence[Tensor | None] = [None] * 6
    if any(needs[:6]):
        of_scores = _chosen(needs[:6], _curvature(upstream, *chain, *along))
    if not any(needs[6:]):
        return *of_scores, *[None] * 4
    of_along = _gradients(upstream, *chain, bool(needs[7]))
    return *of_scores, *(g if need else None for need, g in zip(needs[6:], of_along, strict=True))


def _jvp_tangent(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    chain, along = inputs[:6], inputs[6:]
    d_scores, d_along = _of_scores(tangents[:6]), tangents[6:]
    parts = []
    if any(direction is not None for direction in d_scores):
        parts.append(_bend(*chain, *along, *d_scores))
    if any(direction is not None for direction in d_along):
        parts.append(_tangent(*chain, *d_along))
    return _sum(parts)


@_op.register(
    f"crf_tangent({_CHAIN}, {_along('d')}) -> Tensor",
    fake=_new_sentences,
    rule=_op.Rule(tuple(range(10)), _backward_tangent, _jvp_tangent),
)
def _tangent(*inputs: Tensor | None) -> Tensor:
    emissions, *others = _on_cpu(*inputs)
    assert inputs[0] is not None
    assert emissions is not None
    assert others[2] is not None
    out = emissions.new_empty(others[2].shape[0] - 1)
    arguments = _arguments([emissions, *others])
    _native.extension().crf_tangent(*arguments[:6], arguments[6:], _native.argument(out), _native.threads())
    return out.to(inputs[0].device)


_NO_THIRD = "the CRF has first and second derivatives only; this one would be the third"


@_op.register(
    f"crf_curvature(Tensor upstream, {_CHAIN_OF_ANY}, {_along('d')}) -> (Tensor, Tensor, Tensor, Tensor)",
    fake=_new_scores,
    rule=_op.refusal(_NO_THIRD),
)
def _curvature(*inputs: Tensor | None) -> tuple[Tensor, ...]:
    upstream, emissions, *others = _on_cpu(*inputs)
    assert inputs[0] is not None
    assert upstream is not None
    assert emissions is not None
    out = _new_scores(upstream, emissions)
    arguments = _arguments([upstream, emissions, *others])
    _native.extension().crf_curvature(*arguments[:7], arguments[7:], *_arguments(out), _native.threads())
    return tuple(made.to(inputs[0].device) for made in out)


@_op.register(
    f"crf_bend({_CHAIN_OF_ANY}, {_along('d')}, {_along('e')}) -> Tensor",
    fake=_new_sentences,
    rule=_op.refusal(_NO_THIRD),
)
def _bend(*inputs: Tensor | None) -> Tensor:
    emissions, *others = _on_cpu(*inputs)
    assert inputs[0] is not None
    assert emissions is not None
    assert others[2] is not None
    out = emissions.new_empty(others[2].shape[0] - 1)
    arguments = _arguments([emissions, *others])
    _native.extension().crf_bend(
        *arguments[:6], arguments[6:10], arguments[10:], _native.argument(out), _native.threads()
    )
    return out.to(inputs[0].device)


def _derive_marginals(inputs: Sequence[Any], along: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """The derivative of log Z's gradients along a direction."""
    emissions, transitions, offsets, start, end = inputs
    upstream = emissions.new_full((offsets.shape[0] - 1,), -1.0)
    made: Sequence[Tensor] = _curvature(upstream, emissions, None, transitions, offsets, start, end, *along)
    return made


def _backward_marginals(
    needs: Sequence[bool], inputs: Sequence[Any], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    # The second derivative of log Z is symmetric.
    emissions, transitions, start, end = _derive_marginals(inputs, (upstream, None, None, None))
    made = (emissions, transitions, None, start, end)
    return tuple(gradient if need else None for need, gradient in zip(needs, made, strict=True))


def _jvp_marginals(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    emissions, transitions, _, start, end = tangents
    return _derive_marginals(inputs, (emissions, transitions, start, end))[0]


@_op.register(
    "crf_marginals(Tensor emissions, Tensor transitions, Tensor offsets, Tensor? start, Tensor? end) "
    "-> Tensor",
    fake=lambda emissions, *others: emissions.new_empty(emissions.shape),
    rule=_op.Rule((0, 1, 2, 3, 4), _backward_marginals, _jvp_marginals),
    constant=True,
)
def _marginals(
    emissions: Tensor, transitions: Tensor, offsets: Tensor, start: Tensor | None, end: Tensor | None
) -> Tensor:
    _check_cuda_contents(emissions, offsets, None)
    out = emissions.new_empty(emissions.shape)
    workspace = _workspace(emissions, offsets, False)
    _native.call("crf_marginals", emissions, emissions, transitions, offsets, start, end, out, workspace)
    return out


@_op.register(
    f"span_marginals({_CHAIN}, Tensor spans) -> Tensor",
    fake=lambda emissions, *others: emissions.new_empty(others[-1].shape[0]),
    rule=_op.refusal("span_marginals has no derivative; give it tensors that are detached"),
    constant=True,
)
def _span_marginals(emissions: Tensor, *others: Tensor | None) -> Tensor:
    spans = others[-1]
    assert spans is not None
    out = torch.empty(spans.shape[0], dtype=emissions.dtype)
    _native.call("crf_span_marginals", out, *_on_cpu(emissions, *others), out)
    return out.to(emissions.device)
