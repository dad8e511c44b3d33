"""The step of one shape: the same numbers as any step; on a GPU, the graph that replays it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from bioner_fast.errors import UsageError
from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch
from bioner_fast.models.captures import CAPTURES
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Optimizer, linear_decay
from bioner_fast.models.learning.step import Step
from bioner_fast.models.loss import clipped_cross_entropy, joint_cross_entropy
from bioner_fast.models.product import on_gpus
from bioner_fast.models.registry import make_step
from bioner_fast.models.windowed.cuda_graphs import WARM_UP, GraphStep, why_not
from bioner_fast.models.windowed.encoder import Encoder
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork
from bioner_fast.training import loop
from bioner_fast.training.sampling import TrainingText
from bioner_fast.training.train import train
from tiny_corpora import small, write_task

N, SIZE = 300, 20
HEADS = {"single": (0,), "multi-output": (0, 1, 2), "dependent": (1,)}


def text(heads: tuple[int, ...], device: torch.device | str = "cpu") -> TrainingText:
    """A corpus for each head."""
    generator = torch.Generator().manual_seed(0)
    bounds = tuple(N * number // len(heads) for number in range(len(heads) + 1))
    ends = torch.randint(1, 12, (N,), generator=generator).cumsum(0)
    offsets = torch.cat([torch.tensor(bounds), ends[ends < N]]).unique()
    words = torch.randint(1, 40, (N,), generator=generator)
    features = Features(words, torch.ones(N, dtype=torch.uint8), offsets).to(device)
    return TrainingText(features, torch.randint(0, 3, (N,), generator=generator).to(device), bounds, heads)


def network(sharing: str, arch: str = "cnn", dropout: float = 0.0, hidden: int = 11) -> TaggingNetwork:
    tasks = (("A", 5), ("B", 3), ("C", 4))[: {"single": 1, "dependent": 2}.get(sharing, 3)]
    shape = NetworkConfig(
        tasks, rows=40, word_dim=8, sharing=sharing, filters=6, hidden=(hidden,), dropout=dropout,
        filter_widths=(2, 3, 5) if arch == "cnn" else (),
    )  # fmt: skip
    made = TaggingNetwork(shape)
    made.reset(torch.Generator().manual_seed(7))
    return made.train()


def batches(corpus: TrainingText, steps: int, shuffled: bool) -> list[Batch]:
    """Tokens in a row, from random starts (at the end of the text fewer), or in any order."""
    made = []
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        if shuffled:
            size = SIZE if number % 5 else 7
            tokens = torch.randperm(N, generator=generator)[:size].to(corpus.tags.device)
            parts = ((corpus.heads[0], slice(0, size), corpus.tags[tokens]),)
            made.append(Batch(corpus.features, tokens, parts, size))
        else:
            start = int(torch.randint(0, N - 3, (1,), generator=generator))
            made.append(corpus.contiguous(start, min(start + SIZE, N)))
    return made


def assert_close(one: TaggingNetwork, other: TaggingNetwork, tolerance: float) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=tolerance, msg=name)


CASES = [
    ("single", False), ("single", True), ("multi-output", False), ("dependent", False), ("dependent", True)
]  # fmt: skip


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(("sharing", "shuffled"), CASES)
def test_the_same_as_any_step(arch: str, kind: str, sharing: str, shuffled: bool) -> None:
    """With a schedule, an average, clipping (adamw), and short batches in between."""
    heads = HEADS[sharing]
    nets = [network(sharing, arch).double() for _ in range(2)]
    how = {"clip": 0.05, "weight_decay": 0.1} if kind == "adamw" else {}
    rates = [
        Optimizer(kind, net.learning(heads), 0.01, schedule=linear_decay(100, 10), **how)  # type: ignore[arg-type]
        for net in nets
    ]
    averages = [Average(optimizer.parameters, 0.9) for optimizer in rates]
    ours = GraphStep(nets[0], rates[0], averages[0], size=SIZE)
    plain = Step(nets[1], rates[1], averages[1])
    sizes = set()
    for batch in batches(text(heads), 100, shuffled):
        assert float(ours(batch)) == pytest.approx(float(plain(batch)), abs=1e-10)
        sizes.add(batch.size)
    assert len(sizes) > 1
    assert ours._taken > 70
    assert_close(nets[0], nets[1], 1e-10)
    for one, other in ((o.state(), p.state()) for o, p in ((rates[0], rates[1]), (averages[0], averages[1]))):
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-10, msg=name)


def test_heads_side_by_side_lose_what_they_lose_alone() -> None:
    """With probabilities beyond the clip on both sides."""
    logits = (torch.randn(40, 9, dtype=torch.float64) * 12).requires_grad_()
    owner = torch.tensor([0] * 5 + [2] * 4)
    columns = torch.randint(0, 9, (40,))
    joint = joint_cross_entropy(logits, columns, owner)
    (found,) = torch.autograd.grad(joint, logits)
    first = columns < 5
    alone = clipped_cross_entropy(logits[first][:, :5], columns[first]) + clipped_cross_entropy(
        logits[~first][:, 5:], columns[~first] - 5
    )
    (wanted,) = torch.autograd.grad(alone, logits)
    torch.testing.assert_close(joint, alone, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("product", [None, torch.bfloat16])
@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_unfolded_windows_give_what_gathered_ones_give(arch: str, product: torch.dtype | None) -> None:
    encoder = network("single", arch).encoders[0]
    assert isinstance(encoder, Encoder)
    windows = torch.randn(30, 7 * 8)
    found, wanted = encoder.unfolded(windows, product), encoder.gathered(windows, product)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 if product is None else 0.02)


def test_dropout_and_bfloat16() -> None:
    """The same masks: a share of the units, drawn as any step draws them."""
    nets = [network("multi-output", dropout=0.5, hidden=64) for _ in range(2)]
    corpus, losses = text(HEADS["multi-output"]), []
    for net, product in zip(nets, (None, torch.bfloat16), strict=True):
        net.training_product = product
        torch.manual_seed(3)
        step = GraphStep(net, Optimizer("adam", net.learning((0, 1, 2)), 0.01), size=SIZE)
        losses.append([float(step(corpus.contiguous(start, start + SIZE))) for start in range(0, 200, SIZE)])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda net: setattr(net.embedding, "caps", net.embedding.words), "capitalisation"),
        (lambda net: vars(net.encoders[0]).update(batch_mask=True, dropout=0.5), "mask"),
    ],
)  # fmt: skip
def test_other_networks_are_refused(change: Callable[[TaggingNetwork], None], reason: str) -> None:
    net = network("single")
    optimizer = Optimizer("adam", net.learning((0,)), 0.01)
    assert why_not(net, optimizer, None, Processes(), SIZE) is None
    for processes, constraints, size in (
        (Processes(0, 2), None, SIZE),
        (Processes(), [], SIZE),
        (Processes(), None, None),
    ):
        assert why_not(net, optimizer, constraints, processes, size) is not None
    change(net)
    assert reason in str(why_not(net, optimizer, None, Processes(), SIZE))


@pytest.mark.parametrize("kinds", [("Disease",), ("Disease", "Chemical"), ("pos", "Disease")])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tmp_path: Path, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole trainer over steps of one shape, as on a GPU but without the graph."""
    made: list[GraphStep] = []

    def fixed(
        net: TaggingNetwork, optimizer: Optimizer, *_: object, size: int, graphs: bool, **__: object
    ) -> Step:
        assert graphs
        made.append(GraphStep(net, optimizer, size=size))
        return made[-1]

    monkeypatch.setattr(loop, "make_step", fixed)
    tasks = tuple(write_task(tmp_path / kind, kind) for kind in kinds)
    lines = [f"{word} 0.{i} 0.4 -0.{i}" for i, word in enumerate(["the", "gout", "zinc", "of"])]
    (tmp_path / "v.vec").write_text(f"{len(lines)} 3\n" + "\n".join(lines) + "\n")
    sharing = {"sharing": "dependent"} if kinds[0] == "pos" else {}
    runs = {
        name: small(tasks, tmp_path / name, vectors=str(tmp_path / "v.vec"), checkpoint_every="7", **sharing)
        for name in ("whole", "parts")
    }
    train(runs["whole"])
    phases = 1 if kinds[0] != "pos" else 2
    assert len(made) == phases  # kept from epoch to epoch
    assert sum(step._taken for step in made) > 20
    original, left = GraphStep.__call__, [17]

    def until(self: GraphStep, batch: Batch) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("power cut")
        return original(self, batch)

    monkeypatch.setattr(GraphStep, "__call__", until)
    with pytest.raises(RuntimeError, match="power cut"):
        train(runs["parts"])
    train(runs["parts"], resume=True)
    for name in ("model/weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class FakeGraph:
    """Stands in for a CUDA graph: a capture launches nothing, a replay does the work that was recorded."""

    steps: list[GraphStep]
    capturing = False
    replays = 0

    def replay(self) -> None:
        FakeGraph.replays += 1
        FakeGraph.steps[0]._work()


@pytest.mark.parametrize("fails", [False, True])
def test_the_course_of_a_capture(
    fails: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Launched, captured once, replayed; or, when that fails, the steps of any network."""

    @contextmanager
    def capture(_: FakeGraph, *, stream: object) -> Iterator[None]:
        assert stream is step._stream
        assert CAPTURES.locked()
        FakeGraph.capturing = True
        yield
        FakeGraph.capturing = False
        if fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    work = GraphStep._work
    monkeypatch.setattr(GraphStep, "_work", lambda self: None if FakeGraph.capturing else work(self))
    monkeypatch.setattr(FakeGraph, "replays", 0)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    generator = MagicMock()
    monkeypatch.setattr(torch.cuda, "default_generators", [generator])
    for name in ("device", "stream", "current_stream", "set_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    nets = [network("multi-output").double() for _ in range(2)]
    heads = HEADS["multi-output"]
    optimizers = [Optimizer("adam", net.learning(heads), 0.01) for net in nets]
    step, plain = GraphStep(nets[0], optimizers[0], size=SIZE), Step(nets[1], optimizers[1])
    step._stream = MagicMock()
    FakeGraph.steps = [step]
    for batch in batches(text(heads), 40, False):
        assert float(step(batch)) == pytest.approx(float(plain(batch)), abs=1e-10)
    assert_close(nets[0], nets[1], 1e-10)
    assert step.captured is not fails
    assert generator.graphsafe_set_state.call_count == int(fails)
    torch.cuda.set_stream.assert_called_once_with(torch.cuda.current_stream.return_value)
    assert not CAPTURES.locked()
    if fails:
        assert (step._taken, FakeGraph.replays) == (WARM_UP, 0)
        assert caplog.messages == [
            "no CUDA graph, steps launch their work: operation not permitted when stream is capturing"
        ]
    else:
        assert FakeGraph.replays == step._taken - WARM_UP > 20


def test_tf32_is_for_gpus_and_for_the_run_only(tmp_path: Path) -> None:
    before = torch.get_float32_matmul_precision()
    with on_gpus(tf32=True):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(UsageError, match="--precision tf32: only GPUs have it"):
        train(small((write_task(tmp_path / "Disease", "Disease"),), tmp_path / "run", precision="tf32"))


@pytest.fixture
def gpu() -> torch.device:
    """A GPU; where there is none the test is skipped, unless BIONER_REQUIRE_CUDA=1."""
    if not torch.cuda.is_available():
        if os.environ.get("BIONER_REQUIRE_CUDA") == "1":
            pytest.fail("BIONER_REQUIRE_CUDA=1, but Torch sees no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def run_on(
    device: torch.device, product: torch.dtype | None, steps: int, *, graphs: bool = True, stop: int = 0
) -> tuple[TaggingNetwork, list[float], Step]:
    """Multi-output steps with dropout; at ``stop``, all that a checkpoint holds goes into a new step."""
    torch.manual_seed(3)
    heads = HEADS["multi-output"]
    corpus = text(heads, device)

    def make() -> tuple[TaggingNetwork, Optimizer, Step]:
        net = network("multi-output", dropout=0.5, hidden=64).to(device)
        net.training_product = product
        optimizer = Optimizer("adam", net.learning(heads), 0.01, schedule=linear_decay(steps, 5))
        return net, optimizer, make_step(net, optimizer, size=SIZE, graphs=graphs)

    net, optimizer, step = make()
    losses = []
    for number, batch in enumerate(batches(corpus, steps, False)):
        if stop and number == stop:
            state = {name: value.cpu() for name, value in optimizer.state().items()}
            weights = {name: value.cpu() for name, value in net.state_dict().items()}
            random = torch.cuda.get_rng_state(device)
            torch.cuda.manual_seed(99)
            net, optimizer, step = make()
            net.load_state_dict(weights)
            optimizer.load_state(state)
            torch.cuda.set_rng_state(random, device)
        losses.append(step(batch))
    return net, torch.stack(losses).tolist(), step


@pytest.mark.parametrize("product", [None, torch.bfloat16])
def test_a_graph_on_cuda_learns_what_launches_learn(gpu: torch.device, product: torch.dtype | None) -> None:
    """Also the dropout is the same: replays draw on where the launches stopped."""
    net, losses, step = run_on(gpu, product, 60)
    assert isinstance(step, GraphStep)
    assert step.captured
    launched, wanted, plain = run_on(gpu, product, 60, graphs=False)
    assert type(plain) is Step
    assert losses == pytest.approx(wanted, rel=1e-3 if product is None else 0.05)
    again = run_on(gpu, product, 60, stop=33)
    assert losses == pytest.approx(again[1], rel=1e-5)
    assert_close(net, again[0], 1e-5)
    assert_close(net, launched, 1e-3 if product is None else 0.1)


def test_a_capture_that_fails_on_cuda_is_no_failure(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = GraphStep._work

    def waits(self: GraphStep) -> None:
        original(self)
        if torch.cuda.is_current_stream_capturing():
            self._loss.item()

    _, wanted, _ = run_on(gpu, None, 30, graphs=False)
    monkeypatch.setattr(GraphStep, "_work", waits)
    _, losses, step = run_on(gpu, None, 30)
    assert isinstance(step, GraphStep)
    assert not step.captured
    assert step._taken == WARM_UP
    assert losses == pytest.approx(wanted, rel=1e-3)
    assert "no CUDA graph" in caplog.text
