"""What every op shares: argument checks, and calls into the extension module ``bioner_fast._ops``.

An op is a public function (checks that need no tensor contents; works under ``torch.compile``), and a
op of Torch (allocates outputs, calls :func:`call`) that ``_op.register`` makes with its fake and its
derivatives.
``csrc/base/bindings/tensor.h`` has the native side.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack, to_dlpack  # type: ignore[attr-defined]

from bioner_fast.ops import _op

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FULL_FLOATS = (torch.float32, torch.float64)
INTEGERS = (torch.int32, torch.int64)


@functools.cache
def extension() -> ModuleType:
    """The extension module, or ImportError that says how to get it."""
    try:
        return importlib.import_module("bioner_fast._ops")
    except ImportError as error:
        raise ImportError(
            f"the native kernels of bioner_fast could not be loaded ({error}); install the package with "
            "`pip install .` from its source tree"
        ) from error


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _alternatives(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def check_tensor(name: str, value: Any, dtypes: Sequence[torch.dtype], rank: int | Sequence[int]) -> Tensor:
    """TypeError unless `value` is dense, of one of `dtypes`; ValueError unless it has `rank` dimensions."""
    if not isinstance(value, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(value).__name__}")
    if value.layout != torch.strided:
        raise TypeError(f"`{name}` must be a dense tensor, got layout {value.layout}")
    if value.dtype not in dtypes:
        wanted = _alternatives([dtype_name(d) for d in dtypes])
        raise TypeError(f"`{name}` must be {wanted}, got {dtype_name(value.dtype)}")
    ranks = (rank,) if isinstance(rank, int) else tuple(rank)
    if value.dim() not in ranks:
        wanted = _alternatives([str(r) for r in ranks])
        raise ValueError(
            f"`{name}` must have {wanted} dimension{'' if ranks == (1,) else 's'}, "
            f"got shape {list(value.shape)}"
        )
    if value.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"`{name}` must be on the CPU or a CUDA device, got {value.device}")
    return value


def check_like(name: str, value: Tensor, other_name: str, other: Tensor, *, dtype: bool = True) -> None:
    """ValueError/TypeError unless `value` lies on the device, and has the dtype, of `other`."""
    if value.device != other.device:
        raise ValueError(
            f"`{name}` must be on the device of `{other_name}` ({other.device}), got {value.device}"
        )
    if dtype and value.dtype != other.dtype:
        raise TypeError(
            f"`{name}` must have the dtype of `{other_name}` ({dtype_name(other.dtype)}), "
            f"got {dtype_name(value.dtype)}"
        )


def check_shape(name: str, value: Tensor, shape: Sequence[int], meaning: str) -> None:
    """ValueError unless `value` has `shape`; `meaning` spells it out, as in ``"[N, K]"``."""
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"`{name}` must have shape {meaning} = {list(shape)}, got {list(value.shape)}")


def check_offsets(offsets: Any, like_name: str, like: Tensor) -> Tensor:
    """`offsets` in int64, after the static part of their check: ``[B + 1]`` on the device of `like`."""
    offsets = check_tensor("offsets", offsets, INTEGERS, 1)
    check_like("offsets", offsets, like_name, like, dtype=False)
    if offsets.shape[0] < 1:
        raise ValueError("`offsets` must have shape [B + 1] with at least one element, got [0]")
    return as_int64(offsets)


def as_int64(values: Tensor) -> Tensor:
    """Ops know integers of 64 bits only. (``long`` of what is int64 is a call that compiled graphs keep.)"""
    return values if values.dtype == torch.int64 else values.long()


def check_window(window: Any) -> int:
    """ValueError/TypeError unless `window` is an odd positive int."""
    if isinstance(window, bool) or not isinstance(window, int | torch.SymInt):
        raise TypeError(f"`window` must be an int, got {type(window).__name__}")
    if window < 1 or window % 2 == 0 or window > 1001:
        raise ValueError(f"`window` must be odd and between 1 and 1001, got {window}")
    return window  # type: ignore[return-value]


def checks_contents() -> bool:
    """Whether contents of CUDA tensors are checked (``BIONER_CHECK=1``); it synchronises with the device."""
    return os.environ.get("BIONER_CHECK", "0") not in ("", "0")


def check_cuda_offsets(offsets: Tensor, tokens: int) -> None:
    """Contents of CUDA `offsets`, where ``BIONER_CHECK=1`` asks for it; bindings check CPU tensors always."""
    if offsets.is_cuda and checks_contents():
        extension().check_offsets(to_dlpack(offsets.detach().cpu()), tokens)


def check_cuda_ids(name: str, ids: Tensor, limit: int) -> None:
    """Contents of CUDA `ids` in ``[0, limit)``, where ``BIONER_CHECK=1`` asks for it."""
    if ids.is_cuda and checks_contents():
        extension().check_ids(to_dlpack(ids.detach().cpu().contiguous()), name, limit)


def threads() -> int:
    """Threads of a kernel: Torch's own setting, so that ``torch.set_num_threads`` rules both."""
    return torch.get_num_threads()


def new_output(like: Tensor, rows: int, columns: int) -> Tensor:
    """An empty ``[rows, columns]`` tensor like `like`; large ones on the CPU reuse the pages of freed ones.

    ``csrc/base/runtime/buffers.h`` says why. ``BIONER_KEEP_MB=0`` keeps nothing.
    """
    module = extension()
    if like.device.type == "cpu" and rows * columns * like.element_size() >= module.recycled_bytes:
        capsule = module.take_output(rows, columns, dtype_name(like.dtype))
        if capsule is not None:
            made: Tensor = from_dlpack(capsule)
            return made
    return like.new_empty(rows, columns)


def argument(value: Any) -> Any:
    """What the extension takes for `value`: a DLPack capsule for a tensor, anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    # Native code would drop tangents and, of torch.func's wrappers, see nothing: ops take those off (_op.py).
    if torch._C._are_functorch_transforms_active() and torch._C._functorch.is_functorch_wrapped_tensor(value):
        raise RuntimeError("torch.func cannot transform this function of bioner_fast: it has no derivative")
    if _op.has_tangent(value):
        raise RuntimeError("this function of bioner_fast has no derivative; detach its tensors")
    # DLPack refuses tensors that require a gradient, even inside an op. Kernels take no strides.
    if value.requires_grad:
        value = value.detach()
    return to_dlpack(value if value.is_contiguous() else value.contiguous())


def written(name: str, tensor: Tensor) -> Tensor:
    """`tensor`, which an op writes to: of one that is not contiguous it would write to a copy.

    Raises:
        ValueError: it is not contiguous.
    """
    if not tensor.is_contiguous():
        raise ValueError(f"`{name}` must be contiguous")
    return tensor


def call(name: str, like: Tensor, *arguments: Any) -> Any:
    """Call the native op `name`: tensors become DLPack capsules; ``threads`` and ``stream`` are added.

    Outputs among `arguments` must be contiguous, or the result would go to a copy. On CUDA the call is made
    on the device of `like`, on that device's current stream, which travels as an integer, so nothing waits.
    """
    function = getattr(extension(), name)
    if like.is_cuda:
        with torch.cuda.device(like.device):
            stream = torch.cuda.current_stream(like.device).cuda_stream
            return function(*map(argument, arguments), threads=0, stream=stream)
    return function(*map(argument, arguments), threads=threads(), stream=0)
