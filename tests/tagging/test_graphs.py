"""Passes of one shape over fixed buffers: everywhere their results, on a GPU the graph that replays them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.batch import Features
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


class Cuda:
    """A stand-in for Torch's streams and graphs: what can go wrong with captures, and no device.

    Work is recorded if the thread's stream on the device of the work is the one that is captured; it runs
    with each replay. A capture that fails leaves the thread on its stream; a second one at a time fails.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, device: int = 0) -> None:
        self.device = device  # of all work
        self.default: Stream | None = None  # Torch's own stream for captures
        self.capturing: Stream | None = None
        self.overlaps = 0
        self.fails = self.wrong = False
        self.place = threading.local()
        self.recorded: list[Callable[[], None]] = []
        for name in ("graph", "stream", "current_stream", "set_stream", "Stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "device", self.with_device)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=self.replay))
        forward = FixedBlock._forward

        def launch(block: FixedBlock) -> dict[str, Tensor]:
            found = forward(block)
            if self.capturing is None or self.current_stream() is not self.capturing:
                return found
            if self.fails:
                raise RuntimeError("operation not permitted when stream is capturing")
            buffers = {name: torch.zeros_like(values) for name, values in found.items()}

            def again() -> None:
                for name, values in forward(block).items():
                    buffers[name].copy_(values + self.wrong)

            self.recorded.append(again)
            return buffers

        monkeypatch.setattr(FixedBlock, "_forward", launch)

    def Stream(self, device: object = None) -> Stream:  # noqa: N802
        # Blocks of these tests are on the CPU: that stands for the device of all work.
        return Stream(0 if device is None else self.device)

    def _streams(self) -> dict[int, Stream]:
        if not hasattr(self.place, "streams"):
            self.place.streams = {0: Stream(0), 1: Stream(1)}
        return self.place.streams

    def current_stream(self, device: object = None) -> Stream:
        return self._streams()[self.device]

    def set_stream(self, stream: Stream) -> None:
        self._streams()[stream.device] = stream

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before = self._streams()[stream.device]
        self.set_stream(stream)
        yield
        self.set_stream(before)

    @contextmanager
    def with_device(self, device: object) -> Iterator[None]:
        yield

    @contextmanager
    def graph(
        self, graph: object, *, stream: Stream | None = None, capture_error_mode: str
    ) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        if stream is None:
            self.default = stream = self.default or Stream(0)
        if self.capturing is not None:
            self.overlaps += 1
            raise RuntimeError("another capture is underway")
        before = self._streams()[stream.device]
        self.set_stream(stream)
        self.capturing = stream
        time.sleep(0.05)  # so that another thread would come
        try:
            yield
        finally:
            self.capturing = None
        self.set_stream(before)  # not after an error

    def replay(self) -> None:
        for work in self.recorded:
            work()


@dataclass(eq=False)
class Stream:
    device: int

    def wait_stream(self, other: Stream) -> None:
        pass


def like_of(made: BlockNetwork) -> Features:
    tokens, offsets = TEXTS[0]
    return made._features(tokens, offsets, 0, int(offsets[-1]))


def fixed_block() -> tuple[BlockNetwork, FixedBlock]:
    """A block of a network on the CPU, which captured nothing yet."""
    made = BlockNetwork(idcnn(), torch.device("cpu"), "float32")
    made._fixes = True
    made._fixed = FixedBlock(made._network, like_of(made), half=False)
    return made, made._fixed


def assert_right(made: BlockNetwork) -> None:
    """Each block gets its own results. (Texts of one block: taking them to the CPU copies nothing here.)"""
    plain = BlockNetwork(idcnn(), torch.device("cpu"), "float32")
    for tokens, offsets in TEXTS[:2]:
        wanted = plain.log_probabilities(tokens, offsets)
        found = made.log_probabilities(tokens, offsets)
        assert all(torch.equal(found[name], values) for name, values in wanted.items())


@pytest.mark.parametrize("device", [0, 1])
def test_captures_are_of_the_device_of_the_network(device: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own stream is of the device that captured first."""
    cuda = Cuda(monkeypatch, device)
    made, block = fixed_block()
    block._capture(like_of(made))
    assert block.captured
    assert len(cuda.recorded) == 1
    assert_right(made)


def test_a_graph_without_work_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would give the first block's results for ever: they were computed, and not recorded."""
    cuda = Cuda(monkeypatch, device=1)
    made, block = fixed_block()
    monkeypatch.setattr(torch.cuda, "Stream", lambda *_: Stream(0))
    block._capture(like_of(made))
    assert not cuda.recorded
    assert not block.captured
    assert "a CUDA graph gave other results" in caplog.text
    assert_right(made)


def test_a_graph_that_computes_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    cuda.wrong = True
    made, block = fixed_block()
    block._capture(like_of(made))
    assert not block.captured
    assert_right(made)


def test_a_failed_capture_leaves_the_thread_where_it_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = Cuda(monkeypatch)
    cuda.fails = True
    made, block = fixed_block()
    before = cuda.current_stream()
    block._capture(like_of(made))
    assert cuda.current_stream() is before
    assert not block.captured
    assert "no CUDA graph, every pass launches its work: operation not permitted" in caplog.text
    assert_right(made)


def test_one_capture_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    pairs = [fixed_block() for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(block._capture, like_of(made)) for made, block in pairs]:
            done.result()
    assert cuda.overlaps == 0
    assert all(block.captured for _, block in pairs)
    for made, _ in pairs:
        assert_right(made)


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
