"""Networks run by torch, in blocks of one shape: on GPUs, and for networks that have no engine.

Why results do not depend on batching. The rows of a matrix product can change in their last bits with the
number of rows, because a library may choose another kernel for another shape; a near-tie may then decode
differently. Here the network only ever sees blocks of exactly so many tokens and so many sentences (filled up
with padding and empty sentences), so that every matrix product of a run has one shape. Blocks are cut with
enough neighbouring tokens on either side that every window is whole.

That leaves the place of a row within one shape. It made no difference for the layers of the published
networks (MKL, AVX2, 1 and 2 threads), but does for tiny layers whose rows are not aligned. So on a CPU it is
tried with the network at hand, which falls back to float64, whose rounding is a billion times smaller than
the one that could flip a tie.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.batch import Features, Forms
from bioner_fast.features.vocabulary import PADDING_ROW
from bioner_fast.features.word_forms import WordForms, word_forms
from bioner_fast.models.base import Network
from bioner_fast.models.engine import Tokens
from bioner_fast.tagging.graphs import FixedBlock, distinct_forms, enabled

Ints = NDArray[np.int64]

# Tokens and sentences of one forward pass. Small enough that a short request wastes little, large enough for
# full speed; not above the rows that networks take at once (INFERENCE_ROWS).
BLOCK = {"cpu": (512, 48), "cuda": (4096, 384)}


class BlockNetwork:
    """A network on a device.

    Args:
        network: it is moved there.
        precision: ``float32``, or ``bfloat16`` for the matrix products.

    Attributes:
        exact: whether it runs in float64, so that results do not depend on batching (see above).

    On a GPU the pass is a CUDA graph where the network allows it (see :mod:`bioner_fast.tagging.graphs`).
    """

    def __init__(self, network: Network, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision
        self._network = network.to(device)
        self._tokens, self._sentences = BLOCK.get(device.type, BLOCK["cpu"])
        self._context = network.context
        self.exact = False
        self._fixed: FixedBlock | None = None
        self._fixing = threading.Lock()
        self._fixes = device.type == "cuda" and network.fixed_launches and enabled()
        if device.type == "cpu" and precision == "float32" and not self._rows_agree():
            self._network = copy.deepcopy(network).double()
            self.exact = True

    def _rows_agree(self) -> bool:
        """Whether equal rows of a block come out equal, bit for bit, wherever they lie."""
        n = self._tokens - 1
        rows = self._network.shape.rows
        for word in (rows - 1, rows // 2):
            same = np.full(n, word, np.int32)
            forms = word_forms(StringColumn.from_list(["p53"] * n)) if self._network.uses_forms else None
            tokens = Tokens(same, np.ones(n, np.uint8), forms)
            for values in self.log_probabilities(tokens, np.array([0, n], np.int64)).values():
                inner = values[self._context : n - self._context]
                if not torch.equal(inner, inner[:1].expand_as(inner)):
                    return False
        return True

    def log_probabilities(self, tokens: Tokens, sentence_offsets: Ints) -> dict[str, Tensor]:
        """Log-probabilities float32 [N, K] of every head, on the CPU; the same bits for any batching."""
        n = len(tokens.word_ids)
        sizes = dict(self._network.shape.tasks)
        parts: dict[str, list[Tensor]] = {name: [] for name in sizes}
        half = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            # One token and one sentence stay free for the padding, which always closes a block.
            cuts = blocks(sentence_offsets, self._context, self._tokens - 1, self._sentences - 1)
            for low, start, stop, high in cuts:

                def read(output: dict[str, Tensor], first: int = start - low, last: int = stop - low) -> None:
                    for name, values in parts.items():
                        values.append(output[name][first:last].float().cpu())

                features = self._features(tokens, sentence_offsets, low, high)
                if self._fixes:
                    self._fixed_block(features).run(features, read)
                else:
                    read(self._network.log_probabilities(features))
        return {
            name: torch.cat(values) if n else torch.zeros((0, sizes[name])) for name, values in parts.items()
        }

    def _fixed_block(self, features: Features) -> FixedBlock:
        """The pass over buffers of its own, made with the first block."""
        with self._fixing:
            if self._fixed is None:
                self._fixed = FixedBlock(self._network, features, half=self.precision == "bfloat16")
            return self._fixed

    def _features(self, tokens: Tokens, offsets: Ints, low: int, high: int) -> Features:
        """Tokens [low, high), then empty sentences, then a sentence of padding that fills the block."""
        size = self._tokens
        ids = np.full(size, PADDING_ROW, np.int64)
        caps = np.zeros(size, np.uint8)
        ids[: high - low] = tokens.word_ids[low:high]
        caps[: high - low] = tokens.caps[low:high]
        inner = inner_offsets(offsets, low, high)
        edges = np.full(self._sentences + 1, high - low, np.int64)
        edges[0], edges[-1] = 0, size
        edges[1 : len(inner) + 1] = inner
        return Features(
            torch.from_numpy(ids).to(self.device),
            torch.from_numpy(caps).to(self.device),
            torch.from_numpy(edges).to(self.device),
            None if tokens.forms is None else self._forms(tokens.forms, low, high),
        )

    def _forms(self, forms: WordForms, low: int, high: int) -> Forms:
        """Forms of tokens [low, high), then of padding: any will do, since nobody reads its results."""
        ids = np.zeros(self._tokens, np.int64)
        characters, affixes = forms.characters, forms.affixes
        if self._fixes:  # those of the block only, so that they fit its buffers
            distinct, ids[: high - low] = distinct_forms(forms.ids[low:high])
            characters, affixes = characters[distinct], affixes[distinct]
        else:
            ids[: high - low] = forms.ids[low:high]
        return Forms(torch.from_numpy(ids), torch.from_numpy(characters), torch.from_numpy(affixes)).to(
            self.device
        )


def inner_offsets(sentence_offsets: Ints, low: int, high: int) -> Ints:
    """Sentence borders strictly between two tokens, counted from the first of them."""
    first, last = np.searchsorted(sentence_offsets, low, "right"), np.searchsorted(sentence_offsets, high)
    inner: Ints = sentence_offsets[first:last] - low
    return inner


def blocks(
    sentence_offsets: Ints, context: int, size: int, sentences: int
) -> Iterator[tuple[int, int, int, int]]:
    """Cut packed sentences into forward passes.

    Yields ``low <= start < stop <= high``: results are wanted for tokens [start, stop), which together are
    all tokens once; [low, high) adds up to ``context`` tokens on either side where a sentence was cut, so
    that no window misses a neighbour. At most ``size`` tokens and ``sentences`` sentences lie in [low, high).

    Example:
        >>> list(blocks(np.array([0, 3, 10]), context=1, size=6, sentences=9))
        [(0, 0, 5, 6), (4, 5, 10, 10)]
    """
    if size <= 2 * context or sentences < 1:
        raise ValueError(f"size: expected more than two contexts of {context}, got {size}")
    n = int(sentence_offsets[-1])
    last = len(sentence_offsets) - 1
    start = 0
    while start < n:
        sentence = int(np.searchsorted(sentence_offsets, start, "right")) - 1
        low = max(int(sentence_offsets[sentence]), start - context)
        high = min(n, low + size, int(sentence_offsets[min(sentence + sentences, last)]))
        edge = int(np.searchsorted(sentence_offsets, high))
        # Up to a sentence's end every window is whole; a sentence that was cut lacks neighbours at its end.
        stop = high
        if int(sentence_offsets[edge]) != high:
            stop = max(int(sentence_offsets[edge - 1]), high - context)
        yield low, start, stop, high
        start = stop
