"""The CUDA kernels, run on the CPU under AddressSanitizer and UBSan (docs/gpu.md says what that can see).

``BIONER_CUDA_HOST_BUILD`` names a folder to build in that is kept. More seeds, ThreadSanitizer and the
mutants: ``nox -s cuda_host``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The executor switches stacks: a copy of each frame on the heap is not for it.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programmes."""
    if not (HERE.parents[1] / "csrc").is_dir():
        pytest.skip("no source tree: these tests are not of the installed package")
    if sys.platform != "linux":
        pytest.skip("the executor is for Linux")
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("no cmake or no C++ compiler on PATH")
    named = os.environ.get("BIONER_CUDA_HOST_BUILD")
    folder = Path(named) if named else tmp_path_factory.mktemp("cuda_host")
    configure = ["cmake", "-S", str(HERE), "-B", str(folder), "-DSANITIZE=address,undefined"]
    for command in (configure, ["cmake", "--build", str(folder), "-j2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def run(built: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(built / arguments[0]), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)


@pytest.mark.parametrize(
    ("what", "seed", "cases"),
    [
        ("viterbi", 1, 60),
        ("crf", 2, 20),
        ("window", 3, 20),
        ("bad", 4, 4),
        ("huge", 5, 0),
        ("long", 6, 4000),
    ],
)
def test_kernels(built: Path, what: str, seed: int, cases: int) -> None:
    done = run(built, "cuda_host_cases", what, str(seed), str(cases))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout


def test_rows_of_a_hundred_thousand_tokens_sum_to_one(built: Path) -> None:
    done = run(built, "cuda_host_cases", "longest", "7", "100000")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_executor_does_what_a_device_does(built: Path) -> None:
    done = run(built, "executor_checks")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("race", 1, "FAIL race"),
        ("beyond", 1, "heap-buffer-overflow"),
        ("different", 3, "threads of a block wait at different barriers: thread 32 of block 0"),
        ("early", 3, "waits for thread 3 of block 0, which has ended"),
        ("early-lane", 3, "waits for thread 3 of block 0, which has ended"),
        ("deadlock", 3, "deadlock: nobody comes to thread"),
        ("absent", 3, "whose mask does not name it"),
        ("stream", 3, "launched on a stream that nobody named"),
    ],
)
def test_the_executor_sees_faults(built: Path, fault: str, status: int, said: str) -> None:
    done = run(built, "executor_checks", fault)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout + done.stderr


def rewritten(tmp_path: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "in.cu").write_text(source)
    command = [sys.executable, str(HERE / "rewrite.py"), str(tmp_path / "in.cu"), str(tmp_path / "out.cpp")]
    return subprocess.run([*command, *options], capture_output=True, text=True)


def test_rewriting_keeps_lines(tmp_path: Path) -> None:
    launch = ["k<T>", "  <<<f(1, 2), 3,", "  4>>>(", "  x);", ""]
    source = "\n".join(["extern __shared__ int a[];", "__shared__ double b[kSize];", *launch])
    assert rewritten(tmp_path, source).returncode == 0
    lines = (tmp_path / "out.cpp").read_text().split("\n")
    assert len(lines) == len(source.split("\n")) + 1
    assert "launch({" in lines[3]
    assert "f(1, 2)" in lines[3]
    assert lines[1].startswith("int* const a =")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("__shared__ int count;", "line 1: __shared__ is left"),
        ("int a;\n__shared__ int b[2][3];", "line 2: __shared__ is left"),
        ('asm("nanosleep.u32 1;");', "asm is left"),
        ("launch->kernel<<<1, 2>>>", "<<< is left"),
    ],
)
def test_rewriting_fails_on_what_it_does_not_know(tmp_path: Path, source: str, said: str) -> None:
    done = rewritten(tmp_path, source)
    assert done.returncode == 1
    assert said in done.stderr
    assert rewritten(tmp_path, "", "--cap", "kMost").returncode == 1
