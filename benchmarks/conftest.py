"""What every benchmark shares: peers, threads, and figures beside the times.

    pytest benchmarks/bench_*.py --benchmark-json=runs/benchmarks.json
    python benchmarks/report.py runs/benchmarks.json

``BIONER_REQUIRE_PEERS=1`` makes an absent peer fail. ``BIONER_BENCHMARK_TOKENS`` sets the batch size.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

THREADS = int(os.environ.get("BIONER_BENCHMARK_THREADS", str(min(2, os.cpu_count() or 1))))


def tokens(default: int) -> int:
    """How many tokens a benchmark runs over."""
    return int(os.environ.get("BIONER_BENCHMARK_TOKENS", str(default)))


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Both sides get the same number of threads: Torch's setting rules our kernels too."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def peer() -> Callable[[str], ModuleType]:
    """``peer("thinc.api")`` imports it; skips where absent, fails where BIONER_REQUIRE_PEERS=1."""

    def find(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            message = f"peer {name} is not installed ({error})"
            if os.environ.get("BIONER_REQUIRE_PEERS") == "1":
                pytest.fail(f"BIONER_REQUIRE_PEERS=1, but {message}")
            pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def copy_bandwidth() -> float:
    """Bytes a second that this machine copies (reads and writes both counted), best of several."""
    torch.set_num_threads(THREADS)
    source = torch.ones(32 << 20, dtype=torch.float32)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


@pytest.fixture
def measure(benchmark: Any, copy_bandwidth: float) -> Callable[..., Any]:
    """``measure(function, tokens=N, moved=BYTES)`` times, and notes tokens/s, bytes/s, copy share."""

    def run(function: Callable[[], Any], *, tokens: int, moved: int, role: str = "ours", **notes: Any) -> Any:
        rounds, warmup = notes.pop("rounds", 7), notes.pop("warmup_rounds", 1)
        result = benchmark.pedantic(function, rounds=rounds, warmup_rounds=warmup, iterations=1)
        benchmark.extra_info.update(role=role, tokens=tokens, threads=torch.get_num_threads(), **notes)
        if benchmark.stats is not None:  # None under --benchmark-disable
            seconds = benchmark.stats.stats.median
            benchmark.extra_info["tokens_per_second"] = tokens / seconds
            benchmark.extra_info["bytes_per_second"] = moved / seconds
            benchmark.extra_info["copy_share"] = moved / seconds / copy_bandwidth
        return result

    return run
