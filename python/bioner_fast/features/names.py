"""Names within a document: the abbreviations it defines, and the places where a name comes again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn

Ints = npt.NDArray[np.int64]


def find_abbreviations(tokens: StringColumn, starts: Ints, ends: Ints, sentence_offsets: Ints) -> Ints:
    """Definitions of abbreviations, by the rule of Schwartz and Hearst (2003).

    ``long form (SF)``: the short form has at most two words and two to ten characters, and begins with a
    letter or number. Its letters and numbers are looked for from right to left in the words before it, at
    most twice as many as it has letters and at most five more; the first has to begin a word. Where brackets
    hold several words, they are the long form of the word before them. Case does not count, and ``α`` is
    like ``a``. Sentences are looked at one by one.

    Args:
        tokens: [N].
        starts, ends: int64 [N], code points of the tokens in their document.
        sentence_offsets: int64 [S + 1].

    Returns:
        int64 [A, 4]: the first token of the short form, the one behind its last, and those of the long form.

    Example:
        >>> from bioner_fast.features.tokenize import tokenize
        >>> cut = tokenize("After rheumatoid arthritis (RA)")
        >>> whole = np.array([0, len(cut)])
        >>> find_abbreviations(cut.column, cut.starts, cut.ends, whole).tolist()
        [[4, 5, 1, 3]]
    """
    found: Ints = _text.abbreviations(tokens.buffer, tokens.offsets, starts, ends, sentence_offsets)
    return found


@dataclass(frozen=True, slots=True)
class Repeats:
    """Where names occur in their own document.

    Attributes:
        group: int64 [M], names with the same number are the same name of one document.
        start, end: int64 [K], tokens of every occurrence, by start; those that were asked for are among them.
        occurrence_group: int64 [K], which name it is.
    """

    group: Ints
    start: Ints
    end: Ints
    occurrence_group: Ints


def find_repeats(tokens: StringColumn, document_offsets: Ints, start: Ints, end: Ints) -> Repeats:
    """All occurrences of names in the documents they were found in.

    Two names are the same where their tokens are, but that a word of at least four letters may begin with a
    capital that it owes to its place. Names of more than 32 tokens are each alone.

    Args:
        tokens: [N].
        document_offsets: int64 [D + 1], token numbers.
        start, end: int64 [M], tokens of the names, by ascending start.

    Raises:
        ValueError: a name is not within one document, or they are not in order.

    Example:
        >>> tokens = StringColumn.from_list("Gout hurts . He has gout".split())
        >>> found = find_repeats(tokens, np.array([0, 6]), np.array([0]), np.array([1]))
        >>> found.start.tolist()
        [0, 5]
    """
    return Repeats(*_text.repeats(tokens.buffer, tokens.offsets, document_offsets, start, end))
