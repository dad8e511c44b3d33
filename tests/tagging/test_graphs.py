"""Passes of one shape over fixed buffers: everywhere their results, on a GPU the graph that replays them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.word_forms import word_forms
from bioner_fast.models.engine import Tokens
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.tagging import blocks as module
from bioner_fast.tagging.blocks import BlockNetwork
from bioner_fast.tagging.graphs import FixedBlock
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import heads, network
from tiny_idcnn import TOKENS, idcnn, save_idcnn


def text(seed: int, lengths: list[int]) -> tuple[Tokens, np.ndarray]:
    """Random tokens in sentences."""
    rng = np.random.default_rng(seed)
    words = [str(word) for word in rng.choice(TOKENS, sum(lengths))]
    forms = word_forms(StringColumn.from_list(words))
    ids = rng.integers(0, 20, len(words)).astype(np.int32)
    return Tokens(ids, np.ones(len(words), np.uint8), forms), np.cumsum([0, *lengths])


TEXTS = [text(1, [3, 40, 1, 0, 17]), text(2, [200]), text(3, [1] * 60), text(4, [7, 900, 2])]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fixed_buffers_give_what_free_ones_give(precision: str) -> None:
    plain = BlockNetwork(idcnn(), torch.device("cpu"), precision)
    fixed = BlockNetwork(idcnn(), torch.device("cpu"), precision)
    fixed._fixes = True
    for tokens, offsets in TEXTS:
        wanted = plain.log_probabilities(tokens, offsets)
        found = fixed.log_probabilities(tokens, offsets)
        for name, values in wanted.items():
            assert torch.equal(found[name], values)
    assert fixed._fixed is not None
    assert not fixed._fixed.captured


def test_networks_whose_launches_depend_on_the_tokens_are_refused() -> None:
    made = network(heads())
    assert isinstance(made, TaggingNetwork)
    plain = BlockNetwork(idcnn(), torch.device("cpu"), "float32")
    tokens, offsets = TEXTS[0]
    with pytest.raises(ValueError, match="the launches of TaggingNetwork depend on its tokens"):
        FixedBlock(made, plain._features(tokens, offsets, 0, int(offsets[-1])), half=False)


@pytest.fixture
def gpu() -> torch.device:
    """A GPU; where there is none the test is skipped, unless BIONER_REQUIRE_CUDA=1."""
    if not torch.cuda.is_available():
        if os.environ.get("BIONER_REQUIRE_CUDA") == "1":
            pytest.fail("BIONER_REQUIRE_CUDA=1, but Torch sees no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def results(made: BlockNetwork) -> list[dict[str, Tensor]]:
    return [made.log_probabilities(tokens, offsets) for tokens, offsets in TEXTS]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_graph_on_cuda_gives_the_same_bits(
    gpu: torch.device, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = BlockNetwork(idcnn(), gpu, precision)
    found = results(replayed)
    assert replayed._fixed is not None
    assert replayed._fixed.captured
    monkeypatch.setenv("BIONER_CUDA_GRAPHS", "0")
    launched = BlockNetwork(idcnn(), gpu, precision)
    for one, other in zip(found, results(launched), strict=True):
        assert all(torch.equal(one[name], values) for name, values in other.items())
    assert launched._fixed is None
    again = results(replayed)
    assert all(torch.equal(a[name], b[name]) for a, b in zip(found, again, strict=True) for name in a)


def test_a_capture_that_fails_on_cuda_is_no_failure(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = results(BlockNetwork(idcnn(), gpu, "float32"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    made = BlockNetwork(idcnn(), gpu, "float32")
    for one, other in zip(results(made), wanted, strict=True):
        assert all(torch.equal(one[name], values) for name, values in other.items())
    assert made._fixed is not None
    assert not made._fixed.captured


def test_threads_share_a_graph_on_cuda(gpu: torch.device, tmp_path: Path) -> None:
    from bioner_fast.tagging.stream import tag_stream

    tagger = Tagger.load(save_idcnn(tmp_path / "model"), "cuda")
    texts = [" ".join(np.random.default_rng(i).choice(TOKENS, 300)) for i in range(40)]
    wanted = [d.entities for d in tagger.tag(texts)]
    found = [d.entities for d in tag_stream(tagger, texts, batch_tokens=600, lanes=4)]
    assert found == wanted


def test_the_size_of_a_block_is_what_networks_take_at_once() -> None:
    """A block of more rows would be two passes, and a graph of two."""
    from bioner_fast.models.base import INFERENCE_ROWS

    assert all(tokens <= INFERENCE_ROWS for tokens, _ in module.BLOCK.values())
