"""What needs a GPU: each kernel and its share of the device's copy bandwidth, window_gather beside that copy,
Viterbi beside pytorch-crf on the same one, tagging with and without CUDA graphs (BIONER_BENCHMARK_MODEL names
an idcnn; else one is trained briefly), and a published training run beside plain PyTorch on the same GPU
(BIONER_BENCHMARK_STEPS of its steps).

Skipped, with the reason, where there is no GPU or no CUDA build; BIONER_REQUIRE_CUDA=1 makes that fail. Calls
are timed from a synchronised device to a synchronised device, so launches are part of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench_training import BATCH, RATE, ROWS, network_of, text, windows_and_tags
from bioner_fast import _ops, ops
from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.learning.step import Step
from bioner_fast.models.product import on_gpus
from bioner_fast.models.registry import make_step
from bioner_fast.models.windowed.cuda_graphs import WARM_UP, GraphStep
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.resources import data_folder
from bioner_fast.tagging.stream import tag_stream
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.meters import LOSS_EVERY
from bioner_fast.training.sampling import SpanBatches, TrainingText
from bioner_fast.training.train import train
from chains import load_parameters, make_chains, padded_batches
from conftest import tokens
from shapes import WIDTH, WINDOW, packed_offsets, word_ids
from training_peers import PlainCnn, plain_cnn_steps

SENTENCES = 100_000
MEAN_LENGTH = 26
TAGS = 25
STEPS = int(os.environ.get("BIONER_BENCHMARK_STEPS", "20000"))


def missing_cuda() -> str | None:
    if _ops.cuda_architectures is None:
        return "this build has no CUDA kernels"
    if not torch.cuda.is_available():
        return "no CUDA device (or a Torch without CUDA)"
    return None


@pytest.fixture(autouse=True, scope="module")
def on_gpu() -> None:
    reason = missing_cuda()
    if reason is None:
        return
    if os.environ.get("BIONER_REQUIRE_CUDA") == "1":
        pytest.fail(f"BIONER_REQUIRE_CUDA=1, but {reason}")
    pytest.skip(reason)


def synchronised(function: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        result = function()
        torch.cuda.synchronize()
        return result

    return run


@pytest.fixture(scope="module")
def device_copy(on_gpu: None) -> float:
    """Bytes a second that the device copies (reads and writes both counted), best of several."""
    source = torch.ones(1 << 28, device="cuda")
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def window_kernels(n: int) -> dict[str, tuple[Callable[[], Any], int]]:
    values = torch.randn(n, WIDTH, device="cuda")
    offsets = packed_offsets(n).cuda()
    out = torch.empty(n, WINDOW * WIDTH, device="cuda")
    table = torch.randn(ROWS, WIDTH, device="cuda", requires_grad=True)
    ids = word_ids(n, ROWS).cuda()
    leaf = values.clone().requires_grad_()
    rows = ops.window_gather(leaf, offsets, WINDOW)
    looked_up = ops.embedding_window(table, ids, offsets, WINDOW, 0)
    return {
        "window_gather": (
            lambda: ops.window_gather(values, offsets, WINDOW, out=out), values.nbytes + out.nbytes
        ),
        "window_gather, gradient of values": (
            lambda: torch.autograd.grad(rows, leaf, out, retain_graph=True), values.nbytes + out.nbytes
        ),
        "embedding_window": (
            lambda: ops.embedding_window(table.detach(), ids, offsets, WINDOW, 0), values.nbytes + out.nbytes
        ),
        "embedding_window, gradient of weight": (
            lambda: torch.autograd.grad(looked_up, table, out, retain_graph=True), out.nbytes + table.nbytes
        ),
    }  # fmt: skip


def chain_kernels(tags: int, n: int) -> dict[str, tuple[Callable[[], Any], int]]:
    chains = make_chains(tags, n)
    emissions, transitions, offsets, start, gold = (
        x.cuda() for x in (chains.emissions, chains.transitions, chains.offsets, chains.start, chains.tags)
    )
    leaves = [x.clone().requires_grad_() for x in (emissions, transitions, start)]
    total = ops.crf_log_likelihood(leaves[0], gold, leaves[1], offsets, leaves[2]).sum()
    rows = 8 * n * (tags + 1)  # what is kept of the forward pass, float64, written and read
    return {
        f"viterbi_decode, {tags} tags": (
            lambda: ops.viterbi_decode(emissions, transitions, offsets, start), chains.moved + 2 * n * tags
        ),
        f"crf_log_likelihood, {tags} tags": (
            lambda: ops.crf_log_likelihood(emissions, gold, transitions, offsets, start), chains.moved
        ),
        f"crf_marginals, {tags} tags": (
            lambda: ops.crf_marginals(emissions, transitions, offsets, start),
            3 * emissions.nbytes + 2 * rows,
        ),
        f"crf_log_likelihood, gradients, {tags} tags": (
            lambda: torch.autograd.grad(total, leaves, retain_graph=True),
            3 * emissions.nbytes + 2 * gold.nbytes + 2 * rows,
        ),
    }  # fmt: skip


CHAIN_TAGS = (5, 9, 25, 65, 128)


@pytest.mark.benchmark(group="GPU: kernels")
@pytest.mark.parametrize("tags", [0, *CHAIN_TAGS], ids=lambda tags: f"{tags} tags" if tags else "windows")
@pytest.mark.parametrize("number", range(4))
def test_kernels(tags, number, measure, device_copy) -> None:
    """Each kernel: the bytes that it must move, a second, as a share of what a copy moves."""
    n = tokens(1_000_000)
    kernels = chain_kernels(tags, n) if tags else window_kernels(n)
    name, (function, moved) = list(kernels.items())[number]
    measure(
        synchronised(function), tokens=n, moved=moved, rounds=7, role="kernel", peer=name,
        device=torch.cuda.get_device_name(), device_copy=device_copy,
    )  # fmt: skip


@pytest.mark.benchmark(group="GPU: window_gather, window 7, width 200")
@pytest.mark.parametrize("side", ["ours", "device copy", "torch"])
def test_gather(side, measure) -> None:
    """Share of copy bandwidth: bytes/s of ours over bytes/s of the copy, both read and written counted."""
    n = tokens(1_000_000)  # 5.6 GB of output
    values = torch.randn(n, WIDTH, device="cuda")
    offsets = packed_offsets(n).cuda()
    out = torch.empty(n, WINDOW * WIDTH, device="cuda")
    moved = values.nbytes + out.nbytes
    if side == "ours":
        measure(
            synchronised(lambda: ops.window_gather(values, offsets, WINDOW, out=out)),
            tokens=n, moved=moved, device=torch.cuda.get_device_name(), rounds=20,
        )  # fmt: skip
        some = slice(n // 2, n // 2 + 1000)  # the middle token of each window is the token itself
        assert torch.equal(out[some].view(-1, WINDOW, WIDTH)[:, WINDOW // 2], values[some])
    elif side == "device copy":
        source = torch.ones_like(out)
        measure(
            synchronised(lambda: out.copy_(source)), tokens=n, moved=2 * out.nbytes,
            role="peer", peer="device copy of the output", device=torch.cuda.get_device_name(), rounds=20,
        )  # fmt: skip
    else:
        position = torch.arange(n, device="cuda")
        begin = torch.repeat_interleave(offsets[:-1], offsets.diff())[:, None]
        end = torch.repeat_interleave(offsets[1:], offsets.diff())[:, None]
        index = position[:, None] + torch.arange(WINDOW, device="cuda") - WINDOW // 2
        index = torch.where((index >= begin) & (index < end), index, n)

        def gather() -> torch.Tensor:
            return torch.cat([values, values.new_zeros(1, WIDTH)])[index].view(n, WINDOW * WIDTH)

        del out
        assert torch.equal(ops.window_gather(values, offsets, WINDOW), gather())
        measure(
            synchronised(gather), tokens=n, moved=moved, role="peer", peer="torch indexing",
            device=torch.cuda.get_device_name(), rounds=5,
        )  # fmt: skip


@pytest.mark.benchmark(group=f"GPU: Viterbi, {TAGS} tags, {SENTENCES:,} sentences")
@pytest.mark.parametrize("side", ["ours", "pytorch-crf"])
def test_viterbi(side, measure, peer) -> None:
    chains = make_chains(TAGS, tokens(SENTENCES * MEAN_LENGTH))
    emissions, transitions, offsets, start = (
        x.cuda() for x in (chains.emissions, chains.transitions, chains.offsets, chains.start)
    )

    def ours() -> torch.Tensor:
        return ops.viterbi_decode(emissions, transitions, offsets, start)[0]

    n = len(chains.tags)
    if side == "ours":
        wanted = ops.viterbi_decode(chains.emissions, chains.transitions, chains.offsets, chains.start)[0]
        assert torch.equal(ours().cpu(), wanted)
        measure(
            synchronised(ours), tokens=n, moved=chains.moved, device=torch.cuda.get_device_name(), rounds=20
        )
        return
    crf = load_parameters(peer("torchcrf").CRF(TAGS, batch_first=True), chains).cuda()
    wanted = ours().cpu()
    # Large batches are kindest to it: it copies every back-pointer to the host, one by one.
    batches = [
        (b.index, b.emissions.cuda(), b.mask.cuda())
        for b in padded_batches(chains, 4096)[:: max(1, n // 200_000)]
    ]
    some = sum(int(mask.sum()) for _, _, mask in batches)

    def theirs() -> list[Any]:
        with torch.no_grad():
            return [crf.decode(e, m) for _, e, m in batches]

    same = total = 0
    for (index, _, _), paths in zip(batches, theirs(), strict=True):
        for b, path in zip(index.tolist(), paths, strict=True):
            tags = wanted[chains.offsets[b] : chains.offsets[b + 1]]
            same += int((torch.tensor(path) == tags).sum())
            total += len(path)
    assert total == some
    assert same / total > 0.999  # float32 sums decide near ties
    measure(
        synchronised(theirs),
        tokens=some,
        moved=chains.moved * some // n,
        role="peer",
        peer=f"pytorch-crf, batches of 4,096, {some:,} tokens of it",
        device=torch.cuda.get_device_name(),
        rounds=2,
    )


@pytest.fixture(scope="module")
def model(on_gpu: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An idcnn."""
    if named := os.environ.get("BIONER_BENCHMARK_MODEL"):
        return Path(named)
    out = tmp_path_factory.mktemp("gpu") / "idcnn"
    config = TrainConfig(tasks=("sample-disease",), arch="idcnn", epochs=6, learning_rate=0.003, out=str(out))
    return train(config).model


@pytest.mark.benchmark(group="GPU: raw text to entities")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("graphs", ["1", "0"], ids=["graphs", "launches"])
def test_tagging(graphs, precision, model, measure, monkeypatch) -> None:
    """End to end, with lanes; entities are those of the CPU, but for near ties of other rounding."""
    monkeypatch.setenv("BIONER_CUDA_GRAPHS", graphs)
    corpus = Corpus.read(data_folder() / "samples" / "sample-disease" / "train.tsv")
    text = " ".join(corpus.tokens.tolist()[:400])
    texts = [text] * max(tokens(2_000_000) // 400, 1)
    tagger = Tagger.load(model, "cuda", precision=precision)
    found = {(e.start, e.end, e.type) for e in tagger.tag([text])[0].entities}
    wanted = {(e.start, e.end, e.type) for e in Tagger.load(model, "cpu").tag([text])[0].entities}
    assert len(found ^ wanted) <= (0 if precision == "float32" else len(wanted) // 20 + 1)

    def run() -> int:
        return sum(len(document.entities) for document in tag_stream(tagger, texts, lanes=4))

    n = int(tagger.prepare([Document.from_text(text)]).encoded.sentence_offsets[-1]) * len(texts)
    assert measure(
        run, tokens=n, moved=len(text) * len(texts), rounds=3, device=torch.cuda.get_device_name(),
        precision=precision, graphs=graphs == "1",
    ) == len(found) * len(texts)  # fmt: skip


def corpus_on_gpu(n: int) -> TrainingText:
    made = text(n, ROWS)
    return TrainingText(made.features.to("cuda"), made.tags.cuda(), made.bounds, made.heads)


def learns(network: TaggingNetwork, graphs: bool = True) -> Step:
    return make_step(network, Optimizer("adam", network.learning([0]), RATE), size=BATCH, graphs=graphs)


def batches_of_a_run(corpus: TrainingText, steps: int) -> list[Batch]:
    """As in a published run: tokens in a row from random starts (short batches at the end left out)."""
    spans = SpanBatches(corpus, BATCH, steps, steps)
    plan = spans.plan(np.random.default_rng(0), 0, corpus.bounds[-1] - BATCH)
    plan[:, 0] = np.minimum(plan[:, 0], corpus.bounds[-1] - BATCH)
    plan[:, 1] = plan[:, 0] + BATCH
    return list(spans.batches(plan))


def assert_graph_learns_what_plain_pytorch_learns() -> None:
    """Losses in float64 at dropout 0; the kernels of a GPU take the learning rate in float32."""
    ours = network_of("cnn", ROWS, 0.0).double().cuda()
    plain = PlainCnn(ours).cuda()
    corpus = corpus_on_gpu(10_000)
    step, peer_step = learns(ours), plain_cnn_steps(plain, RATE)
    for batch in batches_of_a_run(corpus, WARM_UP + 20):
        ids, tags = windows_and_tags(corpus, batch, 1)
        torch.testing.assert_close(
            step(batch), peer_step(ids, [part.cuda() for part in tags]), rtol=0, atol=1e-8
        )
    assert isinstance(step, GraphStep)
    assert step.captured


@pytest.mark.benchmark(group=f"GPU: CNN training, {STEPS:,} steps of {BATCH}, Adam, dropout 0.75")
@pytest.mark.parametrize(
    "side", ["float32", "tf32", "bfloat16", "float32 launches", "pytorch float32", "pytorch tf32"]
)
def test_training(side, measure) -> None:
    """Batches lie on the device on both sides; losses are read every LOSS_EVERY steps, as in a run."""
    assert_graph_learns_what_plain_pytorch_learns()
    corpus = corpus_on_gpu(tokens(100_000))
    network = network_of("cnn", ROWS, 0.75).cuda()
    network.training_product = torch.bfloat16 if side == "bfloat16" else None
    step: Callable[..., torch.Tensor]
    if side.startswith("pytorch"):
        step = plain_cnn_steps(PlainCnn(network).cuda(), RATE)
        distinct = batches_of_a_run(corpus, min(STEPS, 500))
        pairs = [windows_and_tags(corpus, batch, 1) for batch in distinct]
        arguments: list[tuple[Any, ...]] = [(ids, [part.cuda() for part in tags]) for ids, tags in pairs]
        role: dict[str, Any] = {"role": "peer", "peer": f"PyTorch, plain, {side.split()[1]}"}
    else:
        step = learns(network, graphs="launches" not in side)
        arguments = [(batch,) for batch in batches_of_a_run(corpus, STEPS)]
        role = {"role": "ours"} if side == "float32" else {"role": "option", "peer": f"bioner_fast {side}"}

    def run(steps: int = STEPS) -> float:
        pending, total = [], 0.0
        for number in range(steps):
            pending.append(step(*arguments[number % len(arguments)]))
            if len(pending) == LOSS_EVERY or number == steps - 1:
                total += sum(torch.stack(pending).tolist())
                pending.clear()
        return total

    with on_gpus(tf32="tf32" in side):
        run(min(STEPS, 2 * LOSS_EVERY))  # kernels are chosen, the graph is captured
        total = measure(
            run, tokens=STEPS * BATCH, moved=0, rounds=1, warmup_rounds=0, steps=STEPS,
            device=torch.cuda.get_device_name(), **role,
        )  # fmt: skip
    assert np.isfinite(total)
    assert not isinstance(step, GraphStep) or step.captured
