"""viterbi_decode: against loops and enumeration, on every SIMD level and device, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast import _ops
from bioner_fast.ops import viterbi_decode
from reference import viterbi as reference

# Both layouts of the SIMD code and their borders: 1 to 9 tags, then whole and broken vectors of to-tags.
TAGS = [1, 2, 3, 5, 8, 9, 10, 12, 16, 25, 31, 32, 33, 65]
READOUTS = ["path", "forward_argmax"]
KINDS = ["normal", "ties", "near", "limits", "forbidden", "wild"]
INF = float("inf")


def make(lengths, k, kind="normal", seed=0, dtype=np.float32):
    """Emissions, transitions, offsets, start, end as arrays."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    arrays = [rng.normal(size=s) for s in ((offsets[-1], k), (k, k), (k,), (k,))]
    if kind == "ties":  # few distinct values, exact in every precision
        arrays = [np.round(a) for a in arrays]
    if kind == "forbidden":
        for array in arrays:
            array[rng.random(array.shape) < 0.4] = -INF
    if kind == "near":  # ties but for the last bits, which only wide sums tell apart
        arrays = [np.round(a) + rng.normal(size=a.shape) * 2e-6 for a in arrays]
    if kind == "limits":  # around what the fixed-point pass of the SIMD levels can hold
        edges = [
            128.0,
            np.nextafter(np.float32(128), np.float32(0)),
            np.nextafter(np.float32(128), np.float32(999)),
        ]
        for array in arrays:
            chosen = rng.random(array.shape) < 0.3
            array[:] = np.where(chosen, rng.choice([*edges, 127.0, 500.0], array.shape), array)
            array *= np.where(rng.random(array.shape) < (1.0 if seed % 2 else 0.3), -1, 1)
    if kind == "wild":
        for array in arrays:
            for value in (-INF, np.nan, INF, 1e30, -0.0, 0.0):
                array[rng.random(array.shape) < 0.08] = value
    emissions, transitions, start, end = (a.astype(dtype) for a in arrays)
    return emissions, transitions, offsets, start, end


def decode(arrays, readout="path", device="cpu"):
    emissions, transitions, offsets, start, end = (
        None if a is None else torch.from_numpy(a).to(device) for a in arrays
    )
    tags, scores = viterbi_decode(emissions, transitions, offsets, start, end, readout)
    return tags.cpu().numpy(), scores.cpu().numpy()


def check(arrays, readout="path", device="cpu"):
    tags, scores = decode(arrays, readout, device)
    wanted_tags, wanted_scores = reference.decode(*arrays, readout)
    np.testing.assert_array_equal(tags, wanted_tags)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(scores, wanted_scores.astype(arrays[0].dtype))


# ---- The oracle


@pytest.mark.parametrize("kind", ["normal", "ties", "forbidden"])
def test_the_reference_is_proved_by_enumeration(kind) -> None:
    """The best of all sequences; of equally good ones, the one that is lowest read from the end."""
    for seed, (k, length) in enumerate([(1, 1), (2, 1), (3, 1), (1, 4), (2, 5), (3, 4), (4, 3)]):
        emissions, transitions, offsets, start, end = make([length], k, kind, seed, np.float64)
        tags, scores = reference.decode(emissions, transitions, offsets, start, end)
        ranked = sorted(
            (-reference.path_score(emissions, transitions, path, start, end), path[::-1])
            for path in reference.sequences(k, length)
        )
        assert scores[0] == pytest.approx(-ranked[0][0], rel=1e-12)
        if kind == "normal" or (kind == "ties" and scores[0] > -INF):
            assert tuple(tags[::-1]) == ranked[0][1]


# ---- Values


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_reference(simd_level, readout, kind, dtype) -> None:
    for k in TAGS:
        lengths = [3, 0, 9, 1, 1, 17, 4, 0, 26, 2, 5] if k < 33 else [3, 0, 1, 6, 2, 2]
        check(make(lengths, k, kind, k, dtype), readout)


@pytest.mark.parametrize("readout", READOUTS)
def test_equals_the_reference_on_every_device(device, readout) -> None:
    for k in TAGS:
        check(make([3, 0, 9, 1, 40], k, "ties", k), readout, device)


@pytest.mark.parametrize("k", [3, 12])
def test_batches_with_empty_sentences(simd_level, offsets, k) -> None:
    check(make(np.diff(offsets.numpy()), k))


def test_k_256(simd_level) -> None:
    check(make([3, 1, 0, 2], 256, "ties"))
    check(make([4], 255))


def test_more_than_256_tags_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`emissions` must have between 1 and 256 tags, got shape \[2, 257\]"
    ):
        viterbi_decode(torch.zeros(2, 257), torch.zeros(257, 257), torch.tensor([0, 2]))


@pytest.mark.parametrize("k", [5, 25])
def test_start_and_end_are_optional(simd_level, k) -> None:
    emissions, transitions, offsets, start, end = make([4, 1, 7], k)
    for given_start, given_end in ((None, None), (start, None), (None, end)):
        check((emissions, transitions, offsets, given_start, given_end))


@pytest.mark.parametrize("k", [4, 20])
def test_everything_forbidden(simd_level, k) -> None:
    """The search starts at index 0 with -inf: valid tags, score -inf."""
    arrays = make([5, 1, 3], k)
    arrays[0][:] = -INF
    tags, scores = decode(arrays)
    assert (tags == 0).all()
    assert (scores == -INF).all()


@pytest.mark.parametrize("k", [4, 20])
def test_nan_never_wins(simd_level, k) -> None:
    arrays = make([5, 1, 30, 3], k)
    arrays[0][:, 1] = np.nan
    check(arrays)
    tags, scores = decode(arrays)
    assert (tags != 1).all()
    assert np.isfinite(scores).all()
    arrays[0][:] = np.nan
    tags, scores = decode(arrays)
    assert (tags == 0).all()
    assert (scores == -INF).all()


@given(
    lengths=st.lists(st.integers(0, 12), max_size=9),
    k=st.integers(1, 20),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    readout=st.sampled_from(READOUTS),
)
@settings(max_examples=150, deadline=None)
def test_random_batches_on_every_level(lengths, k, kind, seed, readout) -> None:
    arrays = make(lengths, k, kind, seed)
    try:
        for level in _ops.simd_levels():
            _ops.force_simd(level)
            check(arrays, readout)
    finally:
        _ops.force_simd("")


@pytest.mark.parametrize("kind", ["normal", "near", "limits"])
def test_the_same_bits_for_every_level_and_number_of_threads(kind) -> None:
    """A batch that is split between threads and fills the vectors; equality, not tolerance."""
    rng = np.random.default_rng(3)
    before = torch.get_num_threads()
    try:
        for k in (2, 3, 4, 5, 6, 7, 8, 9, 14, 25, 31, 32, 35, 65, 80):
            count = 900 if k < 10 else 200
            arrays = make(np.minimum(rng.geometric(1 / 26, size=count), 327), k, kind, seed=k)
            results = []
            for level in _ops.simd_levels():
                _ops.force_simd(level)
                for count in (1, 2, 3, 7):
                    torch.set_num_threads(count)
                    results.append(decode(arrays))
            for tags, scores in results[1:]:
                np.testing.assert_array_equal(tags, results[0][0])
                np.testing.assert_array_equal(scores, results[0][1])
    finally:
        _ops.force_simd("")
        torch.set_num_threads(before)


@pytest.mark.parametrize("k", [2, 3, 4, 5, 9, 25, 35, 65])
def test_a_sentence_never_sees_its_neighbours(simd_level, k) -> None:
    """Lanes go on beyond a short sentence, into what follows it: NaN, or numbers that leave no proof."""
    lengths = [1, 40, 2, 7, 7, 5, 40, 1, 1, 3, 26, 4, 4, 6, 7, 9, 11, 40, 2]
    for value in (np.nan, INF, -INF, 1e30, -1e30):
        arrays = make(lengths, k, seed=k)
        for begin, end in itertools.pairwise(arrays[2][[1, 2, 6, 7, 17, 18]]):  # the sentences of 40
            if end - begin == 40:
                arrays[0][begin:end] = value
        check(arrays)


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_the_sign_of_a_zero_score(simd_level, k) -> None:
    """Sums of negative zeros are one, on every level."""
    signs = []
    for zero in (0.0, -0.0):
        emissions, transitions, offsets, start, end = make([1, 2, 5] * 6, k)
        for array in (emissions, transitions, start, end):
            array[:] = -100.0
            array.T[0] = zero  # tag 0, from wherever
        scores = decode((emissions, transitions, offsets, start, end))[1]
        assert (scores == 0).all()
        signs.append(np.signbit(scores))
    assert not signs[0].any()
    assert signs[1].all()


# ---- Long sentences


def vectorised_path(emissions, transitions):
    """The float64 path of one long sentence; as the reference, a row at a time."""
    alpha = emissions[0].astype(np.float64)
    transitions = transitions.astype(np.float64)
    back = np.empty(emissions.shape, np.int64)
    for t in range(1, len(emissions)):
        candidates = alpha[:, None] + transitions
        back[t] = candidates.argmax(0)
        alpha = emissions[t] + candidates[back[t], np.arange(len(alpha))]
    tag = int(alpha.argmax())
    score = alpha[tag]
    tags = np.empty(len(emissions), np.int64)
    for t in range(len(emissions) - 1, -1, -1):
        tags[t] = tag
        tag = back[t, tag]
    return tags, score


@pytest.mark.parametrize(("k", "scale", "shift"), [(5, 1.0, 0.0), (9, 20.0, -50.0), (25, 0.01, 10.0)])
def test_a_long_float32_sentence_gets_the_float64_path(device, k, scale, shift) -> None:
    """100,000 tokens. Plain float32 sums go wrong here, which the test shows too."""
    rng = np.random.default_rng(k)
    emissions = (rng.normal(size=(100_000, k)) * scale + shift).astype(np.float32)
    transitions = (rng.normal(size=(k, k)) * scale).astype(np.float32)
    offsets = np.array([0, len(emissions)])
    tags, score = vectorised_path(emissions, transitions)
    got_tags, got_scores = decode((emissions, transitions, offsets, None, None), device=device)
    np.testing.assert_array_equal(got_tags, tags)
    assert got_scores[0] == np.float32(score)


def test_plain_float32_would_drift() -> None:
    """The sentences above are hard enough: float32 sums lose the path."""
    rng = np.random.default_rng(25)
    emissions = (rng.normal(size=(100_000, 25)) * 0.01 + 10).astype(np.float32)
    transitions = (rng.normal(size=(25, 25)) * 0.01).astype(np.float32)
    alpha = emissions[0]
    back = np.empty(emissions.shape, np.int64)
    for t in range(1, len(emissions)):
        candidates = alpha[:, None] + transitions
        back[t] = candidates.argmax(0)
        alpha = emissions[t] + candidates.max(0)
    tag = int(alpha.argmax())
    drifted = np.empty(len(emissions), np.int64)
    for t in range(len(emissions) - 1, -1, -1):
        drifted[t] = tag
        tag = back[t, tag]
    assert (drifted != vectorised_path(emissions, transitions)[0]).any()


# ---- The published system

PUBLISHED = ["NCBI-disease.IOB", "NCBI-disease.IOBES", "BC5CDR.IOBES", "CRAFT.IOBES", "BioNLP13CG.IOBES"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_outputs(shared, simd_level, name) -> None:
    """The published readout, and exact decoding of the same inputs; of ties only the scores."""
    golden = np.load(shared / "golden" / "viterbi" / f"{name}.npz")
    compared = 0
    for variant in ("bin_none", "bin_addone", "prob_none", "prob_addone"):
        transitions = np.ascontiguousarray(golden[f"trans_log_to_from_{variant}"].T)
        start = golden[f"start_log_{variant}"]
        for kind in ("normal", "sharp", "ties"):
            offsets = np.concatenate([[0], np.cumsum(golden[f"lens_{kind}"])])
            with np.errstate(divide="ignore"):
                emissions = np.log(golden[f"emit_{kind}"].astype(np.float64))
            arrays = (emissions, transitions, offsets, start, None)
            tags, scores = decode(arrays)
            exact = golden[f"exactscore_{kind}_{variant}"]
            np.testing.assert_allclose(scores, exact, rtol=1e-12)
            if kind == "ties":
                continue
            possible = np.repeat(scores > -INF, np.diff(offsets))
            np.testing.assert_array_equal(tags[possible], golden[f"exact_{kind}_{variant}"][possible])
            published, _ = decode(arrays, "forward_argmax")
            np.testing.assert_array_equal(published, golden[f"seed_{kind}_{variant}"])
            compared += possible.sum()
    assert compared > 1000


# ---- Torch


def test_opcheck(device) -> None:
    offsets = torch.tensor([0, 0, 4, 5], device=device)
    for dtype in (torch.float32, torch.float64):
        emissions = torch.randn(5, 3, dtype=dtype, device=device)
        transitions = torch.randn(3, 3, dtype=dtype, device=device)
        for start in (None, torch.randn(3, dtype=dtype, device=device)):
            for readout in (0, 1):
                arguments = (emissions, transitions, offsets, start, None, readout)
                torch.library.opcheck(torch.ops.bioner_fast.viterbi_decode.default, arguments)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_without_graph_breaks(device, dynamic) -> None:
    def both(emissions, transitions, offsets):
        tags, scores = viterbi_decode(emissions * 2, transitions, offsets)
        return tags + 1, scores.exp()

    compiled = torch.compile(both, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for lengths in ([2, 0, 3], [1, 4, 2, 5]):
        emissions, transitions, offsets, _, _ = (torch.from_numpy(a).to(device) for a in make(lengths, 4))
        for mine, theirs in zip(
            compiled(emissions, transitions, offsets), both(emissions, transitions, offsets), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_outputs_carry_no_gradient(device) -> None:
    emissions = torch.randn(3, 2, requires_grad=True, device=device)
    tags, scores = viterbi_decode(
        emissions, torch.zeros(2, 2, device=device), torch.tensor([0, 3], device=device)
    )
    assert not tags.requires_grad
    assert not scores.requires_grad


def test_inputs_that_are_not_contiguous(device) -> None:
    arrays = make([4, 3], 6)
    emissions, transitions, offsets, start, end = (torch.from_numpy(a).to(device) for a in arrays)
    wanted = viterbi_decode(emissions, transitions, offsets, start, end)
    strided = (
        emissions.t().contiguous().t(),
        transitions.t().contiguous().t(),
        torch.stack([offsets, offsets], 1)[:, 0],
        torch.stack([start, start], 1)[:, 0],
        end.flip(0).flip(0),
    )
    assert not strided[0].is_contiguous()
    for mine, theirs in zip(viterbi_decode(*strided), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


# ---- Errors

GOOD = {
    "emissions": torch.zeros(3, 2),
    "transitions": torch.zeros(2, 2),
    "offsets": torch.tensor([0, 1, 3]),
    "start": torch.zeros(2),
    "end": torch.zeros(2),
    "readout": "path",
}


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("emissions", [[0.0]], TypeError, "`emissions` must be a tensor, got list"),
        (
            "emissions",
            torch.zeros(3, 2, dtype=torch.int32),
            TypeError,
            "`emissions` must be float16, bfloat16, float32 or float64, got int32",
        ),
        ("emissions", torch.zeros(3), ValueError, "`emissions` must have 2 dimensions, got shape [3]"),
        ("emissions", torch.zeros(3, 0), ValueError, "between 1 and 256 tags, got shape [3, 0]"),
        (
            "transitions",
            torch.zeros(2, 3),
            ValueError,
            "`transitions` must have shape [K, K] = [2, 2], got [2, 3]",
        ),
        (
            "transitions",
            torch.zeros(2, 2).double(),
            TypeError,
            "`transitions` must have the dtype of `emissions`",
        ),
        ("transitions", torch.zeros(2, 2, device="meta"), ValueError, "`transitions` must be on the device"),
        ("offsets", torch.tensor([0.0, 3.0]), TypeError, "`offsets` must be int32 or int64, got float32"),
        ("offsets", torch.zeros(0, dtype=torch.int64), ValueError, "`offsets` must have shape [B + 1]"),
        ("offsets", torch.tensor([1, 3]), ValueError, "`offsets`"),
        ("offsets", torch.tensor([0, 2]), ValueError, "`offsets`"),
        ("offsets", torch.tensor([0, 4]), ValueError, "`offsets`"),
        ("offsets", torch.tensor([0, 2, 1, 3]), ValueError, "`offsets`"),
        ("offsets", torch.tensor([0, 2**62, 3]), ValueError, "`offsets`"),
        ("start", torch.zeros(3), ValueError, "`start` must have shape [K] = [2], got [3]"),
        (
            "end",
            torch.zeros(2).double(),
            TypeError,
            "`end` must have the dtype of `emissions` (float32), got float64",
        ),
        ("readout", "best", ValueError, '`readout` must be "path" or "forward_argmax", got \'best\''),
    ],
)
def test_wrong_arguments(argument, value, error, message) -> None:
    with pytest.raises(error) as caught:
        viterbi_decode(**{**GOOD, argument: value})
    assert message in str(caught.value)
