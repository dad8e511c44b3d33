"""What a network sees of packed text: integer features, one row per token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bioner_fast.features.capitalization import capitalization
from bioner_fast.features.word_forms import word_forms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor

    from bioner_fast.data.strings import StringColumn
    from bioner_fast.features.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Forms:
    """What tokens look like (see ``features.word_forms``), as tensors.

    Attributes:
        ids: int64 [N], which distinct form each token has.
        characters: uint8 [U, slots].
        affixes: int32 [U, columns].
    """

    ids: Tensor
    characters: Tensor
    affixes: Tensor

    def to(self, device: torch.device | str) -> Forms:
        """The same forms on another device."""
        return Forms(self.ids.to(device), self.characters.to(device), self.affixes.to(device))


@dataclass(frozen=True, slots=True)
class Features:
    """Packed integer features of N tokens in B sentences.

    Attributes:
        word_ids: int32 or int64 [N], rows of the word table (0 PADDING, 1 UNKNOWN).
        caps: uint8 [N], capitalisation classes.
        offsets: int64 [B + 1], sentence `b` is tokens ``offsets[b]`` to ``offsets[b + 1]``.
        forms: what the tokens look like, for networks that use it.

    Example:
        >>> Features(torch.tensor([2, 1]), torch.tensor([4, 2], dtype=torch.uint8), torch.tensor([0, 2]))
    """

    word_ids: Tensor
    caps: Tensor
    offsets: Tensor
    forms: Forms | None = None
    # What models derive from the above and use again and again (windows, padded text).
    derived: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return int(self.word_ids.shape[0])

    def to(self, device: torch.device | str) -> Features:
        """The same features on another device."""
        forms = None if self.forms is None else self.forms.to(device)
        return Features(self.word_ids.to(device), self.caps.to(device), self.offsets.to(device), forms)

    def take(self, tokens: Tensor, offsets: Tensor) -> Features:
        """Tokens in another order, int64 [n], with the sentence offsets of that order."""
        forms = self.forms
        if forms is not None:
            forms = Forms(forms.ids[tokens], forms.characters, forms.affixes)
        return Features(self.word_ids[tokens], self.caps[tokens], offsets, forms)

    @staticmethod
    def joined(parts: Sequence[Features]) -> Features:
        """Several texts, one after another."""
        import torch

        if len(parts) == 1:
            return parts[0]
        offsets, shift = [parts[0].offsets[:1]], 0
        ids, form_shift = [], 0
        for part in parts:
            offsets.append(part.offsets[1:] + shift)
            shift += len(part)
            if part.forms is not None:
                ids.append(part.forms.ids + form_shift)
                form_shift += len(part.forms.characters)
        forms = [part.forms for part in parts if part.forms is not None]
        return Features(
            torch.cat([part.word_ids for part in parts]),
            torch.cat([part.caps for part in parts]),
            torch.cat(offsets),
            Forms(
                torch.cat(ids),
                torch.cat([part.characters for part in forms]),
                torch.cat([part.affixes for part in forms]),
            )
            if forms
            else None,
        )


def featurize(
    tokens: StringColumn,
    sentence_offsets: npt.NDArray[np.int64],
    vocabulary: Vocabulary,
    *,
    normalization: str = "default",
    folding: bool = False,
    forms: bool = False,
    threads: int = 0,
) -> Features:
    """Look up tokens and classify their capitalisation; on demand, what they look like.

    Args:
        tokens: [N].
        sentence_offsets: int64 [B + 1] into them.
        vocabulary: its rows, shifted past PADDING and UNKNOWN, become ``word_ids``.
        normalization, folding, threads: as for ``Vocabulary.lookup``.
        forms: whether to make ``Features.forms``.

    Returns:
        Features of N tokens, int64 ids, on the CPU.
    """
    import numpy as np
    import torch

    rows = vocabulary.embedding_rows(tokens, normalization=normalization, folding=folding, threads=threads)
    made = None
    if forms:
        found = word_forms(tokens, folding=folding, threads=threads)
        made = Forms(
            torch.from_numpy(found.ids.astype(np.int64)),
            torch.from_numpy(found.characters),
            torch.from_numpy(found.affixes),
        )
    return Features(
        torch.from_numpy(rows.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(capitalization(tokens))),
        torch.from_numpy(np.ascontiguousarray(sentence_offsets, dtype=np.int64)),
        made,
    )
