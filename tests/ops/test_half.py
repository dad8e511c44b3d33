"""What autocast and users of pytorch-crf bring: half floats, integers of 32 bits, masks of any type."""

from __future__ import annotations

import itertools

import pytest
import torch

from bioner_fast import ops
from bioner_fast.ops import CRF

OFFSETS = torch.tensor([0, 3, 3, 7])
TAGS = torch.tensor([0, 1, 2, 2, 0, 1, 0])


def scores(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(*shape, generator=generator).to(dtype) for shape in ((7, 3), (3, 3), (3,), (3,))]


@pytest.mark.parametrize("rest", ["alike", "float32"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_emissions_are_computed_in_float32(dtype: torch.dtype, rest: str) -> None:
    """Values are those of the same numbers in float32; gradients are theirs, rounded to the input's type."""
    half = scores(dtype)
    if rest == "float32":  # as autocast has it: parameters stay wide
        half[1:] = [part.float() for part in half[1:]]
    results = []
    for parts in (half, [part.float() for part in half]):
        leaves = [part.clone().requires_grad_() for part in parts]
        value = ops.crf_log_likelihood(leaves[0], TAGS, leaves[1], OFFSETS, *leaves[2:])
        results.append((value, torch.autograd.grad(value.sum(), leaves)))
    (found, gradients), (wanted, wide) = results
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    for gradient, other, part in zip(gradients, wide, half, strict=True):
        assert gradient.dtype == part.dtype
        assert torch.equal(gradient, other.to(part.dtype))
    wide_half = [part.float() for part in half]
    for a, b in zip(
        ops.viterbi_decode(half[0], half[1], OFFSETS, *half[2:]),
        ops.viterbi_decode(wide_half[0], wide_half[1], OFFSETS, *wide_half[2:]),
        strict=True,
    ):
        assert torch.equal(a, b)
    marginals = ops.crf_marginals(half[0], half[1], OFFSETS, *half[2:])
    assert torch.equal(marginals, ops.crf_marginals(wide_half[0], wide_half[1], OFFSETS, *wide_half[2:]))


def test_a_step_under_autocast() -> None:
    crf, layer = CRF(3, batch_first=True), torch.nn.Linear(4, 3)
    values, tags = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.int32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        emissions = layer(values)
        loss = -crf(emissions, tags, reduction="mean")
    assert emissions.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    assert crf.half().decode(emissions.half()) == crf.decode(emissions.half().float())


def test_integers_of_32_bits() -> None:
    emissions, transitions, start, end = scores(torch.float32)
    small = OFFSETS.int()
    assert torch.equal(
        ops.crf_log_likelihood(emissions, TAGS.int(), transitions, small, start, end),
        ops.crf_log_likelihood(emissions, TAGS, transitions, OFFSETS, start, end),
    )
    assert torch.equal(
        ops.viterbi_decode(emissions, transitions, small)[0],
        ops.viterbi_decode(emissions, transitions, OFFSETS)[0],
    )
    assert torch.equal(ops.window_gather(emissions, small, 3), ops.window_gather(emissions, OFFSETS, 3))
    spans = torch.tensor([[0, 1, 3]])
    assert torch.equal(
        ops.span_marginals(emissions, transitions, small, spans.int(), TAGS.int()),
        ops.span_marginals(emissions, transitions, OFFSETS, spans, TAGS),
    )


MASK = torch.tensor([[True, True, True], [True, False, False]])


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64], ids=str
)
def test_masks_of_any_type(dtype: torch.dtype) -> None:
    crf = CRF(3, batch_first=True)
    emissions, tags = torch.randn(2, 3, 3), torch.tensor([[0, 1, 2], [2, 0, 0]])
    assert torch.equal(crf(emissions, tags, MASK.to(dtype)), crf(emissions, tags, MASK))
    assert crf.decode(emissions, MASK.to(dtype)) == crf.decode(emissions, MASK)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_lengths_instead_of_a_mask(dtype: torch.dtype) -> None:
    values = torch.arange(6.0).view(2, 3)
    packed, offsets = ops.pack(values, torch.tensor([3, 1], dtype=dtype))
    assert packed.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert offsets.tolist() == [0, 3, 4]


def test_a_mask_under_vmap() -> None:
    values = torch.randn(4, 2, 3)
    assert torch.equal(torch.func.vmap(lambda v: ops.pack(v, MASK)[0])(values), values[:, MASK])
    with pytest.raises(RuntimeError, match="a mask under vmap must be the same for all examples"):
        torch.func.vmap(lambda m: ops.pack(values[0], m)[0])(torch.stack([MASK, ~MASK]))


# ---- What pytorch-crf checks of its own module, checked of this one by enumeration


def path_score(crf: CRF, emissions: torch.Tensor, tags: tuple[int, ...]) -> torch.Tensor:
    score = crf.start_transitions[tags[0]] + crf.end_transitions[tags[-1]]
    score = score + sum(emissions[t, tag] for t, tag in enumerate(tags))
    return score + sum(crf.transitions[i, j] for i, j in itertools.pairwise(tags))


def padded_batch() -> tuple[CRF, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Time first, as pytorch-crf has it by default."""
    generator = torch.Generator().manual_seed(8)
    crf = CRF(5).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    emissions = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64)
    tags = torch.randint(0, 5, (3, 2), generator=generator)
    return crf, emissions, tags, torch.tensor([[True, True], [True, True], [True, False]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "token_mean"])
def test_likelihood_by_enumeration(masked: bool, reduction: str) -> None:
    crf, emissions, tags, mask = padded_batch()
    lengths = (3, 2) if masked else (3, 3)
    wanted = []
    for b, length in enumerate(lengths):
        e = emissions[:length, b]
        every = torch.stack([path_score(crf, e, path) for path in itertools.product(range(5), repeat=length)])
        wanted.append(path_score(crf, e, tuple(tags[:length, b].tolist())) - torch.logsumexp(every, 0))
    total = torch.stack(wanted)
    expected = {
        "none": total,
        "sum": total.sum(),
        "mean": total.mean(),
        "token_mean": total.sum() / sum(lengths),
    }[reduction]
    found = crf(emissions, tags, mask if masked else None, reduction=reduction)
    torch.testing.assert_close(found, expected)
    assert found.shape == expected.shape


@pytest.mark.parametrize("masked", [False, True])
def test_decoding_by_enumeration(masked: bool) -> None:
    crf, emissions, _, mask = padded_batch()
    crf.requires_grad_(False)
    lengths = (3, 2) if masked else (3, 3)
    best = []
    for b, length in enumerate(lengths):
        paths = list(itertools.product(range(5), repeat=length))
        best.append(list(max(paths, key=lambda path, b=b: float(path_score(crf, emissions[:, b], path)))))
    assert crf.decode(emissions, mask if masked else None) == best


def test_a_batch_is_its_sentences_one_by_one() -> None:
    crf, emissions, tags, mask = padded_batch()
    whole = crf(emissions, tags, mask)
    alone = crf(emissions[:, :1], tags[:, :1]) + crf(emissions[:2, 1:], tags[:2, 1:])
    torch.testing.assert_close(whole, alone)
    assert crf.decode(emissions, mask) == [
        *crf.decode(emissions[:, :1]),
        *crf.decode(emissions[:2, 1:]),
    ]
    turned = CRF(5, batch_first=True).double()
    turned.load_state_dict(crf.state_dict())
    torch.testing.assert_close(turned(emissions.transpose(0, 1), tags.T, mask.T), whole)
