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

from bioner_fast import _ops, ops
from bioner_fast.ops import _native, gated, infer
from reference import crf as crf_reference
from reference import gated as gated_reference
from reference import infer as infer_reference
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

    def tags(self, tokens: int, k: int) -> torch.Tensor:
        """Gold tags, sometimes out of range or of another shape or dtype."""
        tags = torch.from_numpy(self.random.integers(0, max(k, 1), tokens))
        if tokens and self.chance(0.06):
            tags[self.random.integers(0, tokens)] = (-1, k, 2**63 - 1, -(2**63))[self.random.integers(0, 4)]
        if self.chance(0.04):
            tags = tags[:-1]
        return tags.to(torch.int32) if self.chance(0.04) else tags

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


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    tolerance = 1e-4 if found.dtype == torch.float32 else 1e-9
    if not np.allclose(plain(found), expected, rtol=tolerance, atol=tolerance):
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
        if fuzz.chance(0.5):  # what embedding_sort makes
            keys = torch.from_numpy(np.sort(fuzz.random.integers(0, 5, n)) << 32 | np.arange(n))
        out = fuzz.tensor(5, width, dtype=grad.dtype).contiguous()
        padding_sum = rows = None
        if fuzz.chance(0.5):  # a sparse gradient with a row for padding, said to be where it may not be
            padding_sum = torch.zeros(width, dtype=torch.float64 if grad.dtype == torch.float64 else None)
            rows = keys.new_empty(int(fuzz.random.integers(0, 6)))
            out = out[: len(rows)].contiguous()
        blocks, runs = (n + 255) // 256, len(np.unique(keys.numpy() >> 32))
        workspace = torch.empty(blocks if fuzz.chance(0.5) else runs, width)
        run_tokens = torch.empty(n, dtype=torch.int32)
        _native.extension().embedding_grad_weight(
            *map(
                _native.argument,
                (
                    grad,
                    keys,
                    offsets,
                    window,
                    5,
                    2,
                    fuzz.chance(0.3),
                    padding_sum,
                    workspace,
                    keys.new_empty(runs),
                    keys.new_empty(blocks + 1),
                    run_tokens,
                    rows,
                    out,
                ),
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


def fuzz_top_k(fuzz: Fuzzer) -> None:
    n, tags = int(fuzz.random.integers(0, 7)), int(fuzz.random.integers(1, 4))
    dtype = torch.float32 if fuzz.chance(0.5) else torch.float64
    emissions, transitions = fuzz.tensor(n, tags, dtype=dtype), fuzz.tensor(tags, tags, dtype=dtype)
    start, end = (fuzz.tensor(tags, dtype=dtype) if fuzz.chance(0.5) else None for _ in range(2))
    offsets, k = fuzz.offsets(n), int(fuzz.random.integers(0, 9))
    found_tags, scores = ops.viterbi_top_k(emissions, transitions, offsets, k, start, end)
    arrays = [None if t is None else plain(t) for t in (emissions, transitions, offsets, start, end)]
    expected = viterbi_reference.top_k(*arrays[:3], k, *arrays[3:])
    same(scores, expected[1].astype(plain(scores).dtype))
    same(found_tags, expected[0])


def fuzz_viterbi_batches(fuzz: Fuzzer) -> None:
    """Batches that fill the vectors, with near ties and numbers at the limits of the fixed-point pass."""
    k, count = int(fuzz.random.integers(1, 40)), int(fuzz.random.integers(1, 70))
    lengths = np.minimum(fuzz.random.geometric(1 / 9, count), 60) - fuzz.random.integers(0, 2, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays = [fuzz.random.normal(0, 3, shape) for shape in ((int(offsets[-1]), k), (k, k), k, k)]
    kind = int(fuzz.random.integers(0, 4))
    for array in arrays:
        if kind == 1:
            array[:] = np.round(array) + fuzz.random.normal(0, 2e-6, array.shape)
        elif kind == 2:
            array[fuzz.random.random(array.shape) < 0.02] = (128, -128, 129, -129)[fuzz.random.integers(0, 4)]
        elif kind == 3:
            array[fuzz.random.random(array.shape) < 0.05] = (-np.inf, np.nan, np.inf)[
                fuzz.random.integers(0, 3)
            ]
    if fuzz.chance(0.15):
        offsets[-1] += 1
    emissions, transitions, start, end = (torch.from_numpy(array).float() for array in arrays)
    found = []
    for level in _ops.simd_levels():
        _ops.force_simd(level)
        try:
            found.append(ops.viterbi_decode(emissions, transitions, torch.from_numpy(offsets), start, end))
        finally:
            _ops.force_simd("")
    for tags, scores in found[1:]:  # the first is scalar, which fuzz_viterbi compares with the reference
        same(tags, plain(found[0][0]))
        same(scores, plain(found[0][1]))


def fuzz_gated(fuzz: Fuzzer) -> None:
    n, width = int(fuzz.random.integers(0, 20)), int(fuzz.random.integers(1, 20))
    dtype = torch.float32 if fuzz.chance(0.5) else torch.float64
    if fuzz.chance(0.3):
        values = fuzz.tensor(n, width, dtype=dtype).contiguous()
        share = (0.0, 0.3, 1e-17, 1.0, -0.5, float("nan"))[fuzz.random.integers(0, 6)]
        found = gated.dropout(values, share, 7)
        close(found, gated_reference.dropout(plain(values).astype(np.float64), share, 7))
        return
    hidden, rows = fuzz.tensor(n, width, dtype=dtype), fuzz.tensor(2 * width, 3 * width, dtype=dtype)
    bias, scale, shift = (fuzz.tensor(size, dtype=dtype) for size in (2 * width, width, width))
    offsets = np.sort(np.concatenate([[0, n], fuzz.random.integers(0, n + 1, 3)]))
    sentence = np.repeat(np.arange(4), np.diff(offsets))
    first, last = (torch.from_numpy(offsets[sentence + i] - i) for i in (0, 1))
    dilation = int(fuzz.random.integers(0, 4))
    found = gated.gated_block(hidden, rows, bias, (scale, shift, 1e-5), (first, last, 0), dilation=dilation)
    if not found.isfinite().all() or not hidden.isfinite().all():
        return
    wide = [plain(tensor).astype(np.float64) for tensor in (hidden, rows, bias, scale, shift)]
    expected = gated_reference.gated_block(*wide[:3], (wide[3], wide[4], 1e-5), sentence, dilation)
    if not np.allclose(plain(found), expected, rtol=1e-2, atol=1e-2):
        raise AssertionError(f"wrong answer: {found} instead of {expected}")


def fuzz_infer(fuzz: Fuzzer) -> None:
    """Products over gathered rows: good and bad indices, shapes, dtypes and lengths."""
    n, rows, columns = int(fuzz.random.integers(0, 20)), int(fuzz.random.integers(1, 9)), 16
    segments = [int(size) for size in fuzz.random.integers(1, 12, fuzz.random.integers(1, 4))]
    weight = torch.from_numpy(fuzz.random.normal(0, 1, (columns, sum(segments)))).float()
    bias = torch.from_numpy(fuzz.random.normal(0, 1, columns)).float()
    values = torch.from_numpy(fuzz.random.normal(0, 1, (rows, max(segments) + 3))).float()
    index = torch.from_numpy(fuzz.random.integers(0, rows, (n, len(segments)))).int()
    if n and fuzz.chance(0.1):
        index[0, 0] = (-1, rows, 2**31 - 1, -(2**31))[fuzz.random.integers(0, 4)]
    if fuzz.chance(0.05):
        index = index.long() if fuzz.chance(0.5) else index[:, :-1].contiguous()
    if fuzz.chance(0.05):
        values = values[:, : max(segments) - 1].contiguous()
    out = torch.empty(n if fuzz.chance(0.95) else max(n - 1, 0), columns)
    packed = infer.pack(weight, bias, segments, "float32")
    infer.linear(values.view(torch.uint8), index, packed, infer.Finish("store", out=out), 2)
    if n:
        close(
            out,
            infer_reference.linear(
                plain(values).astype(np.float64), plain(index), segments, plain(weight), plain(bias)
            ),
        )


def fuzz_crf(fuzz: Fuzzer) -> None:
    n, k = int(fuzz.random.integers(0, 20)), int(fuzz.random.integers(0, 8))
    dtype = torch.float32 if fuzz.chance(0.5) else torch.float64
    emissions, transitions = fuzz.tensor(n, k, dtype=dtype), fuzz.tensor(k, k, dtype=dtype)
    start = fuzz.tensor(k, dtype=dtype) if fuzz.chance(0.5) else None
    end = fuzz.tensor(k, dtype=dtype) if fuzz.chance(0.5) else None
    offsets, tags = fuzz.offsets(n), fuzz.tags(n, k)
    arrays = [None if t is None else plain(t) for t in (emissions, transitions, offsets, start, end)]
    if fuzz.chance(0.3):
        close(
            ops.crf_marginals(emissions, transitions, offsets, start, end), crf_reference.marginals(*arrays)
        )
        return
    emissions.requires_grad_(emissions.dtype.is_floating_point)
    found = ops.crf_log_likelihood(emissions, tags, transitions, offsets, start, end)
    expected = crf_reference.log_likelihood(arrays[0], tags.numpy(), *arrays[1:])
    close(found, expected)
    upstream = torch.from_numpy(fuzz.random.integers(-3, 4, found.shape)).to(found.dtype)
    (gradient,) = torch.autograd.grad(found, emissions, upstream)
    wanted = np.eye(k)[tags.numpy()] - crf_reference.marginals(*arrays)
    weights = np.where(expected > -np.inf, plain(upstream), 0)  # an impossible gold path has no gradient
    close(gradient, wanted * np.repeat(weights, np.diff(offsets.numpy()))[:, None])


def fuzz_span_marginals(fuzz: Fuzzer) -> None:
    n, k = int(fuzz.random.integers(1, 12)), int(fuzz.random.integers(1, 5))
    emissions, transitions = fuzz.tensor(n, k, dtype=torch.float64), fuzz.tensor(k, k, dtype=torch.float64)
    offsets, tags = fuzz.offsets(n), fuzz.tags(n, k)
    first, last = np.sort(fuzz.random.integers(-1 if fuzz.chance(0.1) else 0, n + 1, 2))
    sentence = int(np.searchsorted(plain(offsets).ravel()[1:], first, "right")) if offsets.numel() else 0
    spans = torch.tensor([[sentence, first, last]])
    if fuzz.chance(0.1):
        spans = spans[:, :2] if fuzz.chance(0.5) else spans.int()
    found = ops.span_marginals(emissions, transitions, offsets, spans, tags)
    begin, end = offsets[sentence : sentence + 2].tolist()
    rows, span = plain(emissions)[begin:end], (int(first) - begin, int(last) - begin)
    expected = 0.0
    if len(crf_reference.marginals(rows, plain(transitions), [0, len(rows)]).nonzero()[0]):
        expected = crf_reference.span_marginal(rows, plain(transitions), tags.numpy()[begin:end], span)
    close(found, np.array([expected]))


def fuzz_padded(fuzz: Fuzzer) -> None:
    """The module: a mask of any shape and pattern."""
    batch, length, k = (int(fuzz.random.integers(1, high)) for high in (5, 8, 6))
    crf = ops.CRF(k, batch_first=True).double()
    emissions = fuzz.tensor(batch, length, k, dtype=torch.float64)
    mask = fuzz.tensor(batch, length, dtype=torch.float64) > 0 if fuzz.chance(0.7) else None
    found = crf.decode(emissions, mask)
    kept = np.ones(emissions.shape[:2], bool) if mask is None else mask.numpy()
    parameters = crf.transitions, crf.start_transitions, crf.end_transitions
    transitions, start, end = (plain(p) for p in parameters)
    rows = plain(emissions)[kept]
    offsets = np.concatenate([[0], np.cumsum(kept.sum(1))])
    expected = viterbi_reference.decode(rows, transitions, offsets, start, end)[0]
    if [tag for path in found for tag in path] != expected.tolist():
        raise AssertionError(f"wrong answer: {found} instead of {expected}")


TARGETS: tuple[Callable[[Fuzzer], None], ...] = (
    fuzz_gather, fuzz_gather_ids, fuzz_embedding, fuzz_binding, fuzz_viterbi, fuzz_crf, fuzz_span_marginals,
    fuzz_padded, fuzz_viterbi_batches, fuzz_gated, fuzz_infer, fuzz_top_k,
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
