"""An MLP's step in one call: against the formulas in float64, with operands rounded where it rounds them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast import _ops
from bioner_fast.ops import dense, mlp
from reference import step as reference
from reference.gated import dropout

pytestmark = pytest.mark.usefixtures("dense_level")

PLACES, WORDS, CLASSES = 90, 12, 5
# Of windows: a row of neighbours, with gaps; tokens in any order, one of them twice.
STARTS = {
    "neighbours": [0, 1, 2, 3, 6, 7, 8, 20, 21, 40, 41, 42, 43, 44, 45, 80],
    "any order": [33, 2, 80, 3, 4, 80, 80, 11, 10, 9],
    "one": [5],
}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(window: int = 7, dim: int = 6, caps: int = 2, hidden: int = 40, tags: int = 5) -> mlp.MlpWeights:
    inputs = window * (dim + caps)
    layer = random(hidden, inputs, seed=3) / inputs**0.5
    return mlp.MlpWeights(
        random(WORDS, dim, seed=1), random(CLASSES, caps, seed=2) if caps else None, layer,
        dense.blocks(layer), random(hidden, seed=4) / 8, random(tags, hidden, seed=5) / hidden**0.5,
        random(tags, seed=6) / 8,
    )  # fmt: skip


def windows(starts: list[int], window: int = 7) -> mlp.Windows:
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, WORDS, (PLACES,), generator=generator)  # each of the few words many times
    return mlp.Windows(ids, ids % CLASSES, torch.tensor(starts), window)


def copy(w: mlp.MlpWeights) -> mlp.MlpWeights:
    return dataclasses.replace(w, **{name: value.clone() for name, value in named(w).items()})


def named(w: mlp.MlpWeights) -> dict[str, Tensor]:
    values = {field.name: getattr(w, field.name) for field in dataclasses.fields(w)}
    return {name: value for name, value in values.items() if value is not None}


def rounded(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = torch.from_numpy(values).float().bfloat16().double().numpy()
    return result


def expected(
    w: mlp.MlpWeights, x: mlp.Windows, gold: list[int], size: int, seed: int, share: float,
    clip: tuple[float, float],
) -> tuple[float, dict[str, np.ndarray]]:  # fmt: skip
    """The loss, and gradients of all that is learnt, one token after another."""
    v = {name: value.double().numpy() for name, value in named(w).items()}
    places = [list(range(start, start + x.size)) for start in x.starts.tolist()]
    parts = [v["words"], v["caps"]] if "caps" in v else [v["words"]]
    ids = [x.words.tolist(), x.caps.tolist()]

    def row(place: int) -> np.ndarray:
        return np.concatenate([table[of[place]] for table, of in zip(parts, ids, strict=False)])

    read = rounded(np.stack([np.concatenate([row(p) for p in mine]) for mine in places]))
    layer = rounded(v["hidden"])
    kept = dropout(np.ones((len(gold), len(layer))), share, seed)
    sums = read @ layer.T + v["bias"]
    units = np.maximum(sums, 0) * kept
    loss, into, head, head_bias = reference.head(units, v["head"], v["head_bias"], gold, size, clip)
    into = np.where(sums > 0, into * kept, 0)
    made = {"bias": into.sum(0), "head": head, "head_bias": head_bias}
    into = rounded(into)
    made["hidden"] = into.T @ read
    back = (into @ layer).reshape(len(gold), x.size, -1)
    dim = v["words"].shape[1]
    made["words"] = np.zeros_like(v["words"])
    if "caps" in v:
        made["caps"] = np.zeros_like(v["caps"])
    for n, mine in enumerate(places):
        for p, place in enumerate(mine):
            made["words"][ids[0][place]] += back[n, p, :dim]
            if "caps" in v:
                made["caps"][ids[1][place]] += back[n, p, dim:]
    return loss, made


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS.keys())
@pytest.mark.parametrize(
    ("shape", "share", "clip"),
    [
        ({}, 0.0, (-np.inf, np.inf)),
        ({"caps": 0}, 0.5, (-np.inf, np.inf)),
        ({"window": 1, "dim": 1, "caps": 1, "hidden": 1, "tags": 2}, 0.0, (-np.inf, np.inf)),
        ({"window": 3, "dim": 33, "hidden": 70, "tags": 9}, 0.3, (-1.0, -0.5)),
    ],
)
def test_a_step(starts: list[int], shape: dict[str, int], share: float, clip: tuple[float, float]) -> None:
    w, x = weights(**shape), windows(starts, shape.get("window", 7))
    gold = [n % len(w.head) for n in range(len(starts))]
    loss, gradients = expected(w, x, gold, 20, 9, share, clip)
    before = copy(w)
    found = mlp.sgd(
        w, x, torch.tensor(gold), size=20, rate=0.5, word_rate=0.25, seed=9, share=share, clip=clip
    )
    assert found == pytest.approx(loss, rel=1e-5)
    for name, grad in gradients.items():
        rate = 0.25 if name == "words" else 0.5
        change = (named(before)[name].double() - named(w)[name].double()) / rate
        # A gradient may be rounded to bfloat16 to the other side.
        scale = np.abs(grad).max() + 1e-4
        np.testing.assert_allclose(change.numpy(), grad, rtol=0, atol=5e-3 * scale, err_msg=name)
    assert torch.equal(w.low, dense.blocks(w.hidden))


def test_threads_change_nothing() -> None:
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            w = weights(dim=205, caps=5, hidden=300)
            losses = [
                mlp.sgd(w, windows(starts), torch.zeros(len(starts)).long(), size=9, rate=0.1, word_rate=0.1)
                for starts in STARTS.values()
            ]
            results.append((losses, w))
    finally:
        torch.set_num_threads(threads)
    for losses, w in results[1:]:
        assert losses == results[0][0]
        for name, value in named(w).items():
            assert torch.equal(value, named(results[0][1])[name]), name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"words": torch.zeros(WORDS, 7)}, "`weights` must have shape"),
        ({"words": torch.zeros(WORDS, 6).double()}, "`word_table` must be float32"),
        ({"words": torch.zeros(3, 6)}, r"`word_ids` must lie in \[0, 3\)"),
        ({"caps": torch.zeros(1, 2)}, r"`cap_ids` must lie in \[0, 1\)"),
        ({"caps": torch.zeros(0, 2)}, "`cap_table` must not be empty"),
        ({"low": torch.zeros(1024).bfloat16()}, "`low` must have shape"),
        ({"bias": torch.zeros(3)}, "`bias` must have shape"),
        ({"head": torch.zeros(5, 3)}, "`head_weights` must have shape"),
        ({"head": torch.zeros(0, 40)}, "must not be empty"),
        ({"head_bias": torch.zeros(3)}, "`head_bias` must have shape"),
        ({"starts": torch.tensor([0, 84])}, r"`starts` must lie in \[0, 84\), got 84 at position 1"),
        ({"starts": torch.tensor([-1, 0])}, "`starts` must lie in"),
        ({"starts": torch.tensor([], dtype=torch.int64)}, "`starts` must not be empty"),
        ({"starts": torch.tensor([0])}, "`gold` must have shape"),
        ({"gold": torch.tensor([0, 5])}, "`gold`"),
        ({"size": 0}, "`size` must be positive"),
        ({"share": 1.0}, "`share` must be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    w, x = weights(), windows([0, 83])
    w = dataclasses.replace(w, **{k: v for k, v in changed.items() if k in named(w)})
    x = dataclasses.replace(x, starts=changed.get("starts", x.starts))
    before = copy(w)
    how = {"size": 2, "rate": 0.1, "word_rate": 0.1, "share": 0.0}
    how |= {key: value for key, value in changed.items() if key in how}
    with pytest.raises((ValueError, TypeError), match=message):
        mlp.sgd(w, x, changed.get("gold", torch.tensor([0, 4])), **how)
    for name, value in named(w).items():
        assert torch.equal(value, named(before)[name]), name


def test_levels_below_cannot() -> None:
    w = weights()
    try:
        _ops.force_simd("scalar")
        with pytest.raises(ValueError, match="needs a processor with AMX"):
            mlp.sgd(w, windows([0]), torch.tensor([0]), size=1, rate=0.1, word_rate=0.1)
    finally:
        _ops.force_simd("")
