"""Throughput of the kernels on this machine, over sentences as long as those of real corpora."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bioner_fast import ops

TAG_SETS = (5, 9, 25, 65)
WINDOW, WIDTH = 7, 200


@dataclass(frozen=True, slots=True)
class Measurement:
    """One timed kernel: tokens and bytes (read and written) a second, median of the runs."""

    name: str
    tokens_per_second: float
    gigabytes_per_second: float | None = None


def sentence_offsets(tokens: int, generator: torch.Generator) -> Tensor:
    """int64 ``[B + 1]``: log-normal lengths with a mean of about 26, at most 327, ``tokens`` in all."""
    lengths = torch.exp(torch.randn(tokens // 4, generator=generator) * 0.5 + 3.13).clamp(1, 327).long()
    ends = lengths.cumsum(0)
    ends = ends[ends < tokens]
    return torch.cat([torch.zeros(1, dtype=torch.int64), ends, torch.tensor([tokens])])


def measure_kernels(
    tokens: int = 200_000, device: str = "cpu", seconds: float = 0.5
) -> Iterator[Measurement]:
    """Time every op, one after the other; each for about ``seconds``.

    Example:
        >>> for row in measure_kernels(20_000, seconds=0.05):  # doctest: +SKIP
        ...     print(row.name, round(row.tokens_per_second))
    """
    generator = torch.Generator().manual_seed(1)
    offsets = sentence_offsets(tokens, generator).to(device)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    def row(name: str, call: Callable[[], object], moved: int | None = None) -> Measurement:
        spent = _median_seconds(call, seconds, device)
        return Measurement(name, tokens / spent, None if moved is None else moved / spent / 1e9)

    source = random(tokens * WIDTH)
    target = torch.empty_like(source)
    yield row("copy", lambda: target.copy_(source), 2 * source.nbytes)

    values = random(tokens, WIDTH)
    moved = values.nbytes * (1 + WINDOW)
    yield row(
        f"window_gather, window {WINDOW}, width {WIDTH}",
        lambda: ops.window_gather(values, offsets, WINDOW),
        moved,
    )

    weight = random(50_000, WIDTH)
    ids = torch.randint(0, 50_000, (tokens,), generator=generator).to(device)
    yield row(
        f"embedding_window, window {WINDOW}, width {WIDTH}",
        lambda: ops.embedding_window(weight, ids, offsets, WINDOW, 0),
        moved,
    )
    for k in TAG_SETS:
        decode = partial(ops.viterbi_decode, random(tokens, k), random(k, k), offsets)
        yield row(f"viterbi_decode, {k} tags", decode)
    for k in TAG_SETS:
        step = _crf_step(random(tokens, k), random(k, k), torch.randint(0, k, (tokens,)).to(device), offsets)
        yield row(f"crf_log_likelihood forward and backward, {k} tags", step)


def _crf_step(emissions: Tensor, transitions: Tensor, tags: Tensor, offsets: Tensor) -> Callable[[], None]:
    emissions.requires_grad_()
    transitions.requires_grad_()

    def step() -> None:
        torch.autograd.backward(ops.crf_log_likelihood(emissions, tags, transitions, offsets).sum())

    return step


def _median_seconds(call: Callable[[], object], budget: float, device: str) -> float:
    def timed() -> float:
        start = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    timed()  # pages, threads and caches
    runs = [timed()]
    while sum(runs) < budget and len(runs) < 1000:
        runs.append(timed())
    return statistics.median(runs)
