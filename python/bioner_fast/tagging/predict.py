"""Packed tokens through a bundle: features, one forward pass for all heads, decoding, spans.

On a CPU the network runs in an engine (models.engine), whose rows do not depend on what text comes
together; on a GPU torch runs it in blocks of one shape (tagging.blocks), to the same end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.schemes import decode_spans
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import FormatError
from bioner_fast.files import DAMAGED
from bioner_fast.models.bundle import Bundle, TaskHead
from bioner_fast.models.decoders import decode
from bioner_fast.models.engine import Engine, Tokens
from bioner_fast.models.registry import build_engine, can_run
from bioner_fast.tagging.blocks import BlockNetwork
from bioner_fast.tagging.calibration import calibrated
from bioner_fast.tagging.emissions import engine_emissions
from bioner_fast.tagging.encoding import Encoded, encode
from bioner_fast.tagging.precision import choose, ranges_of
from bioner_fast.tagging.scores import span_scores

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """What one head found.

    Attributes:
        head: the head.
        tags: int64 [N], indices into the head's tag set.
        start, end: int64 [E], token indices of the entities; empty for part-of-speech heads.
        type_id: int64 [E], indices into ``head.tagset.types``.
        score: float64 [E], the constrained span marginals, calibrated where the bundle says how.
    """

    head: TaskHead
    tags: Ints
    start: Ints
    end: Ints
    type_id: Ints
    score: NDArray[np.float64]

    def without(self, ranks: Sequence[int]) -> Found:
        """The same without some of the entities, by their numbers."""
        kept = np.ones(len(self.start), np.bool_)
        kept[list(ranks)] = False
        return replace(
            self,
            start=self.start[kept],
            end=self.end[kept],
            type_id=self.type_id[kept],
            score=self.score[kept],
        )


class Predictor:
    """A bundle on a device. Only reads shared state, so threads may use one together.

    Args:
        bundle: from :func:`load_bundle`.
        device: where the network runs.
        threads: CPU threads.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``; see :func:`tagging.precision.choose`.

    Attributes:
        precision: of the network's products; never ``auto``.

    Raises:
        UsageError: an unknown precision, or one that the device does not have.
    """

    def __init__(self, bundle: Bundle, device: torch.device, threads: int, precision: str = "auto") -> None:
        self.bundle = bundle
        self.device = device
        self.threads = threads
        engine = device.type == "cpu" and can_run(bundle.network)
        self.precision = choose(bundle, precision, engine=engine)
        self._engine: Engine | None = None
        if engine:
            ranges = ranges_of(bundle) if self.precision == "int8" else None
            try:
                self._engine = build_engine(bundle.network, self.precision, ranges, threads)
            except (*DAMAGED, RuntimeError) as error:
                if ranges is None:
                    raise
                detail = " ".join(str(error).split())[:200]
                raise FormatError(
                    bundle.path,
                    f"its ranges for int8 do not fit its network ({detail}); use another --precision",
                ) from error
        else:
            self._blocks = BlockNetwork(bundle.network, device, self.precision)

    def encode(
        self, tokens: StringColumn, sentence_offsets: Ints, outside: NDArray[np.bool_] | None = None
    ) -> Encoded:
        """Look tokens up; arguments as for :func:`bioner_fast.tagging.encoding.encode`."""
        return encode(self.bundle, tokens, sentence_offsets, outside, threads=self.threads)

    def emissions(self, encoded: Encoded) -> dict[str, Tensor]:
        """Log-probabilities float32 [N, K] of every head, on the CPU; the same bits for any batching.

        An emoji without a vector looks like any unknown word, that is, like a name; but no corpus has taught
        the network what it is. It is outside of every entity for certain.
        """
        tokens = Tokens(encoded.word_ids, encoded.caps, encoded.forms)
        if self._engine is None:
            emissions = self._blocks.log_probabilities(tokens, encoded.sentence_offsets)
        else:
            context = self.bundle.network.context
            emissions = engine_emissions(self._engine, tokens, encoded.sentence_offsets, context)
        if len(encoded.outside):
            rows = torch.from_numpy(encoded.outside)
            with torch.inference_mode():
                for head in self.bundle.tasks:
                    if head.kind == "ner":
                        emissions[head.name][rows] = -torch.inf
                        emissions[head.name][rows, head.tagset.index["O"]] = 0.0
        return emissions

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
        known = self.bundle.calibration.get(head.name, {})
        scores = calibrated(scores, spans.type_id, head.tagset.types, known)
        return Found(head, ids, spans.start, spans.end, spans.type_id, scores)


def decode_head(head: TaskHead, emissions: Tensor, offsets: Tensor) -> Tensor:
    """Tags int64 [N] of log-probabilities by the decoder of the head."""
    return decode(emissions, offsets, head.decoder, head.tagset, head.tables)
