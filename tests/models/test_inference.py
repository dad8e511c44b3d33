"""Engines against the networks they were made of."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.features.word_forms import WordForms
from bioner_fast.models import engine as engines
from bioner_fast.models.base import Network
from bioner_fast.models.engine import Engine, RowCache, Tokens
from bioner_fast.models.registry import build_engine, can_run
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork
from tiny_bundle import WORDS, heads, network
from tiny_idcnn import TOKENS, idcnn, text

SENTENCES = [
    [random.Random(seed).choice(TOKENS) for _ in range(length)]
    for seed, length in enumerate([1, 40, 0, 7, 2, 90, 1, 3])
]


def windows(**changes) -> TaggingNetwork:  # type: ignore[no-untyped-def]
    """A random windowed network whose sizes are not multiples of anything."""
    tasks = tuple((head.name, len(head.tagset.names)) for head in heads())
    settings = {"filters": 6, "hidden": (18,), "caps_dim": 3, "sharing": "multi-output"} | changes
    if settings["sharing"] != "multi-output":
        tasks = tasks[:2] if settings["sharing"] == "dependent" else tasks[:1]
    made = TaggingNetwork(NetworkConfig(tasks, rows=len(WORDS) + 2, word_dim=8, **settings))
    made.reset(torch.Generator().manual_seed(3))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.mul_(20.0 if name.startswith("embedding") else 1.5)
            if "bias" in name:
                parameter.uniform_(-0.5, 0.5)
    return made.eval()


NETWORKS = {
    "idcnn": lambda: idcnn(),
    "idcnn, channels 20, no characters": lambda: idcnn(channels=20, char_filters=0, dilations=(1, 2, 3, 1)),
    "idcnn, one block, no affixes": lambda: idcnn(affix_dim=0, dilations=(2,)),
    "cnn": lambda: windows(),
    "cnn, widths out of order": lambda: windows(filter_widths=(5, 2, 3), filters=17),
    "cnn, two hidden layers, no caps": lambda: windows(hidden=(21, 10), caps_dim=0, window=5),
    "cnn, dependent": lambda: windows(sharing="dependent"),
    "cnn, one task, one width": lambda: windows(sharing="single", filter_widths=(7,)),
    "mlp": lambda: windows(filter_widths=()),
    "mlp, three hidden layers": lambda: windows(filter_widths=(), hidden=(19, 40, 8)),
    "tiny bundle": lambda: network(heads()).eval(),
}


def tokens_of(features: Features) -> Tokens:
    forms = features.forms
    assert forms is not None
    return Tokens(
        features.word_ids.numpy().astype(np.int32),
        features.caps.numpy(),
        WordForms(forms.ids.numpy().astype(np.int32), forms.characters.numpy(), forms.affixes.numpy()),
    )


def run(engine: Engine, features: Features) -> Tensor:
    with torch.inference_mode():
        placed = engine.place(tokens_of(features))
        return engine.log_probabilities(placed, 0, len(features), features.offsets.numpy())


def expected(made: Network, features: Features) -> Tensor:
    return torch.cat(list(made.log_probabilities(features).values()), 1)


def engine_of(made: Network, precision: str) -> Engine:
    ranges = None
    if precision == "int8":
        watching = build_engine(made, "float32", observe=True)
        run(watching, text(SENTENCES))
        ranges = watching.observed
    return build_engine(made, precision, ranges)


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_is_the_network(name: str) -> None:
    made, features = NETWORKS[name](), text(SENTENCES)
    torch.testing.assert_close(
        run(build_engine(made, "float32"), features), expected(made, features), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_faster_precisions_are_close(name: str, precision: str) -> None:
    """Probabilities of random networks, whose weights are far larger than those of trained ones."""
    made, features = NETWORKS[name](), text(SENTENCES)
    found, wanted = run(engine_of(made, precision), features).exp(), expected(made, features).exp()
    assert float((found - wanted).abs().mean()) < 0.01
    assert float((found - wanted).abs().max()) < 0.3


@pytest.mark.parametrize("precision", engines.PRECISIONS)
@pytest.mark.parametrize("name", ["idcnn", "cnn", "mlp"])
def test_the_same_bits_in_any_company(name: str, precision: str) -> None:
    engine = engine_of(NETWORKS[name](), precision)
    features = text(SENTENCES)
    whole = run(engine, features)
    for (start, stop), sentence in zip(itertools.pairwise(features.offsets.tolist()), SENTENCES, strict=True):
        assert torch.equal(run(engine, text([sentence])), whole[start:stop])
    engine.threads = 3
    assert torch.equal(run(engine, features), whole)


@pytest.mark.parametrize("precision", engines.PRECISIONS)
@pytest.mark.parametrize("name", ["idcnn", "cnn"])
def test_full_tables_start_anew(monkeypatch: pytest.MonkeyPatch, name: str, precision: str) -> None:
    """Also while other threads still read the old ones."""
    engine = engine_of(NETWORKS[name](), precision)
    wanted = [run(engine, text([sentence])) for sentence in SENTENCES]
    monkeypatch.setattr(engine._cache, "_capacity", 12)
    wrong: list[int] = []

    def work(seed: int) -> None:
        order = list(range(len(SENTENCES)))
        random.Random(seed).shuffle(order)
        wrong.extend(i for i in order * 5 if not torch.equal(run(engine, text([SENTENCES[i]])), wanted[i]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_form_with_two_words() -> None:
    """Nothing says that equal tokens were looked up alike."""
    made, features = idcnn(), text([["cancer"] * 6 + ["gene"] * 3])
    features.word_ids[2:5] = torch.tensor([1, 4, 5])
    torch.testing.assert_close(
        run(build_engine(made, "float32"), features), expected(made, features), rtol=1e-5, atol=2e-5
    )


def test_int16_tables_hold_the_largest_products() -> None:
    """The steps are bounds: a word vector of any direction fits."""
    made = windows(filters=3)
    kernel = made.encoders[0].kernels[0].detach()  # type: ignore[union-attr, index]
    with torch.no_grad():
        made.embedding.words[5] = 50 * kernel[0, 0, :8]
        made.embedding.words[6] = -50 * kernel[0, 0, :8]
    features = text([[WORDS[3], WORDS[4], WORDS[3]]])
    torch.testing.assert_close(
        run(build_engine(made, "bfloat16"), features).exp(), expected(made, features).exp(), atol=0.05, rtol=0
    )


def test_what_an_engine_needs() -> None:
    with pytest.raises(ValueError, match="int8 needs the ranges"):
        build_engine(idcnn(), "int8")
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16, int8, got 'int4'"):
        build_engine(idcnn(), "int4")
    assert not can_run(windows(filter_widths=(), hidden=()))
    engine = build_engine(idcnn(), "float32")
    with pytest.raises(ValueError, match="needs tokens with forms"):
        engine.place(Tokens(np.zeros(1, np.int32), np.zeros(1, np.uint8)))


def test_no_tokens() -> None:
    for name in ("idcnn", "cnn", "mlp"):
        engine = engine_of(NETWORKS[name](), "int8")
        assert run(engine, text([[], []])).shape == (0, sum(tags for _, tags in engine.heads))


def keys_of(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Numbers as keys uint8 [n, 8]."""
    return np.asarray(numbers, np.int64)[:, None].view(np.uint8)


def test_new_tokens_that_look_alike_leave_rows_of_later_ones_alone() -> None:
    cache = RowCache(lambda rows: {"key": torch.zeros(rows, dtype=torch.int64)}, 8)

    def place(keys: list[int]) -> list[int]:
        def fill(which: np.ndarray, tables: dict[str, torch.Tensor], row: int) -> None:
            for i, place in enumerate(which.tolist()):
                tables["key"][row + i] = keys[place]

        rows, tables = cache.place(keys_of(keys), fill)
        placed: list[int] = tables["key"][torch.from_numpy(rows).long()].tolist()
        return placed

    for keys in ([1, 1, 2], [3, 1, 2], [4, 3, 2]):
        assert place(keys) == keys


def test_full_tables_keep_what_is_used_most() -> None:
    """Of 1,023 rows that full tables hold, the keys of every batch stay; of the others the latest."""
    cache = RowCache(lambda rows: {"key": torch.zeros(rows, dtype=torch.int64)}, 1 << 20)
    filled: list[int] = []

    def place(numbers: range) -> None:
        def fill(which: np.ndarray, tables: dict[str, torch.Tensor], row: int) -> None:
            filled.extend(numbers[place] for place in which.tolist())
            for i, place in enumerate(which.tolist()):
                tables["key"][row + i] = numbers[place]

        rows, tables = cache.place(keys_of(numbers), fill)
        assert tables["key"][torch.from_numpy(rows).long()].tolist() == list(numbers)

    hot = range(100)
    for first in range(1000, 9000, 200):
        place(hot)
        place(range(first, first + 200))
    assert filled == [*hot, *range(1000, 9000)]
    place(hot)
    filled.clear()
    place(range(8800, 9000))
    assert filled == []
    place(range(1000, 1200))
    assert len(filled) == 200


def test_threads_fill_tables_at_the_same_time() -> None:
    """Rows hold what their keys say while threads add the same keys, and while full tables are left."""
    cache = RowCache(lambda rows: {"key": torch.zeros(rows, dtype=torch.int64)}, 1 << 20)  # 1,024 rows
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(60):
            numbers = rng.choice(700, 250, replace=False)

            def fill(which: np.ndarray, tables: dict[str, torch.Tensor], row: int) -> None:
                for i, place in enumerate(which.tolist()):
                    tables["key"][row + i] = int(numbers[place])  # noqa: B023 (called before the next one)

            rows, tables = cache.place(keys_of(numbers), fill)
            wrong.extend(np.flatnonzero(tables["key"].numpy()[rows] != numbers).tolist())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
