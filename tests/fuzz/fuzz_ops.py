"""Fuzz the boundary of the ops: random shapes, dtypes, offsets and ids, good and bad.

Each input ends in a TypeError or ValueError that names an argument, or in the right answer by the slow
references. Anything else, a crash above all, fails::

    python tests/fuzz/fuzz_ops.py --inputs 100000 --seed 1
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bioner_fast import ops
from bioner_fast.ops import _native
from reference import viterbi as viterbi_reference
from reference import window as window_reference

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64, torch.bool)
NAMED = re.compile(r"`\w+`")


class Fuzzer:
    """Draws one input after another from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def offsets(self, tokens: int) -> torch.Tensor:
        """Good offsets in most cases; else one of many kinds of bad ones."""
        cuts = np.sort(self.random.integers(0, tokens + 1, self.random.integers(0, 6)))
        good = np.concatenate([[0], cuts, [tokens]]).astype(np.int64)
        if self.chance(0.75):
            return torch.from_numpy(good)
        kind = self.random.integers(0, 7)
        extremes = (-(2**63), 2**63 - 1, -1, tokens + 1, 2**40)
        if kind == 0:
            good[self.random.integers(0, len(good))] = extremes[self.random.integers(0, len(extremes))]
        elif kind == 1:
            self.random.shuffle(good)
        elif kind == 2:
            good = good[:0]
        elif kind == 3:
            good = good[:-1]
        elif kind == 4:
            return torch.from_numpy(good).to(torch.int32)
        elif kind == 5:
            return torch.from_numpy(good)[None]
        else:
            good = np.append(good, 0)
        return torch.from_numpy(good)

    def tensor(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Numbers, sometimes of another shape, dtype or layout in memory."""
        sizes = list(shape)
        if self.chance(0.06):
            sizes[self.random.integers(0, len(sizes))] += int(self.random.integers(1, 3))
        if self.chance(0.04):
            sizes.append(1)
        if self.chance(0.06) or dtype is None:
            dtype = DTYPES[self.random.integers(0, len(DTYPES))]
        values = torch.from_numpy(self.random.normal(0, 3, sizes))
        if self.chance(0.1):
            values[torch.rand(values.shape) < 0.2] = float("-inf") if dtype.is_floating_point else 0
        made = values.to(dtype)
        if self.chance(0.2) and made.dim() == 2:
            made = made.t().contiguous().t()
        return made

    def float_dtype(self) -> torch.dtype:
        return DTYPES[self.random.integers(0, 4)]

    def ids(self, tokens: int, rows: int) -> torch.Tensor:
        dtype = torch.int32 if self.chance(0.5) else torch.int64
        ids = torch.from_numpy(self.random.integers(0, max(rows, 1), tokens)).to(dtype)
        if tokens and self.chance(0.1):
            ids[self.random.integers(0, tokens)] = (-1, rows, 2**31 - 1)[self.random.integers(0, 3)]
        return ids

    def window(self) -> Any:
        return (1, 3, 5, 7, 9, 2, 0, -1, 10**12, 3.0, None)[
            self.random.integers(0, 5) if self.chance(0.9) else self.random.integers(0, 11)
        ]


def plain(tensor: torch.Tensor) -> np.ndarray:
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return (tensor.float() if half else tensor).detach().numpy()


def same(found: torch.Tensor, expected: np.ndarray) -> None:
    if not np.array_equal(plain(found), expected, equal_nan=found.dtype.is_floating_point):
        raise AssertionError(f"wrong answer: {found} instead of {expected}")


def fuzz_gather(fuzz: Fuzzer) -> None:
    n, width = int(fuzz.random.integers(0, 40)), int(fuzz.random.integers(0, 20))
    dtype = fuzz.float_dtype()
    values, offsets, window = fuzz.tensor(n, width, dtype=dtype), fuzz.offsets(n), fuzz.window()
    padding = fuzz.tensor(width, dtype=dtype) if fuzz.chance(0.5) else None
    found = ops.window_gather(values, offsets, window, padding)
    pad = None if padding is None else plain(padding)
    same(found, window_reference.window_gather(plain(values), offsets.numpy(), window, pad))


def fuzz_gather_ids(fuzz: Fuzzer) -> None:
    n = int(fuzz.random.integers(0, 40))
    ids, offsets, window = fuzz.ids(n, 1000), fuzz.offsets(n), fuzz.window()
    padding: Any = (None, 0, -5, 2**40, 1.5)[fuzz.random.integers(0, 5)]
    found = ops.window_gather(ids, offsets, window, padding)
    same(found, window_reference.window_gather(ids.numpy(), offsets.numpy(), window, padding))


def fuzz_embedding(fuzz: Fuzzer) -> None:
    n, rows, width = (int(fuzz.random.integers(0, high)) for high in (40, 9, 20))
    weight = fuzz.tensor(rows, width, dtype=fuzz.float_dtype())
    ids, offsets, window = fuzz.ids(n, rows), fuzz.offsets(n), fuzz.window()
    padding_idx = int(fuzz.random.integers(-1, rows + 1))
    weight.requires_grad_(weight.dtype.is_floating_point)
    found = ops.embedding_window(weight, ids, offsets, window, padding_idx, sparse=fuzz.chance(0.5))
    arrays = plain(weight), ids.numpy(), offsets.numpy()
    expected = window_reference.embedding_window(*arrays, window, padding_idx)
    same(found, expected)
    grad = torch.from_numpy(fuzz.random.integers(-4, 5, found.shape)).to(found.dtype)
    (made,) = torch.autograd.grad(found, weight, grad)
    rows_expected = window_reference.grad_weight(
        plain(grad), ids.numpy(), offsets.numpy(), window, weight.shape[0], padding_idx
    )
    same(made.to_dense().double(), rows_expected)  # small integers: exact in every dtype


def fuzz_binding(fuzz: Fuzzer) -> None:
    """The extension itself, without the checks of the Python side."""
    n, width, window = int(fuzz.random.integers(0, 20)), int(fuzz.random.integers(0, 9)), fuzz.window()
    size = window if isinstance(window, int) and 0 < window < 100 else 3
    grad = fuzz.tensor(n, size * width, dtype=fuzz.float_dtype())
    offsets = fuzz.offsets(n)
    if fuzz.chance(0.5):
        out = fuzz.tensor(n, width, dtype=grad.dtype).contiguous()
        _native.extension().window_grad_values(
            _native.argument(grad),
            _native.argument(offsets),
            window,
            _native.argument(out),
            threads=2,
            stream=0,
        )
    else:
        keys = torch.from_numpy(fuzz.random.integers(0, 2**34, n))
        out = fuzz.tensor(5, width, dtype=grad.dtype).contiguous()
        workspace = torch.empty((n + 255) // 256, 3, width)
        _native.extension().embedding_grad_weight(
            *map(
                _native.argument, (grad, keys, offsets, window, 5, 2, False, None, workspace, None, None, out)
            ),
            threads=2,
            stream=0,
        )


def fuzz_viterbi(fuzz: Fuzzer) -> None:
    n, k = int(fuzz.random.integers(0, 30)), int(fuzz.random.integers(0, 12))
    dtype = torch.float32 if fuzz.chance(0.5) else torch.float64
    emissions, transitions = fuzz.tensor(n, k, dtype=dtype), fuzz.tensor(k, k, dtype=dtype)
    start = fuzz.tensor(k, dtype=dtype) if fuzz.chance(0.5) else None
    end = fuzz.tensor(k, dtype=dtype) if fuzz.chance(0.5) else None
    offsets = fuzz.offsets(n)
    tags, scores = ops.viterbi_decode(emissions, transitions, offsets, start, end)
    arrays = [None if t is None else plain(t) for t in (emissions, transitions, offsets, start, end)]
    expected = viterbi_reference.decode(*arrays)
    same(tags, expected[0])
    same(scores, expected[1].astype(plain(scores).dtype))


TARGETS: tuple[Callable[[Fuzzer], None], ...] = (
    fuzz_gather, fuzz_gather_ids, fuzz_embedding, fuzz_binding, fuzz_viterbi,
)  # fmt: skip


def run(inputs: int, seed: int) -> Counter[str]:
    """Run `inputs` inputs; the number that ended in an answer and in an error, by target."""
    outcomes: Counter[str] = Counter()
    for number in range(inputs):
        target = TARGETS[number % len(TARGETS)]
        try:
            target(Fuzzer(seed * 1_000_003 + number))
            outcomes[f"{target.__name__}: answered"] += 1
        except (TypeError, ValueError) as error:
            binding = target is fuzz_binding and "incompatible function arguments" in str(error)
            if not NAMED.search(str(error)) and not binding:
                raise AssertionError(f"input {number} of seed {seed}: unclear error: {error}") from error
            outcomes[f"{target.__name__}: refused"] += 1
        except BaseException:
            print(f"input {number} of seed {seed} in {target.__name__}", file=sys.stderr)  # noqa: T201
            raise
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, count in sorted(run(options.inputs, options.seed).items()):
        print(f"{count:9,}  {name}")  # noqa: T201
    print(f"{options.inputs:9,}  inputs ran, seed {options.seed}")  # noqa: T201
