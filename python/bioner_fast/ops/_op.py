"""How an op becomes known to Torch: with its derivatives, or with a sentence that says that it has none.

Torch drops the tangent of an input (forward mode) wherever an op has not said what becomes of it: the
derivative is then zero, and nobody is told. ``custom_op`` knows no forward mode and no
``torch.func``. So every op here is registered by :func:`register`, which makes it a
``torch.autograd.Function`` wherever derivatives or ``torch.func`` transforms are about, and a plain call
where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, library
from torch.autograd import forward_ad

# Of a type that Torch does not annotate. It lives as long as the process: its end would unregister the ops.
_LIBRARY: Any = library.Library("bioner_fast", "FRAGMENT")  # type: ignore[no-untyped-call, unused-ignore]
_unpack: Any = forward_ad.unpack_dual


class Absent(NamedTuple):
    """Stands for an input that a rule does not keep."""

    shape: torch.Size


@dataclass(frozen=True, slots=True)
class Rule:
    """The derivatives of an op. They must be made of other ops, so that they can be derived again.

    Attributes:
        keeps: which inputs, counted from 0, the derivatives read, beside those that are no tensors. Of other
            tensors they see an :class:`Absent`.
        backward: takes which inputs need a gradient, the inputs and the gradients of the outputs; returns a
            gradient or None for each input.
        jvp: takes the inputs and their tangents (each may be None); returns the tangents of the outputs.
    """

    keeps: tuple[int, ...]
    backward: Callable[..., tuple[Tensor | None, ...]]
    jvp: Callable[[Sequence[Any], Sequence[Tensor | None]], Any]


def refusal(sentence: str) -> Rule:
    """The rule of an op without derivatives: asking for one is an error."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError(sentence)

    return Rule((), refuse, refuse)


def register(
    schema: str,
    *,
    fake: Callable[..., Any],
    rule: Rule,
    constant: bool = False,
    writes: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that makes a function the CPU and CUDA code of an op, ``torch.ops.bioner_fast.NAME``.

    The op works under ``torch.compile``, ``torch.export`` and all transforms of ``torch.func``; ``vmap``
    calls it for one example after another.

    Args:
        schema: as Torch takes it, without defaults.
        fake: makes outputs without contents.
        rule: its derivatives.
        constant: outputs require no gradient, whatever the inputs do; ``rule`` is for forward mode and for
            ``torch.func``.
        writes: the op returns nothing and writes into its last argument: no derivatives, no ``torch.func``.
    """
    name = schema.partition("(")[0]

    def decorate(implementation: Callable[..., Any]) -> Any:
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        qualified = f"bioner_fast::{name}"
        for device in ("CPU", "CUDA"):
            _LIBRARY.impl(name, implementation, device)

        def exportable_fake(*inputs: Any) -> Any:
            if torch.onnx.is_in_onnx_export():
                raise RuntimeError(
                    f"{name} is no operator of ONNX: export what it reads, and call it outside"
                )
            return fake(*inputs)

        library.register_fake(qualified, exportable_fake, lib=_LIBRARY)
        op = getattr(torch.ops.bioner_fast, name).default
        function = _function(name, op, rule, fake)

        def plain(*inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return op(*inputs)

        def autograd(*inputs: Any) -> Any:
            if has_tangent(*inputs):
                return function.apply(*inputs)
            if not constant and torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs):
                return function.apply(*inputs)
            return plain(*inputs)

        def refuse_to_write(*inputs: Any) -> Any:
            raise RuntimeError(f"{name} writes into a tensor, which torch.func cannot follow")

        def write(*inputs: Any) -> None:
            if has_tangent(*inputs) or (torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs)):
                rule.backward()
            plain(*inputs)
            torch.autograd.graph.increment_version(inputs[-1])

        _LIBRARY.impl(name, write if writes else autograd, "Autograd")
        # Before Torch takes the transforms apart: there, a Function is what it can transform.
        transformed = refuse_to_write if writes else function.apply
        _LIBRARY.impl(name, lambda *inputs: transformed(*inputs), "FuncTorchDynamicLayerFrontMode")
        return op

    return decorate


def has_tangent(*values: Any) -> bool:
    """Whether forward mode is on, and one of the values carries a tangent."""
    if getattr(forward_ad, "_current_level", 0) < 0 or not torch._C._is_fwd_grad_enabled():
        return False
    return any(
        isinstance(value, Tensor) and value.is_floating_point() and _unpack(value).tangent is not None
        for value in values
    )


def _function(name: str, op: Any, rule: Rule, fake: Callable[..., Any]) -> Any:
    """The op as a ``torch.autograd.Function``."""

    def forward(*inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        kept = tuple(inputs[i] for i in rule.keeps)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)
        ctx.others = [Absent(value.shape) if isinstance(value, Tensor) else value for value in inputs]

    def inputs_of(ctx: Any) -> list[Any]:
        inputs = list(ctx.others)
        for i, value in zip(rule.keeps, ctx.saved_tensors, strict=True):
            inputs[i] = value
        return inputs

    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return rule.backward(ctx.needs_input_grad, inputs_of(ctx), *gradients)

    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        # Torch turns forward mode off here, and leaves it off for the transforms around this one: their
        # tangents would be lost. So it is on again, and this one's own tangents are taken off.
        with forward_ad._set_fwd_grad_enabled(True):  # type: ignore[no-untyped-call, unused-ignore]
            primals = [
                _unpack(value).primal if isinstance(value, Tensor) else value for value in inputs_of(ctx)
            ]
            return rule.jvp(primals, tangents)

    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        def example(b: int) -> Any:
            return op(*[v if d is None else v.select(d, b) for v, d in zip(inputs, in_dims, strict=True)])

        if info.batch_size == 0:
            raise ValueError(f"{name} cannot be mapped over a dimension of size 0")
        examples = [example(b) for b in range(info.batch_size)]
        if isinstance(examples[0], Tensor):
            return torch.stack(examples), 0
        stacked = tuple(torch.stack(parts) for parts in zip(*examples, strict=True))
        return stacked, (0,) * len(stacked)

    methods = {
        "forward": forward,
        "setup_context": setup_context,
        "backward": backward,
        "jvp": jvp,
        "vmap": vmap,
    }
    return type(
        name, (torch.autograd.Function,), {key: staticmethod(value) for key, value in methods.items()}
    )
