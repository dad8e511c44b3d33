"""Forward passes of one shape over buffers that stay where they are, so that a CUDA graph can replay them.

A pass of a small network is dozens of short launches, and launching them costs more than running them. Blocks
all have one shape (see tagging.blocks), so the launches are recorded once per network and replayed with one
call. ``BIONER_CUDA_GRAPHS=0`` switches that off.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bioner_fast.features.batch import Features, Forms
from bioner_fast.log import logger
from bioner_fast.models.base import Network
from bioner_fast.models.captures import CAPTURES
from bioner_fast.models.sentences import sentence_bounds

# Passes before a capture: libraries choose their kernels and take their memory in the first ones.
_WARM_UP = 3


def enabled() -> bool:
    """Whether CUDA graphs may be used (``BIONER_CUDA_GRAPHS``)."""
    return os.environ.get("BIONER_CUDA_GRAPHS", "1") != "0"


class FixedBlock:
    """A network's pass over blocks of one shape, in buffers of its own.

    Args:
        network: on its device; ``network.fixed_launches``.
        like: a whole block on that device, whose shapes all blocks have; its forms, if there are any, are
            those of its tokens only, of which there are at most as many.
        half: whether matrix products run in bfloat16.

    Attributes:
        captured: whether a CUDA graph is replayed. If not, every pass launches its work anew.

    Raises:
        ValueError: the network's work depends on the tokens.
    """

    def __init__(self, network: Network, like: Features, *, half: bool) -> None:
        if not network.fixed_launches:
            raise ValueError(f"network: the launches of {type(network).__name__} depend on its tokens")
        self._network = network
        self._half = half
        self._device = like.word_ids.device
        self._lock = threading.Lock()
        size = len(like)
        forms = None
        if like.forms is not None:
            characters, affixes = like.forms.characters, like.forms.affixes
            forms = Forms(
                torch.zeros_like(like.forms.ids),
                characters.new_zeros(size, characters.shape[1]),
                affixes.new_zeros(size, affixes.shape[1]),
            )
        self._features = Features(
            torch.zeros_like(like.word_ids), torch.zeros_like(like.caps), like.offsets.clone(), forms
        )
        # Derived from the offsets with the host's help, so not in a graph: copied like everything else.
        self._bounds = sentence_bounds(self._features)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: dict[str, Tensor] = {}
        if self._device.type == "cuda" and enabled():
            self._capture(like)

    @property
    def captured(self) -> bool:
        """See the class."""
        return self._graph is not None

    def run(self, features: Features, read: Callable[[dict[str, Tensor]], None]) -> None:
        """Log-probabilities of a block of the shape.

        Args:
            features: on the device.
            read: gets float [N, K] per head, which the next pass overwrites; it is called before that.
        """
        with self._lock, torch.inference_mode():
            self._load(features)
            if self._graph is None:
                read(self._forward())
            else:
                self._graph.replay()
                read(self._output)

    def _load(self, features: Features) -> None:
        mine, bounds = self._features, sentence_bounds(features)
        mine.word_ids.copy_(features.word_ids)
        mine.caps.copy_(features.caps)
        mine.offsets.copy_(features.offsets)
        self._bounds.first.copy_(bounds.first)
        self._bounds.last.copy_(bounds.last)
        if mine.forms is not None and features.forms is not None:
            distinct = len(features.forms.characters)
            mine.forms.ids.copy_(features.forms.ids)
            mine.forms.characters[:distinct].copy_(features.forms.characters)
            mine.forms.affixes[:distinct].copy_(features.forms.affixes)

    def _forward(self) -> dict[str, Tensor]:
        # A graph must not hold weights in bfloat16 that somebody else's cache frees.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half, cache_enabled=False):
            return self._network.log_probabilities(self._features)

    def _capture(self, like: Features) -> None:
        """Record a pass; without success passes stay as they are."""
        before = torch.cuda.current_stream(self._device)
        try:
            with CAPTURES, torch.inference_mode(), torch.cuda.device(self._device):
                self._graph = self._recorded(like, before)
        except RuntimeError as error:
            logger.warning("no CUDA graph, every pass launches its work: %s", str(error).splitlines()[0])
            torch.cuda.synchronize(self._device)
        finally:
            # A capture that was broken off leaves the thread on its stream.
            torch.cuda.set_stream(before)

    def _recorded(self, like: Features, current: torch.cuda.Stream) -> torch.cuda.CUDAGraph | None:
        """A graph whose replay gives what a pass gives; None where it does not."""
        graph = torch.cuda.CUDAGraph()
        self._load(like)
        # Of this device: Torch's own stream for captures is of the device that captured first, and work on
        # another one would not be recorded.
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                expected = self._forward()
        current.wait_stream(stream)
        # Of other threads of the tagger nothing is recorded, and they may take memory meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self._output = self._forward()
        for values in self._output.values():
            values.fill_(torch.nan)  # what a replay does not write is seen
        graph.replay()
        torch.cuda.synchronize(self._device)
        if all(torch.equal(self._output[name], values) for name, values in expected.items()):
            return graph
        logger.warning("a CUDA graph gave other results; every pass launches its work instead")
        return None


def distinct_forms(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers int64 [U], and which of them each token has, int64 [N]."""
    distinct, places = np.unique(ids, return_inverse=True)
    return distinct.astype(np.int64), places.reshape(-1).astype(np.int64)
