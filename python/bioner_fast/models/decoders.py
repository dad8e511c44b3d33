"""From log-probabilities to tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bioner_fast.models.transitions import constrained
from bioner_fast.ops import viterbi_decode

if TYPE_CHECKING:
    from bioner_fast.data.schemes import TagSet

DECODERS = ("argmax", "viterbi", "forward-argmax", "crf")


def decode(
    log_probabilities: Tensor,
    offsets: Tensor,
    decoder: str,
    tagset: TagSet,
    tables: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Tags of packed sentences.

    Args:
        log_probabilities: float [N, K].
        offsets: int64 [B + 1].
        decoder: ``argmax``: each token for itself. ``viterbi``: the best sequence that the tag scheme allows
            (POS tags have no scheme: as argmax). ``crf``: the same with learnt transitions.
            ``forward-argmax``: the published rule, with transitions seen in training.
        tagset: K tags.
        tables: for ``forward-argmax``, from :func:`decoder_tables`; for ``crf``, from the network.

    Returns:
        int64 [N].

    Raises:
        ValueError: an unknown decoder, or tables are missing.

    Example:
        >>> decode(network.log_probabilities(f)["NER"], f.offsets, "viterbi", tagset)  # doctest: +SKIP
    """
    if decoder == "forward-argmax":
        if not tables:
            raise ValueError("tables: forward-argmax needs the transitions of the training data")
        to = {name: table.to(log_probabilities) for name, table in tables.items()}
        tags, _ = viterbi_decode(
            log_probabilities, to["transitions"], offsets, to["start"], readout="forward_argmax"
        )
        return tags
    if decoder == "crf":
        if not tables:
            raise ValueError("tables: crf needs the transitions that the network learnt")
        transitions, start, end = constrained(tagset, tables, log_probabilities)
        tags, _ = viterbi_decode(log_probabilities, transitions, offsets, start, end)
        return tags
    if decoder == "viterbi" and tagset.scheme is not None:
        transitions, start, end = (
            torch.as_tensor(table).to(log_probabilities) for table in tagset.constraints()
        )
        tags, _ = viterbi_decode(log_probabilities, transitions, offsets, start, end)
        return tags
    if decoder in ("argmax", "viterbi"):
        return log_probabilities.argmax(1)
    raise ValueError(f"decoder: expected one of {', '.join(DECODERS)}, found {decoder!r}")


def decoder_tables(decoder: str, n_tags: int, tags: Tensor, offsets: Tensor) -> dict[str, Tensor]:
    """What a decoder needs beside the emissions; empty but for ``forward-argmax``.

    Args:
        decoder: one of ``DECODERS``.
        n_tags: K.
        tags: int64 [N] tags of the training data.
        offsets: int64 [B + 1].

    Returns:
        For ``forward-argmax``, ``transitions`` [K, K] (row = from) and ``start`` [K]: 0 where seen in
        training, else -inf.
    """
    if decoder != "forward-argmax":
        return {}
    first = torch.zeros(len(tags) + 1, dtype=torch.bool)
    first[offsets] = True  # of empty sentences too: they share their neighbour's start
    seen = torch.full((n_tags, n_tags), -torch.inf)
    inside = ~first[1 : len(tags)]
    seen[tags[:-1][inside], tags[1:][inside]] = 0.0
    start = torch.full((n_tags,), -torch.inf)
    start[tags[first[:-1]]] = 0.0
    return {"transitions": seen, "start": start}
