"""The passes of CPU inference: every precision, SIMD level and finish against the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.ops import _native, infer
from ops.test_runtime import cuda_capsule
from reference import infer as reference

# Of sums of about a hundred products of size one.
TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-5, "int8": 2e-5}


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encode(values: Tensor, precision: str, quantisation: infer.Quantisation | None) -> tuple[Tensor, Tensor]:
    """Values as bytes, and what they then stand for."""
    if precision == "int8":
        assert quantisation is not None
        stored = (values * quantisation.scale + quantisation.zero).round().clamp(0, 255)
        return stored.to(torch.uint8), (stored - quantisation.zero) / quantisation.scale
    stored = values.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
    return stored.view(torch.uint8), stored.float()


def stands_for(weights: infer.Weights, weight: Tensor, quantisation: infer.Quantisation | None) -> Tensor:
    """The matrix that packed weights stand for."""
    if weights.precision == "bfloat16":
        return weight.bfloat16().float()
    if weights.precision == "int8":
        assert quantisation is not None
        assert weights.scale is not None
        return (
            (weight / quantisation.scale / weights.scale[:, None]).round()
            * weights.scale[:, None]
            * quantisation.scale
        )
    return weight


SHORT = (24, 16, 8)
# Sums of a tile and more: in whole tiles, and with a rest at every precision.
LONG = ((128, 64, 64), (64, 0, 20), (68, 100, 24))


def problem(precision: str, n: int, columns: int, seed: int = 0, segments: Sequence[int] = SHORT):  # type: ignore[no-untyped-def]
    """Rows of as many elements as the first segment, signed; the others are beginnings of them."""
    generator = rng(seed)
    width = max(segments)
    values = torch.randn(n + 1, width, generator=generator)
    values[n] = 0
    quantisation = repeated = None
    if precision == "int8":
        quantisation = infer.Quantisation.of(torch.rand(width, generator=generator) + 1.5, signed=True)
        repeated = infer.Quantisation(torch.cat([quantisation.scale[:k] for k in segments]), 128)
    index = torch.randint(0, n + 1, (n, 3), generator=generator, dtype=torch.int32)
    weight = torch.randn(columns, sum(segments), generator=generator)
    bias = torch.randn(columns, generator=generator)
    packed = infer.pack(weight, bias, segments, precision, repeated)
    stored, meant = encode(values, precision, quantisation)
    expected = reference.linear(
        meant.double().numpy(),
        index.numpy(),
        segments,
        stands_for(packed, weight, repeated).double().numpy(),
        bias.double().numpy(),
    )
    return stored, index, packed, expected


@pytest.mark.parametrize("precision", infer.TYPES)
@pytest.mark.parametrize(("n", "columns"), [(0, 16), (1, 16), (6, 48), (7, 80), (100, 144), (195, 64)])
def test_products(simd_level: str, precision: str, n: int, columns: int) -> None:
    stored, index, packed, expected = problem(precision, n, columns)
    out = torch.empty(n, columns)
    infer.linear(stored, index, packed, infer.Finish("store", out=out), 2)
    np.testing.assert_allclose(out.numpy(), expected, rtol=TOLERANCE[precision], atol=1e-4)


@pytest.mark.parametrize("segments", LONG)
@pytest.mark.parametrize("precision", infer.TYPES)
@pytest.mark.parametrize(("n", "columns"), [(1, 16), (33, 112), (150, 64)])
def test_long_products(
    simd_level: str, precision: str, n: int, columns: int, segments: tuple[int, ...]
) -> None:
    stored, index, packed, expected = problem(precision, n, columns, 3, segments)
    out = torch.empty(n, columns)
    infer.linear(stored, index, packed, infer.Finish("store", out=out), 2)
    np.testing.assert_allclose(out.numpy(), expected, rtol=TOLERANCE[precision], atol=2e-4)


@pytest.mark.parametrize("segments", [SHORT, LONG[2]])
@pytest.mark.parametrize("precision", infer.TYPES)
def test_a_row_is_the_same_in_any_company(simd_level: str, precision: str, segments: tuple[int, ...]) -> None:
    stored, index, packed, _ = problem(precision, 200, 80, segments=segments)
    whole = torch.empty(200, 80)
    infer.linear(stored, index, packed, infer.Finish("store", out=whole), 1)
    for threads in (2, 3):
        again = torch.empty(200, 80)
        infer.linear(stored, index, packed, infer.Finish("store", out=again), threads)
        assert torch.equal(again, whole)
    for low, high in ((0, 1), (3, 10), (97, 200)):
        part = torch.empty(high - low, 80)
        infer.linear(stored, index[low:high], packed, infer.Finish("store", out=part), 1)
        assert torch.equal(part, whole[low:high])


@pytest.fixture(
    params=[
        *(level for level in _ops.simd_levels() if level not in ("avx2", "avx512")),
        *_ops.simd_extensions(),
    ]
)
def simd_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every level, and every extension of AVX-512 in place of it, forced."""
    _ops.force_simd(request.param)
    yield request.param
    _ops.force_simd("")


def every_level(run):  # type: ignore[no-untyped-def]
    """Results of ``run()`` at every SIMD level and extension."""
    results = []
    for level in _ops.simd_levels() + _ops.simd_extensions():
        _ops.force_simd(level)
        results.append(run())
        _ops.force_simd("")
    return results


@pytest.mark.parametrize("segments", [SHORT, *LONG])
def test_int8_is_the_same_bits_at_every_level(segments: tuple[int, ...]) -> None:
    stored, index, packed, _ = problem("int8", 50, 96, segments=segments)
    norm = torch.rand(48, generator=rng(1)), torch.randn(48, generator=rng(2)), 1e-5
    residual = torch.randn(50, 48, generator=rng(3))
    quantisation = infer.Quantisation.of(torch.full((48,), 3.0), signed=True)

    def run() -> list[Tensor]:
        hidden, following = torch.empty(50, 48), torch.empty(50, 48, dtype=torch.uint8)
        finish = infer.Finish(
            "glu", out=hidden, next=following, next_precision="int8", quantisation=quantisation,
            channels=48, norm=norm, residual=residual,
        )  # fmt: skip
        infer.linear(stored, index, packed, finish, 1)
        logs = torch.empty(50, 96)
        ends = torch.tensor([5, 30, 96], dtype=torch.int32)
        infer.linear(stored, index, packed, infer.Finish("log_softmax", out=logs, head_ends=ends), 1)
        return [hidden, following, logs]

    first, *others = every_level(run)
    assert first[1].float().std() > 5
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("channels", [1, 16, 20, 40])
def test_gate_and_norm(simd_level: str, channels: int) -> None:
    """Columns beyond ``channels`` are padding: zero before and after."""
    width, n, generator = infer.padded(channels), 9, rng(channels)
    real = torch.arange(width) < channels
    weight = torch.randn(2 * width, 8, generator=generator) * 3 * real.repeat(2)[:, None]
    bias = torch.randn(2 * width, generator=generator) * real.repeat(2)
    gamma, beta = (torch.randn(width, generator=generator) * real for _ in range(2))
    residual = torch.randn(12, width, generator=generator) * real
    places = torch.randint(0, 12, (n,), generator=generator, dtype=torch.int32)
    values = torch.randn(n, 8, generator=generator)
    packed = infer.pack(weight, bias, [8], "float32")
    index = torch.arange(n, dtype=torch.int32)[:, None]
    out, following = torch.empty(n, width), torch.empty(n, 2 * width, dtype=torch.uint8)
    finish = infer.Finish(
        "glu", out=out, next=following, next_precision="bfloat16", channels=channels,
        norm=(gamma, beta, 1e-5), residual=residual, residual_rows=places,
    )  # fmt: skip
    infer.linear(values.view(torch.uint8), index, packed, finish, 1)
    x = reference.linear(
        values.double().numpy(), index.numpy(), [8], weight.double().numpy(), bias.double().numpy()
    )
    mixed = reference.glu(x, residual[places.long()].double().numpy())[:, :channels]
    expected = reference.layer_norm(mixed, gamma[:channels].numpy(), beta[:channels].numpy(), 1e-5)
    np.testing.assert_allclose(out[:, :channels].numpy(), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(out[:, channels:], torch.zeros(n, width - channels))
    assert torch.equal(following.view(torch.bfloat16), out.bfloat16())

    normed = torch.empty(n, width)
    one = infer.pack(weight[:width], bias[:width], [8], "float32")
    finish = infer.Finish("norm", out=normed, channels=channels, norm=(gamma, beta, 1e-5))
    infer.linear(values.view(torch.uint8), index, one, finish, 1)
    expected = reference.layer_norm(x[:, :channels], gamma[:channels].numpy(), beta[:channels].numpy(), 1e-5)
    np.testing.assert_allclose(normed[:, :channels].numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("narrow", [False, True])
def test_table_sums_with_relu_side_by_side(simd_level: str, narrow: bool) -> None:
    """Two groups of 20 columns (32 with padding) over 2 and 3 entries; what follows takes 20 of each."""
    generator = rng(5)
    rows, taps = 30, [2, 3]
    table = torch.randn(8, 5, 32, generator=generator)
    bias = torch.randn(64, generator=generator)
    scale = None
    stored = table.reshape(8, -1)
    if narrow:
        scale = torch.rand(64, generator=generator) * 1e-3 + 1e-3
        of_part = torch.stack([scale[:32], scale[:32], scale[32:], scale[32:], scale[32:]])
        whole = (table / of_part).round()
        table, stored = whole * of_part, whole.reshape(8, -1).to(torch.int16)
    index = torch.randint(0, 8, (rows + 2,), generator=generator, dtype=torch.int32)
    expected = reference.table_sum(
        table.double().numpy(), index.numpy(), rows, 1, taps, bias.double().numpy()
    ).clip(min=0)
    quantisation = infer.Quantisation.of(torch.rand(64, generator=generator) * 4 + 1, signed=False)
    out, following = torch.empty(rows, 64), torch.empty(rows, 20 + 32, dtype=torch.uint8)
    finish = infer.Finish(
        "relu", out=out, next=following, next_precision="int8", quantisation=quantisation,
        groups=2, group_columns=20,
    )  # fmt: skip
    infer.table_sum(
        stored.contiguous().view(torch.uint8), index, rows, 1,
        infer.Taps(torch.tensor(taps, dtype=torch.int32), bias, scale), finish, 2,
    )  # fmt: skip
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-5)
    bytes_ = reference.quantise(out.double().numpy(), quantisation.scale.numpy(), 0)
    chosen = np.concatenate([bytes_[:, :20], bytes_[:, 32:52]], 1).astype(int)
    assert np.abs(following[:, :40].numpy().astype(int) - chosen).max() <= 1  # ties, in float32


def test_results_for_a_table(simd_level: str) -> None:
    """Int16 with a step per column, cut to its range."""
    stored, index, packed, expected = problem("float32", 20, 48)
    steps = torch.rand(48, generator=rng(7)) * 0.01 + 0.001
    steps[0] = 1e-6
    table = torch.empty(20, 48 * 2 + 6, dtype=torch.uint8)
    finish = infer.Finish(
        "store", next=table, next_precision="int16", quantisation=infer.Quantisation(1 / steps, 0)
    )
    infer.linear(stored, index, packed, finish, 2)
    found = table[:, :96].contiguous().view(torch.int16).numpy()
    wanted = np.clip(expected / steps.double().numpy(), -32767, 32767)
    assert set(np.abs(found[:, 0]).tolist()) == {32767}
    assert np.abs(found[:, 1:] - wanted[:, 1:]).max() <= 0.6


@pytest.mark.parametrize("filters", [1, 16, 40])
def test_characters(simd_level: str, filters: int) -> None:
    """Words with and without characters, at the edges and with gaps, beside other columns."""
    generator = rng(filters)
    width = infer.padded(filters)
    tables = torch.randn(9, 3, width, generator=generator)
    tables[0] = 0
    bias = torch.randn(width, generator=generator) - 1
    words = torch.randint(0, 9, (150, 7), generator=generator, dtype=torch.uint8)
    words[0], words[1] = 0, 8
    out = torch.full((150, filters + 5), 7.0)
    infer.characters(words, infer.CharacterTables(tables, bias, filters), out, 2, 2)
    expected = reference.characters(words.numpy(), tables.double().numpy(), bias.double().numpy())
    np.testing.assert_allclose(out[:, 2 : 2 + filters].numpy(), expected[:, :filters], rtol=1e-5, atol=1e-5)
    assert bool((out[:, :2] == 7).all())
    assert bool((out[:, 2 + filters :] == 7).all())


def test_what_has_instructions_of_its_own() -> None:
    """Int8 with either VNNI, bfloat16 with AVX512-BF16 or tiles; nothing without."""
    expected = {
        "avx2_vnni": ["int8"],
        "avx512_vnni": ["int8"],
        "avx512_bf16": ["bfloat16", "int8"],
        "avx512_amx": ["bfloat16", "int8"],
    }
    try:
        for level in _ops.simd_levels() + _ops.simd_extensions():
            if level in ("avx2", "avx512"):
                continue  # what is best of it
            _ops.force_simd(level)
            native = [precision for precision in infer.TYPES if infer.is_native(precision)]
            assert native == ["float32", *expected.get(level, [])]
    finally:
        _ops.force_simd("")


def test_bad_characters_are_named() -> None:
    tables = infer.CharacterTables(torch.zeros(4, 3, 16), torch.zeros(16), 10)
    words = torch.tensor([[1, 4]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="`characters` must be below the rows of `tables`"):
        infer.characters(words, tables, torch.empty(1, 10), 0, 1)
    with pytest.raises(ValueError, match="`out` has too few columns"):
        infer.characters(words - 1, tables, torch.empty(1, 10), 1, 1)
    with pytest.raises(ValueError, match="`out` must have a row for every word"):
        infer.characters(words - 1, tables, torch.empty(0, 10), 0, 1)


def test_log_softmax_of_heads(simd_level: str) -> None:
    """Heads of one tag, of more than a vector, and values far apart."""
    ends = [1, 20, 25]
    generator = rng(6)
    weight, bias = torch.randn(32, 8, generator=generator) * 20, torch.randn(32, generator=generator)
    values = torch.randn(11, 8, generator=generator)
    out = torch.empty(11, 25)
    finish = infer.Finish("log_softmax", out=out, head_ends=torch.tensor(ends, dtype=torch.int32))
    index = torch.arange(11, dtype=torch.int32)[:, None]
    infer.linear(values.view(torch.uint8), index, infer.pack(weight, bias, [8], "float32"), finish, 1)
    x = reference.linear(
        values.double().numpy(), index.numpy(), [8], weight.double().numpy(), bias.double().numpy()
    )
    np.testing.assert_allclose(out.numpy(), reference.log_softmax(x, ends), rtol=1e-5, atol=1e-4)


def test_values_beyond_the_ranges_saturate() -> None:
    values = torch.tensor([[1e9, -1e9, 3.0, 0.0]])
    packed = infer.pack(torch.eye(16)[:, :4].contiguous(), torch.zeros(16), [4], "float32")
    following = torch.empty(1, 16, dtype=torch.uint8)
    quantisation = infer.Quantisation.of(torch.full((16,), 3.0), signed=True)
    finish = infer.Finish("norm", next=following, next_precision="int8", quantisation=quantisation,
                          channels=16, norm=(torch.full((16,), 100.0), torch.zeros(16), 1e-5))  # fmt: skip
    infer.linear(values.view(torch.uint8), torch.zeros(1, 1, dtype=torch.int32), packed, finish, 1)
    assert following[0, :2].tolist() == [255, 0]


def test_bad_arguments_are_named() -> None:
    stored, index, packed, _ = problem("float32", 4, 16)
    finish = infer.Finish("store", out=torch.empty(4, 16))
    with pytest.raises(ValueError, match=r"`index` must lie in \[0, 5\), got 7"):
        infer.linear(stored, torch.full_like(index, 7), packed, finish, 1)
    with pytest.raises(ValueError, match="`out` must have a row for every row"):
        infer.linear(stored, index, packed, infer.Finish("store", out=torch.empty(3, 16)), 1)
    with pytest.raises(ValueError, match="there must be an output"):
        infer.linear(stored, index, packed, infer.Finish("relu"), 1)
    with pytest.raises(ValueError, match="`lengths` must be multiples of 4"):
        infer.linear(stored[:, :8].contiguous(), index, packed, finish, 1)
    with pytest.raises(ValueError, match="does not fit segments"):
        infer.pack(torch.zeros(16, 8), torch.zeros(16), [4], "float32")
    table = torch.zeros(3, 64, dtype=torch.uint8)
    taps = infer.Taps(torch.tensor([2], dtype=torch.int32), torch.zeros(16))
    with pytest.raises(ValueError, match="`table` has too few columns"):
        infer.table_sum(table, torch.zeros(9, dtype=torch.int32), 4, 1, taps, finish, 1)
    taps = infer.Taps(torch.tensor([1], dtype=torch.int32), torch.zeros(16))
    with pytest.raises(ValueError, match="`index` is too short"):
        infer.table_sum(table, torch.zeros(3, dtype=torch.int32), 4, 1, taps, finish, 1)
    for step in (2**62, 2**63 - 1):  # times the rows, no int64
        with pytest.raises(ValueError, match="`index` is too short"):
            infer.table_sum(table, torch.zeros(3, dtype=torch.int32), 4, step, taps, finish, 1)
    norm = infer.Finish(
        "norm", out=torch.empty(4, 16), norm=(torch.ones(16), torch.ones(16), 1e-5), channels=2**63 - 1
    )
    with pytest.raises(ValueError, match="`channels` does not fit"):
        infer.linear(stored, index, packed, norm, 1)


def test_cuda_tensors_are_refused() -> None:
    """Host code would read through their addresses."""
    stored, index, packed, _ = problem("float32", 4, 16)
    finish = infer.Finish("store", out=torch.empty(4, 16))
    facts, argument = finish.facts(), _native.argument

    def linear(change: str) -> None:
        weights = [argument(packed.panels), argument(packed.bias), None, None]
        values = [argument(stored), argument(index), list(packed.lengths), *weights, facts]
        place = {"values": 0, "index": 1, "weights": 3, "bias": 4, "scale": 5}.get(change)
        if place is None:
            values[7] = {**facts, change: cuda_capsule()}
        else:
            values[place] = cuda_capsule()
        _ops.infer_linear(0, *values, 1)

    # A build without CUDA says so; one with it, that these run on the CPU.
    errors, message = (RuntimeError, ValueError), "`{}` (must be on the CPU|got CUDA tensors)"
    for name in ("values", "index", "weights", "bias", "scale", "out", "next"):
        with pytest.raises(errors, match=message.format(name)):
            linear(name)
    with pytest.raises(errors, match=message.format("values")):
        _ops.gated_taps(cuda_capsule(), None, None, 0, 1, 0, 0.5, np.zeros((0, 1), np.float32), 1, 0)
