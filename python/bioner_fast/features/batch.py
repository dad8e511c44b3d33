"""What a network sees of packed text: integer features, one row per token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bioner_fast.features.capitalization import capitalization

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor

    from bioner_fast.data.strings import StringColumn
    from bioner_fast.features.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Features:
    """Packed integer features of N tokens in B sentences.

    Attributes:
        word_ids: int32 or int64 [N], rows of the word table (0 PADDING, 1 UNKNOWN).
        caps: uint8 [N], capitalisation classes.
        offsets: int64 [B + 1], sentence `b` is tokens ``offsets[b]`` to ``offsets[b + 1]``.

    Example:
        >>> Features(torch.tensor([2, 1]), torch.tensor([4, 2], dtype=torch.uint8), torch.tensor([0, 2]))
    """

    word_ids: Tensor
    caps: Tensor
    offsets: Tensor
    # What models derive from the above and use again and again (windows, padded text); see models.layout.
    derived: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return int(self.word_ids.shape[0])

    def to(self, device: torch.device | str) -> Features:
        """The same features on another device."""
        return Features(self.word_ids.to(device), self.caps.to(device), self.offsets.to(device))


def featurize(
    tokens: StringColumn,
    sentence_offsets: npt.NDArray[np.int64],
    vocabulary: Vocabulary,
    *,
    normalization: str = "default",
    folding: bool = False,
    threads: int = 0,
) -> Features:
    """Look up tokens and classify their capitalisation.

    Args:
        tokens: [N].
        sentence_offsets: int64 [B + 1] into them.
        vocabulary: its rows, shifted past PADDING and UNKNOWN, become ``word_ids``.
        normalization, folding, threads: as for ``Vocabulary.lookup``.

    Returns:
        Features of N tokens, int64 ids, on the CPU.
    """
    import numpy as np
    import torch

    rows = vocabulary.embedding_rows(tokens, normalization=normalization, folding=folding, threads=threads)
    return Features(
        torch.from_numpy(rows.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(capitalization(tokens))),
        torch.from_numpy(np.ascontiguousarray(sentence_offsets, dtype=np.int64)),
    )
