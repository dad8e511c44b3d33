"""Tensors in safetensors files."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from bioner_fast.errors import FormatError


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file."""
    from safetensors.torch import save_file

    save_file(tensors, path)
    # safetensors makes files private; give them the mode of any other file.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file.

    Raises:
        FormatError: it is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise FormatError(path, f"expected a safetensors file ({error})") from None
