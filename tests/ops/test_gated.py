"""The gated block: against loops and automatic differentiation, on every SIMD level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.ops import gated, products
from reference import gated as reference

EPSILON = 1e-5
LENGTHS = [3, 1, 9, 2, 30, 100]


def bounds_of(lengths: list[int]) -> tuple[Tensor, Tensor, np.ndarray]:
    """First and last token of each token's sentence, and its number."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    return torch.from_numpy(offsets[sentence]), torch.from_numpy(offsets[sentence + 1] - 1), sentence


def make(width: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "hidden": random(sum(LENGTHS), width), "weight": random(2 * width, 3 * width) / width**0.5,
        "bias": random(2 * width), "norm_weight": random(width), "norm_bias": random(width),
    }  # fmt: skip


def run(values: dict[str, Any], low: int = 0, high: int | None = None, **how: Any) -> Tensor:
    first, last, _ = bounds_of(LENGTHS)
    high = sum(LENGTHS) if high is None else high
    return gated.gated_block(
        values["hidden"][low:high], values["weight"], values["bias"],
        (values["norm_weight"], values["norm_bias"], EPSILON), (first[low:high], last[low:high], low), **how,
    )  # fmt: skip


def composed(values: dict[str, Any], mask: Tensor, dilation: int) -> Tensor:
    """The block in Torch's own operations, with dropout given as factors."""
    hidden = values["hidden"]
    _, _, sentence = bounds_of(LENGTHS)
    dropped = F.pad(hidden * mask, (0, 0, dilation, dilation))
    n = len(hidden)
    sides = torch.from_numpy(np.pad(sentence, dilation, constant_values=-1))
    parts = []
    for j in range(3):
        rows = dropped[j * dilation : j * dilation + n]
        same = sides[j * dilation : j * dilation + n] == torch.from_numpy(sentence)
        parts.append(rows * same[:, None])
    mixed = F.linear(torch.cat(parts, 1), values["weight"], values["bias"])
    width = hidden.shape[1]
    total = hidden + F.glu(mixed, 1)
    return F.layer_norm(total, (width,), values["norm_weight"], values["norm_bias"], EPSILON)


@pytest.mark.parametrize("width", [1, 5, 16, 40])
@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_values_by_the_definition(simd_level: str, width: int, dilation: int, share: float) -> None:
    values = make(width)
    arrays = {name: value.numpy() for name, value in values.items()}
    expected = reference.gated_block(
        arrays["hidden"], arrays["weight"], arrays["bias"],
        (arrays["norm_weight"], arrays["norm_bias"], EPSILON), bounds_of(LENGTHS)[2], dilation, share, 77,
    )  # fmt: skip
    found = run(values, dilation=dilation, share=share, seed=77)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("width", [5, 32])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_gradients_are_those_of_torch(simd_level: str, width: int, share: float) -> None:
    leaves = [{n: v.clone().requires_grad_() for n, v in make(width).items()} for _ in range(2)]
    size = leaves[0]["hidden"].numel()
    mask = torch.from_numpy(reference.kept(5, share, size)).view(-1, width).double() / (1 - share)
    upstream = torch.randn(sum(LENGTHS), width, dtype=torch.float64)
    run(leaves[0], dilation=2, share=share, seed=5).backward(upstream)
    composed(leaves[1], mask, 2).backward(upstream)
    for name, leaf in leaves[0].items():
        torch.testing.assert_close(leaf.grad, leaves[1][name].grad, rtol=1e-9, atol=1e-9)


def test_a_run_that_cuts_sentences_sees_zeros_beyond_it() -> None:
    values = make(8)
    whole, part = run(values, dilation=1), run(values, 5, 60, dilation=1)
    torch.testing.assert_close(part[1:-1], whole[6:59], rtol=0, atol=1e-12)
    beyond = make(8)
    beyond["hidden"] = values["hidden"].clone()
    beyond["hidden"][:5] = 0
    beyond["hidden"][60:] = 0
    torch.testing.assert_close(part, run(beyond, dilation=1)[5:60], rtol=0, atol=1e-12)


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_levels_and_threads_agree_bit_for_bit(product: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The native passes do; the products between them are Torch's, on one thread here."""
    monkeypatch.setattr(products, "widens", lambda: False)  # which products are Torch's depends on the level
    outcomes = []
    before = torch.get_num_threads()
    try:
        for level in _ops.simd_levels():
            for threads in (1, 3):
                _ops.force_simd(level)
                leaves = {n: v.requires_grad_() for n, v in make(40, torch.float32).items()}
                torch.set_num_threads(1)
                out = run(leaves, dilation=2, share=0.3, seed=9, product=product)
                torch.set_num_threads(threads)
                dropped = gated.dropout(leaves["hidden"], 0.3, 4, product)
                torch.set_num_threads(1)
                (out.sum() + out.square().sum() + dropped.float().square().sum()).backward()
                outcomes.append([out.detach(), *(leaf.grad for leaf in leaves.values())])
    finally:
        _ops.force_simd("")
        torch.set_num_threads(before)
    for outcome in outcomes[1:]:
        for a, b in zip(outcomes[0], outcome, strict=True):
            assert torch.equal(a, b)


def test_sums_over_tokens_do_not_depend_on_threads(threads: int) -> None:
    """400 tokens are seven blocks; the GEMMs are exact here, on small whole numbers."""
    values = make(16, torch.float32)
    values["weight"] = values["weight"].mul(4).round().clamp(-3, 3)
    values["hidden"] = values["hidden"].round()
    leaf = {n: v.clone().requires_grad_() for n, v in values.items()}
    run(leaf, dilation=1).sum().backward()
    again = {n: v.clone().requires_grad_() for n, v in values.items()}
    torch.set_num_threads(1)
    run(again, dilation=1).sum().backward()
    for name in ("bias", "norm_weight", "norm_bias"):
        assert torch.equal(leaf[name].grad, again[name].grad), name


def test_bfloat16_products_stay_close_to_float32(simd_level: str) -> None:
    outcomes = []
    for product in (torch.float32, torch.bfloat16):
        leaves = {n: v.requires_grad_() for n, v in make(64, torch.float32).items()}
        out = run(leaves, dilation=1, share=0.4, seed=3, product=product)
        out.square().sum().backward()
        outcomes.append([out.detach(), *(leaf.grad for leaf in leaves.values())])
        assert all(value.dtype == torch.float32 for value in outcomes[-1])
    for exact, rounded in zip(*outcomes, strict=True):
        assert float((exact - rounded).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [3, 64])
def test_dropout_keeps_what_the_definition_keeps(simd_level: str, dtype: torch.dtype, width: int) -> None:
    values = torch.randn(50, width, dtype=dtype).requires_grad_()
    for seed, share in ((0, 0.5), (2**40 + 17, 0.75), (2**63 - 1, 0.1), (3, 0.0)):
        found = gated.dropout(values, share, seed)
        mask = torch.from_numpy(reference.kept(seed, share, values.numel())).view(50, width)
        torch.testing.assert_close(found, torch.where(mask, values / (1 - share), 0.0))
        (grad,) = torch.autograd.grad(found.sum(), values)
        torch.testing.assert_close(grad, torch.where(mask, torch.full_like(values, 1 / (1 - share)), 0.0))


def test_dropout_is_random_enough() -> None:
    """Shares of seeds, rows and columns, and of pairs of neighbours and of seeds, are as of fair coins."""
    ones = torch.ones(400, 256)
    draws = torch.stack([gated.dropout(ones, 0.4, seed) > 0 for seed in (1, 2, *gated.seeds(6))]).float()
    n = ones.numel()
    assert float((draws.mean((1, 2)) - 0.6).abs().max()) < 5 * (0.24 / n) ** 0.5
    assert float((draws.mean(1) - 0.6).abs().max()) < 5.5 * (0.24 / 400) ** 0.5
    assert float((draws.mean(2) - 0.6).abs().max()) < 5.5 * (0.24 / 256) ** 0.5
    flat = draws.flatten(1)
    for a, b in ((flat[:, 1:], flat[:, :-1]), (flat[:, 256:], flat[:, :-256]), (flat[1:], flat[:-1])):
        assert abs(float((a * b).mean()) - 0.36) < 5 * (0.36 * 0.64 / a.numel()) ** 0.5


@pytest.mark.parametrize("share", [1e-17, 5e-324, 1e-10])
def test_a_share_of_next_to_nothing_drops_nothing(simd_level: str, share: float) -> None:
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(gated.dropout(values, share, 1), values, rtol=1e-9, atol=0)


def test_a_second_derivative_is_refused() -> None:
    values = make(4)
    values["hidden"].requires_grad_()
    for out in (run(values, dilation=1), gated.dropout(values["hidden"], 0.5, 1)):
        loss = out.square().sum()
        (grad,) = torch.autograd.grad(loss, values["hidden"], create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            (loss + grad.square().sum()).backward()


def test_no_tokens() -> None:
    values = make(4)
    assert run(values, 3, 3, dilation=1).shape == (0, 4)
    assert gated.dropout(torch.zeros(0, 4), 0.5, 1).shape == (0, 4)


def test_what_cannot_work_is_refused() -> None:
    values = make(4)
    with pytest.raises(TypeError, match="`out` must"):
        run(values, dilation=1, product=torch.bfloat16)
    with pytest.raises(ValueError, match="`dilation`"):
        run(values, dilation=0)
    with pytest.raises(ValueError, match="`share`"):
        gated.dropout(values["hidden"], 1.0, 1)
    values["bias"] = values["bias"][:-1]
    with pytest.raises(ValueError, match="`bias`"):
        run(values, dilation=1)
    with pytest.raises(ValueError, match="`shift`"):
        gated.gated_block(
            values["hidden"], values["weight"], values["bias"][:-1],
            (values["norm_weight"], values["norm_bias"], EPSILON), (*bounds_of(LENGTHS)[:2], -1), dilation=1,
        )  # fmt: skip
    assert not gated.available(torch.zeros(1, dtype=torch.float16))
    assert not gated.available(torch.zeros(1, device="meta"))
