"""viterbi_decode beside pytorch-crf, torch-struct, hmmlearn's C++, librosa's numba, and our own scalar code.

Answers are asserted first: the same total score, and the same tags but where a peer's float32 sums decide a
near tie. Peers that pad get sorted batches, at the best of several sizes. hmmlearn and librosa use one
thread, so beside them our code does too.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from bioner_fast import _ops, ops
from chains import Chains, edge_potentials, load_parameters, make_chains, padded_batches
from conftest import THREADS, tokens

SIZES = {3: 120_000, 5: 120_000, 9: 80_000, 25: 40_000, 65: 15_000}
BATCH_SIZES = (128, 512, 1024)
# torch-struct builds several [B, T, K, K] tensors: what ends in seconds.
STRUCT_SIZES = {5: 2_000, 25: 600}
STRUCT_BATCH_SIZES = (8, 32, 64)


@pytest.fixture(scope="module")
def chains() -> Callable[[int], Chains]:
    made: dict[int, Chains] = {}
    return lambda k: made.setdefault(k, make_chains(k, tokens(SIZES[k])))


@pytest.fixture
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


def ours(c: Chains) -> torch.Tensor:
    return ops.viterbi_decode(c.emissions, c.transitions, c.offsets, c.start)[0]


def check(c: Chains, found: torch.Tensor) -> None:
    """`found` [N] scores as the best paths do, and equals them nearly everywhere."""
    wanted = ours(c)
    scores = []
    for tags in (found, wanted):
        score = c.emissions.double().gather(1, tags[:, None])[:, 0]
        inner = torch.ones(len(tags), dtype=torch.bool)
        inner[c.offsets[:-1]] = False
        score[inner] += c.transitions.double()[tags[:-1], tags[1:]][inner[1:]]
        score[~inner] += c.start.double()[tags[~inner]]
        scores.append(score.sum())
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-7, atol=0)
    assert (found == wanted).double().mean() > 0.999


def best_batch_size(
    run: Callable[[Any], Any], batches_of: Callable[[int], Any], sizes: Sequence[int] = BATCH_SIZES
) -> tuple[int, Any]:
    """The fastest of `sizes`, tried once each."""
    best: tuple[float, int, Any] | None = None
    for size in sizes:
        batches = batches_of(size)
        begin = time.perf_counter()
        run(batches)
        seconds = time.perf_counter() - begin
        if best is None or seconds < best[0]:
            best = (seconds, size, batches)
    assert best is not None
    return best[1:]


def scatter(c: Chains, paths: list[tuple[int, Any]]) -> torch.Tensor:
    """Packed tags from (sentence, tags) pairs."""
    found = torch.empty_like(c.tags)
    for b, path in paths:
        begin, end = int(c.offsets[b]), int(c.offsets[b + 1])
        found[begin:end] = torch.as_tensor(path)[: end - begin]
    return found


@pytest.mark.parametrize("side", ["ours", "pytorch-crf"])
@pytest.mark.parametrize("k", SIZES)
def test_batched(k, side, chains, measure, peer, benchmark) -> None:
    benchmark.group = f"Viterbi, {k} tags, {THREADS} threads"
    c = chains(k)
    if side == "ours":
        measure(lambda: ours(c), tokens=len(c.tags), moved=c.moved, rounds=30)
        return
    crf = load_parameters(peer("torchcrf").CRF(k, batch_first=True), c)

    def run(batches: Any) -> Any:
        with torch.no_grad():
            return [crf.decode(b.emissions, b.mask) for b in batches]

    measure_padded(c, run, BATCH_SIZES, side, measure)


@pytest.mark.parametrize("side", ["ours", "torch-struct"])
@pytest.mark.parametrize("k", STRUCT_SIZES)
def test_beside_torch_struct(k, side, measure, peer, benchmark) -> None:
    c = make_chains(k, tokens(STRUCT_SIZES[k]))
    benchmark.group = f"Viterbi, {k} tags, {len(c.tags):,} tokens, {THREADS} threads"
    if side == "ours":
        measure(lambda: ours(c), tokens=len(c.tags), moved=c.moved, rounds=30)
        return
    struct = peer("torch_struct")

    def run(batches: Any) -> Any:
        out = []
        for b in batches:
            potentials = edge_potentials(b, c.transitions, c.start)
            chain = struct.LinearChainCRF(potentials, lengths=b.lengths)
            out.append(chain.struct.from_parts(chain.argmax)[0])
        return out

    measure_padded(c, run, STRUCT_BATCH_SIZES, side, measure)


def measure_padded(
    c: Chains, run: Callable[[Any], Any], sizes: Sequence[int], side: str, measure: Callable[..., Any]
) -> None:
    """A peer that pads, at its best batch size, after its answer was checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size, batches = best_batch_size(run, lambda n: padded_batches(c, n), sizes)
        decoded = run(batches)
        pairs = [
            (int(b), p)
            for batch, out in zip(batches, decoded, strict=True)
            for b, p in zip(batch.index, out, strict=True)
        ]
        check_pairs(c, pairs, side)
        measure(
            lambda: run(batches),
            tokens=len(c.tags),
            moved=c.moved,
            role="peer",
            peer=side,
            rounds=3,
            batch_size=size,
        )


def check_pairs(c: Chains, pairs: list[tuple[int, Any]], side: str) -> None:
    found = scatter(c, pairs)
    if side == "torch-struct":  # it has no edge for sentences of one token: they are left out of the check
        longer = torch.repeat_interleave(c.offsets.diff() > 1, c.offsets.diff())
        found[~longer] = ours(c)[~longer]
    check(c, found)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("side", ["ours", "hmmlearn", "librosa"])
@pytest.mark.parametrize("k", [5, 25])
def test_one_sentence_at_a_time(k, side, chains, measure, peer, benchmark) -> None:
    benchmark.group = f"Viterbi, {k} tags, one thread"
    c = chains(k)
    if side == "ours":
        measure(lambda: ours(c), tokens=len(c.tags), moved=c.moved, rounds=30)
        return
    bounds = c.offsets.tolist()
    pieces = [slice(b, e) for b, e in itertools.pairwise(bounds)]
    logs = c.emissions.double().numpy()
    if side == "hmmlearn":
        decode = peer("hmmlearn._hmmc").viterbi
        start, transitions = c.start.double().exp().numpy(), c.transitions.double().exp().numpy()
        run = lambda: [decode(start, transitions, logs[piece])[1] for piece in pieces]  # noqa: E731
    else:
        decode = peer("librosa.sequence").viterbi
        start, transitions = (np.exp(x.double().numpy()) for x in (c.start, c.transitions))
        start, transitions = start / start.sum(), transitions / transitions.sum(1, keepdims=True)
        probabilities = np.ascontiguousarray(np.exp(logs).T)
        run = lambda: [decode(probabilities[:, piece], transitions, p_init=start) for piece in pieces]  # noqa: E731
    check(c, torch.from_numpy(np.concatenate(run()).astype(np.int64)))
    measure(run, tokens=len(c.tags), moved=c.moved, role="peer", peer=side, rounds=3)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("level", [level for level in _ops.simd_levels() if level != "wide"])
@pytest.mark.parametrize("k", SIZES)
def test_levels(k, level, chains, measure, benchmark) -> None:
    """Our own code, one thread: how much the vectors bring."""
    benchmark.group = f"Viterbi, {k} tags, one thread, SIMD levels"
    c = chains(k)
    wanted = ours(c)
    _ops.force_simd(level)
    try:
        assert torch.equal(ours(c), wanted)
        role = "peer" if level == "scalar" else "ours"
        measure(
            lambda: ours(c),
            tokens=len(c.tags),
            moved=c.moved,
            role=role,
            peer=f"bioner_fast {level}",
            rounds=50,
        )
    finally:
        _ops.force_simd("")


def top_k_in_torch(c: Chains, k: int) -> list[torch.Tensor]:
    """Scores of the k best sequences of each sentence by AllenNLP's algorithm: ``topk`` at every token."""
    found = []
    for begin, end in itertools.pairwise(c.offsets.tolist()):
        emissions = c.emissions[begin:end].double()
        scores = (emissions[0] + c.start)[None]  # [rank, tag]
        for row in emissions[1:]:
            candidates = (scores[:, :, None] + c.transitions).flatten(0, 1)  # [rank * from, to]
            scores = candidates.topk(min(k, len(candidates)), 0).values + row
        flat = scores.flatten()
        found.append(flat.topk(min(k, len(flat))).values)
    return found


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("side", ["ours", "topk at every token"])
@pytest.mark.parametrize(("k", "ranks"), [(5, 5), (9, 10), (25, 5)])
def test_top_k(k, ranks, side, measure, benchmark) -> None:
    benchmark.group = f"Viterbi, {k} tags, the {ranks} best sequences, one thread"
    c = make_chains(k, tokens(5_000))
    run = lambda: ops.viterbi_top_k(c.emissions, c.transitions, c.offsets, ranks, c.start)  # noqa: E731
    if side == "ours":
        tags, _ = run()
        check(c, tags[:, 0])
        measure(run, tokens=len(c.tags), moved=c.moved, rounds=30)
        return
    for ours_of, theirs in zip(run()[1], top_k_in_torch(c, ranks), strict=True):
        torch.testing.assert_close(ours_of[: len(theirs)].double(), theirs, rtol=1e-5, atol=1e-5)
    measure(
        lambda: top_k_in_torch(c, ranks), tokens=len(c.tags), moved=c.moved, role="peer", peer=side, rounds=3
    )
