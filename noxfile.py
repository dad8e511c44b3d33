"""Development tasks, one command each: ``nox -l`` lists them, ``nox -s NAME -- ARGUMENTS`` runs one."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
CONSTRAINTS = ("-c", "constraints.txt") if (ROOT / "constraints.txt").exists() else ()
KERNEL_TESTS = ("tests/ops", "tests/fuzz")
TEXT_TESTS = ("tests/text", "tests/features", "tests/formats")
DAMAGE_TESTS = (
    "tests/models/test_damaged_bundles.py",
    "tests/tagging/test_damaged_runs.py",
    "tests/text/test_text_fuzz.py",
    "tests/training/test_run_folder.py",
)


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


@nox.session(python=["3.12", "3.13"])
def pythons(session: nox.Session) -> None:
    """The test suite on newer Pythons."""
    tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and clang-format."""
    session.install("ruff>=0.6", "clang-format>=18", *CONSTRAINTS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    folders = (ROOT / "csrc", ROOT / "tests" / "native", ROOT / "tests" / "cuda_host")
    found = (p for folder in folders for p in sorted(folder.rglob("*")))
    sources = [str(p) for p in found if p.suffix in (".h", ".cpp", ".cu")]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the package."""
    dependencies(session, "lint")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/site; ``nox -s docs -- serve`` shows it while you write."""
    wanted = nox.project.load_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]["docs"]
    session.install(*wanted, *CONSTRAINTS)
    session.run("mkdocs", *(session.posargs or ("build", "--strict")), env={"NO_MKDOCS_2_WARNING": "1"})


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


def sanitized(session: nox.Session, preset: str, extensions: str, *tests: str) -> None:
    """Build extensions under a sanitizer and run their tests."""
    dependencies(session, "test")
    session.install("cmake", "ninja", "pybind11", *CONSTRAINTS)
    python = str(session.run("python", "-c", "import sys; print(sys.executable)", silent=True)).strip()
    command = (str(ROOT / "tools" / "sanitized.sh"), python, preset, extensions)
    session.run(*command, *(session.posargs or tests), external=True)


@nox.session
def asan(session: nox.Session) -> None:
    """Kernels and text path under AddressSanitizer and UndefinedBehaviorSanitizer."""
    sanitized(session, "asan-ubsan", "_ops _text", *KERNEL_TESTS, *TEXT_TESTS)


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
    sanitized(session, "tsan", "_ops _text")


@nox.session
def cuda_host(session: nox.Session) -> None:
    """The CUDA kernels on the CPU: long seeds, ThreadSanitizer, mutants; ``-- N``: N times as many cases."""
    session.install("cmake", "ninja", *CONSTRAINTS)
    source, out = ROOT / "tests" / "cuda_host", ROOT / "build" / "cuda_host"
    factor = int(session.posargs[0]) if session.posargs else 5

    def build(name: str, sanitize: str) -> str:
        session.run(
            "cmake", "-G", "Ninja", "-S", str(source), "-B", str(out / name), f"-DSANITIZE={sanitize}"
        )
        session.run("cmake", "--build", str(out / name), "-j2")
        return str(out / name / "cuda_host_cases")

    cases = build("asan", "address,undefined")
    environment = {"ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"}
    for what, number in (("viterbi", 60), ("crf", 20), ("window", 20), ("bad", 4), ("long", 20_000)):
        session.run(cases, what, "101", str(number * factor), "4", external=True, env=environment)
    session.run("python", str(source / "mutants.py"), str(out / "mutants"))
    cases = build("tsan", "thread")
    environment = {"TSAN_OPTIONS": "halt_on_error=1"}
    for what in ("viterbi", "crf", "window", "bad"):
        for seed in range(1, 4 * factor + 1):  # fibers take many mappings: few cases a process
            session.run(
                cases, what, str(seed), "1", "2", external=True, env={"TSAN_OPTIONS": "halt_on_error=1"}
            )


@nox.session
def fuzz(session: nox.Session) -> None:
    """The fuzz target of the ops: ``nox -s fuzz -- --inputs 1000000 --seed 7``."""
    session.install(".[test]", *CONSTRAINTS)
    session.run("python", "tests/fuzz/fuzz_ops.py", *(session.posargs or ("--inputs", "100000")))


@nox.session
def damage(session: nox.Session) -> None:
    """Damaged bundles, manifests, journals, checkpoints and arrays: ``nox -s damage -- SEEDS``."""
    session.install(".[test]", *CONSTRAINTS)
    seeds = session.posargs[0] if session.posargs else "50"
    session.run("pytest", "-q", *DAMAGE_TESTS, env={"BIONER_FUZZ_SEEDS": seeds})


@nox.session
def ray(session: nox.Session) -> None:
    """The stage for Ray Data; its tests must not skip."""
    session.install(".[test,ray]", *CONSTRAINTS)
    session.run("pytest", "-q", "tests/tagging/test_ray_data.py", env={"BIONER_EXTRAS": "test,ray"})


@nox.session
def fuzz_formats(session: nox.Session) -> None:
    """The fuzz target of the document formats: ``nox -s fuzz_formats -- --inputs 1000000 --seed 7``."""
    session.install(".[test]", *CONSTRAINTS)
    session.run("python", "tests/fuzz/fuzz_formats.py", *(session.posargs or ("--inputs", "100000")))
