"""The table of word vectors that a network starts from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioner_fast.errors import UsageError
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import (
    PADDING_ROW,
    PADDING_WORD,
    UNKNOWN_ROW,
    UNKNOWN_WORD,
    WORD_ROW,
    Vocabulary,
)


def embedding_matrix(
    vectors: WordVectors,
    max_vocab: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> tuple[Vocabulary, npt.NDArray[np.float32]]:
    """The table that a network starts from.

    Rows ``PADDING_ROW`` and ``UNKNOWN_ROW`` come first; they are taken from the file's words ``PADDING`` and
    ``UNKNOWN`` if it has them (which are then no words of the vocabulary), else drawn from uniform(-0.05,
    0.05).

    Args:
        vectors: of the words.
        max_vocab: keep the first so many words; None keeps all.
        rng: source of the drawn rows, or a seed.

    Returns:
        The vocabulary [V] and float32 [2 + V, D]; word i has row ``WORD_ROW`` + i.

    Raises:
        UsageError: ``max_vocab`` is below 1.
    """
    if max_vocab is not None and max_vocab < 1:
        raise UsageError(f"max_vocab: expected at least 1, got {max_vocab}")
    generator = np.random.default_rng(rng)
    special = {name: vectors.vocabulary.find(name) for name in (UNKNOWN_WORD, PADDING_WORD)}
    found = sorted(row for row in special.values() if row >= 0)
    n = len(vectors) - len(found)
    if max_vocab is not None:
        n = min(n, max_vocab)
    keep = np.delete(
        np.arange(min(n + len(found), len(vectors))), [row for row in found if row < n + len(found)]
    )[:n]
    table = np.empty((WORD_ROW + n, vectors.dim), np.float32)
    for name, row in ((UNKNOWN_WORD, UNKNOWN_ROW), (PADDING_WORD, PADDING_ROW)):
        at = special[name]
        table[row] = vectors.matrix[at] if at >= 0 else generator.uniform(-0.05, 0.05, vectors.dim)
    if found:
        np.take(vectors.matrix, keep, axis=0, out=table[WORD_ROW:])
        words = vectors.words.take(keep)
        return Vocabulary(words), table
    table[WORD_ROW:] = vectors.matrix[:n]
    return Vocabulary(vectors.words[:n]), table
