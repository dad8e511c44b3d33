"""The CRF ops: against loops, enumeration and plain Torch, on every SIMD level and device."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from bioner_fast import _ops
from bioner_fast.ops import crf_log_likelihood, crf_marginals, span_marginals
from reference import crf as reference

INF = float("inf")
TAGS = [1, 2, 3, 5, 9, 12, 25, 33, 65]


def make(lengths, k, seed=0, scale=1.0, dtype=torch.float64):
    """Emissions, tags, transitions, offsets, start, end."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))
    n = int(offsets[-1])
    random = [
        (torch.randn(*s, generator=generator, dtype=torch.float64) * scale).to(dtype)
        for s in ((n, k), (k, k), (k,), (k,))
    ]
    tags = torch.randint(0, k, (n,), generator=generator)
    return random[0], tags, random[1], offsets, random[2], random[3]


def plain(emissions, tags, transitions, offsets, start, end):
    """The log-likelihood in plain Torch operations, at the precision of its inputs."""
    out = []
    for first, last in itertools.pairwise(offsets.tolist()):
        if first == last:
            out.append(emissions.new_zeros(()))
            continue
        e, y = emissions[first:last], tags[first:last]
        alpha = e[0] + start
        for t in range(1, len(e)):
            alpha = e[t] + torch.logsumexp(alpha[:, None] + transitions, 0)
        score = start[y[0]] + end[y[-1]] + e.gather(1, y[:, None]).sum() + transitions[y[:-1], y[1:]].sum()
        out.append(score - torch.logsumexp(alpha + end, 0))
    return torch.stack(out) if out else emissions.new_zeros(0)


def value_and_gradients(function, arguments, upstream):
    leaves = [a.detach().clone().requires_grad_(a.is_floating_point()) for a in arguments]
    value = function(*leaves)
    gradients = torch.autograd.grad((value * upstream).sum(), [leaf for leaf in leaves if leaf.requires_grad])
    return [value.detach(), *gradients]


# ---- The oracle


def test_the_reference_is_proved_by_enumeration() -> None:
    for seed, (k, length) in enumerate([(1, 1), (2, 1), (3, 1), (1, 4), (2, 5), (3, 4), (4, 3)]):
        emissions, tags, transitions, offsets, start, end = (a.numpy() for a in make([length], k, seed))
        if seed % 2 and k > 1:
            transitions[0, -1] = -INF
        paths = reference.enumerate_sentence(emissions, transitions, start, end)
        assert sum(p for _, p in paths) == pytest.approx(1)
        gold = sum(p for path, p in paths if path == tuple(tags))
        value = reference.log_likelihood(emissions, tags, transitions, offsets, start, end)[0]
        assert np.exp(value) == pytest.approx(gold)
        expected = np.zeros((length, k))
        for path, p in paths:
            expected[np.arange(length), path] += p
        np.testing.assert_allclose(
            reference.marginals(emissions, transitions, offsets, start, end), expected, rtol=1e-10, atol=1e-12
        )
        for first in range(length):
            for last in range(first + 1, length + 1):
                wanted = sum(p for path, p in paths if path[first:last] == tuple(tags[first:last]))
                span = reference.span_marginal(emissions, transitions, tags, (first, last), start, end)
                assert span == pytest.approx(wanted)


# ---- Values


def test_equals_the_reference(simd_level) -> None:
    for k in TAGS:
        arguments = make([3, 0, 9, 1, 1, 17] if k < 33 else [3, 0, 1, 4], k, seed=k)
        emissions, tags, transitions, offsets, start, end = arguments
        arrays = [a.numpy() for a in arguments]
        np.testing.assert_allclose(
            crf_log_likelihood(*arguments).numpy(), reference.log_likelihood(*arrays), rtol=1e-12, atol=1e-12
        )
        e, y, t, o, s, f = arrays
        found = crf_marginals(emissions, transitions, offsets, start, end).numpy()
        np.testing.assert_allclose(found, reference.marginals(e, t, o, s, f), rtol=1e-10, atol=1e-14)
        spans = [(0, 0, 3), (0, 1, 2), (3, 12, 13)] if k < 33 else [(0, 0, 2), (3, 4, 8), (3, 5, 6)]
        spans = [(b, max(i, o[b]), min(j, o[b + 1])) for b, i, j in spans]
        found = span_marginals(emissions, transitions, offsets, torch.tensor(spans), tags, start, end)
        for (b, i, j), value in zip(spans, found.tolist(), strict=True):
            at, to = o[b], o[b + 1]
            wanted = reference.span_marginal(e[at:to], t, y[at:to], (i - at, j - at), s, f)
            assert value == pytest.approx(wanted, rel=1e-10)


def test_gradients_equal_plain_torch(simd_level) -> None:
    for k in TAGS:
        arguments = make([3, 0, 9, 1, 1, 17], k, seed=k)
        upstream = torch.tensor([1.0, 2.0, -0.5, 3.0, 0.0, 0.25], dtype=torch.float64)
        mine = value_and_gradients(crf_log_likelihood, arguments, upstream)
        for a, b in zip(mine, value_and_gradients(plain, arguments, upstream), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [5, 40])
def test_every_device(device, k) -> None:
    arguments = [a.to(device) for a in make([3, 0, 9, 1, 1, 17, 50], k)]
    upstream = torch.linspace(-1, 1, 7, dtype=torch.float64)
    mine = value_and_gradients(crf_log_likelihood, arguments, upstream.to(device))
    theirs = value_and_gradients(plain, [a.cpu() for a in arguments], upstream)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-10, atol=1e-12)
    emissions, _, transitions, offsets, start, end = arguments
    found = crf_marginals(emissions, transitions, offsets, start, end).cpu()
    e, t, o, s, f = (a.cpu().numpy() for a in (emissions, transitions, offsets, start, end))
    np.testing.assert_allclose(found.numpy(), reference.marginals(e, t, o, s, f), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_error_at_most_twice_that_of_plain_torch(simd_level, dtype, scale) -> None:
    """Both measured against float64 (float32) or long double sums (float64); four ulp of slack."""
    for k in (3, 9, 25):
        arguments = make([40, 7, 90, 1], k, seed=k, scale=scale, dtype=dtype)
        upstream = torch.ones(4, dtype=dtype)
        mine = value_and_gradients(crf_log_likelihood, arguments, upstream)
        theirs = value_and_gradients(plain, arguments, upstream)
        if dtype == torch.float32:
            exact = value_and_gradients(
                plain, [a.double() if a.is_floating_point() else a for a in arguments], 1.0
            )
        else:
            exact = extended(arguments)
        for a, b, truth in zip(mine, theirs, exact, strict=True):
            if truth is None:
                continue
            slack = 4 * torch.finfo(dtype).eps * float(truth.abs().max())
            mine_off = float((a.double() - truth.double()).abs().max())
            theirs_off = float((b.double() - truth.double()).abs().max())
            assert mine_off <= 2 * theirs_off + slack


def extended(arguments):
    """The value, and the gradient of the emissions, of float64 inputs in extended precision."""
    emissions, tags, transitions, offsets, start, end = (a.numpy() for a in arguments)
    e, t, s, f = (a.astype(np.longdouble) for a in (emissions, transitions, start, end))

    def lse(x, axis):
        top = x.max(axis)
        return top + np.log(np.exp(x - np.expand_dims(top, axis)).sum(axis))

    values, gradient = [], np.zeros(e.shape, np.longdouble)
    for first, last in itertools.pairwise(offsets):
        alpha = np.zeros((last - first, e.shape[1]), np.longdouble)
        beta = np.zeros_like(alpha)
        alpha[0] = e[first] + s
        for i in range(1, last - first):
            alpha[i] = e[first + i] + lse(alpha[i - 1][:, None] + t, 0)
        beta[-1] = f
        for i in range(last - first - 2, -1, -1):
            beta[i] = lse(t + e[first + i + 1] + beta[i + 1], 1)
        log_z = lse(alpha[-1] + f, 0)
        y = tags[first:last]
        score = s[y[0]] + f[y[-1]] + e[np.arange(first, last), y].sum() + t[y[:-1], y[1:]].sum()
        values.append(score - log_z)
        gradient[first:last] = -np.exp(alpha + beta - log_z)
        gradient[np.arange(first, last), y] += 1
    as_double = [torch.from_numpy(np.array(x, np.float64)) for x in (values, gradient)]
    return [*as_double, None, None, None]


def test_gradients_do_not_depend_on_threads(simd_level) -> None:
    """Equality: sums over the batch go through fixed blocks."""
    lengths = np.minimum(np.random.default_rng(0).geometric(1 / 26, size=600), 327)
    arguments = make(lengths, 9, dtype=torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(value_and_gradients(crf_log_likelihood, arguments, 1.0))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert torch.equal(a, b)


# ---- Borders


def test_batches_with_empty_sentences(simd_level, offsets) -> None:
    lengths = np.diff(offsets.numpy())
    emissions, tags, transitions, _, start, end = make(lengths, 4)
    emissions.requires_grad_()
    value = crf_log_likelihood(emissions, tags, transitions, offsets, start, end)
    np.testing.assert_allclose(
        value.detach().numpy(),
        reference.log_likelihood(
            emissions.detach().numpy(),
            tags.numpy(),
            transitions.numpy(),
            offsets.numpy(),
            start.numpy(),
            end.numpy(),
        ),
        rtol=1e-12,
    )
    assert (value[torch.from_numpy(lengths == 0)] == 0).all()
    value.sum().backward()
    assert torch.isfinite(emissions.grad).all()
    marginals = crf_marginals(emissions, transitions, offsets)
    torch.testing.assert_close(marginals.sum(1), torch.ones(len(tags), dtype=torch.float64))
    assert span_marginals(
        emissions, transitions, offsets, torch.zeros(0, 3, dtype=torch.int64), tags
    ).shape == (0,)


def test_k_256(simd_level) -> None:
    arguments = make([3, 0, 2], 256)
    mine = value_and_gradients(crf_log_likelihood, arguments, 1.0)
    for a, b in zip(mine, value_and_gradients(plain, arguments, 1.0), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="between 1 and 256 tags"):
        crf_log_likelihood(*make([2], 257))


@pytest.mark.parametrize("k", [3, 12])
def test_an_impossible_gold_path(simd_level, device, k) -> None:
    """-inf and no gradient from that sentence; the others as if it were not there."""
    emissions, tags, transitions, offsets, start, end = make([4, 3, 5], k)
    tags[:] = torch.arange(12) % 2
    tags[4:7] = torch.tensor([1, 1, 0])
    transitions[1, 1] = -INF  # only the second sentence needs it
    arguments = [a.to(device) for a in (emissions, tags, transitions, offsets, start, end)]
    value, *gradients = value_and_gradients(crf_log_likelihood, arguments, torch.ones(3, device=device))
    assert value[1] == -INF
    assert torch.isfinite(value[[0, 2]]).all()
    assert (gradients[0][4:7] == 0).all()
    assert (gradients[0][:4] != 0).any()
    keep = torch.tensor([0, 1, 2, 3, 7, 8, 9, 10, 11])
    others = [emissions[keep], tags[keep], transitions, torch.tensor([0, 4, 9]), start, end]
    wanted = value_and_gradients(
        crf_log_likelihood, [a.to(device) for a in others], torch.ones(2, device=device)
    )
    for a, b in zip(gradients[1:], wanted[2:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
        assert torch.isfinite(a).all()


@pytest.mark.parametrize("k", [3, 12])
def test_everything_forbidden(simd_level, device, k) -> None:
    arguments = [a.to(device) for a in make([4, 1], k)]
    for index in (0, 2, 4, 5):
        changed = list(arguments)
        changed[index] = torch.full_like(changed[index], -INF)
        value, *gradients = value_and_gradients(crf_log_likelihood, changed, torch.ones(2, device=device))
        assert value[0] == -INF
        assert torch.isfinite(gradients[0]).all()
        assert (gradients[0][:4] == 0).all()
        emissions, _, transitions, offsets, start, end = changed
        marginals = crf_marginals(emissions, transitions, offsets, start, end)
        assert (marginals[:4] == 0).all()


@pytest.mark.parametrize("k", [5, 12])
def test_weights_far_beyond_the_range_of_exp(simd_level, device, k) -> None:
    """Where scaled probabilities underflow the log domain takes over: -1e4 as "forbidden", huge emissions."""
    for seed in range(8):
        emissions, tags, transitions, offsets, start, end = make([6, 9, 40], k, seed, scale=2.0)
        if seed % 4 == 1:
            transitions[torch.rand(k, k, generator=torch.Generator().manual_seed(seed)) < 0.6] = -1e4
        elif seed % 4 == 2:
            emissions *= 300
        elif seed % 4 == 3:  # two chains that never meet, and the likelier one may not end the sentence
            half = k // 2
            transitions[:half, half:] = -INF
            transitions[half:, :half] = -INF
            transitions[:half, :half] += 60
            end[:half] = -INF
            tags = half + tags % (k - half)
        arguments = [a.to(device) for a in (emissions, tags, transitions, offsets, start, end)]
        mine = value_and_gradients(crf_log_likelihood, arguments, torch.ones(3, device=device))
        e, y, t, o, s, f = (a.cpu().numpy() for a in arguments)
        np.testing.assert_allclose(
            mine[0].cpu().numpy(), reference.log_likelihood(e, y, t, o, s, f), rtol=1e-11
        )
        gold = np.zeros(e.shape)
        gold[np.arange(len(y)), y] = 1
        wanted = reference.marginals(e, t, o, s, f)
        np.testing.assert_allclose(mine[1].cpu().numpy(), gold - wanted, rtol=1e-8, atol=1e-10)
        assert all(torch.isfinite(g).all() for g in mine)
        moved = [a.to(device) for a in (emissions, transitions, offsets)]
        marginals = crf_marginals(*moved, *arguments[4:])
        np.testing.assert_allclose(marginals.cpu().numpy(), wanted, rtol=1e-8, atol=1e-10)
        spans = torch.tensor([[2, 20, 24], [0, 0, 6]])
        found = span_marginals(*moved, spans.to(device), arguments[1], *arguments[4:]).cpu()
        for (b, first, last), value in zip(spans.tolist(), found.tolist(), strict=True):
            at, to = o[b], o[b + 1]
            span = reference.span_marginal(e[at:to], t, y[at:to], (first - at, last - at), s, f)
            assert value == pytest.approx(span, rel=1e-8, abs=1e-12)


def test_a_long_sentence(simd_level) -> None:
    """The likelihood of 20,000 tokens, and marginals that still sum to one."""
    emissions, tags, transitions, offsets, start, end = make([20_000], 5)
    value = crf_log_likelihood(emissions, tags, transitions, offsets, start, end)
    wanted = plain(emissions, tags, transitions, offsets, start, end)
    torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)
    marginals = crf_marginals(emissions, transitions, offsets, start, end)
    torch.testing.assert_close(marginals.sum(1), torch.ones(20_000, dtype=torch.float64), rtol=1e-14, atol=0)


def test_nan_reaches_the_likelihood_of_its_sentence_only(simd_level) -> None:
    emissions, tags, transitions, offsets, start, end = make([3, 3], 4)
    emissions[1, 2] = float("nan")
    value = crf_log_likelihood(emissions, tags, transitions, offsets, start, end)
    assert torch.isnan(value[0])
    assert torch.isfinite(value[1])


def test_spans_of_the_constrained_distribution() -> None:
    """Transitions of 0 and -inf over independent tokens: the probability among legal sequences."""
    log_probabilities = torch.log_softmax(torch.tensor([[1.0, 0.0], [0.5, 2.0]], dtype=torch.float64), 1)
    forbidden = torch.tensor([[0.0, -INF], [0.0, 0.0]], dtype=torch.float64)
    p = log_probabilities.exp()
    legal = 1 - p[0, 0] * p[1, 1]
    found = span_marginals(
        log_probabilities,
        forbidden,
        torch.tensor([0, 2]),
        torch.tensor([[0, 1, 2], [0, 0, 2]]),
        torch.tensor([1, 1]),
    )
    torch.testing.assert_close(found, torch.stack([p[0, 1] * p[1, 1] / legal, p[0, 1] * p[1, 1] / legal]))


# ---- Torch


def test_gradcheck(device) -> None:
    emissions, tags, transitions, offsets, start, end = (a.to(device) for a in make([2, 0, 3, 1], 3))
    leaves = [a.requires_grad_() for a in (emissions, transitions, start, end)]
    assert torch.autograd.gradcheck(lambda e, t, s, f: crf_log_likelihood(e, tags, t, offsets, s, f), leaves)
    for index in range(4):  # a part of the inputs
        parts = [leaf.detach().requires_grad_(i == index) for i, leaf in enumerate(leaves)]
        assert torch.autograd.gradcheck(
            lambda e, t, s, f: crf_log_likelihood(e, tags, t, offsets, s, f), parts
        )
    assert torch.autograd.gradcheck(
        lambda e, t: crf_log_likelihood(e, tags, t, offsets), [emissions.detach().requires_grad_(), leaves[1]]
    )


def test_opcheck(device) -> None:
    emissions, tags, transitions, offsets, start, end = (a.to(device) for a in make([2, 0, 3, 1], 3))
    checked = torch.ops.bioner_fast
    spans = torch.tensor([[2, 3, 5]], device=device)
    upstream = torch.ones(4, dtype=torch.float64, device=device)
    leaves = [a.clone().requires_grad_() for a in (emissions, transitions, start, end)]
    likelihood = checked.crf_log_likelihood.default
    torch.library.opcheck(likelihood, (leaves[0], tags, leaves[1], offsets, leaves[2], leaves[3]))
    torch.library.opcheck(likelihood, (leaves[0], tags, transitions, offsets, None, None))
    torch.library.opcheck(checked.crf_marginals.default, (emissions, transitions, offsets, start, None))
    for need in (True, False):
        arguments = (upstream, emissions, tags, transitions, offsets, start, None, need)
        torch.library.opcheck(checked.crf_gradients.default, arguments)
    arguments = (emissions, tags, transitions, offsets, start, end, spans)
    torch.library.opcheck(checked.span_marginals.default, arguments)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_without_graph_breaks(device, dynamic) -> None:
    def loss(emissions, tags, transitions, offsets, start, end):
        value = -crf_log_likelihood(emissions * 2, tags, transitions, offsets, start, end).sum()
        return value + crf_marginals(emissions, transitions, offsets).sum()

    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for lengths in ([2, 0, 3], [1, 4, 2, 5]):
        arguments = [a.to(device) for a in make(lengths, 4)]
        for a, b in zip(
            value_and_gradients(compiled, arguments, 1.0),
            value_and_gradients(loss, arguments, 1.0),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def test_inputs_that_are_not_contiguous(device) -> None:
    emissions, tags, transitions, offsets, start, end = (a.to(device) for a in make([4, 3], 6))
    wanted = value_and_gradients(crf_log_likelihood, (emissions, tags, transitions, offsets, start, end), 1.0)

    def strided(e, y, t, o, s, f):
        return crf_log_likelihood(
            e.t().contiguous().t(),
            torch.stack([y, y], 1)[:, 0],
            t.t().contiguous().t(),
            torch.stack([o, o], 1)[:, 0],
            torch.stack([s, s], 1)[:, 0],
            f,
        )

    found = value_and_gradients(strided, (emissions, tags, transitions, offsets, start, end), 1.0)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_marginals_carry_no_gradient() -> None:
    emissions, tags, transitions, offsets, _, _ = make([3], 2)
    emissions.requires_grad_()
    assert not crf_marginals(emissions, transitions, offsets).requires_grad
    assert not span_marginals(emissions, transitions, offsets, torch.tensor([[0, 0, 1]]), tags).requires_grad


# ---- Errors

GOOD = {
    "emissions": torch.zeros(3, 2),
    "tags": torch.zeros(3, dtype=torch.int64),
    "transitions": torch.zeros(2, 2),
    "offsets": torch.tensor([0, 1, 3]),
}


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        (
            "emissions",
            torch.zeros(3, 2, dtype=torch.int64),
            TypeError,
            "`emissions` must be float16, bfloat16, float32 or float64, got int64",
        ),
        ("tags", torch.zeros(3), TypeError, "`tags` must be int32 or int64, got float32"),
        ("tags", torch.zeros(4, dtype=torch.int64), ValueError, "`tags` must have shape [N] = [3], got [4]"),
        ("tags", torch.tensor([0, 2, 0]), ValueError, "`tags`"),
        ("tags", torch.tensor([0, -1, 0]), ValueError, "`tags`"),
        (
            "transitions",
            torch.zeros(3, 3),
            ValueError,
            "`transitions` must have shape [K, K] = [2, 2], got [3, 3]",
        ),
        ("offsets", torch.tensor([0, 4]), ValueError, "`offsets`"),
        ("start", torch.zeros(1), ValueError, "`start` must have shape [K] = [2], got [1]"),
    ],
)
def test_wrong_arguments(argument, value, error, message) -> None:
    with pytest.raises(error) as caught:
        crf_log_likelihood(**{**GOOD, argument: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "span", [(0, 0, 0), (0, 0, 2), (1, 0, 2), (2, 1, 2), (-1, 0, 1), (1, 2, 1), (1, 2, 4), (0, -1, 1)]
)
def test_spans_outside_their_sentence(span) -> None:
    with pytest.raises(ValueError, match="`spans` must hold rows") as caught:
        span_marginals(**GOOD, spans=torch.tensor([[1, 1, 3], span]))
    assert "row 1 is" in str(caught.value)


def test_levels_agree_closely() -> None:
    """Not to the bit, because they sum in different orders; far within the tolerance of float64."""
    arguments = make([30, 5, 60], 25)
    results = []
    try:
        for level in _ops.simd_levels():
            _ops.force_simd(level)
            results.append(value_and_gradients(crf_log_likelihood, arguments, 1.0))
    finally:
        _ops.force_simd("")
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
