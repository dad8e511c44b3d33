"""What made a result: package, commit, libraries, machine."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any

import bioner_fast
from bioner_fast.files import sha256
from bioner_fast.installation import describe_installation


@functools.cache
def software() -> dict[str, Any]:
    """Versions of everything that computes, the commit, the processor and its SIMD level."""
    facts = describe_installation()
    kept = ("version", "commit", "compiler", "simd", "python", "torch", "numpy", "gpu")
    checkout = checkout_commit(Path(bioner_fast.__file__).parent)
    return {name: facts[name] for name in kept} | {"checkout": checkout, "processor": processor()}


def checkout_commit(folder: Path) -> str | None:
    """The commit of the git checkout that ``folder`` lies in, None where it lies in none."""
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        if not git.is_dir():
            continue
        try:
            head = (git / "HEAD").read_text(encoding="ascii").strip()
            if not head.startswith("ref: "):
                return head
            name = head.removeprefix("ref: ")
            if (git / name).is_file():
                return (git / name).read_text(encoding="ascii").strip()
            packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
            return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
        except (OSError, ValueError):
            return None
    return None


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_vectors(path: str | None) -> dict[str, Any] | None:
    """Name, size and SHA-256 of a file of word vectors."""
    if path is None:
        return None
    file = Path(path)
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)}
