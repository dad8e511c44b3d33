"""Which tokens are pictures: emoji and their like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn


def pictographs(tokens: StringColumn) -> npt.NDArray[np.bool_]:
    """Whether a token holds nothing but pictographs and what joins or varies them.

    Pictographs are emoji, the symbols and dingbats around them, flags and skin tones. Joiners and tags,
    tokens of their own in running text, count behind a pictograph. Letters and numbers, arrows,
    mathematical signs, shapes such as ``△`` and the signs ``° © ® ™`` are none.

    Args:
        tokens: [N].

    Returns:
        bool [N].

    Example:
        >>> pictographs(StringColumn.from_list(["malaria", "😷", "👩", "\\u200d", "👧", "°"])).tolist()
        [False, True, True, True, True, False]
    """
    found: npt.NDArray[np.bool_] = _text.pictographs(tokens.buffer, tokens.offsets).view(np.bool_)
    return found
