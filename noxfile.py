"""Development tasks, one command each: ``nox -l`` lists them, ``nox -s NAME -- ARGUMENTS`` runs one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
CONSTRAINTS = ("-c", "constraints.txt") if (ROOT / "constraints.txt").exists() else ()
KERNEL_TESTS = ("tests/ops", "tests/fuzz")


def dependencies(session: nox.Session, *extras: str) -> None:
    """Install what the package needs, but not the package: that would compile it for nothing."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in extras for d in project["optional-dependencies"][extra]),
    ]
    session.install(*wanted, *CONSTRAINTS)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite on an installed package."""
    session.install(".[test]", *CONSTRAINTS)
    session.run("pytest", "-q", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and clang-format."""
    session.install("ruff>=0.6", "clang-format>=18", *CONSTRAINTS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    folders = (ROOT / "csrc", ROOT / "tests" / "native")
    found = (p for folder in folders for p in sorted(folder.rglob("*")))
    sources = [str(p) for p in found if p.suffix in (".h", ".cpp", ".cu")]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the package."""
    dependencies(session, "lint")
    session.run("mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """All benchmarks with their peers, as a JSON file, a table and charts under runs/benchmarks."""
    session.install(".[test]", "thinc", "pytorch-crf", *CONSTRAINTS)
    out = ROOT / "runs" / "benchmarks"
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "benchmarks").glob("bench_*.py"))
    session.run("pytest", "-q", f"--benchmark-json={out / 'results.json'}", *(session.posargs or files))
    session.run("python", "benchmarks/report.py", str(out / "results.json"), "--out", str(out))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and test it from outside the source tree."""
    session.install("build", *CONSTRAINTS)
    out = Path(session.create_tmp()) / "dist"
    shutil.rmtree(out, ignore_errors=True)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), ".")
    (built,) = out.glob("*.whl")
    session.install(f"{built}[test]", *CONSTRAINTS)
    elsewhere = Path(session.create_tmp()) / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.copytree(ROOT / "tests", elsewhere / "tests")
    shutil.copy(ROOT / "pyproject.toml", elsewhere)
    with session.chdir(elsewhere):
        session.run(
            "pytest", "-q", "tests/ops", *session.posargs, env={"BIONER_SHARED": str(ROOT.parent / "shared")}
        )


def sanitized(session: nox.Session, preset: str, library: str, **options: str) -> None:
    """Build the kernels under a sanitizer and run their tests; Python itself is not instrumented."""
    dependencies(session, "test")
    session.install("cmake", "ninja", "pybind11", *CONSTRAINTS)
    python = session.run("python", "-c", "import sys; print(sys.executable)", silent=True)
    session.run("cmake", "--preset", preset, f"-DPython_EXECUTABLE={str(python).strip()}")
    session.run("cmake", "--build", "--preset", preset, "--target", "_ops", "-j2")
    # A copy of the package with the sanitized extension in it.
    package = ROOT / "build" / preset / "python"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "python", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for built in (ROOT / "build" / preset / "csrc").glob("_ops*.so"):
        shutil.copy(built, package / "bioner_fast")
    compiler = os.environ.get("CXX", "c++")
    runtime = subprocess.run(
        [compiler, f"-print-file-name={library}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    environment = {
        # libstdc++ too: the runtime must find the real __cxa_throw before Python's own libraries load it.
        "LD_PRELOAD": f"{runtime} " + subprocess.run(
            [compiler, "-print-file-name=libstdc++.so"], check=True, capture_output=True, text=True
        ).stdout.strip(),
        "PYTHONPATH": str(package),
        "OMP_NUM_THREADS": "1",
        "BIONER_SANITIZED": "1",
        **options,
    }  # fmt: skip
    session.run("pytest", "-q", "-p", "no:cacheprovider", *(session.posargs or KERNEL_TESTS), env=environment)


@nox.session
def asan(session: nox.Session) -> None:
    """Kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    sanitized(
        session, "asan-ubsan", "libasan.so",
        ASAN_OPTIONS="detect_leaks=0:halt_on_error=1", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
    )  # fmt: skip


@nox.session
def tsan(session: nox.Session) -> None:
    """The kernels from several threads under ThreadSanitizer; with arguments, those Python tests (slow)."""
    if not session.posargs:
        session.install("cmake", "ninja", "pybind11", *CONSTRAINTS)
        python = session.run("python", "-c", "import sys; print(sys.executable)", silent=True)
        session.run("cmake", "--preset", "tsan", f"-DPython_EXECUTABLE={str(python).strip()}")
        session.run("cmake", "--build", "--preset", "tsan", "--target", "kernel_hammer", "-j2")
        hammer = str(ROOT / "build" / "tsan" / "tests" / "native" / "kernel_hammer")
        session.run(hammer, external=True, env={"TSAN_OPTIONS": "halt_on_error=1"})
        return
    suppressions = ROOT / "tests" / "tsan.supp"
    sanitized(session, "tsan", "libtsan.so", TSAN_OPTIONS=f"halt_on_error=1:suppressions={suppressions}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """The fuzz target of the ops: ``nox -s fuzz -- --inputs 1000000 --seed 7``."""
    session.install(".[test]", *CONSTRAINTS)
    session.run("python", "tests/fuzz/fuzz_ops.py", *(session.posargs or ("--inputs", "100000")))
