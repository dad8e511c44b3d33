"""Facts about this installation and machine, for ``info``, for bundles and for benchmark reports."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import bioner_fast

# More threads than this are a slip of the finger, and thread libraries crash on the attempt.
MAX_THREADS = 1024


def available_threads() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_installation() -> dict[str, object]:
    """Version, commit, compiler, SIMD levels, CUDA, threads, as JSON-able values."""
    from bioner_fast import _ops

    facts: dict[str, object] = {
        "version": bioner_fast.__version__,
        "commit": _ops.commit,
        "compiler": _ops.compiler,
        "simd": _ops.simd_level(),
        "simd_available": _ops.simd_levels(),
        "simd_extension": _ops.simd_extension(),
        "cuda_architectures": _ops.cuda_architectures,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": available_threads(),
    }
    for package in ("torch", "numpy"):
        facts[package] = metadata.version(package)
    import torch

    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return facts
