"""Two layouts of packed text for windowed networks: padded text for contiguous rows, windows of ids for any
rows.

```text
padded text, window 7:   P P P a b c P P P d e P P P        (P: the PADDING row)
window of `a`:           P P P a b c P
window of `d`:                       P P P d e P P          (neighbours share their padding)
```

In padded text the window of every token is a run of consecutive rows, so whatever is computed per position is
computed once and used by up to seven tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bioner_fast.features.batch import Features
from bioner_fast.ops import window_gather

PADDING_ROW = 0
PADDING_CAPS = 0


@dataclass(frozen=True, slots=True)
class PaddedText:
    """Sentences with ``window // 2`` PADDING rows before, between and after them.

    Attributes:
        word_ids: int64 [M].
        caps: int64 [M].
        starts: int64 [N], the row where the window of each token starts.
        host_starts: ``starts`` in host memory, so that taking a slice does not wait for a device.
    """

    word_ids: Tensor
    caps: Tensor
    starts: Tensor
    host_starts: Tensor

    def rows(self, start: int, stop: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
        """``word_ids`` [R], ``caps`` [R] and, for the tokens of a range, ``starts`` into them."""
        first = int(self.host_starts[start])
        last = int(self.host_starts[stop - 1]) + window
        return self.word_ids[first:last], self.caps[first:last], self.starts[start:stop] - first


def padded_text(features: Features, window: int) -> PaddedText:
    """The padded layout of features for an odd window; kept with them."""
    key = ("padded", window)
    if key not in features.derived:
        margin = window // 2
        offsets = features.offsets.cpu()
        n_tokens, n_sentences = len(features), len(offsets) - 1
        sentence = torch.repeat_interleave(torch.arange(n_sentences), offsets.diff())
        starts = torch.arange(n_tokens) + margin * sentence
        total = n_tokens + margin * (n_sentences + 1)
        rows = (starts + margin).to(features.word_ids.device)
        word_ids = torch.full((total,), PADDING_ROW, dtype=torch.int64, device=rows.device)
        caps = torch.full((total,), PADDING_CAPS, dtype=torch.int64, device=rows.device)
        word_ids[rows] = features.word_ids.long()
        caps[rows] = features.caps.long()
        features.derived[key] = PaddedText(word_ids, caps, starts.to(rows.device), starts)
    text: PaddedText = features.derived[key]
    return text


def id_windows(features: Features, window: int) -> tuple[Tensor, Tensor]:
    """Windows of ids and of capitalisation classes, int64 [N, window] each; kept with the features."""
    key = ("windows", window)
    if key not in features.derived:
        features.derived[key] = (
            window_gather(features.word_ids.long(), features.offsets, window, PADDING_ROW),
            window_gather(features.caps.long(), features.offsets, window, PADDING_CAPS),
        )
    windows: tuple[Tensor, Tensor] = features.derived[key]
    return windows
