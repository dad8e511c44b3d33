"""The thread pool and the choice of SIMD level, seen from Python."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from bioner_fast import _ops, ops


def gather_once(tokens: int = 20_000) -> torch.Tensor:
    """Large enough to be split among threads."""
    values = torch.arange(tokens * 8, dtype=torch.float32).view(tokens, 8)
    offsets = torch.arange(0, tokens + 1, 20)
    return ops.window_gather(values, offsets, 7)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


# Without Torch, which takes seconds to load.
LOAD = """
import numpy as np
from bioner_fast import _ops

def call():
    values, out = np.ones((2, 2), np.float32), np.empty((2, 6), np.float32)
    _ops.window_gather(values, np.array([0, 2]), 3, None, out, threads=1, stream=0)
"""
CALL = f"{LOAD}call()\n"


@pytest.mark.parametrize("level", _ops.simd_levels())
def test_environment_forces_a_level(level: str) -> None:
    code = CALL + "print(_ops.simd_level())"
    result = run_python(code, BIONER_SIMD=level)
    assert result.stdout.strip() == level, result.stderr


@pytest.mark.parametrize("extension", _ops.simd_extensions())
def test_environment_forces_an_extension(extension: str) -> None:
    code = CALL + "print(_ops.simd_level(), _ops.simd_extension())"
    result = run_python(code, BIONER_SIMD=extension)
    assert result.stdout.split() == [extension.split("_")[0], extension], result.stderr


def test_an_extension_belongs_to_its_level() -> None:
    try:
        for level in _ops.simd_levels():
            _ops.force_simd(level)
            chosen = _ops.simd_extension()
            has_some = any(extension.startswith(level + "_") for extension in _ops.simd_extensions())
            assert (chosen or "none").startswith(level + "_") == has_some
    finally:
        _ops.force_simd("")


def test_unknown_level_is_an_error_of_the_call() -> None:
    result = run_python(CALL, BIONER_SIMD="sse9")
    assert result.returncode == 1
    assert "ValueError: BIONER_SIMD=sse9 is unknown: expected one of scalar" in result.stderr


def test_unavailable_level_is_an_error_of_every_call() -> None:
    absent = next(level for level in ("neon", "avx512", "avx2") if level not in _ops.simd_levels())
    code = f"""{LOAD}
for _ in range(2):
    try:
        call()
    except ValueError as error:
        print(error)
"""
    result = run_python(code, BIONER_SIMD=absent)
    assert result.stdout.count(f"BIONER_SIMD={absent} cannot run here") == 2, result.stderr
    with pytest.raises(ValueError, match="cannot run here"):
        _ops.force_simd(absent)


def test_scalar_is_always_there_and_the_test_level_is_never_the_default() -> None:
    assert _ops.simd_levels()[0] == "scalar"
    _ops.force_simd("")
    if "BIONER_SIMD" not in os.environ:
        assert _ops.simd_level() != "wide"


def test_several_python_threads_share_the_workers() -> None:
    expected = gather_once()
    wrong = []

    def work() -> None:
        for _ in range(20):
            if not torch.equal(gather_once(), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_are_the_same_beside_processes_that_take_the_cores() -> None:
    """Calls that wait too long for other threads are followed by calls that do without them."""
    emissions, offsets = torch.randn(25_000, 5), torch.arange(0, 25_001, 25)
    transitions = torch.randn(5, 5)
    before = torch.get_num_threads()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        torch.set_num_threads(1)
        tags, scores = ops.viterbi_decode(emissions, transitions, offsets)
        torch.set_num_threads(2)
        for _ in range(60):
            again = ops.viterbi_decode(emissions, transitions, offsets)
            assert torch.equal(again[0], tags)
            assert torch.equal(again[1], scores)
    finally:
        torch.set_num_threads(before)
        for process in busy:
            process.kill()
            process.wait()


FORK = """
import os, sys, numpy as np
from bioner_fast import _ops

values, offsets = np.arange(160_000, dtype=np.float32).reshape(-1, 8), np.arange(0, 20_001, 20)

def gather():
    out = np.empty((20_000, 56), np.float32)
    _ops.window_gather(values, offsets, 7, None, out, threads=4, stream=0)
    return out

expected = gather()  # the pool runs before the fork
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(gather(), expected) else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or not np.array_equal(gather(), expected))
"""


FORK_FIRST = """
import os, signal, sys, torch
from bioner_fast import ops

torch.set_num_threads(4)
torch.ones(4_000_000).sum()  # Torch's OpenMP threads are there, and no job of ours was
values, offsets = torch.arange(160_000.0).view(-1, 8), torch.arange(0, 20_001, 20)
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if ops.window_gather(values, offsets, 7).shape == (20_000, 56) else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_before_the_first_job_does_not_wait_for_ever() -> None:
    result = run_python(FORK_FIRST)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_workers_of_its_own() -> None:
    """Without Torch: its own threads do not outlive a fork."""
    result = run_python(FORK)
    assert result.returncode == 0, result.stderr


def test_bindings_take_numpy_and_refuse_what_is_no_tensor() -> None:
    out = np.zeros((2, 9), np.float32)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    arguments = {
        "offsets": np.array([0, 2]),
        "window": 3,
        "padding": None,
        "out": out,
        "threads": 1,
        "stream": 0,
    }
    _ops.window_gather(values, **arguments)
    assert out.tolist() == [[0, 0, 0, 0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 0, 0, 0]]
    with pytest.raises(TypeError, match="`values` must be a tensor, got list"):
        _ops.window_gather([1.0], **arguments)
    with pytest.raises(ValueError, match="`values` must be contiguous"):
        _ops.window_gather(np.zeros((3, 2), np.float32).T, **arguments)
    with pytest.raises(
        ValueError, match=r"`out` must have shape \[N, window \* D\] = \[3, 9\], got \[2, 9\]"
    ):
        _ops.window_gather(np.zeros((3, 3), np.float32), **{**arguments, "offsets": np.array([0, 3])})
    with pytest.raises(ValueError, match="5 dimensions"):
        _ops.window_gather(np.zeros((1, 1, 1, 1, 1), np.float32), **arguments)


@pytest.mark.skipif(_ops.cuda_architectures is not None, reason="this build has CUDA kernels")
def test_a_cpu_build_says_so_when_it_gets_a_cuda_tensor() -> None:
    """No CUDA Torch is needed: a DLPack capsule that says CUDA is enough, for nothing of it is read."""
    capsule = cuda_capsule()
    offsets, out = np.zeros(1, np.int64), np.zeros((0, 3), np.float32)
    with pytest.raises(
        RuntimeError, match="`values` got CUDA tensors, but this build of bioner_fast has no CUDA"
    ):
        _ops.window_gather(capsule, offsets, 3, None, out, 1, 0)


def cuda_capsule():
    """A capsule like Torch's for an empty float32 CUDA tensor ``[0, 1]``."""
    import ctypes

    class View(ctypes.Structure):
        _fields_ = (
            ("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("index", ctypes.c_int32),
            ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
            ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
            ("strides", ctypes.c_void_p), ("offset", ctypes.c_uint64),
        )  # fmt: skip

    shape = (ctypes.c_int64 * 2)(0, 1)
    view = View(None, 2, 0, 2, 2, 32, 1, shape, None, 0)
    cuda_capsule.keep = (view, shape)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(view), b"dltensor", None)
