"""Word vectors from raw text: skip-gram by gensim, fed from a stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.tokenize import segment
from bioner_fast.features.vectors import WordVectors
from bioner_fast.log import logger
from bioner_fast.pretraining.leaks import Unwanted
from bioner_fast.pretraining.text import pools

# As look-up does: see features.vocabulary.
_NUMBER = re.compile(r"[+-]?(?:[.,]?[0-9])+")
_POOL = 1_000_000


class TokenStream:
    """The sentences of text as lists of tokens; every iteration reads it anew.

    Args:
        files: from :func:`bioner_fast.pretraining.text.find_texts`.
        unwanted: sentences to leave out.
        threads: of the tokenizer.

    Attributes:
        known: words that stay as they are; of others the numbers become ``0``. None for all.
    """

    def __init__(self, files: Sequence[tuple[str, str]], unwanted: Unwanted, threads: int = 0) -> None:
        self.files, self.unwanted, self.threads = files, unwanted, threads
        self.known: frozenset[str] | None = None

    def __iter__(self) -> Iterator[list[str]]:
        for texts in pools(self.files, _POOL):
            made = segment(texts, threads=self.threads)
            tokens, leaks = made.tokens.tolist(), self.unwanted.mask(made)
            bounds = made.sentence_offsets.tolist()
            for number in np.flatnonzero(~leaks).tolist():
                sentence = tokens[bounds[number] : bounds[number + 1]]
                if self.known is not None:
                    known = self.known
                    sentence = [word if word in known else normal(word) for word in sentence]
                yield sentence


def normal(word: str) -> str:
    """The form that look-up falls back on for numbers.

    Example:
        >>> normal("IL12"), normal("1,234.5")
        ('IL0', '0')
    """
    return _NUMBER.sub("0", word)


def train_vectors(
    stream: TokenStream,
    *,
    dim: int = 200,
    window: int = 5,
    negative: int = 10,
    min_count: int = 3,
    epochs: int = 5,
    learning_rate: float = 0.05,
    sample: float = 1e-4,
    seed: int = 1,
    threads: int = 1,
) -> WordVectors:
    """Skip-gram with negative sampling over a stream that is read once to count and once an epoch.

    Memory holds the words and their vectors, not the text. With one thread the result is the same each time.

    Args:
        stream: the text.
        dim, window, negative, epochs, learning_rate, sample, seed: as usual with word2vec.
        min_count: rarer words get no vector; those with digits count as their form with numbers as ``0``.
        threads: that train.

    Returns:
        Words, most frequent first, and float32 [V, dim].

    Raises:
        UsageError: gensim is not installed, or a setting is out of range.
        BionerError: no word is frequent enough.
    """
    for name, value in {"dim": dim, "window": window, "negative": negative, "min_count": min_count,
                        "epochs": epochs, "threads": threads}.items():  # fmt: skip
        if value < 1:
            raise UsageError(f"--{name.replace('_', '-')}: expected at least 1, found {value}")
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise UsageError(
            "vectors train needs gensim; install it with: pip install 'bioner-fast[vectors]'"
        ) from None
    stream.known = None
    counts: Counter[str] = Counter()
    for sentence in stream:
        counts.update(sentence)
    stream.known = frozenset(word for word, count in counts.items() if count >= min_count)
    merged: Counter[str] = Counter()
    for word, count in counts.items():
        merged[word if word in stream.known else normal(word)] += count
    total = merged.total()
    kept = {word: count for word, count in merged.items() if count >= min_count}
    if not kept:
        raise BionerError(f"no word of the text occurs {min_count} times (--min-count); name more text")
    logger.info("%s tokens, %s words", f"{total:,}", f"{len(kept):,}")
    model: Any = Word2Vec(
        vector_size=dim, window=window, negative=negative, min_count=min_count, sg=1, sample=sample,
        alpha=learning_rate, min_alpha=learning_rate / 1000, seed=seed, workers=threads, epochs=epochs,
    )  # fmt: skip
    # Ties in an order of their own, not that of a hash table.
    model.build_vocab_from_freq(dict(sorted(kept.items(), key=lambda pair: (-pair[1], pair[0]))))
    model.train(stream, total_examples=None, total_words=total, epochs=epochs)
    words = list(model.wv.index_to_key)
    return WordVectors(StringColumn.from_list(words), np.asarray(model.wv.vectors, np.float32))
