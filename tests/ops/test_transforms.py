"""Every op under every transform of torch.func: it is right, or it says in one sentence that it is not there.

The table names every op that Torch knows; a new one must be put in. References are plain Torch operations,
derived by Torch itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from bioner_fast import ops
from bioner_fast.ops import CRF, gated, products

# Of Torch itself, when it first meets forward mode.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
]

GENERATOR = torch.Generator().manual_seed(7)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


K = 3
OFFSETS = torch.tensor([0, 2, 2, 5, 6])
N, B = 6, 4
TAGS = torch.tensor([0, 2, 1, 1, 0, 2])
SCORES = (random(N, K), random(K, K), random(K), random(K))
WINDOW = 3
IDS = torch.tensor([1, 0, 4, 1, 3, 3])


# ---- Plain Torch


def log_z(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    sums = [
        emissions.sum() * 0 if a == b else _log_z(emissions[a:b], transitions, start, end)
        for a, b in _bounds()
    ]
    return torch.stack(sums)


def _bounds() -> list[tuple[int, int]]:
    return list(itertools.pairwise(OFFSETS.tolist()))


def _log_z(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    alpha = emissions[0] + start
    for row in emissions[1:]:
        alpha = row + torch.logsumexp(alpha[:, None] + transitions, 0)
    return torch.logsumexp(alpha + end, 0)


def likelihood(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    scores = []
    for a, b in _bounds():
        e, y = emissions[a:b], TAGS[a:b]
        if a == b:
            scores.append(emissions.sum() * 0)
            continue
        score = start[y[0]] + end[y[-1]] + e[torch.arange(b - a), y].sum() + transitions[y[:-1], y[1:]].sum()
        scores.append(score - _log_z(e, transitions, start, end))
    return torch.stack(scores)


def marginals(*scores: Tensor) -> Tensor:
    # In plain operations, so that it can be derived: by enumeration, one tag of one token after the other.
    whole = log_z(*scores)
    sentence = [b for b, (first, last) in enumerate(_bounds()) for _ in range(first, last)]
    rows = []
    for t in range(N):
        others = [
            [0.0 if (s != t or j == i) else -1e30 for j in range(K)] for i in range(K) for s in range(N)
        ]
        masks = torch.tensor(others, dtype=torch.float64).view(K, N, K)
        held = [log_z(scores[0] + mask, *scores[1:])[sentence[t]] for mask in masks]
        rows.append(torch.stack([(h - whole[sentence[t]]).exp() for h in held]))
    return torch.stack(rows)


def windows(values: Tensor, padding: Tensor) -> Tensor:
    rows = []
    for a, b in _bounds():
        for t in range(a, b):
            reach = range(t - WINDOW // 2, t + WINDOW // 2 + 1)
            rows.append(torch.cat([values[m] if a <= m < b else padding for m in reach]))
    return torch.stack(rows)


def weight_gradient(grad: Tensor) -> Tensor:
    one_hot = torch.eye(5, dtype=torch.float64)
    # Linear in `grad`: the transpose of the lookup, by its matrix.
    columns = [windows(one_hot[i][IDS, None], one_hot[i][0, None]) for i in range(5)]
    cells = grad.view(N, WINDOW, 2)
    return torch.stack([(cells * column[:, :, None]).sum((0, 1)) for column in columns])


# ---- The table


@dataclass
class Row:
    """A function of float tensors, the same in plain Torch, and what some transforms answer instead."""

    call: Callable[..., Any]
    arguments: tuple[Tensor, ...]
    plain: Callable[..., Any] | None = None
    refused: dict[str, str] = field(default_factory=dict)


def raw(name: str, *fixed: Any) -> Callable[..., Any]:
    """An op with all but its float arguments, which are where `fixed` has an ellipsis, given."""

    def call(*floats: Tensor) -> Any:
        rest = iter(floats)
        return getattr(torch.ops.bioner_fast, name)(*[next(rest) if f is ... else f for f in fixed])

    return call


def transposed(grad: Tensor) -> tuple[Tensor, ...]:
    """Gradients of what `windows` reads."""
    return torch.func.vjp(windows, VALUES, PADDING)[1](grad)


NO_THIRD = "first and second derivatives only"
BEYOND_SECOND = {"hessian": NO_THIRD, "jacfwd of jacfwd": NO_THIRD, "jacfwd of jacrev": NO_THIRD}
FIRST = ("grad", "jvp", "dual", "jacrev", "jacfwd")
SECOND = ("hessian", "jacfwd of jacfwd", "jacfwd of jacrev")
NONE = "no derivative"
BACKWARD = r"backward\(\) only"
CONSTANT = dict.fromkeys((*FIRST, *SECOND, "vmap of grad"), NONE)
UPSTREAM = random(B)
ALONG = tuple(random(*s.shape) for s in SCORES)


def along_likelihood(*inputs: Tensor) -> Tensor:
    return torch.func.jvp(likelihood, inputs[:4], inputs[4:])[1]


def plain_gradients(upstream: Tensor, *scores: Tensor) -> tuple[Tensor, ...]:
    return torch.func.vjp(likelihood, *scores)[1](upstream)


def plain_curvature(upstream: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.func.jvp(lambda *s: plain_gradients(upstream, *s), inputs[:4], inputs[4:])[1]


def plain_bend(*inputs: Tensor) -> Tensor:
    return torch.func.jvp(lambda *s: along_likelihood(*s, *inputs[4:8]), inputs[:4], inputs[8:])[1]


def decode(emissions: Tensor, transitions: Tensor) -> Tensor:
    return ops.viterbi_decode(emissions, transitions, OFFSETS)[1]


VALUES, PADDING, GRAD, WEIGHT = random(N, 2), random(2), random(N, 6), random(5, 2)
MASK = torch.tensor([[True, True], [True, False]])
CRF_MODULE = CRF(K, batch_first=True).double()
CHAIN = (..., TAGS, ..., OFFSETS, ..., ...)
SPANS = torch.tensor([[0, 0, 1], [2, 3, 5]])

OPS: dict[str, Row] = {
    "crf_log_likelihood": Row(
        lambda e, t, s, f: ops.crf_log_likelihood(e, TAGS, t, OFFSETS, s, f), SCORES, likelihood
    ),
    "crf_marginals": Row(
        lambda e, t, s, f: ops.crf_marginals(e, t, OFFSETS, s, f), SCORES, marginals, BEYOND_SECOND
    ),
    "crf_gradients": Row(
        raw("crf_gradients", ..., *CHAIN, True), (UPSTREAM, *SCORES), plain_gradients, BEYOND_SECOND
    ),
    "crf_tangent": Row(
        raw("crf_tangent", *CHAIN, *[...] * 4), (*SCORES, *ALONG), along_likelihood, BEYOND_SECOND
    ),
    "crf_curvature": Row(
        raw("crf_curvature", ..., *CHAIN, *[...] * 4),
        (UPSTREAM, *SCORES, *ALONG),
        plain_curvature,
        dict.fromkeys((*FIRST, *SECOND, "vmap of grad"), NO_THIRD),
    ),
    "crf_bend": Row(
        raw("crf_bend", *CHAIN, *[...] * 8),
        (*SCORES, *ALONG, *(2 * a for a in ALONG)),
        plain_bend,
        dict.fromkeys((*FIRST, *SECOND, "vmap of grad"), NO_THIRD),
    ),
    "span_marginals": Row(
        lambda e, t: ops.span_marginals(e, t, OFFSETS, SPANS, TAGS), SCORES[:2], refused=CONSTANT
    ),
    "viterbi_decode": Row(decode, SCORES[:2], refused=CONSTANT),
    "viterbi_top_k": Row(lambda e, t: ops.viterbi_top_k(e, t, OFFSETS, 2)[1], SCORES[:2], refused=CONSTANT),
    "window_gather": Row(lambda v, p: ops.window_gather(v, OFFSETS, WINDOW, p), (VALUES, PADDING), windows),
    "window_gather_ids": Row(lambda: ops.window_gather(IDS, OFFSETS, WINDOW, 9), ()),
    "window_gather_out": Row(
        lambda v: ops.window_gather(v, OFFSETS, WINDOW, out=torch.empty(N, 6, dtype=torch.float64)),
        (VALUES,),
        refused=dict.fromkeys((*FIRST, *SECOND, "vmap", "vmap of grad"), "`out`|writes into a tensor"),
    ),
    "window_grad_values": Row(
        raw("window_grad_values", ..., OFFSETS, WINDOW),
        (GRAD,),
        lambda grad: transposed(grad)[0],
    ),
    "window_grad_padding": Row(
        raw("window_grad_padding", ..., OFFSETS, WINDOW),
        (GRAD,),
        lambda grad: transposed(grad)[1],
    ),
    "embedding_window": Row(
        lambda w: ops.embedding_window(w, IDS, OFFSETS, WINDOW, 0), (WEIGHT,), lambda w: windows(w[IDS], w[0])
    ),
    "embedding_window_sparse": Row(
        lambda w: ops.embedding_window(w, IDS, OFFSETS, WINDOW, 0, sparse=True),
        (WEIGHT,),
        lambda w: windows(w[IDS], w[0]),
        dict.fromkeys(("grad", "jacrev", "hessian", "jacfwd of jacrev", "vmap of grad"), BACKWARD),
    ),
    "embedding_grad_weight": Row(
        raw("embedding_grad_weight", ..., IDS, OFFSETS, WINDOW, 5, 0), (GRAD,), weight_gradient
    ),
}

TRAINING_ONLY = dict.fromkeys((*FIRST, *SECOND, "vmap", "vmap of grad"), BACKWARD)
BIAS, NORM = random(16), (random(8), random(8), 1e-5)
FIRST_TOKEN, LAST_TOKEN = torch.zeros(4, dtype=torch.int64), torch.full((4,), 3)
TAPS = gated.neighbours(torch.arange(4), torch.arange(4), FIRST_TOKEN, LAST_TOKEN, 1)

# What is no op of Torch's, but takes tensors.
OTHERS: dict[str, Row] = {
    "CRF": Row(
        lambda e: CRF_MODULE(e, TAGS[:4].view(2, 2), MASK, reduction="none"),
        (random(2, 2, K),),
        lambda e: (
            -torch.stack(
                [
                    _log_z(e[b, :n], *_parameters()) - _score(e[b, :n], TAGS[:4].view(2, 2)[b, :n])
                    for b, n in enumerate((2, 1))
                ]
            )
        ),
    ),
    "pack": Row(lambda v: ops.pack(v, MASK)[0], (random(2, 2, K),), lambda v: torch.cat([v[0], v[1, :1]])),
    "unpack": Row(
        lambda v: ops.unpack(v, MASK),
        (random(3, K),),
        lambda v: torch.stack([v[:2], torch.cat([v[2:], torch.zeros(1, K, dtype=torch.float64)])]),
    ),
    "gated.dropout": Row(lambda v: gated.dropout(v, 0.5, 3), (random(4, 8),), refused=TRAINING_ONLY),
    "gated.gated_block": Row(
        lambda h, w: gated.gated_block(h, w, BIAS, NORM, (FIRST_TOKEN, LAST_TOKEN, 0), dilation=1),
        (random(4, 8), random(16, 24)),
        refused=TRAINING_ONLY,
    ),
    "gated.gated_block_at": Row(
        lambda h, w: gated.gated_block_at(h, w, BIAS, NORM, TAPS),
        (random(4, 8), random(16, 24)),
        refused=TRAINING_ONLY,
    ),
}
ROWS = OPS | OTHERS


def _parameters() -> tuple[Tensor, ...]:
    m = CRF_MODULE
    return m.transitions, m.start_transitions, m.end_transitions


def _score(e: Tensor, y: Tensor) -> Tensor:
    transitions, start, end = _parameters()
    inside = e[torch.arange(len(y)), y].sum() + transitions[y[:-1], y[1:]].sum()
    return start[y[0]] + end[y[-1]] + inside


def _scalar(outputs: Any) -> Tensor:
    """All outputs, squared, weighted and summed: nothing that is linear stays so."""
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [torch.linspace(-1, 3, part.numel(), dtype=torch.float64).cos() for part in parts]
    return torch.stack([(p.square().flatten() * w).sum() for p, w in zip(parts, weights, strict=True)]).sum()


def tangents(arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.linspace(-1, 2, a.numel(), dtype=a.dtype).view(a.shape) for a in arguments)


def batches(arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.stack([a, a.flip(0) * 0.5]) for a in arguments)


def _transforms() -> dict[str, Callable[[Callable[..., Any], tuple[Tensor, ...]], Any]]:
    func = torch.func

    def every(arguments: tuple[Tensor, ...]) -> tuple[int, ...]:
        return tuple(range(len(arguments)))

    def dual(f: Callable[..., Any], arguments: tuple[Tensor, ...]) -> Any:
        with forward_ad.dual_level():
            made = [forward_ad.make_dual(a, t) for a, t in zip(arguments, tangents(arguments), strict=True)]
            outputs = f(*made)
            parts = outputs if isinstance(outputs, tuple) else (outputs,)
            return tuple(forward_ad.unpack_dual(part).tangent for part in parts)

    return {
        "grad": lambda f, a: func.grad(lambda *x: _scalar(f(*x)), every(a))(*a),
        "jvp": lambda f, a: func.jvp(f, a, tangents(a))[1],
        "dual": dual,
        "jacrev": lambda f, a: func.jacrev(f, every(a))(*a),
        "jacfwd": lambda f, a: func.jacfwd(f, every(a))(*a),
        "hessian": lambda f, a: func.hessian(lambda *x: _scalar(f(*x)), every(a))(*a),
        "jacfwd of jacfwd": lambda f, a: func.jacfwd(func.jacfwd(lambda *x: _scalar(f(*x))))(*a),
        "jacfwd of jacrev": lambda f, a: func.jacrev(func.jacfwd(lambda *x: _scalar(f(*x))))(*a),
        "vmap": lambda f, a: func.vmap(f)(*batches(a)),
        "vmap of grad": lambda f, a: func.vmap(func.grad(lambda *x: _scalar(f(*x))))(*batches(a)),
    }


TRANSFORMS = _transforms()


def test_the_table_has_every_op() -> None:
    names = torch._C._dispatch_get_all_op_names()
    known = {name.removeprefix("bioner_fast::") for name in names if name.startswith("bioner_fast::")}
    assert known == set(OPS), "OPS must name every op"
    assert set(ops.__all__) <= set(ROWS)
    functions = {f"{f.__module__}.{f.__name__}" for f in torch.autograd.Function.__subclasses__()}
    mine = {name for name in functions if name.startswith("bioner_fast.ops.") and "._op." not in name}
    assert mine == {f"bioner_fast.ops.gated.{name}" for name in ("_Dropout", "_GatedBlock", "_GatedBlockAt")}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ROWS)
def test_transform(name: str, transform: str) -> None:
    row = ROWS[name]
    if not row.arguments:
        pytest.skip("no floating arguments")
    apply = TRANSFORMS[transform]
    if transform in row.refused:
        with pytest.raises((RuntimeError, ValueError), match=row.refused[transform]) as caught:
            apply(row.call, row.arguments)
        message = str(caught.value)
        assert "\n" not in message
        assert ". " not in message, "one sentence"
        return
    found = apply(row.call, row.arguments)
    if row.plain is None:  # no plain counterpart: one call after the other
        assert transform == "vmap"
        wanted = torch.stack([row.call(*[batch[b] for batch in batches(row.arguments)]) for b in (0, 1)])
    elif transform == "dual":  # Torch nests no forward mode outside torch.func, and some references have some
        wanted = torch.func.jvp(row.plain, row.arguments, tangents(row.arguments))[1]
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    else:
        wanted = apply(row.plain, row.arguments)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["crf_log_likelihood", "window_gather", "embedding_window"])
def test_gradcheck_of_all_kinds(name: str) -> None:
    row = OPS[name]
    leaves = [a.detach().clone().requires_grad_() for a in row.arguments]
    assert torch.autograd.gradcheck(
        row.call, leaves, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(row.call, leaves, check_fwd_over_rev=True, check_rev_over_rev=True)


def test_functions_that_are_no_ops_drop_no_tangent() -> None:
    """They go to native code directly, and none of them knows derivatives."""

    def product(left: Tensor) -> Tensor:
        return products.sparse_mm(left, torch.eye(2), torch.empty(2, 2))

    with pytest.raises(RuntimeError, match="no derivative"):
        torch.func.jvp(product, (torch.eye(2),), (torch.eye(2),))
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="no derivative"):
        product(forward_ad.make_dual(torch.eye(2), torch.eye(2)))


def test_what_is_decoded_on_the_way_needs_no_derivative() -> None:
    def loss(emissions: Tensor) -> tuple[Tensor, Tensor]:
        tags, _ = ops.viterbi_decode(emissions, SCORES[1], OFFSETS)
        return ops.crf_log_likelihood(emissions, tags, SCORES[1], OFFSETS).sum(), tags

    gradient, tags = torch.func.grad(loss, has_aux=True)(SCORES[0])
    assert gradient.abs().sum() > 0
    assert torch.equal(tags, ops.viterbi_decode(SCORES[0], SCORES[1], OFFSETS)[0])


def test_impossible_tags_have_zero_derivatives() -> None:
    emissions, transitions, start, end = (score.clone() for score in SCORES)
    emissions[0, 0] = -torch.inf  # gold of the first sentence
    emissions[2] = -torch.inf  # no sequence for the second with tokens
    arguments = (emissions, transitions, start, end)

    def call(*scores: Tensor) -> Tensor:
        return OPS["crf_log_likelihood"].call(*scores)

    value, tangent = torch.func.jvp(call, arguments, ALONG)
    assert value.tolist()[:3] == [-torch.inf, 0.0, -torch.inf]
    assert tangent.tolist()[:3] == [0.0, 0.0, 0.0]
    assert tangent[3] != 0
    second = torch.func.hessian(lambda *s: call(*s).nan_to_num(neginf=0.0).sum(), (0, 1, 2, 3))(*arguments)
    assert all(torch.isfinite(part).all() for row in second for part in row)
    assert not second[0][0][:5].any()
    assert second[0][0][5].any()


def test_long_sentences_keep_their_second_derivative() -> None:
    """Of 3,000 tokens, against central differences of the gradient."""
    generator = torch.Generator().manual_seed(1)
    emissions = torch.randn(3000, 4, generator=generator, dtype=torch.float64) * 3
    transitions = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    tags, offsets = torch.zeros(3000, dtype=torch.int64), torch.tensor([0, 3000])
    along = torch.randn(4, 4, generator=generator, dtype=torch.float64)

    def gradient(t: Tensor) -> Tensor:
        return torch.func.grad(lambda x: ops.crf_log_likelihood(emissions, tags, x, offsets).sum())(t)

    _, found = torch.func.jvp(gradient, (transitions,), (along,))
    step = 1e-5
    wanted = (gradient(transitions + step * along) - gradient(transitions - step * along)) / (2 * step)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_float32_and_threads(threads: int) -> None:
    """Float32 inputs are computed in float64, and the number of threads changes no bit."""
    scores = tuple(score.float() for score in SCORES)
    along = tuple(part.float() for part in ALONG)
    found = torch.ops.bioner_fast.crf_curvature(
        UPSTREAM.float(), scores[0], TAGS, scores[1], OFFSETS, *scores[2:], *along
    )
    wanted = plain_curvature(UPSTREAM, *SCORES, *ALONG)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)
