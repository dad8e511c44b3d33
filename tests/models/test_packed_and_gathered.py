"""The packed and the gathered form are one network: same numbers, same gradients, over many steps."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.loss import clipped_cross_entropy
from bioner_fast.models.registry import build_network
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork

LENGTHS = [0, 3, 1, 0, 12, 7, 2, 30, 0]


def text(seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    n = sum(LENGTHS)
    return Features(
        torch.randint(1, 40, (n,), generator=generator),
        torch.randint(1, 5, (n,), generator=generator).to(torch.uint8),
        torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()]),
    )


def network(arch: str, caps: bool, tune: bool, sharing: str = "multi-output") -> TaggingNetwork:
    shape = NetworkConfig(
        (("A", 5), ("B", 3)), rows=40, word_dim=6, sharing=sharing, filters=4, hidden=(10, 8), dropout=0.0,
        filter_widths=(2, 3, 5) if arch == "cnn" else (), caps_dim=5 if caps else 0, tune_words=tune,
    )  # fmt: skip
    made = TaggingNetwork(shape).double()
    made.reset(torch.Generator().manual_seed(7))
    return made.train()


def naive_windows(features: Features, window: int) -> list[list[int]]:
    rows = []
    offsets = features.offsets.tolist()
    for start, stop in pairwise(offsets):
        for t in range(start, stop):
            around = range(t - window // 2, t + window // 2 + 1)
            rows.append([int(features.word_ids[i]) if start <= i < stop else 0 for i in around])
    return rows


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("caps", [False, True])
@pytest.mark.parametrize("tune", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_is_the_same(arch: str, caps: bool, tune: bool, optimizer: str) -> None:
    features = text()
    targets = torch.arange(len(features)) % 3
    networks = [network(arch, caps, tune), network(arch, caps, tune)]
    optimizers = []
    for net in networks:
        parameters = {n: p for n, p in net.named_parameters() if p.requires_grad}
        table = net.embedding.words if tune else None
        optimizers.append(Optimizer(optimizer, parameters, 0.01, table, 0.01))
    generator = torch.Generator().manual_seed(3)
    for step in range(100):
        start = int(torch.randint(0, len(features) - 10, (1,), generator=generator))
        rows: list[slice | Tensor] = [slice(start, start + 10), torch.arange(start, start + 10)]
        losses = []
        for net, opt, batch in zip(networks, optimizers, rows, strict=True):
            loss = (
                clipped_cross_entropy(
                    net(features, batch)["A" if step % 2 else "B"], targets[start : start + 10]
                )
                / 10
            )
            loss.backward()
            opt.step(net.embedding.take_row_gradients())
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-10)
    for name, value in networks[0].state_dict().items():
        torch.testing.assert_close(networks[1].state_dict()[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sharing", ["multi-output", "dependent"])
def test_all_tokens_and_parts_agree(sharing: str) -> None:
    features = text(1)
    net = network("cnn", True, False, sharing).eval()
    whole = net(features)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    for task, logits in whole.items():
        torch.testing.assert_close(net(features, order)[task], logits[order], rtol=0, atol=1e-12)
        torch.testing.assert_close(net(features, slice(5, 17))[task], logits[5:17], rtol=0, atol=1e-12)
        log_probabilities = net.log_probabilities(features)[task]
        torch.testing.assert_close(log_probabilities, logits.log_softmax(1), rtol=0, atol=1e-12)


def test_windows_stop_at_sentence_ends() -> None:
    features = text(2)
    net = TaggingNetwork(
        NetworkConfig((("A", 2),), rows=40, word_dim=2, filter_widths=(), hidden=(4,), dropout=0.0)
    ).double()
    net.reset()
    ids = torch.tensor(naive_windows(features, 7))
    hidden = net.encoders[0].hidden[0]  # type: ignore[index, union-attr]
    expected = hidden(net.embedding.words[ids].view(len(ids), -1)).relu()
    torch.testing.assert_close(net.hidden(features, None, {0})[0], expected)


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_a_mask_of_the_batch_is_dropout_with_equal_rows(arch: str) -> None:
    """Against the same units dropped after they were computed; over many masks each unit is as likely."""
    features = text()
    net = network(arch, True, True)
    encoder = net.encoders[0]
    encoder.dropout, encoder.batch_mask = 0.6, True
    seen = torch.zeros(8)
    for seed in range(200):
        torch.manual_seed(seed)
        (dropped,) = net.hidden(features, slice(3, 40), {0}).values()
        gradients = torch.autograd.grad(dropped.square().sum(), list(encoder.parameters()))
        net.embedding.take_row_gradients()
        torch.manual_seed(seed)
        kept = torch.rand(8) >= 0.6
        encoder.dropout = 0.0
        (whole,) = net.hidden(features, slice(3, 40), {0}).values()
        expected = whole * kept / 0.4
        torch.testing.assert_close(dropped, expected, rtol=0, atol=1e-12)
        for a, b in zip(
            gradients,
            torch.autograd.grad(expected.square().sum(), list(encoder.parameters())),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
        net.embedding.take_row_gradients()
        encoder.dropout = 0.6
        seen += kept
    assert float((seen / 200 - 0.4).abs().max()) < 4 * (0.24 / 200) ** 0.5
    net.eval()
    assert torch.equal(net.hidden(features, slice(3, 40), {0})[0], net.hidden(features, slice(3, 40), {0})[0])


def test_heads_that_are_not_asked_for_are_not_computed() -> None:
    net = network("cnn", False, False)
    calls: list[int] = []
    for index, head in enumerate(net.heads):
        head.register_forward_hook(lambda *_, index=index: calls.append(index))
    net(text(), tasks=["B"])
    assert calls == [1]


def test_no_tokens() -> None:
    features = Features(
        torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.uint8), torch.tensor([0, 0])
    )
    for logits in (network("cnn", True, False)(features)["A"], network("mlp", True, False)(features)["A"]):
        assert logits.shape == (0, 5)


def test_config_rebuilds_the_network() -> None:
    net = network("cnn", True, True, "dependent")
    again = build_network(net.config)
    assert {n: v.shape for n, v in again.state_dict().items()} == {
        n: v.shape for n, v in net.state_dict().items()
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 4}, "window"),
        ({"sharing": "both"}, "sharing"),
        ({"filter_widths": (9,)}, "filter_widths"),
        ({"tasks": (("A", 1),), "sharing": "dependent"}, "two tasks"),
    ],
)
def test_impossible_shapes(change: dict[str, object], said: str) -> None:
    values: dict[str, object] = {"tasks": (("A", 1),), "rows": 3, "word_dim": 2}
    with pytest.raises(ValueError, match=said):
        NetworkConfig(**(values | change))  # type: ignore[arg-type]


def test_unknown_entries_of_a_config_are_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        build_network(NetworkConfig((("A", 1),), rows=3, word_dim=2).to_json() | {"colour": 1})
