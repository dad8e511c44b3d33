"""Kernels that are broken on purpose, one at a time (mutants.diff): do the tests notice?

    python mutants.py FOLDER [WORD...]

builds and runs in FOLDER those whose names hold one of the words, and fails if one is missed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
RUNS = {"viterbi": 40, "crf": 24, "window": 16}
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"}


@dataclass
class Mutant:
    """``old``, which is there once, becomes ``new`` in csrc/ops/``kernel``/cuda.cu."""

    kernel: str
    name: str
    old: str = ""
    new: str = ""


def mutants() -> list[Mutant]:
    """Those of mutants.diff."""
    found: list[Mutant] = []
    for line in (HERE / "mutants.diff").read_text().splitlines():
        if line.startswith("## "):
            kernel, name = line[3:].split(": ", 1)
            found.append(Mutant(kernel, name))
        elif line.startswith("-"):
            found[-1].old += line[1:] + "\n"
        elif line.startswith("+"):
            found[-1].new += line[1:] + "\n"
    for mutant in found:  # parts of lines too
        mutant.old, mutant.new = mutant.old.rstrip("\n"), mutant.new.rstrip("\n")
    return found


def build(folder: Path, sources: Path) -> str:
    """Errors of the compiler; empty if there are none."""
    configure = ["cmake", "-S", str(HERE), "-B", str(folder), "-DSANITIZE=address,undefined"]
    make = ["cmake", "--build", str(folder), "-j2", "--target", "cuda_host_cases"]
    for command in ([*configure, f"-DCSRC={sources}"], make):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return "does not compile"
    return ""


def notices(folder: Path, kernel: str) -> str:
    """What the cases say of a broken kernel; empty if nothing."""
    for what, cases in ((kernel, RUNS[kernel]), ("bad", 4)):
        command = [str(folder / "cuda_host_cases"), what, "11", str(cases), "4"]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).splitlines()
            marks = ("FAIL", "cuda_host:", "ERROR:", "runtime error")
            return next((line for line in lines if any(mark in line for mark in marks)), lines[-1])[:150]
    return ""


def main(folder: Path, words: list[str]) -> int:
    """See the module."""
    sources = folder / "csrc"
    shutil.copytree(CSRC, sources, dirs_exist_ok=True)
    missed = 0
    for mutant in mutants():
        if words and not any(word in f"{mutant.kernel}: {mutant.name}" for word in words):
            continue
        path = sources / "ops" / mutant.kernel / "cuda.cu"
        original = (CSRC / "ops" / mutant.kernel / "cuda.cu").read_text()
        if original.count(mutant.old) == 1:
            path.write_text(original.replace(mutant.old, mutant.new))
            said = build(folder / "build", sources) or notices(folder / "build", mutant.kernel)
            path.write_text(original)
            good = said not in ("", "does not compile")
        else:
            said, good = f"{original.count(mutant.old)} times in the source", False
        sys.stdout.write(f"{mutant.kernel}: {mutant.name}: {said or 'MISSED'}\n")
        sys.stdout.flush()
        missed += not good
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
