"""Linear-chain CRF over packed sentences: log-likelihood with gradients, marginals, marginals of spans."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bioner_fast.ops import _native
from bioner_fast.ops.viterbi import check_chain, detached


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
            everywhere.
        tags: int64 ``[N]`` in ``[0, K)``.
        transitions: ``[K, K]``, row = from, column = to.
        offsets: int64 ``[B + 1]``; empty sentences are legal.
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
    check_chain(emissions, transitions, offsets, start, end)
    _check_tags(tags, emissions)
    likelihood: Tensor = _log_likelihood(emissions, tags, transitions, offsets, start, end)
    return likelihood


def crf_marginals(
    emissions: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None = None,
    end: Tensor | None = None,
) -> Tensor:
    """p(tag of a token | emissions), ``[N, K]``: rows sum to one, or are zeros where no sequence is possible.

    Arguments and errors are those of :func:`crf_log_likelihood`. Carries no gradient.

    Example:
        >>> crf_marginals(torch.tensor([[0.0, 1.0]]), torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([[0.2689, 0.7311]])
    """
    check_chain(emissions, transitions, offsets, start, end)
    out: Tensor = _marginals(*detached(emissions, transitions, offsets, start, end))
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
        spans: int64 ``[M, 3]``, rows (sentence, start, end): indices of tokens in the batch, end exclusive,
            inside that sentence.
        tags: int64 ``[N]``; only those inside spans matter, but all must lie in ``[0, K)``.

    The other arguments, and the errors, are those of :func:`crf_log_likelihood`. CUDA tensors are brought to
    the CPU.

    Returns:
        ``[M]``, in ``[0, 1]``. Carries no gradient.

    Example:
        >>> offsets, spans, tags = torch.tensor([0, 3]), torch.tensor([[0, 1, 3]]), torch.tensor([0, 1, 1])
        >>> span_marginals(torch.zeros(3, 2), torch.zeros(2, 2), offsets, spans, tags)
        tensor([0.2500])
    """
    check_chain(emissions, transitions, offsets, start, end)
    _check_tags(tags, emissions)
    _native.check_tensor("spans", spans, (torch.int64,), 2)
    _native.check_like("spans", spans, "emissions", emissions, dtype=False)
    if spans.shape[1] != 3:
        raise ValueError(f"`spans` must have shape [M, 3], got {list(spans.shape)}")
    out: Tensor = _span_marginals(*detached(emissions, tags, transitions, offsets, start, end, spans))
    return out


def _check_tags(tags: Any, emissions: Tensor) -> None:
    _native.check_tensor("tags", tags, (torch.int64,), 1)
    _native.check_like("tags", tags, "emissions", emissions, dtype=False)
    _native.check_shape("tags", tags, (emissions.shape[0],), "[N]")


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


@torch.library.custom_op("bioner_fast::crf_log_likelihood", mutates_args=(), device_types=("cpu", "cuda"))
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


@_log_likelihood.register_fake
def _(emissions: Tensor, tags: Tensor, transitions: Tensor, offsets: Tensor, *_: Tensor | None) -> Tensor:
    return emissions.new_empty(offsets.shape[0] - 1)


@torch.library.custom_op("bioner_fast::crf_gradients", mutates_args=(), device_types=("cpu", "cuda"))
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


@_gradients.register_fake
def _(upstream: Tensor, emissions: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tokens, k = emissions.shape
    need_transitions = others[-1]
    d_transitions = emissions.new_empty((k, k) if need_transitions else (0, 0))
    return emissions.new_empty(tokens, k), d_transitions, emissions.new_empty(k), emissions.new_empty(k)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    emissions, tags, transitions, offsets, start, end = ctx.saved_tensors
    needs = ctx.needs_input_grad
    d_emissions, d_transitions, d_start, d_end = _gradients(
        upstream, emissions, tags, transitions, offsets, start, end, bool(needs[2])
    )
    return (
        d_emissions if needs[0] else None,
        None,
        d_transitions if needs[2] else None,
        None,
        d_start if needs[4] else None,
        d_end if needs[5] else None,
    )


_log_likelihood.register_autograd(_backward, setup_context=_save)


@torch.library.custom_op("bioner_fast::crf_marginals", mutates_args=(), device_types=("cpu", "cuda"))
def _marginals(
    emissions: Tensor, transitions: Tensor, offsets: Tensor, start: Tensor | None, end: Tensor | None
) -> Tensor:
    _check_cuda_contents(emissions, offsets, None)
    out = emissions.new_empty(emissions.shape)
    workspace = _workspace(emissions, offsets, False)
    _native.call("crf_marginals", emissions, emissions, transitions, offsets, start, end, out, workspace)
    return out


@_marginals.register_fake
def _(emissions: Tensor, *_: Tensor | None) -> Tensor:
    return emissions.new_empty(emissions.shape)


@torch.library.custom_op("bioner_fast::span_marginals", mutates_args=(), device_types=("cpu", "cuda"))
def _span_marginals(
    emissions: Tensor,
    tags: Tensor,
    transitions: Tensor,
    offsets: Tensor,
    start: Tensor | None,
    end: Tensor | None,
    spans: Tensor,
) -> Tensor:
    def on_cpu(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.cpu()

    inputs = [on_cpu(t) for t in (emissions, tags, transitions, offsets, start, end, spans)]
    out = torch.empty(spans.shape[0], dtype=emissions.dtype)
    _native.call("crf_span_marginals", out, *inputs, out)
    return out.to(emissions.device)


@_span_marginals.register_fake
def _(emissions: Tensor, *others: Any) -> Tensor:
    return emissions.new_empty(others[-1].shape[0])
