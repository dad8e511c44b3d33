"""The step that is written out: the same numbers as autograd, over many steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.learning.step import Step
from bioner_fast.models.registry import make_step
from bioner_fast.models.windowed.mlp_step import MlpStep
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork
from bioner_fast.models.windowed.step import NATIVE_TAGS, WindowStep
from bioner_fast.ops import dense, products
from bioner_fast.training.sampling import TrainingText

N = 300
BOUNDS = (0, 130, N)  # two corpora


def text() -> TrainingText:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (N,), generator=generator).cumsum(0)
    offsets = torch.cat([torch.tensor(BOUNDS), lengths[lengths < N]]).unique()
    features = Features(
        torch.randint(1, 40, (N,), generator=generator),
        torch.randint(1, 5, (N,), generator=generator).to(torch.uint8),
        offsets,
    )
    return TrainingText(features, torch.randint(0, 3, (N,), generator=generator), BOUNDS, (0, 1))


def network(
    arch: str, sharing: str, hidden: tuple[int, ...], dropout: float = 0.0, words: int = 8
) -> TaggingNetwork:
    shape = NetworkConfig(
        (("A", 5), ("B", 3)), rows=40, word_dim=words, sharing=sharing, filters=6, hidden=hidden,
        dropout=dropout, filter_widths=(2, 3, 5) if arch == "cnn" else (), caps_dim=5 if arch == "mlp" else 0,
        tune_words=arch == "mlp",
    )  # fmt: skip
    made = TaggingNetwork(shape)
    made.reset(torch.Generator().manual_seed(7))
    return made.train()


def optimizer(net: TaggingNetwork, kind: str, heads: tuple[int, ...] = (0, 1), **how: float) -> Optimizer:
    table = net.embedding.words if net.embedding.tune_words else None
    return Optimizer(kind, net.learning(heads), 0.01, table, 0.01, **how)


def batch(corpus: TrainingText, form: str, generator: torch.Generator, heads: tuple[int, ...]) -> Batch:
    """Twenty tokens: in a row (at the end fewer), or of the second corpus in any order."""
    if form == "packed":
        low = 0 if heads == (0, 1) else BOUNDS[1]
        start = int(torch.randint(low, N - 4, (1,), generator=generator))
        return corpus.contiguous(start, min(start + 20, N))
    tokens = torch.randint(BOUNDS[1], N, (20,), generator=generator)
    return Batch(corpus.features, tokens, ((1, slice(0, 20), corpus.tags[tokens]),), 20)


def dense_gradient(net: TaggingNetwork, name: str, grad: Tensor | dense.WeightGradient) -> Tensor:
    """A copy in float32."""
    if isinstance(grad, dense.WeightGradient):
        shape = net.get_parameter(name).shape
        return grad.dense(shape[0]).view(shape)
    return grad.float().clone()


def compare(nets: list[TaggingNetwork], steps: list[Step], form: str, heads: tuple[int, ...]) -> None:
    """A hundred steps of both sides."""
    corpus = text()
    for number in range(100):
        chosen = [batch(corpus, form, torch.Generator().manual_seed(number), heads) for _ in steps]
        losses = [float(step(b)) for step, b in zip(steps, chosen, strict=True)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-10)
    states = [net.state_dict() for net in nets]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("form", ["packed", "gathered"])
@pytest.mark.parametrize("sharing", ["multi-output", "dependent"])
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("hidden", [(11,), (10, 8)])
def test_the_same_as_autograd(arch: str, form: str, sharing: str, kind: str, hidden: tuple[int, ...]) -> None:
    nets = [network(arch, sharing, hidden).double() for _ in range(2)]
    averages = [Average(optimizer(net, kind).parameters, 0.9) for net in nets]
    steps = [
        make_step(nets[0], optimizer(nets[0], kind), averages[0]),
        Step(nets[1], optimizer(nets[1], kind), averages[1]),
    ]
    assert isinstance(steps[0], WindowStep)
    compare(nets, steps, form, (0, 1))
    for name, value in averages[0].state().items():
        torch.testing.assert_close(averages[1].state()[name], value, rtol=0, atol=1e-10, msg=name)


def test_clipping_and_weight_decay() -> None:
    nets = [network("cnn", "multi-output", (11,)).double() for _ in range(2)]
    how = {"clip": 0.05, "weight_decay": 0.1}
    steps = [
        make_step(nets[0], optimizer(nets[0], "adamw", **how)),
        Step(nets[1], optimizer(nets[1], "adamw", **how)),
    ]
    compare(nets, steps, "packed", (0, 1))


def test_a_phase_trains_its_own_heads_only() -> None:
    """The first phase of a dependent run leaves the second encoder and head alone."""
    net = network("cnn", "dependent", (11,)).double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step = make_step(net, optimizer(net, "adam", (0,)))
    corpus = text()
    for start in range(0, 100, 20):
        step(corpus.contiguous(start, start + 20))
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed} == {"0"}


@pytest.mark.parametrize("form", ["packed", "gathered"])
@pytest.mark.parametrize("hidden", [(64,), (40, 24)])
def test_sparse_products_are_those_of_all_values(
    form: str, hidden: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind strong dropout only what it keeps is multiplied: the same numbers."""
    zeros, multiply, layers, keep = [], products.sparse_mm, [], products.kept_units

    def watched(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
        zeros.append(float((left == 0).double().mean()))
        return multiply(left, right, out)

    def counted(*arguments: Any) -> Tensor:
        layers.append(arguments[1].shape)
        return keep(*arguments)

    monkeypatch.setattr(products, "sparse_mm", watched)
    monkeypatch.setattr(products, "kept_units", counted)
    nets = [network("cnn", "multi-output", hidden, 0.75, 40).double() for _ in range(2)]
    made = []
    for net, share in zip(nets, (0.75, 0.76), strict=True):
        monkeypatch.setattr("bioner_fast.models.windowed.step.SPARSE_SHARE", share)
        torch.manual_seed(3)
        step = make_step(net, optimizer(net, "adam"))
        for number in range(5):
            step(batch(text(), form, torch.Generator().manual_seed(number), (0, 1)))
        made.append(net.state_dict())
        # By the first network, for the last layer only: its output, the gradients of its weight and input.
        assert len(layers) == 5
        assert len(zeros) == 10
    assert {shape[0] for shape in layers} == {hidden[-1]}
    assert min(zeros) > 0.75
    for name, value in made[0].items():
        torch.testing.assert_close(made[1][name], value, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("form", ["packed", "gathered"])
def test_dropout_and_bfloat16_change_little(arch: str, form: str) -> None:
    """The same dropout (seeds are drawn alike) in float32 and in bfloat16: gradients point the same way."""
    nets = [network(arch, "multi-output", (64,), 0.5, 40) for _ in range(2)]
    nets[1].training_product = torch.bfloat16
    made = []
    for net in nets:
        torch.manual_seed(3)
        step = make_step(net, optimizer(net, "adam"))
        assert isinstance(step, WindowStep)
        chosen = batch(text(), form, torch.Generator().manual_seed(5), (0, 1))
        loss, gradients, _ = step.gradients(chosen)
        whole = {name: dense_gradient(net, name, grad) for name, grad in gradients.items()}
        made.append((float(loss), whole))
    assert made[0][0] == pytest.approx(made[1][0], rel=0.02)
    assert set(made[0][1]) == set(made[1][1])
    for name, grad in made[0][1].items():
        if grad.norm() > 0:
            cosine = torch.nn.functional.cosine_similarity(grad.flatten(), made[1][1][name].flatten(), 0)
            assert cosine > 0.99, name


@pytest.mark.skipif(not products.works(products.onednn), reason="this Torch has no oneDNN")
@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("form", ["packed", "gathered"])
def test_float32_products_of_either_library(arch: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same gradients but for rounding, through two hidden layers."""
    made = []
    for onednn in (False, True):
        monkeypatch.setattr(products, "_is_faster", lambda onednn=onednn: onednn)
        net = network(arch, "multi-output", (11, 8))
        step = make_step(net, optimizer(net, "adam"))
        assert isinstance(step, WindowStep)
        loss, gradients, rows = step.gradients(batch(text(), form, torch.Generator().manual_seed(5), (0, 1)))
        whole = {name: dense_gradient(net, name, grad) for name, grad in gradients.items()}
        made.append(whole | {"loss": loss} | ({} if rows is None else {"rows": rows[1].clone()}))
    assert set(made[0]) == set(made[1])
    for name, grad in made[0].items():
        torch.testing.assert_close(made[1][name], grad, rtol=1e-4, atol=1e-6, msg=name)


def test_dropout_drops_its_share() -> None:
    net = network("cnn", "multi-output", (400,), 0.75)
    step = make_step(net, optimizer(net, "sgd"))
    assert isinstance(step, WindowStep)
    for layer in net.encoders[0].hidden:  # type: ignore[union-attr]
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    hidden: list[Tensor] = []
    forward = step.encoders[0].forward
    step.encoders[0].forward = lambda inputs: hidden.append(forward(inputs)) or hidden[-1]  # type: ignore[func-returns-value, method-assign]
    step.gradients(text().contiguous(0, 100))
    kept = hidden[0] != 0
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=0.02)
    assert (hidden[0][kept] == 4).all()


@pytest.mark.parametrize("forms", [("packed",), ("packed", "gathered")])
def test_rounded_weights_follow_the_weights(forms: tuple[str, ...]) -> None:
    """Also where steps by Torch's products and by tiles take turns."""
    net = network("cnn", "multi-output", (16,))
    net.training_product = torch.bfloat16
    step = make_step(net, optimizer(net, "adam"))
    assert isinstance(step, WindowStep)
    step.tiles = dense.available()
    corpus = text()
    for number in range(10):
        form = forms[number % len(forms)]
        step(batch(corpus, form, torch.Generator().manual_seed(number), (0, 1) if form == "packed" else (1,)))
    for name in ("towers.0.hidden.0.weight", "towers.0.kernels.1"):
        weight = net.get_parameter(name)
        assert torch.equal(step.low(name, weight), weight.detach().bfloat16().view(len(weight), -1))
        if step.tiles:
            assert torch.equal(step.optimizer.blocks(name), dense.blocks(weight))


@pytest.mark.skipif(not dense.available(), reason="this processor has neither AMX nor AVX512-BF16")
@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("sharing", ["multi-output", "dependent"])
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_tiles_learn_as_other_products_do(arch: str, sharing: str, kind: str) -> None:
    """Hidden layers in tiles or by Torch: the same gradients but for rounding, much the same ten steps."""
    nets = [network(arch, sharing, (40, 33), words=24) for _ in range(2)]
    start = {name: value.clone() for name, value in nets[0].state_dict().items()}
    steps = []
    for net in nets:
        net.training_product = torch.bfloat16
        step = make_step(net, optimizer(net, kind, weight_decay=0.01))
        assert isinstance(step, WindowStep)
        steps.append(step)
    assert steps[0].tiles == (arch == "mlp" or dense.in_tiles())
    steps[0].tiles, steps[1].tiles = True, False
    chosen = [batch(text(), "packed", torch.Generator().manual_seed(n), (0, 1)) for n in range(10)]
    (loss, found, rows), (other, wanted, more) = (step.gradients(chosen[0]) for step in steps)
    assert float(loss) == pytest.approx(float(other), rel=1e-3)
    for name, value in wanted.items():
        expected = dense_gradient(nets[1], name, value)
        difference = (dense_gradient(nets[0], name, found[name]) - expected).norm()
        assert difference <= 0.02 * expected.norm(), name
    if rows is not None and more is not None:
        assert (rows[1] - more[1]).norm() <= 0.02 * more[1].norm()
    for one in chosen:
        for step in steps:
            step(one)
    moved = [torch.cat([(v - start[k]).flatten() for k, v in net.state_dict().items()]) for net in nets]
    assert moved[0].norm() > 0
    assert torch.nn.functional.cosine_similarity(*moved, 0) > 0.95


@pytest.mark.skipif(not dense.available(), reason="this processor has neither AMX nor AVX512-BF16")
@pytest.mark.parametrize("form", ["packed", "gathered"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_mlps_step_in_one_call(form: str, dropout: float) -> None:
    """The same as its pieces but for rounding: losses, where twenty steps lead, averages, rounded weights."""
    nets = [network("mlp", "multi-output", (40,), dropout, words=24) for _ in range(2)]
    start = {name: value.clone() for name, value in nets[0].state_dict().items()}
    losses, averages = [], []
    for net, kind in zip(nets, (MlpStep, WindowStep), strict=True):
        net.training_product = torch.bfloat16
        learning = optimizer(net, "sgd")
        averages.append(Average(learning.parameters, 0.9))
        step = make_step(net, learning, averages[-1])
        assert type(step) is MlpStep
        if kind is WindowStep:
            step.known.clear()
        torch.manual_seed(3)
        corpus = text()
        chosen = [batch(corpus, form, torch.Generator().manual_seed(n), (1,)) for n in range(16)]
        across = [corpus.contiguous(BOUNDS[1] - n, BOUNDS[1] + 20 - n) for n in (5, 10, 12, 18)]
        chosen[3:3] = across  # of two heads: the longer way
        losses.append(torch.stack([step(b) for b in chosen]))
        assert learning.steps == 20
        hidden = net.get_parameter("towers.0.hidden.0.weight")
        assert torch.equal(learning.blocks("towers.0.hidden.0.weight"), dense.blocks(hidden))
    torch.testing.assert_close(losses[0], losses[1], rtol=5e-3, atol=0)
    for found, wanted in ((nets[0].state_dict(), nets[1].state_dict()), [a.state() for a in averages]):
        for name, value in found.items():
            moved, other = value - start[name], wanted[name] - start[name]
            assert moved.norm() > 0, name
            assert (moved - other).norm() <= 0.03 * other.norm() + 1e-6, name


@pytest.mark.skipif(not dense.available(), reason="this processor has neither AMX nor AVX512-BF16")
def test_which_heads_of_an_mlp_take_one_call() -> None:
    def known(kind: str = "sgd", hidden: tuple[int, ...] = (40,), sharing: str = "multi-output") -> set[int]:
        net = network("mlp", sharing, hidden)
        net.training_product = torch.bfloat16
        step = make_step(net, optimizer(net, kind))
        assert isinstance(step, MlpStep)
        return set(step.known)

    assert known() == {0, 1}
    assert known(sharing="dependent") == {0}  # the second reads two encoders
    assert known(kind="adam") == known(hidden=(40, 33)) == set()
    net = network("mlp", "multi-output", (40,))
    step = make_step(net, optimizer(net, "sgd"))
    assert isinstance(step, MlpStep)
    assert not step.known  # float32
    net.training_product = torch.bfloat16
    for lacking in ("heads.1.weight", "embedding.caps", "towers.0.hidden.0.weight"):
        learning = {name: value for name, value in net.learning((0, 1)).items() if name != lacking}
        step = make_step(net, Optimizer("sgd", learning, 0.01, net.embedding.words, 0.01))
        assert isinstance(step, MlpStep)
        assert set(step.known) == ({0} if lacking == "heads.1.weight" else set())
    step = make_step(net, Optimizer("sgd", net.learning((0, 1)), 0.01))  # words are not stepped
    assert isinstance(step, MlpStep)
    assert not step.known


def test_no_tiles_where_gradients_are_measured() -> None:
    net = network("cnn", "multi-output", (16,))
    net.training_product = torch.bfloat16
    step = make_step(net, optimizer(net, "adamw", clip=1.0))
    assert isinstance(step, WindowStep)
    assert not step.tiles
    step(text().contiguous(0, 20))


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_heads_with_many_tags(arch: str) -> None:
    """They take Torch's products: the same as autograd."""
    nets = []
    for _ in range(2):
        shape = NetworkConfig(
            (("A", 3), ("B", NATIVE_TAGS + 1)), rows=40, word_dim=8, sharing="multi-output", filters=6,
            hidden=(11,), dropout=0.0, filter_widths=(2, 3, 5) if arch == "cnn" else (),
            caps_dim=5 if arch == "mlp" else 0, tune_words=arch == "mlp",
        )  # fmt: skip
        net = TaggingNetwork(shape)
        net.reset(torch.Generator().manual_seed(7))
        nets.append(net.train().double())
    steps = [make_step(nets[0], optimizer(nets[0], "sgd")), Step(nets[1], optimizer(nets[1], "sgd"))]
    compare(nets, steps, "packed", (0, 1))


@pytest.mark.parametrize("change", ["tunes", "batch mask"])
def test_other_networks_take_the_other_step(change: str) -> None:
    net = network("cnn", "multi-output", (11,), 0.5)
    net.embedding.tune_words = change == "tunes"
    net.encoders[0].batch_mask = change == "batch mask"  # type: ignore[assignment]
    assert type(make_step(net, optimizer(net, "adam"))) is Step


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_rounded_gradients_move_weights_as_others_do(kind: str) -> None:
    """Ten steps from gradients in bfloat16, and from the same numbers in float32."""
    weights = [torch.linspace(-1, 1, 50).view(5, 10) for _ in range(2)]
    optimizers = [Optimizer(kind, {"w": weight}, 0.01, weight_decay=0.1) for weight in weights]
    for number in range(10):
        grad = torch.randn(5, 10, generator=torch.Generator().manual_seed(number)).bfloat16()
        optimizers[0].step(gradients={"w": grad})
        optimizers[1].step(gradients={"w": grad.float()})
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-6)
    for name, value in optimizers[0].state().items():
        torch.testing.assert_close(value, optimizers[1].state()[name], rtol=1e-5, atol=1e-7, msg=name)
