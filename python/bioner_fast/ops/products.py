"""Matrix products of training on a CPU, by whatever of Torch is fastest there.

Torch multiplies float32 matrices by MKL, whose code for AVX-512 is for Intel's processors only: on others it
takes that for AVX2. oneDNN, which Torch has for other products, takes AVX-512 on all.

Matrices of bfloat16 it multiplies on every processor, but where that has no instruction for it at a fifth of
the speed of float32, or less. There they are widened, which is exact, and sums are rounded: the same product.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable

import torch
from torch import Tensor

from bioner_fast.ops import _native, dense


def mm(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """``left @ right``.

    Args:
        left: [M, K].
        right: [K, N], of the same type.
        out: [M, N], memory that the result may use; or None.

    Returns:
        [M, N]; not differentiable.

    Example:
        >>> mm(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[1., 2.],
                [3., 4.]])
    """
    if by_onednn(left):
        return onednn(left, right)
    if left.dtype == torch.bfloat16 and not left.is_cuda and widens():
        sums = mm(left.float(), right.float())
        return sums.bfloat16() if out is None else out.copy_(sums)
    return torch.mm(left, right, out=out)


def widens() -> bool:
    """Whether :func:`mm` multiplies bfloat16 in float32 on this CPU, and rounds the result.

    It does on x86 without AMX and without a worthwhile AVX512-BF16, and where BIONER_SIMD leaves these out.
    """
    return platform.machine() in ("x86_64", "AMD64") and not dense.available()


def sparse_mm(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """``left @ right``, where most of ``left`` is zero, on a CPU.

    Args:
        left: bfloat16 (sums are float32), float32 or float64 [M, K].
        right: [K, N], of the same type. Where ``left`` is zero it may hold anything.
        out: [M, N], of the same type; written, and returned.

    Raises:
        ValueError, TypeError: shapes or dtypes do not fit.

    Example:
        >>> sparse_mm(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.empty(2, 2))
        tensor([[1., 2.],
                [3., 4.]])
    """
    _native.call("sparse_multiply", out, left, right, _native.written("out", out))
    return out


def kept_units(left: Tensor, right: Tensor, bias: Tensor, seed: int, share: float, out: Tensor) -> Tensor:
    """``dropout(relu(left @ right.T + bias))`` on a CPU; what is dropped is not multiplied.

    The dropout is that of :func:`bioner_fast.ops.gated.dropout`.

    Args:
        left: [M, K], float32, float64, or bfloat16, of which sums are float32 and then rounded, as :func:`mm`
            does.
        right: [N, K], of the same type.
        bias: [N], of the same type, or float32 beside bfloat16.
        seed, share: of the dropout; a share of 0 keeps all.
        out: [M, N], as ``bias``; written, and returned.

    Raises:
        ValueError, TypeError: shapes, dtypes or the share do not fit.

    Example:
        >>> kept_units(torch.ones(1, 2), torch.eye(2), torch.tensor([1.0, -3.0]), 0, 0.0, torch.empty(1, 2))
        tensor([[2., 0.]])
    """
    _native.call("sparse_kept", out, left, right, bias, seed, share, _native.written("out", out))
    return out


def by_onednn(values: Tensor) -> bool:
    """Whether :func:`mm` takes oneDNN for matrices like this one."""
    return values.dtype == torch.float32 and not values.is_cuda and _is_faster()


def onednn(left: Tensor, right: Tensor) -> Tensor:
    """As :func:`mm`, for float32 on a CPU by oneDNN."""
    if not (right.is_contiguous() or right.t().is_contiguous()):
        right = right.contiguous()  # of others it multiplies a thousand times slower
    made: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return made


@functools.cache
def _is_faster() -> bool:
    """AVX-512, not of Intel, and a Torch whose oneDNN can be called."""
    if _native.extension().is_intel or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return works(onednn)


def works(product: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Whether a product, which is not part of Torch's public interface, is there and right."""
    left = torch.arange(6.0).view(2, 3)
    try:
        return torch.equal(product(left, left.t()), torch.mm(left, left.t()))
    except (AttributeError, RuntimeError, TypeError):
        return False
