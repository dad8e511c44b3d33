"""Packed tokens through a bundle: features, one forward pass for all heads, decoding, spans.

Why results do not depend on batching. The rows of a matrix product can change in their last bits with the
number of rows, because a library may choose another kernel for another shape; a near-tie may then decode
differently. Here the network only ever sees blocks of exactly so many tokens and so many sentences (filled up
with padding and empty sentences), so that every matrix product of a run has one shape. Blocks are cut with
enough neighbouring tokens on either side that every window is whole.

That leaves the place of a row within one shape. It made no difference for the layers of the published
networks (MKL, AVX2, 1 and 2 threads), but does for tiny layers whose rows are not aligned. So a predictor
tries it with its own network when it is made, and falls back to float64, whose rounding is a billion times
smaller than the one that could flip a tie. A test feeds the same sentences in many batch sizes and compares
bits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.schemes import decode_spans
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.batch import Features, Forms
from bioner_fast.features.capitalization import capitalization
from bioner_fast.features.vocabulary import PADDING_ROW
from bioner_fast.features.word_forms import WordForms, word_forms
from bioner_fast.models.bundle import Bundle, TaskHead
from bioner_fast.models.decoders import decode
from bioner_fast.tagging.scores import span_scores

Ints = NDArray[np.int64]

# Tokens and sentences of one forward pass. Small enough that a short request wastes little, large enough for
# full speed; not above the rows that networks take at once (INFERENCE_ROWS).
BLOCK = {"cpu": (512, 48), "cuda": (4096, 384)}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens as the network takes them.

    Attributes:
        word_ids: int32 [N], rows of the word table.
        caps: uint8 [N], capitalisation classes.
        sentence_offsets: int64 [S+1].
        forms: what the tokens look like, where the network uses it.
    """

    word_ids: NDArray[np.int32]
    caps: NDArray[np.uint8]
    sentence_offsets: Ints
    forms: WordForms | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one head found.

    Attributes:
        head: the head.
        tags: int64 [N], indices into the head's tag set.
        start, end: int64 [E], token indices of the entities; empty for part-of-speech heads.
        type_id: int64 [E], indices into ``head.tagset.types``.
        score: float64 [E], the constrained span marginals.
    """

    head: TaskHead
    tags: Ints
    start: Ints
    end: Ints
    type_id: Ints
    score: NDArray[np.float64]


class Predictor:
    """A bundle on a device. Only reads shared state, so threads may use one together.

    Attributes:
        exact: whether the network runs in float64, so that results do not depend on batching (see above).
    """

    def __init__(self, bundle: Bundle, device: torch.device, threads: int) -> None:
        self.bundle = bundle
        self.device = device
        self.threads = threads
        self._network = bundle.network.to(device)
        self._tokens, self._sentences = BLOCK.get(device.type, BLOCK["cpu"])
        self._context = bundle.network.context
        self.exact = False
        if device.type == "cpu" and not self._rows_agree():
            self._network = copy.deepcopy(bundle.network).double()
            self.exact = True

    def _rows_agree(self) -> bool:
        """Whether equal rows of a block come out equal, bit for bit, wherever they lie."""
        n = self._tokens - 1
        rows = self._network.shape.rows
        for word in (rows - 1, rows // 2):
            same = np.full(n, word, np.int32)
            forms = word_forms(StringColumn.from_list(["p53"] * n)) if self._network.uses_forms else None
            encoded = Encoded(same, np.ones(n, np.uint8), np.array([0, n], np.int64), forms)
            for values in self.emissions(encoded).values():
                inner = values[self._context : n - self._context]
                if not torch.equal(inner, inner[:1].expand_as(inner)):
                    return False
        return True

    def encode(self, tokens: StringColumn, sentence_offsets: Ints) -> Encoded:
        """Look tokens up as the bundle says."""
        schema = self.bundle.schema
        ids = self.bundle.vocabulary.embedding_rows(
            tokens, normalization=schema.normalization, folding=schema.folding, threads=self.threads
        )
        forms = None
        if self._network.uses_forms:
            forms = word_forms(tokens, folding=schema.folding, threads=self.threads)
        return Encoded(ids, capitalization(tokens, threads=self.threads), sentence_offsets, forms)

    def emissions(self, encoded: Encoded) -> dict[str, Tensor]:
        """Log-probabilities float32 [N, K] of every head, on the CPU; the same bits for any batching."""
        n = len(encoded.word_ids)
        parts: dict[str, list[Tensor]] = {head.name: [] for head in self.bundle.tasks}
        with torch.inference_mode():
            # One token and one sentence stay free for the padding, which always closes a block.
            cuts = blocks(encoded.sentence_offsets, self._context, self._tokens - 1, self._sentences - 1)
            for low, start, stop, high in cuts:
                output = self._network.log_probabilities(self._features(encoded, low, high))
                for name, values in parts.items():
                    values.append(output[name][start - low : stop - low].float().cpu())
        sizes = {head.name: len(head.tagset.names) for head in self.bundle.tasks}
        return {
            name: torch.cat(values) if n else torch.zeros((0, sizes[name])) for name, values in parts.items()
        }

    def _features(self, encoded: Encoded, low: int, high: int) -> Features:
        """Tokens [low, high), then empty sentences, then a sentence of padding that fills the block."""
        size = self._tokens
        ids = np.full(size, PADDING_ROW, np.int64)
        caps = np.zeros(size, np.uint8)
        ids[: high - low] = encoded.word_ids[low:high]
        caps[: high - low] = encoded.caps[low:high]
        offsets = encoded.sentence_offsets
        inner = offsets[np.searchsorted(offsets, low, "right") : np.searchsorted(offsets, high, "left")] - low
        edges = np.full(self._sentences + 1, high - low, np.int64)
        edges[0], edges[-1] = 0, size
        edges[1 : len(inner) + 1] = inner
        return Features(
            torch.from_numpy(ids).to(self.device),
            torch.from_numpy(caps).to(self.device),
            torch.from_numpy(edges).to(self.device),
            None if encoded.forms is None else self._forms(encoded.forms, low, high),
        )

    def _forms(self, forms: WordForms, low: int, high: int) -> Forms:
        """Forms of tokens [low, high), then of padding: any will do, since nobody reads its results."""
        ids = np.zeros(self._tokens, np.int64)
        ids[: high - low] = forms.ids[low:high]
        return Forms(
            torch.from_numpy(ids),
            torch.from_numpy(forms.characters),
            torch.from_numpy(forms.affixes),
        ).to(self.device)

    def find(self, encoded: Encoded) -> list[Found]:
        """Tags and entities of every head."""
        return self.decode(self.emissions(encoded), encoded.sentence_offsets)

    def decode(self, emissions: dict[str, Tensor], sentence_offsets: Ints) -> list[Found]:
        """Tags and entities of every head, from what :meth:`emissions` gave."""
        return [self._find(head, emissions[head.name], sentence_offsets) for head in self.bundle.tasks]

    def _find(self, head: TaskHead, emissions: Tensor, sentence_offsets: Ints) -> Found:
        offsets = torch.from_numpy(sentence_offsets)
        with torch.inference_mode():
            tags = decode_head(head, emissions, offsets)
        ids: Ints = tags.numpy()
        if head.kind != "ner":
            none = np.zeros(0, np.int64)
            return Found(head, ids, none, none, none, np.zeros(0, np.float64))
        spans = decode_spans(ids, sentence_offsets, head.tagset)
        scores = span_scores(head, emissions, sentence_offsets, spans.start, spans.end, spans.type_id)
        return Found(head, ids, spans.start, spans.end, spans.type_id, scores)


def decode_head(head: TaskHead, emissions: Tensor, offsets: Tensor) -> Tensor:
    """Tags int64 [N] of log-probabilities by the decoder of the head."""
    return decode(emissions, offsets, head.decoder, head.tagset, head.tables)


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
