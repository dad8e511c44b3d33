"""Tokens to rows of a vector table, natively: no Python object per token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import UsageError

# Rows of an embedding table; the words follow from WORD_ROW on.
PADDING_ROW = 0
UNKNOWN_ROW = 1
WORD_ROW = 2

# What the published vector files call those rows.
PADDING_WORD = "PADDING"
UNKNOWN_WORD = "UNKNOWN"

# (lower case, digits) of each normalisation.
NORMALIZATIONS = {"default": (True, True), "published": (True, False), "none": (False, False)}


class HasTokens(Protocol):
    """Anything with packed tokens, such as a ``Corpus``."""

    @property
    def tokens(self) -> StringColumn:
        """The tokens [N]."""
        ...


@dataclass(frozen=True)
class OovStatistics:
    """Tokens without a row of their own.

    Attributes:
        missing: tokens that were not found, of ``total``.
        distinct: how many different tokens they are.
        most_frequent: (token, count), the most frequent first; ties by first appearance.
    """

    total: int
    missing: int
    distinct: int
    most_frequent: tuple[tuple[str, int], ...]

    @property
    def rate(self) -> float:
        """Fraction of the tokens that were not found, 0 where there are no tokens."""
        return self.missing / self.total if self.total else 0.0

    def __str__(self) -> str:
        words = " ".join(f"{word} ({count})" for word, count in self.most_frequent[:5])
        return f"OOV {self.rate:.2%} ({self.missing}/{self.total})" + (
            f" (top OOV: {words})" if words else ""
        )


class Vocabulary:
    """Distinct words with a hash index.

    Args:
        words: [V], distinct.
        slots: an index of these words, uint64; built when None.
        limit: only the first so many words count.

    Raises:
        ValueError: a word occurs twice, or ``slots`` is not an index of so many words.

    Example:
        >>> vocabulary = Vocabulary(StringColumn.from_list(["protein", "0"]))
        >>> vocabulary.lookup(StringColumn.from_list(["Protein", "1,234", "zyx"])).tolist()
        [0, 1, -1]
    """

    def __init__(
        self, words: StringColumn, *, slots: npt.NDArray[np.uint64] | None = None, limit: int | None = None
    ) -> None:
        if slots is None:
            slots, repeated = _text.build_index(words.buffer, words.offsets)
            if len(repeated):
                raise ValueError(f"words: expected distinct words, got {words[int(repeated[0])]!r} twice")
        self._index = _text.WordIndex(words.buffer, words.offsets, slots)
        self.words = words if limit is None else words[:limit]

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) >= 0

    def find(self, word: str) -> int:
        """Row of exactly this word, -1 if it is not there."""
        return int(self.lookup(StringColumn.from_list([word]), normalization="none", threads=1)[0])

    def lookup(
        self, tokens: StringColumn, *, normalization: str = "default", folding: bool = False, threads: int = 0
    ) -> npt.NDArray[np.int32]:
        """Row of every token, -1 where no form of it is known.

        The forms, in this order: the token; lower-cased; with every ``[+-]?(?:[.,]?[0-9])+`` replaced by
        ``0``. ``folding`` then tries the same forms of the folded token (see ``features.folding``), for
        text that writes ``α`` where the vectors have ``alpha``. The GIL is released.

        Args:
            tokens: [N].
            normalization: ``default``; ``published`` leaves the digits out, as the published code does;
                ``none`` looks up the exact form only.
            folding: whether to fold what was not found.
            threads: 0 takes every core.

        Returns:
            int32 [N].

        Raises:
            UsageError: ``normalization`` is unknown.
        """
        if normalization not in NORMALIZATIONS:
            raise UsageError(
                f"normalization: expected one of {', '.join(NORMALIZATIONS)}, got {normalization!r}"
            )
        lower, digits = NORMALIZATIONS[normalization]
        rows: npt.NDArray[np.int32] = self._index.lookup(
            tokens.buffer, tokens.offsets, len(self.words), lower, digits, folding, threads
        )
        return rows

    def embedding_rows(
        self, tokens: StringColumn, *, normalization: str = "default", folding: bool = False, threads: int = 0
    ) -> npt.NDArray[np.int32]:
        """Like ``lookup``, but rows of an ``embedding_matrix``: ``WORD_ROW`` + i, or ``UNKNOWN_ROW``."""
        rows = self.lookup(tokens, normalization=normalization, folding=folding, threads=threads)
        np.add(rows, WORD_ROW, out=rows)
        rows[rows < WORD_ROW] = UNKNOWN_ROW
        return rows

    def oov_statistics(
        self,
        tokens: StringColumn,
        *,
        normalization: str = "default",
        folding: bool = False,
        top: int = 20,
        threads: int = 0,
    ) -> OovStatistics:
        """Count the tokens that ``lookup`` does not find."""
        missing = self.lookup(tokens, normalization=normalization, folding=folding, threads=threads) < 0
        first, count = _text.count_strings(tokens.buffer, tokens.offsets, missing)
        order = np.argsort(-count, kind="stable")[:top]
        return OovStatistics(
            total=len(tokens),
            missing=int(missing.sum()),
            distinct=len(first),
            most_frequent=tuple((tokens[int(first[i])], int(count[i])) for i in order),
        )

    @classmethod
    def from_corpora(cls, corpora: Iterable[HasTokens], *, min_count: int = 1) -> Vocabulary:
        """The tokens of corpora, the most frequent first; for vectors that are learnt from scratch.

        Args:
            corpora: whose tokens are counted together.
            min_count: tokens seen less often are left out, so that there is something to learn UNKNOWN from.

        Raises:
            UsageError: ``min_count`` is below 1, or no token is left.
        """
        if min_count < 1:
            raise UsageError(f"min_count: expected at least 1, got {min_count}")
        tokens = StringColumn.concatenate(corpus.tokens for corpus in corpora)
        first, count = _text.count_strings(tokens.buffer, tokens.offsets, None)
        order = np.argsort(-count, kind="stable")
        order = order[count[order] >= min_count]
        if len(order) == 0:
            raise UsageError(
                f"no token occurs {min_count} times, so there is no vocabulary to learn; "
                "take a smaller min_count"
            )
        return cls(tokens.take(first[order]))
