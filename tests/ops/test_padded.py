"""The padded adaptor and the CRF module, against pytorch-crf where it is installed."""

from __future__ import annotations

import pytest
import torch

from bioner_fast.ops import CRF, pack, unpack

# pytorch-crf makes its default mask of bytes.
pytestmark = pytest.mark.filterwarnings("ignore:where received a uint8 condition tensor:UserWarning")


def batch(b, t, k, seed=0, batch_first=True):
    """Emissions, tags and a mask of sentences of 1 to t tokens."""
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(b, t, k, generator=generator)
    tags = torch.randint(0, k, (b, t), generator=generator)
    lengths = torch.randint(1, t + 1, (b,), generator=generator)
    lengths[0] = t
    mask = torch.arange(t) < lengths[:, None]
    if batch_first:
        return emissions, tags, mask
    return emissions.transpose(0, 1), tags.T, mask.T


@pytest.fixture(params=[False, True], ids=["time first", "batch first"])
def batch_first(request):
    return request.param


@pytest.fixture
def both(batch_first):
    """Our module and theirs, with the same parameters."""
    torchcrf = pytest.importorskip("torchcrf", reason="pytorch-crf is not installed")
    theirs = torchcrf.CRF(5, batch_first=batch_first)
    mine = CRF(5, batch_first=batch_first)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def test_pack_and_unpack() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    values = torch.arange(18.0).reshape(3, 3, 2)
    packed, offsets = pack(values, mask)
    assert offsets.tolist() == [0, 2, 2, 5]
    assert packed.tolist() == [[0, 1], [4, 5], [12, 13], [14, 15], [16, 17]]
    assert torch.equal(unpack(packed, mask, -1.0), values.masked_fill(~mask[:, :, None], -1.0))


def test_rows_are_as_many_as_tokens() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    for rows in (1, 2, 4):
        with pytest.raises(ValueError, match=f"a row for each of the 3 tokens, got {rows}"):
            unpack(torch.zeros(rows), mask)


def test_parameters_are_those_of_pytorch_crf(both) -> None:
    mine, theirs = both
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    for parameter in CRF(7).parameters():
        assert (parameter.abs() <= 0.1).all()
        assert len(parameter.unique()) == parameter.numel()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "token_mean"])
def test_likelihood_and_gradients_equal_pytorch_crf(both, batch_first, masked, reduction) -> None:
    results = []
    for crf in both:
        emissions, tags, mask = batch(6, 9, 5, batch_first=batch_first)
        emissions = emissions.clone().requires_grad_()
        value = crf(emissions, tags, mask if masked else None, reduction=reduction)
        crf.zero_grad()
        value.sum().backward()
        results.append([value.detach(), emissions.grad, *[p.grad for p in crf.parameters()]])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_decoding_equals_pytorch_crf(both, batch_first, masked) -> None:
    mine, theirs = both
    for seed in range(5):
        emissions, _, mask = batch(6, 9, 5, seed, batch_first)
        given = mask if masked else None
        assert mine.decode(emissions, given) == theirs.decode(emissions, given)


def test_marginals_are_the_gradient_of_log_z(batch_first) -> None:
    crf = CRF(4, batch_first=batch_first).double()
    emissions, tags, mask = batch(3, 6, 4, batch_first=batch_first)
    emissions = emissions.double().requires_grad_()
    value = crf(emissions, tags, mask)
    (gradient,) = torch.autograd.grad(value, emissions)
    gold = torch.nn.functional.one_hot(tags, 4) * mask[..., None]
    torch.testing.assert_close(crf.marginals(emissions, mask), gold - gradient)


def test_training_step() -> None:
    crf = CRF(3, batch_first=True)
    emissions, tags, mask = batch(8, 6, 3)
    optimiser = torch.optim.SGD(crf.parameters(), lr=0.1)
    values = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = -crf(emissions, tags, mask, reduction="mean")
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CRF(0), "`num_tags` must be between 1 and 256, got 0"),
        (lambda: CRF(257), "`num_tags` must be between 1 and 256, got 257"),
        (lambda: CRF(3).decode(torch.zeros(2, 2, 4)), "`emissions` must have 3 tags in the last dimension"),
        (lambda: CRF(3).decode(torch.zeros(2, 3)), "`emissions` must have 3 dimensions"),
        (
            lambda: CRF(3).decode(torch.zeros(2, 2, 3), torch.ones(2, 3, dtype=torch.bool)),
            "`mask` must have the leading shape of `emissions`, [2, 2], got [2, 3]",
        ),
        (
            lambda: CRF(3)(torch.zeros(2, 2, 3), torch.zeros(2, 3, dtype=torch.int64)),
            "`tags` must have the leading shape of `emissions`",
        ),
        (
            lambda: CRF(3)(torch.zeros(2, 2, 3), torch.zeros(2, 2, dtype=torch.int64), reduction="max"),
            '`reduction` must be "none", "sum", "mean" or "token_mean", got \'max\'',
        ),
    ],
)
def test_wrong_arguments(call, message) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_what_is_no_tensor_or_no_int_is_named() -> None:
    with pytest.raises(TypeError, match=r"`num_tags` must be an int, got str"):
        CRF("x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`values` must be a tensor, got list"):
        pack([1], torch.ones(1, 1, dtype=torch.bool))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`mask` must be a tensor, got list"):
        pack(torch.ones(1, 1), [True])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`values` must be a tensor, got list"):
        unpack([1], torch.ones(1, 1, dtype=torch.bool))  # type: ignore[arg-type]
