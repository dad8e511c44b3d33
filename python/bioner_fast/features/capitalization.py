"""Capitalisation classes of SENNA: a small feature beside the word vector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn

# Number of a class is its position here.
CAPITALIZATION_CLASSES = ("PADDING", "allcaps", "initcap", "hascap", "nocaps")


def capitalization(tokens: StringColumn, *, threads: int = 0) -> npt.NDArray[np.uint8]:
    """Class of every token.

    1 ``allcaps``: some letters, all of them capitals (``TP53``); 2 ``initcap``: the first character is a
    capital (``Xq26``); 3 ``hascap``: another one is (``mRNA``); 4 ``nocaps``. 0 is the class of positions
    outside a sentence. What a capital is comes from the pinned Unicode version, not from the running Python.

    Args:
        tokens: [N].
        threads: 0 takes every core.

    Returns:
        uint8 [N].

    Example:
        >>> capitalization(StringColumn.from_list(["TP53", "Xq26", "mRNA", "of"])).tolist()
        [1, 2, 3, 4]
    """
    classes: npt.NDArray[np.uint8] = _text.capitalization(tokens.buffer, tokens.offsets, threads)
    return classes
