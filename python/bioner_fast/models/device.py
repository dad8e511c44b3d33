"""The device that a network runs on."""

from __future__ import annotations

import torch

from bioner_fast.errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu`` or ``cuda`` as a device.

    Raises:
        UsageError: another name, or no GPU that torch can use.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, not {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError(
            "device cuda: this machine has no CUDA device that PyTorch can use; take --device cpu"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
