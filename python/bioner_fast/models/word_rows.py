"""The word table as a bundle stores it: float32, float16, or int8 with a scale for every row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bioner_fast.errors import UsageError

STORED_PRECISIONS = ("int8", "float16", "float32")
_LARGEST = 127


def stored_rows(table: Tensor, precision: str) -> dict[str, Tensor]:
    """A word table as tensors of a file.

    Args:
        table: float32 [V, D].
        precision: one of ``STORED_PRECISIONS``.

    Returns:
        ``weight`` [V, D]; for ``int8`` also ``scale`` float32 [V]: a row is its weights times its scale.

    Raises:
        UsageError: an unknown precision, or values that are not finite in it.

    Example:
        >>> rows = stored_rows(torch.tensor([[1.27, -0.5]]), "int8")
        >>> rows["weight"].tolist(), read_rows(rows)[0, 0].item()
        ([[127, -50]], 1.2700001001358032)
    """
    if precision not in STORED_PRECISIONS:
        known = ", ".join(STORED_PRECISIONS)
        raise UsageError(f"precision of word vectors must be one of {known}, not {precision!r}")
    if precision == "int8":
        stored = _int8(table)
        finite = stored["scale"]
    else:
        stored = {"weight": table.to(torch.float16 if precision == "float16" else torch.float32).contiguous()}
        finite = stored["weight"]
    if not bool(torch.isfinite(finite).all()):
        raise UsageError(f"the word vectors do not fit {precision} or are not finite; store them as float32")
    return stored


def read_rows(stored: Mapping[str, Tensor]) -> Tensor:
    """The table float32 [V, D] of :func:`stored_rows`.

    Raises:
        ValueError: weights and scales do not belong together.
    """
    weight = stored["weight"]
    if weight.dtype != torch.int8:
        return weight.to(torch.float32)
    scale = stored["scale"]
    if scale.shape != weight.shape[:1] or scale.dtype != torch.float32:
        raise ValueError(f"{len(weight)} rows of int8, but scales {scale.dtype} {list(scale.shape)}")
    return weight.to(torch.float32) * scale[:, None]


def rounded_rows(table: Tensor, precision: str) -> Tensor:
    """The table as a bundle will give it back; rounding it again changes no bit."""
    return read_rows(stored_rows(table, precision))


def _int8(table: Tensor) -> dict[str, Tensor]:
    largest = table.abs().amax(1) if table.shape[1] else table.new_zeros(len(table))
    # Scales of 16 significant bits: their product with 127 is exact, so rounded rows round to themselves.
    mantissa, exponent = torch.frexp(largest / _LARGEST)
    scale = torch.ldexp(torch.round(mantissa * 2**16) / 2**16, exponent)
    scale = torch.where(largest > 0, scale, torch.ones_like(scale))
    weight = torch.round(table / scale[:, None]).clamp_(-_LARGEST, _LARGEST).to(torch.int8)
    return {"weight": weight.contiguous(), "scale": scale.contiguous()}
