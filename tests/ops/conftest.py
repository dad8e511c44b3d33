"""Devices and SIMD levels that the op tests run on, and batches of sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bioner_fast import _ops


def missing_cuda() -> str | None:
    """Why CUDA cannot be tested here; None where it can."""
    if _ops.cuda_architectures is None:
        return "this build has no CUDA kernels"
    if not torch.cuda.is_available():
        return "no CUDA device (or a Torch without CUDA)"
    return None


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device; CUDA is skipped where absent, unless BIONER_REQUIRE_CUDA=1, which a GPU machine sets."""
    if request.param == "cuda" and (reason := missing_cuda()) is not None:
        if os.environ.get("BIONER_REQUIRE_CUDA") == "1":
            pytest.fail(f"BIONER_REQUIRE_CUDA=1, but {reason}")
        pytest.skip(reason)
    return torch.device(request.param)


@pytest.fixture(params=_ops.simd_levels())
def simd_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every SIMD level that can run here, forced."""
    _ops.force_simd(request.param)
    yield request.param
    _ops.force_simd("")


@pytest.fixture(params=[*_ops.simd_levels(), "avx512_base"])
def sparse_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every SIMD level that can run here, and AVX-512 without instructions for bfloat16, forced."""
    if request.param == "avx512_base" and request.param not in _ops.simd_extensions():
        pytest.skip("this processor has no AVX-512")
    _ops.force_simd(request.param)
    yield request.param
    _ops.force_simd("")


@pytest.fixture(params=["avx512_bf16", "avx512_amx"])
def dense_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every extension that dense layers in bfloat16 have kernels for, forced."""
    if request.param not in _ops.simd_extensions():
        pytest.skip(f"this processor has no {request.param}")
    _ops.force_simd(request.param)
    yield request.param
    _ops.force_simd("")


@pytest.fixture(params=[1, 2, 5], ids="threads={}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Some numbers of threads, as set by Torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def offsets_of(lengths: list[int]) -> torch.Tensor:
    """Packed offsets of sentences of these lengths."""
    return torch.from_numpy(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


# Empty batch; empty sentences first, last, between, alone; single tokens; lengths around the window.
BATCHES = {
    "no sentence": [],
    "one empty": [0],
    "empties only": [0, 0, 0],
    "one token": [1],
    "empties around": [0, 3, 0, 0, 1, 7, 0],
    "short": [1, 2, 3, 4, 5, 6, 7, 8],
    "long and short": [150, 1, 0, 327, 26],
}


@pytest.fixture(params=BATCHES.values(), ids=BATCHES.keys())
def offsets(request: pytest.FixtureRequest) -> torch.Tensor:
    """Offsets of batches that have gone wrong somewhere before."""
    return offsets_of(request.param)
