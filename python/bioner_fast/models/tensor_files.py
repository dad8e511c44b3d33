"""Tensors in safetensors files."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from bioner_fast.errors import FormatError
from bioner_fast.files import DAMAGED


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file."""
    from safetensors.torch import save_file

    save_file(tensors, path)
    # safetensors makes files private; give them the mode of any other file.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file into memory: a mapped one would kill the process when somebody cuts it short.

    Raises:
        OSError: it cannot be read.
        FormatError: it is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        return load(data)
    except (SafetensorError, *DAMAGED) as error:
        raise FormatError(path, f"expected a safetensors file ({str(error)[:200]})") from None
