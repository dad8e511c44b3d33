"""Word vectors and capitalisation, side by side: the input of every encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.features.vocabulary import PADDING_ROW
from bioner_fast.ops import embedding_window, window_gather


class TokenEmbedding(nn.Module):
    """Rows of the word table, followed by the capitalisation embedding if there is one.

    The word table is never a parameter that autograd accumulates into: a table of a million rows would get a
    gradient of a million rows. In training with ``tune_words`` the rows in use become leaves; their gradients
    wait in :meth:`take_row_gradients` for an optimiser that updates those rows only.

    Args:
        rows: rows of the word table.
        word_dim: its width.
        caps_dim: width of the capitalisation embedding; 0 for none.
        caps_classes: its rows.
        tune_words: whether training changes the word table.
    """

    def __init__(self, rows: int, word_dim: int, caps_dim: int, caps_classes: int, tune_words: bool) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.empty(rows, word_dim), requires_grad=False)
        self.caps = nn.Parameter(torch.empty(caps_classes, caps_dim)) if caps_dim else None
        self.tune_words = tune_words
        self.dim = word_dim + caps_dim
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Uniform(-0.05, 0.05) everywhere."""
        with torch.no_grad():
            for table in self.parameters():
                table.uniform_(-0.05, 0.05, generator=generator)

    def forward(self, word_ids: Tensor, caps: Tensor) -> Tensor:
        """Embed positions.

        Args:
            word_ids: int64 [R].
            caps: int64 [R].

        Returns:
            [R, dim].
        """
        rows = self.words.index_select(0, word_ids)
        if self._tunes:
            rows = rows.detach().requires_grad_()
            self._leaves.append((word_ids, rows))
        if self.caps is None:
            return rows
        return torch.cat([rows, F.embedding(caps, self.caps)], 1)

    @property
    def _tunes(self) -> bool:
        return self.tune_words and self.training and torch.is_grad_enabled()

    def runs(self, word_ids: Tensor, caps: Tensor, length: int, more: int) -> Tensor:
        """Embedded positions r, r + 1, ..., r + length - 1 side by side, for every r.

        What a run holds beyond the last position means nothing. Fixed vectors are looked up and put side by
        side in one pass.

        Args:
            word_ids: int64 [R].
            caps: int64 [R].
            length: positions of a run, odd.
            more: runs wanted beyond those that fit.

        Returns:
            [R - length // 2 + more, length * dim].
        """
        if more:  # with a row that is in use: an optimiser of rows moves every row it is handed
            word_ids = torch.cat([word_ids, word_ids[-1:].expand(more)])
            caps = torch.cat([caps, caps[-1:].expand(more)])
        bounds = torch.tensor([0, len(word_ids)], device=word_ids.device)
        if self.caps is None and not self._tunes:
            windows = embedding_window(self.words, word_ids, bounds, length, PADDING_ROW)
        else:
            windows = window_gather(self(word_ids, caps), bounds, length)
        return windows[length // 2 :]

    def take_row_gradients(self) -> tuple[Tensor, Tensor] | None:
        """Row numbers [R], with repetitions, and gradients [R, word_dim] since the last call, if any."""
        leaves = [(ids, rows.grad) for ids, rows in self._leaves if rows.grad is not None]
        self._leaves.clear()
        if not leaves:
            return None
        if len(leaves) == 1:
            ids, gradient = leaves[0]
            assert gradient is not None
            return ids, gradient
        return torch.cat([ids for ids, _ in leaves]), torch.cat([g for _, g in leaves if g is not None])
