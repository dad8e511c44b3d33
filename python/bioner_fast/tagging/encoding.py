"""Tokens as a network takes them: rows of its tables, by the rules of the bundle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.capitalization import capitalization
from bioner_fast.features.pictographs import pictographs
from bioner_fast.features.vocabulary import UNKNOWN_ROW
from bioner_fast.features.word_forms import WordForms, word_forms
from bioner_fast.models.bundle import Bundle

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens as the network takes them.

    Attributes:
        word_ids: int32 [N], rows of the word table.
        caps: uint8 [N], capitalisation classes.
        sentence_offsets: int64 [S+1].
        forms: what the tokens look like, where the network uses it.
        outside: int64 [E], tokens that no entity may hold: pictures without a word vector, addresses.
    """

    word_ids: NDArray[np.int32]
    caps: NDArray[np.uint8]
    sentence_offsets: Ints
    forms: WordForms | None = None
    outside: Ints = field(default_factory=lambda: np.zeros(0, np.int64))


def encode(
    bundle: Bundle,
    tokens: StringColumn,
    sentence_offsets: Ints,
    outside: NDArray[np.bool_] | None = None,
    *,
    threads: int,
) -> Encoded:
    """Look tokens up as a bundle says.

    Args:
        bundle: whose tables and rules are meant.
        tokens: [N].
        sentence_offsets: int64 [S+1].
        outside: bool [N], tokens that no entity may hold, beside pictures.
        threads: of the look-up.
    """
    schema = bundle.schema
    ids = bundle.vocabulary.embedding_rows(
        tokens, normalization=schema.normalization, folding=schema.folding, threads=threads
    )
    forms = None
    if bundle.network.uses_forms:
        forms = word_forms(tokens, folding=schema.folding, threads=threads)
    caps = capitalization(tokens, threads=threads)
    excluded = pictographs(tokens) & (ids == UNKNOWN_ROW)
    if outside is not None:
        excluded |= outside
    return Encoded(ids, caps, sentence_offsets, forms, np.flatnonzero(excluded))
