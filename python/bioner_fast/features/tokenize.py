"""Text to tokens and sentences, natively, with exact offsets.

A token is a run of letters and numbers, in which combining marks stay with their base, or one other
character (with the marks that follow it); white space separates. That is the rule of the corpora,
``[^\\W_]+|.``, on one pinned version of Unicode (``UNICODE_VERSION``). Offsets are code points:
``text[start:end]`` is the token. Nothing is normalised or left out; a lone surrogate is a token whose
stored text is U+FFFD.

Sentences end at stops (``.``, ``?``, ``!`` and their like) before white space, unless the words around say
otherwise (``e.g.``, ``Fig. 2``, ``E. coli``, ``et al.``, initials, open brackets), and at blank lines. A
single line end counts where lines are longer than text is wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn

UNICODE_VERSION: str = _text.UNICODE_VERSION


@dataclass(frozen=True)
class TextTokens:
    """Tokens of one text.

    Attributes:
        column: the tokens [N].
        starts, ends: int64 [N], code points; ``text[starts[i]:ends[i]]`` is token i.
    """

    column: StringColumn
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.column)


@dataclass(frozen=True)
class Segmented:
    """Tokens and sentences of several texts, packed.

    Attributes:
        tokens: [N], of all texts.
        starts, ends: int64 [N], code points in the token's own text.
        sentence_offsets: int64 [S + 1], token numbers; no sentence is empty.
        text_offsets: int64 [T + 1], sentence numbers; a text without tokens has no sentences.
    """

    tokens: StringColumn
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    sentence_offsets: npt.NDArray[np.int64]
    text_offsets: npt.NDArray[np.int64]

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return len(self.text_offsets) - 1

    @property
    def n_sentences(self) -> int:
        """Number of sentences."""
        return len(self.sentence_offsets) - 1

    @property
    def token_offsets(self) -> npt.NDArray[np.int64]:
        """int64 [T + 1]: numbers of the tokens at which the texts begin."""
        offsets: npt.NDArray[np.int64] = self.sentence_offsets[self.text_offsets]
        return offsets


def segment(texts: Sequence[str], *, sentences: bool = True, threads: int = 0) -> Segmented:
    """Tokenise many texts and split them into sentences, in one call that releases the GIL.

    The result does not depend on which texts come together nor on the number of threads.

    Args:
        texts: any number of texts of any length.
        sentences: False makes every text with tokens one sentence.
        threads: 0 takes every core; one text is never shared between threads.

    Raises:
        TypeError: something among ``texts`` is not a str.

    Example:
        >>> result = segment(["IL-2 binds. So does TNFα."])
        >>> result.tokens.tolist()
        ['IL', '-', '2', 'binds', '.', 'So', 'does', 'TNFα', '.']
        >>> result.sentence_offsets.tolist()
        [0, 5, 9]
    """
    if isinstance(texts, str):
        raise TypeError("texts: expected a list of str, got one str")
    buffer, offsets, starts, ends, sentence_offsets, text_offsets = _text.segment(texts, sentences, threads)
    return Segmented(StringColumn(buffer, offsets), starts, ends, sentence_offsets, text_offsets)


def tokenize(text: str) -> TextTokens:
    """The tokens of one text.

    Example:
        >>> tokens = tokenize("p53 (TP53)")
        >>> list(zip(tokens.starts.tolist(), tokens.ends.tolist()))
        [(0, 3), (4, 5), (5, 9), (9, 10)]
    """
    result = segment([text], sentences=False, threads=1)
    return TextTokens(result.tokens, result.starts, result.ends)


def sentence_split(text: str) -> npt.NDArray[np.int64]:
    """Sentence offsets of one text, int64 [S + 1], in the numbers of its tokens.

    Example:
        >>> sentence_split("See Fig. 2. E. coli grows.").tolist()
        [0, 5, 10]
    """
    return segment([text], threads=1).sentence_offsets
