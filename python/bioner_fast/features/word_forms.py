"""What tokens look like: characters, and hashes of affixes and shape, for words that have no vector.

Version 1, per distinct token, after the folding of lookup keys (``TNFα`` looks like ``TNFalpha``):

- characters: begin, the code points (of more than 14 the first and the last seven), end, padding. Printable
  ASCII characters have a number each; of all others the kind counts (capital, small, uncased, mark, other).
- affixes: prefix and suffix of three and of four characters in lower case, and the shape (``IL-12b`` is
  ``AA-00a``; runs longer than two are cut to two), each hashed into its own range of rows of one table.

A hash of the whole token is left out on purpose: a network learns the training data's names by heart from it.
A bundle records ``WORD_FORMS_VERSION``: the same version gives the same numbers for good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn

WORD_FORMS_VERSION: int = _text.WORD_FORMS_VERSION
# Character numbers are below CHARACTERS; 0 is padding. A token has CHARACTER_SLOTS of them.
CHARACTERS: int = _text.WORD_FORM_CHARACTERS
CHARACTER_SLOTS: int = _text.WORD_FORM_CHARACTER_SLOTS
# Affix rows are below AFFIX_ROWS. A token has AFFIX_COLUMNS of them.
AFFIX_ROWS: int = _text.WORD_FORM_AFFIX_ROWS
AFFIX_COLUMNS: int = _text.WORD_FORM_AFFIX_COLUMNS


@dataclass(frozen=True, slots=True, eq=False)
class WordForms:
    """Forms of N tokens, U of them distinct.

    Attributes:
        ids: int32 [N], which distinct form each token has.
        characters: uint8 [U, CHARACTER_SLOTS].
        affixes: int32 [U, AFFIX_COLUMNS].
    """

    ids: npt.NDArray[np.int32]
    characters: npt.NDArray[np.uint8]
    affixes: npt.NDArray[np.int32]


def word_forms(tokens: StringColumn, *, folding: bool = True, threads: int = 0) -> WordForms:
    """The forms of tokens; the GIL is released.

    Args:
        tokens: [N].
        folding: spell Greek out, and so on, first.
        threads: 0 takes every core.

    Returns:
        Forms, the distinct ones by first appearance.

    Example:
        >>> forms = word_forms(StringColumn.from_list(["of", "TNFα", "TNFalpha", "of"]))
        >>> forms.ids.tolist(), bool((forms.affixes[1] == forms.affixes[2]).all())
        ([0, 1, 2, 0], True)
    """
    return WordForms(*_text.word_forms(tokens.buffer, tokens.offsets, folding, threads))
