"""Windows of neighbouring tokens over packed sentences: gather of rows, and lookup and gather in one pass."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bioner_fast.ops import _native, _op


def window_gather(
    values: Tensor,
    offsets: Tensor,
    window: int,
    padding: Tensor | int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Concatenate, for every token, the rows of the tokens in a window centred on it.

    Args:
        values: ``[N, D]`` float16, bfloat16, float32 or float64; or ``[N]`` int32 or int64 ids.
        offsets: int64 or int32 ``[B + 1]``, from 0 to N; sentence `b` is tokens ``offsets[b]`` to
            ``offsets[b + 1]``.
        window: odd number of positions.
        padding: what positions outside the token's own sentence take: ``[D]`` in the dtype of `values`, or an
            int for ids; zeros where None.
        out: where to write the result, when no gradient is needed.

    Returns:
        ``[N, window * D]``, or ``[N, window]`` for ids; contiguous. Differentiable in `values` and `padding`.

    Raises:
        TypeError: an argument of a wrong type or dtype.
        ValueError: a wrong shape, device or window; on the CPU also offsets that do not run from 0 to N.

    Example:
        >>> window_gather(torch.tensor([5, 6, 7]), torch.tensor([0, 2, 3]), 3, 9)
        tensor([[9, 5, 6],
                [5, 6, 9],
                [9, 7, 9]])
    """
    values = _native.check_tensor("values", values, _native.FLOATS + _native.INTEGERS, (1, 2))
    window = _native.check_window(window)
    offsets = _native.check_offsets(offsets, "values", values)
    if not values.dtype.is_floating_point:
        return _window_ids(values, offsets, window, padding, out)
    if values.dim() != 2:
        raise ValueError(f"`values` must have shape [N, D] where it is floating, got {list(values.shape)}")
    if padding is not None:
        padding = _native.check_tensor("padding", padding, _native.FLOATS, 1)
        _native.check_like("padding", padding, "values", values)
        _native.check_shape("padding", padding, (values.shape[1],), "[D]")
    if out is not None:
        needed = [values.requires_grad, padding is not None and padding.requires_grad]
        if (torch.is_grad_enabled() and any(needed)) or _op.has_tangent(values, padding):
            raise ValueError("`out` cannot be given where a gradient is needed")
        _check_out(out, values, (values.shape[0], window * values.shape[1]), "[N, window * D]")
        torch.ops.bioner_fast.window_gather_out(values, offsets, window, padding, out)
        return out
    result: Tensor = torch.ops.bioner_fast.window_gather(values, offsets, window, padding)
    return result


def _window_ids(
    ids: Tensor, offsets: Tensor, window: int, padding: Tensor | int | None, out: Tensor | None
) -> Tensor:
    if ids.dim() != 1:
        raise ValueError(f"`values` must have shape [N] where it is integer, got {list(ids.shape)}")
    if padding is None:
        padding = 0
    if isinstance(padding, bool) or not isinstance(padding, int):
        raise TypeError(f"`padding` must be an int where `values` are ids, got {type(padding).__name__}")
    limits = torch.iinfo(ids.dtype)
    if not limits.min <= padding <= limits.max:
        raise ValueError(f"`padding` must fit {_native.dtype_name(ids.dtype)}, got {padding}")
    if out is not None:
        _check_out(out, ids, (ids.shape[0], window), "[N, window]")
        torch.ops.bioner_fast.window_gather_out(ids, offsets, window, ids.new_full((1,), padding), out)
        return out
    result: Tensor = torch.ops.bioner_fast.window_gather_ids(ids, offsets, window, padding)
    return result


def _check_out(out: Tensor, values: Tensor, shape: tuple[int, int], meaning: str) -> None:
    out = _native.check_tensor("out", out, _native.FLOATS + _native.INTEGERS, 2)
    _native.check_like("out", out, "values", values)
    _native.check_shape("out", out, shape, meaning)
    if not out.is_contiguous():
        raise ValueError("`out` must be contiguous")
    if out.requires_grad:
        raise ValueError("`out` must not require a gradient")


def embedding_window(
    weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int, *, sparse: bool = False
) -> Tensor:
    """Look up the rows of a window of ids: ``window_gather(weight[ids], ...)`` without the intermediate.

    The row `padding_idx` is like any other: positions outside the sentence take it, and it has a gradient.

    Args:
        weight: ``[V, D]`` float16, bfloat16, float32 or float64.
        ids: ``[N]`` int32 or int64 in ``[0, V)``.
        offsets: int64 or int32 ``[B + 1]``, from 0 to N.
        window: odd number of positions.
        padding_idx: the row of `weight` for positions outside the token's own sentence.
        sparse: give `weight` a sparse COO gradient that has only the rows in use (coalesced on the CPU).
            Under ``torch.compile``, which knows no sparse gradients, this is a graph break, and with
            ``fullgraph=True`` an error that says so; ``sparse=False`` compiles whole.

    Returns:
        ``[N, window * D]``, contiguous; differentiable in `weight`.

    Raises:
        TypeError: an argument of a wrong type or dtype.
        ValueError: a wrong shape, device, window or `padding_idx`; on the CPU also bad offsets and ids.

    Example:
        >>> table = torch.tensor([[0.0], [1.0], [2.0]])
        >>> embedding_window(table, torch.tensor([1, 2]), torch.tensor([0, 2]), 3, padding_idx=0)
        tensor([[0., 1., 2.],
                [1., 2., 0.]])
    """
    weight = _native.check_tensor("weight", weight, _native.FLOATS, 2)
    ids = _native.check_tensor("ids", ids, _native.INTEGERS, 1)
    _native.check_like("ids", ids, "weight", weight, dtype=False)
    window = _native.check_window(window)
    offsets = _native.check_offsets(offsets, "weight", weight)
    if isinstance(padding_idx, bool) or not isinstance(padding_idx, int):
        raise TypeError(f"`padding_idx` must be an int, got {type(padding_idx).__name__}")
    if not 0 <= padding_idx < weight.shape[0]:
        raise ValueError(f"`padding_idx` must lie in [0, {weight.shape[0]}), got {padding_idx}")
    if not isinstance(sparse, bool):
        raise TypeError(f"`sparse` must be a bool, got {type(sparse).__name__}")
    op = _lookup_sparse if sparse else torch.ops.bioner_fast.embedding_window
    result: Tensor = op(weight, ids, offsets, window, padding_idx)
    return result


def _lookup_sparse(weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int) -> Tensor:
    # torch.compiler.disable would load the compiler, a second of every start, for those who never compile.
    if "torch._dynamo" in sys.modules and not _outside_graphs:
        disable: Any = torch.compiler.disable
        _outside_graphs.append(disable(lambda *inputs: _embedding_sparse(*inputs)))
    lookup = _outside_graphs[0] if _outside_graphs else _embedding_sparse
    result: Tensor = lookup(weight, ids, offsets, window, padding_idx)
    return result


_outside_graphs: list[Any] = []
_lookup_sparse._torchdynamo_disable = True  # type: ignore[attr-defined]
_lookup_sparse._torchdynamo_disable_msg = (  # type: ignore[attr-defined]
    "embedding_window(sparse=True): torch.compile knows no sparse gradients; use sparse=False"
)


# ---- window_gather: all of it linear, so each derivative is one of these ops again


def _gather_into(values: Tensor, offsets: Tensor, window: int, padding: Tensor | None, out: Tensor) -> None:
    _native.check_cuda_offsets(offsets, values.shape[0])
    _native.call("window_gather", values, values, offsets, window, padding, out)


def _backward_gather(needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor) -> tuple[Tensor | None, ...]:
    _, offsets, window, _ = inputs
    values = _grad_values(grad, offsets, window) if needs[0] else None
    padding = _grad_padding(grad, offsets, window) if needs[3] else None
    return values, None, None, padding


def _jvp_gather(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    values, offsets, window, _ = inputs
    d_values, _, _, d_padding = tangents
    if d_values is None:
        assert d_padding is not None
        d_values = d_padding.new_zeros(values.shape)
    tangent: Tensor = _gather(d_values, offsets, window, d_padding)
    return tangent


@_op.register(
    "window_gather(Tensor values, Tensor offsets, SymInt window, Tensor? padding) -> Tensor",
    fake=lambda values, offsets, window, padding: values.new_empty(values.shape[0], window * values.shape[1]),
    rule=_op.Rule((1,), _backward_gather, _jvp_gather),
)
def _gather(values: Tensor, offsets: Tensor, window: int, padding: Tensor | None) -> Tensor:
    out = _native.new_output(values, values.shape[0], window * values.shape[1])
    _gather_into(values, offsets, window, padding, out)
    return out


@_op.register(
    "window_gather_ids(Tensor values, Tensor offsets, SymInt window, SymInt padding) -> Tensor",
    fake=lambda values, offsets, window, padding: values.new_empty(values.shape[0], window),
    rule=_op.refusal("window_gather of ids has no derivative"),
    constant=True,
)
def _gather_ids(values: Tensor, offsets: Tensor, window: int, padding: int) -> Tensor:
    out = values.new_empty(values.shape[0], window)
    _gather_into(values, offsets, window, values.new_full((1,), padding), out)
    return out


@_op.register(
    "window_gather_out(Tensor values, Tensor offsets, SymInt window, Tensor? padding, Tensor(a!) out) -> ()",
    fake=lambda values, offsets, window, padding, out: None,
    rule=_op.refusal("window_gather: `out` cannot be given where a gradient is needed"),
    writes=True,
)
def _gather_out(values: Tensor, offsets: Tensor, window: int, padding: Tensor | None, out: Tensor) -> None:
    _gather_into(values, offsets, window, padding, out)


def _backward_grad_values(
    needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> tuple[Tensor | None, ...]:
    _, offsets, window = inputs
    return _gather(grad, offsets, window, None), None, None


def _jvp_grad_values(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    tangent: Tensor = _grad_values(tangents[0], *inputs[1:])
    return tangent


@_op.register(
    "window_grad_values(Tensor grad, Tensor offsets, SymInt window) -> Tensor",
    fake=lambda grad, offsets, window: grad.new_empty(grad.shape[0], grad.shape[1] // window),
    rule=_op.Rule((1,), _backward_grad_values, _jvp_grad_values),
)
def _grad_values(grad: Tensor, offsets: Tensor, window: int) -> Tensor:
    out = _native.new_output(grad, grad.shape[0], grad.shape[1] // window)
    _native.call("window_grad_values", grad, grad, offsets, window, out)
    return out


def _backward_grad_padding(
    needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> tuple[Tensor | None, ...]:
    windows, offsets, window = inputs
    zeros = grad.new_zeros(windows.shape[0], grad.shape[0])
    return _gather(zeros, offsets, window, grad), None, None


def _jvp_grad_padding(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    tangent: Tensor = _grad_padding(tangents[0], *inputs[1:])
    return tangent


@_op.register(
    "window_grad_padding(Tensor grad, Tensor offsets, SymInt window) -> Tensor",
    fake=lambda grad, offsets, window: grad.new_empty(grad.shape[1] // window),
    rule=_op.Rule((1,), _backward_grad_padding, _jvp_grad_padding),
)
def _grad_padding(grad: Tensor, offsets: Tensor, window: int) -> Tensor:
    out = grad.new_empty(grad.shape[1] // window)
    _sum_padding(grad, offsets, window, out)
    return out


def _blocks(tokens: int, size: int) -> int:
    return (tokens + size - 1) // size


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _sum_padding(grad: Tensor, offsets: Tensor, window: int, out: Tensor) -> None:
    blocks = _blocks(grad.shape[0], _native.extension().window_tokens_per_block)
    workspace = grad.new_empty(blocks, out.shape[0], dtype=_accumulator(grad.dtype))
    _native.call("window_grad_padding", grad, grad, offsets, window, workspace, out)


# ---- embedding_window: linear in `weight`


def _lookup(weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int) -> Tensor:
    _native.check_cuda_offsets(offsets, ids.shape[0])
    _native.check_cuda_ids("ids", ids, weight.shape[0])
    out = _native.new_output(weight, ids.shape[0], window * weight.shape[1])
    _native.call("embedding_window", weight, weight, ids, offsets, window, padding_idx, out)
    return out


_LOOKUP = "Tensor weight, Tensor ids, Tensor offsets, SymInt window, SymInt padding_idx"


def _fake_lookup(weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int) -> Tensor:
    return weight.new_empty(ids.shape[0], window * weight.shape[1])


def _backward_lookup(needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor) -> tuple[Tensor | None, ...]:
    weight, ids, offsets, window, padding_idx = inputs
    return _grad_weight(grad, ids, offsets, window, weight.shape[0], padding_idx), None, None, None, None


def _backward_lookup_sparse(
    needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> tuple[Tensor | None, ...]:
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "embedding_window(sparse=True) gives gradients to backward() only; torch.func takes sparse=False"
        )
    if grad.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(
            "embedding_window(sparse=True) has no second derivative; sparse=False (the default) has"
        )
    weight, ids, offsets, window, padding_idx = inputs
    rows = weight.shape[0]
    made = _grad_weight_sparse(grad.detach().contiguous(), ids, offsets, window, rows, padding_idx)
    return made, None, None, None, None


def _jvp_lookup(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    tangent: Tensor = _embedding(tangents[0], *inputs[1:])
    return tangent


@_op.register(
    f"embedding_window({_LOOKUP}) -> Tensor",
    fake=_fake_lookup,
    rule=_op.Rule((1, 2), _backward_lookup, _jvp_lookup),
)
def _embedding(weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int) -> Tensor:
    return _lookup(weight, ids, offsets, window, padding_idx)


@_op.register(
    f"embedding_window_sparse({_LOOKUP}) -> Tensor",
    fake=_fake_lookup,
    rule=_op.Rule((1, 2), _backward_lookup_sparse, _jvp_lookup),
)
def _embedding_sparse(weight: Tensor, ids: Tensor, offsets: Tensor, window: int, padding_idx: int) -> Tensor:
    return _lookup(weight, ids, offsets, window, padding_idx)


def _weight_sums(
    grad: Tensor,
    keys: Tensor,
    offsets: Tensor,
    window: int,
    rows: int,
    padding_idx: int,
    apart: bool,
    runs: int,
    indices: Tensor | None,
    out: Tensor,
) -> None:
    width = out.shape[1]
    accumulator = _accumulator(grad.dtype)
    padding = None
    if window > 1 and grad.shape[0] > 0:
        padding = grad.new_empty(width, dtype=accumulator)
        _sum_padding(grad, offsets, window, padding)
    blocks = _blocks(keys.shape[0], _native.extension().window_keys_per_block)
    run_rows = run_blocks = run_tokens = None
    if grad.is_cuda:
        if window > 1 and grad.dtype in _native.FULL_FLOATS:
            # The same sums in two passes: `grad` is read in order, only [N, D] by id. (Half types would
            # round.)
            values = grad.new_empty(grad.shape[0], width)
            _native.call("window_grad_values", grad, grad, offsets, window, values)
            grad, window = values, 1
        workspace = grad.new_empty(blocks, 3, width, dtype=accumulator)
    else:
        workspace = grad.new_empty(blocks if accumulator == grad.dtype else runs, width, dtype=accumulator)
        run_rows, run_blocks = keys.new_empty(runs), keys.new_empty(blocks + 1)
        run_tokens = keys.new_empty(keys.shape[0], dtype=torch.int32)
    _native.call(
        "embedding_grad_weight", grad, grad, keys, offsets, window, rows, padding_idx, apart, padding,
        workspace, run_rows, run_blocks, run_tokens, indices, out,
    )  # fmt: skip


def _sorted_keys(ids: Tensor, rows: int, padding_idx: int, window: int) -> tuple[Tensor, int, bool, int]:
    """Keys in order; rows of a sparse gradient; whether `padding_idx` is not among `ids`; runs of keys."""
    ids = ids.contiguous()
    keys = torch.empty_like(ids, dtype=torch.int64)
    count, apart, runs = _native.extension().embedding_sort(
        *map(_native.argument, (ids,)), rows, padding_idx, window,
        _native.argument(keys), _native.argument(torch.empty_like(keys)),
    )  # fmt: skip
    return keys, count, apart, runs


def _backward_grad_weight(
    needs: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> tuple[Tensor | None, ...]:
    _, ids, offsets, window, _, padding_idx = inputs
    return _embedding(grad, ids, offsets, window, padding_idx), None, None, None, None, None


def _jvp_grad_weight(inputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> Tensor:
    tangent: Tensor = _grad_weight(tangents[0], *inputs[1:])
    return tangent


@_op.register(
    "embedding_grad_weight(Tensor grad, Tensor ids, Tensor offsets, SymInt window, SymInt rows, "
    "SymInt padding_idx) -> Tensor",
    fake=lambda grad, ids, offsets, window, rows, padding_idx: grad.new_empty(rows, grad.shape[1] // window),
    rule=_op.Rule((1, 2), _backward_grad_weight, _jvp_grad_weight),
)
def _grad_weight(
    grad: Tensor, ids: Tensor, offsets: Tensor, window: int, rows: int, padding_idx: int
) -> Tensor:
    out = _native.new_output(grad, rows, grad.shape[1] // window)
    if grad.is_cuda:
        order = torch.arange(ids.shape[0], device=ids.device)
        # Ids are unchecked here: clamped as in the lookup. Keys are unique, so any sort is stable.
        keys = (ids.long().clamp(0, rows - 1).bitwise_left_shift(32) | order).sort().values
        # The kernel itself finds out whether padding_idx is among the ids: asking here would synchronise.
        apart, runs = True, 0
    else:
        keys, _, apart, runs = _sorted_keys(ids, rows, padding_idx, window)
    _weight_sums(grad, keys, offsets, window, rows, padding_idx, apart, runs, None, out)
    return out


def _grad_weight_sparse(
    grad: Tensor, ids: Tensor, offsets: Tensor, window: int, rows: int, padding_idx: int
) -> Tensor:
    width = grad.shape[1] // window
    if grad.is_cuda:
        # One row per token and one for padding, not coalesced: counting the distinct ids would synchronise.
        values = grad.new_empty(ids.shape[0] + 1, width)
        _native.call("window_grad_values", grad, grad, offsets, window, values[:-1])
        _sum_padding(grad, offsets, window, values[-1])
        indices = torch.cat(
            [ids.long().clamp(0, rows - 1), ids.new_full((1,), padding_idx, dtype=torch.int64)]
        )
        return torch.sparse_coo_tensor(indices[None], values, (rows, width), check_invariants=False)
    keys, count, apart, runs = _sorted_keys(ids, rows, padding_idx, window)
    indices = keys.new_empty(count)
    values = _native.new_output(grad, count, width)
    _weight_sums(grad, keys, offsets, window, rows, padding_idx, apart, runs, indices, values)
    return torch.sparse_coo_tensor(
        indices[None], values, (rows, width), is_coalesced=True, check_invariants=False
    )
