"""Training beside the same networks in plain PyTorch and Keras 3, and beside the floor: products and Adam.

Losses of the same steps on the same batches are asserted equal before anything is timed (dropout 0, float64
where the peer can). A round is STEPS steps; the word table, the text and the batches are made beforehand, as
in a run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.registry import make_step
from bioner_fast.models.windowed.layout import id_windows, padded_text
from bioner_fast.models.windowed.mlp_step import MlpStep
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork
from bioner_fast.ops import dense
from bioner_fast.training.sampling import TrainingText
from conftest import THREADS, tokens
from shapes import WIDTH, WINDOW, packed_offsets, word_ids
from training_peers import Floor, PlainCnn, PlainMlp, as_int32, keras_cnn, plain_cnn_steps

RATE = 1e-4
BATCH = 200
TAGS = 5
ROWS = 30_000
OURS = ["", " bfloat16", " batch-mask", " batch-mask bfloat16"]


def text(n: int, rows: int, tasks: int = 1) -> TrainingText:
    """Random words in sentences of the usual lengths; the corpora of the tasks are equally long."""
    ids = word_ids(n, rows - 2) + 2
    generator = torch.Generator().manual_seed(0)
    caps = torch.randint(1, 5, (n,), generator=generator).to(torch.uint8)
    bounds = tuple(n * task // tasks for task in range(tasks + 1))
    offsets = torch.cat([packed_offsets(n), torch.tensor(bounds)]).unique()  # no sentence in two corpora
    tags = torch.randint(0, TAGS, (n,), generator=generator)
    return TrainingText(Features(ids, caps, offsets), tags, bounds, tuple(range(tasks)))


def batches_of(corpus: TrainingText, size: int) -> list[Batch]:
    n = corpus.bounds[-1]
    return [corpus.contiguous(start, min(start + size, n)) for start in range(0, n, size)]


def network_of(arch: str, rows: int, dropout: float, tasks: int = 1) -> TaggingNetwork:
    made = TaggingNetwork(
        NetworkConfig(
            tuple((f"task{i}", TAGS) for i in range(tasks)), rows, WIDTH, window=WINDOW, dropout=dropout,
            sharing="single" if tasks == 1 else "multi-output",
            filter_widths=(3, 4, 5) if arch == "cnn" else (),
            hidden=(1200,) if arch == "cnn" else (300,), caps_dim=0 if arch == "cnn" else 5,
            tune_words=arch == "mlp",
        )
    )  # fmt: skip
    made.reset(torch.Generator().manual_seed(1))
    return made.train()


def our_step(network: TaggingNetwork, kind: str = "adam", rate: float = RATE) -> Callable[[Batch], Tensor]:
    table = network.embedding.words if network.embedding.tune_words else None
    learning = network.learning(range(len(network.heads)))
    return make_step(network, Optimizer(kind, learning, rate, table, rate))


def windows_and_tags(corpus: TrainingText, batch: Batch, tasks: int) -> tuple[Tensor, list[Tensor]]:
    """What a plain network reads: ids [n, window] and per task its tags, -100 elsewhere."""
    assert isinstance(batch.tokens, slice)
    ids = id_windows(corpus.features, WINDOW)[0][batch.tokens]
    tags = [torch.full((batch.size,), -100) for _ in range(tasks)]
    for head, rows, part in batch.parts:
        tags[head][rows] = part
    return ids, tags


def every(step: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> Callable[[], None]:
    """A round: every batch once."""

    def run() -> None:
        for argument in arguments:
            step(*argument)

    return run


def assert_equal_steps(tasks: int) -> None:
    """Ours and plain PyTorch: losses and weights of five steps in float64 at dropout 0."""
    corpus = text(5 * 100, 500, tasks)
    ours = network_of("cnn", 500, 0.0, tasks).double()
    plain = PlainCnn(ours)
    step, peer_step = our_step(ours), plain_cnn_steps(plain, RATE)
    for batch in batches_of(corpus, 100):
        ids, tags = windows_and_tags(corpus, batch, tasks)
        torch.testing.assert_close(step(batch), peer_step(ids, tags), rtol=0, atol=1e-10)
    again = PlainCnn(ours)
    for (name, value), expected in zip(again.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-10, msg=name)


def run_cnn(side: str, tasks: int, n: int, measure: Any, peer: Any) -> None:
    corpus = text(n, ROWS, tasks)
    batches = batches_of(corpus, BATCH)
    how: dict[str, Any] = {"tokens": n, "moved": 0, "rounds": 5, "batch_size": BATCH}
    network = network_of("cnn", ROWS, 0.75, tasks)
    name, *variant = side.split()
    network.training_product = torch.bfloat16 if "bfloat16" in variant else None
    if name == "bioner_fast":
        network.encoders[0].batch_mask = "batch-mask" in variant
        # The row that others are compared with is the default; the rest are options.
        role: dict[str, Any] = {"role": "option", "peer": side} if variant else {"role": "ours"}
        measure(every(our_step(network), [(batch,) for batch in batches]), **role, **how)
    elif name == "floor":
        dtype = network.training_product or torch.float32
        padded = padded_text(corpus.features, WINDOW)
        rows = [len(padded.rows(b.tokens.start, b.tokens.stop, WINDOW)[0]) for b in batches]  # type: ignore[union-attr]
        mean = sum(rows) // len(rows) - 2  # runs of the widest filter, about
        floor = Floor(network, mean, min(BATCH, n), dtype)
        measure(every(floor, [()] * len(batches)), role="floor", peer=side, **how)
    elif name == "pytorch":
        step = plain_cnn_steps(PlainCnn(network), RATE)
        arguments = [windows_and_tags(corpus, batch, tasks) for batch in batches]
        measure(every(step, arguments), role="peer", peer="PyTorch, plain", **how)
    else:
        model, keras = keras_cnn(network_of("cnn", ROWS, 0.0), peer, RATE)
        check = our_step(network_of("cnn", ROWS, 0.0))
        arguments = []
        for batch in batches:
            ids, tags = windows_and_tags(corpus, batch, 1)
            arguments.append((as_int32(ids), as_int32(tags[0])))
        for batch, argument in zip(batches[:3], arguments, strict=False):  # float32: Keras has no other table
            assert float(model.train_on_batch(*argument)) == pytest.approx(float(check(batch)), rel=1e-4)
            model.reset_metrics()
        model, keras = keras_cnn(network, peer, RATE)
        whole = arguments if n % BATCH == 0 else arguments[:-1]  # a short batch would compile anew
        how["tokens"] = len(whole) * BATCH or n
        named = f"Keras {keras.__version__}, {keras.backend.backend()}"
        measure(every(model.train_on_batch, whole or arguments), role="peer", peer=named, **how)


@pytest.mark.parametrize(
    "side", [*(f"bioner_fast{how}" for how in OURS), "floor", "floor bfloat16", "pytorch", "keras"]
)
def test_cnn(side, measure, peer, benchmark) -> None:
    benchmark.group = f"CNN training, batch {BATCH}, Adam, dropout 0.75, {THREADS} threads"
    assert_equal_steps(1)
    run_cnn(side, 1, tokens(4000), measure, peer)


@pytest.mark.parametrize("side", [*(f"bioner_fast{how}" for how in OURS), "pytorch"])
def test_ten_tasks(side, measure, peer, benchmark) -> None:
    benchmark.group = f"multi-output CNN training, 10 tasks, batch {BATCH}, {THREADS} threads"
    assert_equal_steps(10)
    run_cnn(side, 10, tokens(4000), measure, peer)


def shuffled_batches(corpus: TrainingText, size: int) -> list[Batch]:
    """Tokens in any order, as the published single-task training takes them."""
    order = torch.randperm(corpus.bounds[-1], generator=torch.Generator().manual_seed(2))
    return [
        Batch(corpus.features, tokens, ((0, slice(0, len(tokens)), corpus.tags[tokens]),), len(tokens))
        for tokens in order.split(size)
    ]


def plain_mlp_step(like: TaggingNetwork, rate: float) -> tuple[PlainMlp, Callable[..., Tensor]]:
    model = PlainMlp(like)
    optimizer = torch.optim.SGD(model.parameters(), rate)

    def step(ids: Tensor, caps: Tensor, tags: Tensor) -> Tensor:
        loss = torch.nn.functional.cross_entropy(model(ids, caps), tags)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, step


def mlp_arguments(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    words, caps = id_windows(batch.features, WINDOW)
    return words[batch.tokens], caps[batch.tokens], batch.parts[0][2]


def assert_equal_mlp_steps(batches: list[Batch], rate: float) -> None:
    """Ours and plain PyTorch in float64, words included; in bfloat16 losses close by for five passes."""
    for product, tolerance in ((None, 1e-10), (torch.bfloat16, 1e-2)):
        ours = network_of("mlp", 300, 0.0)
        ours = ours.double() if product is None else ours
        ours.training_product = product
        model, peer_step = plain_mlp_step(ours, rate)
        step = our_step(ours, "sgd", rate)
        if product is not None and dense.available():
            assert isinstance(step, MlpStep)
            assert step.known
        for _ in range(1 if product is None else 5):
            for batch in batches:
                expected = peer_step(*mlp_arguments(batch))
                torch.testing.assert_close(step(batch), expected, rtol=tolerance, atol=tolerance / 10)
        if product is None:
            torch.testing.assert_close(ours.embedding.words, model.words.weight, rtol=0, atol=1e-10)


@pytest.mark.parametrize("side", ["bioner_fast", "bioner_fast bfloat16", "pytorch"])
@pytest.mark.parametrize("order", ["in a row", "shuffled"])
def test_mlp_with_a_million_vectors(order, side, measure, benchmark) -> None:
    benchmark.group = f"MLP training, 1,000,000 fine-tuned vectors, 50 tokens {order}, SGD, {THREADS} threads"
    batches_in = batches_of if order == "in a row" else shuffled_batches
    n, size, rate = tokens(10_000), 50, 0.1
    rows = 1_000 if n < 10_000 else 1_000_000
    batches = batches_in(text(n, rows), size)
    assert_equal_mlp_steps(batches_in(text(500, 300), size), rate)
    network = network_of("mlp", rows, 0.0)
    how: dict[str, Any] = {"tokens": n, "moved": 0, "rounds": 5, "batch_size": size}
    if side.startswith("bioner_fast"):
        role: dict[str, Any] = {"role": "ours"}
        if side.endswith("bfloat16"):
            network.training_product = torch.bfloat16
            role = {"role": "option", "peer": side}
        measure(every(our_step(network, "sgd", rate), [(b,) for b in batches]), **role, **how)
    else:
        _, timed = plain_mlp_step(network, rate)
        arguments = [mlp_arguments(batch) for batch in batches]
        measure(every(timed, arguments), role="peer", peer="PyTorch, sparse embedding", **how)


FIRST_STEP = """
import os, sys
from bioner_fast.models.learning.step import Step
original = Step.__call__
def first(self, batch):
    original(self, batch)
    os._exit(42)
Step.__call__ = first
from bioner_fast.cli import main
sys.exit(main())
"""


def test_start_up(measure, benchmark, tmp_path: Path) -> None:
    """From the command to the end of the first step, with vectors that were read before."""
    benchmark.group = f"start-up of train: command to first step, {THREADS} threads"
    given = os.environ.get("BIONER_BENCHMARK_VECTORS")
    vectors = Path(given) if given else tmp_path / "vectors.vec"
    if given is None:
        rows = min(tokens(100_000), 100_000)
        table = torch.randn(rows, WIDTH).numpy()
        lines = [f"{rows} {WIDTH}"]
        lines += [f"w{i} " + " ".join(f"{x:.4f}" for x in row) for i, row in enumerate(table)]
        vectors.write_text("\n".join(lines) + "\n")
    count = 0

    def start() -> float:
        nonlocal count
        count += 1
        command = [
            sys.executable, "-c", FIRST_STEP, "train", "--arch", "cnn", "--tasks", "sample-disease",
            "--threads", str(THREADS), "--vectors", str(vectors), "--out", str(tmp_path / f"run{count}"),
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 42, done.stderr
        return time.perf_counter() - began

    start()
    measure(start, tokens=BATCH, moved=0, rounds=3)


def test_batches_do_not_overlap() -> None:
    corpus = text(1000, 100, 3)
    spans = [batch.tokens for batch in batches_of(corpus, BATCH)]
    assert all(a.stop == b.start for a, b in pairwise(spans))  # type: ignore[union-attr]
