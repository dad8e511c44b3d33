"""The engine of idcnn: tables of distinct tokens for the first block, native passes for the others."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.features.vocabulary import UNKNOWN_ROW
from bioner_fast.features.word_forms import AFFIX_COLUMNS
from bioner_fast.models.engine import (
    Engine,
    Ints,
    Placed,
    Ranges,
    RowCache,
    Tokens,
    fill_table,
    pad_rows,
)
from bioner_fast.models.idcnn.network import Block, CharacterCnn, IdcnnNetwork
from bioner_fast.ops import infer


class IdcnnEngine(Engine):
    """See :mod:`bioner_fast.models.engine`."""

    def __init__(self, network: IdcnnNetwork, precision: str, ranges: Ranges, threads: int) -> None:
        super().__init__(network, precision, threads)
        self._network = network
        channels = network.shape.channels
        self._channels, self._width = channels, infer.padded(channels)
        width = self._width
        fan_in = network.input.in_features
        self._input = infer.pack(
            pad_rows(network.input.weight, width), pad_rows(network.input.bias, width), [fan_in], "float32"
        )
        self._input_norm = self._norm(network.norm)
        blocks = [block for block in network.blocks if isinstance(block, Block)]
        self._dilations = [block.dilation for block in blocks]
        self._norms = [self._norm(block.norm) for block in blocks]
        first = self._taps_of(blocks[0])
        # One matrix for the three taps, without bias.
        self._products = infer.pack(first.reshape(-1, width), torch.zeros(6 * width), [width], "float32")
        scale = None if precision == "float32" else self._table_scale(first)
        self._taps = infer.Taps(torch.tensor([3], dtype=torch.int32), self._bias(blocks[0]), scale)
        self._steps = None if scale is None else scale.repeat(3)
        self._characters = None if network.characters is None else _multiplied_out(network.characters)
        self._quantisations: list[infer.Quantisation | None] = []
        self._convolutions = []
        for number, block in enumerate(blocks[1:]):
            quantisation = None
            if precision == "int8":
                largest = F.pad(ranges[str(number)][:channels], (0, width - channels))
                quantisation = infer.Quantisation.of(largest, signed=True)
            self._quantisations.append(quantisation)
            weight = self._taps_of(block).transpose(0, 1).reshape(2 * width, 3 * width)
            repeated = (
                None
                if quantisation is None
                else infer.Quantisation(quantisation.scale.repeat(3), quantisation.zero)
            )
            self._convolutions.append(infer.pack(weight, self._bias(block), [width] * 3, precision, repeated))
        tags = sum(tags for _, tags in self.heads)
        linears = [head for head in network.heads if isinstance(head, torch.nn.Linear)]
        heads = torch.cat([head.weight for head in linears])
        bias = torch.cat([head.bias for head in linears])
        rows = infer.padded(tags)
        self._heads = infer.pack(
            pad_rows(F.pad(heads, (0, width - channels)), rows), pad_rows(bias, rows), [width], "float32"
        )
        size = 4 if scale is None else 2
        self._cache = RowCache(
            lambda n: {
                "hidden": _zero_first(torch.empty(n, width)),
                "products": _zero_first(torch.empty(n, 6 * width * size, dtype=torch.uint8)),
            },
            width * 4 + 6 * width * size,
        )

    def _norm(self, norm: torch.nn.Module) -> tuple[Tensor, Tensor, float]:
        assert isinstance(norm, torch.nn.LayerNorm)
        gamma, beta = (F.pad(p, (0, self._width - self._channels)) for p in (norm.weight, norm.bias))
        return gamma.contiguous(), beta.contiguous(), norm.eps

    def _taps_of(self, block: Block) -> Tensor:
        """Weights [3, 2 * width, width] of a convolution: left neighbour, token, right neighbour."""
        c, w = self._channels, self._width
        weight = block.conv.weight.view(2, c, 3, c).permute(2, 0, 1, 3)
        return F.pad(weight, (0, w - c, 0, w - c)).reshape(3, 2 * w, w)

    def _bias(self, block: Block) -> Tensor:
        bias = F.pad(block.conv.bias.view(2, -1), (0, self._width - self._channels))
        return bias.reshape(-1).contiguous()

    def _table_scale(self, taps: Tensor) -> Tensor:
        """Int16 steps [2 * width] that no product can exceed.

        A token's features are gamma * z + beta with |z| <= sqrt(channels), so by Cauchy-Schwarz a product is
        at most |w * gamma| sqrt(channels) + |w beta|: about sqrt(channels) times its usual size.
        """
        gamma, beta, _ = self._input_norm
        bound = (taps * gamma).norm(dim=2) * self._channels**0.5 + (taps @ beta).abs()
        steps: Tensor = (bound.amax(0) / 32766).clamp_min(1e-30).contiguous()
        return steps

    def place(self, tokens: Tokens) -> Placed:
        """Forms and words to rows of features and of products with the first block's weights."""
        forms = tokens.forms
        if forms is None:
            raise ValueError("tokens: an idcnn needs tokens with forms")
        ids = forms.ids
        # The word of each form is that of its first token, unless somebody looked them up differently.
        words = np.zeros(len(forms.characters), np.int32)
        words[ids[::-1]] = tokens.word_ids[::-1]
        form_of: NDArray[np.int64] = np.arange(len(words))
        if not np.array_equal(words[ids], tokens.word_ids):
            pairs = ids.astype(np.int64) << 32 | tokens.word_ids
            distinct, ids = np.unique(pairs, return_inverse=True)
            words, form_of = (distinct & 0xFFFFFFFF).astype(np.int32), distinct >> 32
        characters, affixes = forms.characters[form_of], forms.affixes[form_of]
        keys = np.concatenate(
            [
                characters,
                affixes.view(np.uint8).reshape(len(words), 4 * AFFIX_COLUMNS),
                words[:, None].view(np.uint8),
            ],
            1,
        )

        def fill(which: NDArray[np.int64], tables: dict[str, Tensor], first: int) -> None:
            # In parts, so that the products of many new tokens do not lie in memory at once.
            for low in range(0, len(which), 1024):
                part = which[low : low + 1024]
                self._fill(words[part], characters[part], affixes[part], tables, first + low)

        rows, tables = self._cache.place(keys, fill)
        return Placed(rows[ids], tables)

    def _fill(
        self,
        words: NDArray[np.int32],
        characters: NDArray[np.uint8],
        affixes: NDArray[np.int32],
        tables: dict[str, Tensor],
        first: int,
    ) -> None:
        network = self._network
        ids = torch.from_numpy(words.astype(np.int64))
        vectors = network.embedding.words.index_select(0, ids) * network.word_scale
        vectors[ids == UNKNOWN_ROW] = network.unknown
        tokens = torch.empty(len(ids), network.input.in_features)
        end = vectors.shape[1]
        tokens[:, :end] = vectors
        if self._characters is not None:
            infer.characters(torch.from_numpy(characters), self._characters, tokens, end, self.threads)
            end += self._characters.filters
        if network.affixes is not None:
            tokens[:, end:] = F.embedding(torch.from_numpy(affixes).long(), network.affixes).flatten(1)
        rows = slice(first, first + len(ids))
        hidden = tables["hidden"][rows]
        index = torch.arange(len(ids), dtype=torch.int32)[:, None]
        finish = infer.Finish("norm", out=hidden, channels=self._channels, norm=self._input_norm)
        infer.linear(tokens.view(torch.uint8), index, self._input, finish, self.threads)
        fill_table(hidden, self._products, self._steps, tables["products"][rows], self.threads)

    def log_probabilities(self, placed: Placed, start: int, stop: int, offsets: Ints) -> Tensor:
        """See :meth:`Engine.log_probabilities`."""
        n, width = stop - start, self._width
        lengths = np.diff(offsets)
        first = np.repeat(offsets[:-1], lengths)
        last = np.repeat(offsets[1:] - 1, lengths)
        hidden = torch.empty(n, width)
        current, following = self._buffers(n), self._buffers(n)
        rows = np.append(placed.rows[start:stop], np.int32(0))
        finish = infer.Finish(
            "glu",
            out=hidden,
            channels=self._channels,
            norm=self._norms[0],
            residual=placed.tables["hidden"],
            residual_rows=torch.from_numpy(rows[:n].copy()),
        )
        self._next(finish, 0, current)
        around = torch.from_numpy(rows[_neighbours(first, last, self._dilations[0])].reshape(-1))
        infer.table_sum(placed.tables["products"], around, n, 3, self._taps, finish, self.threads)
        for number, weights in enumerate(self._convolutions):
            self._observe(str(number), current[:n])
            finish = infer.Finish(
                "glu", out=hidden, channels=self._channels, norm=self._norms[number + 1], residual=hidden
            )
            self._next(finish, number + 1, following)
            near = torch.from_numpy(_neighbours(first, last, self._dilations[number + 1]))
            infer.linear(current, near, weights, finish, self.threads)
            current, following = following, current
        return self._classify(hidden, self._heads)

    def _buffers(self, n: int) -> Tensor:
        """Room for the rows that a convolution reads; the last one is what lies beyond a sentence."""
        values = torch.empty(n + 1, self._width * infer.SIZES[self.precision], dtype=torch.uint8)
        values[n] = 128 if self.precision == "int8" else 0
        return values

    def _next(self, finish: infer.Finish, number: int, values: Tensor) -> None:
        """Let block ``number`` also write what the one after it reads, if there is one."""
        if number < len(self._convolutions):
            finish.next, finish.next_precision = values, self.precision
            finish.quantisation = self._quantisations[number]


def _multiplied_out(network: CharacterCnn) -> infer.CharacterTables:
    """What :class:`CharacterCnn` looks up, its filters padded to whole vectors."""
    filters = network.filters
    tables = F.pad(network.characters @ network.kernel, (0, 0, 1, 0)).view(-1, 3, filters)
    more = (0, infer.padded(filters) - filters)
    return infer.CharacterTables(
        F.pad(tables, more).contiguous(), F.pad(network.bias, more).contiguous(), filters
    )


def _zero_first(table: Tensor) -> Tensor:
    table[0] = 0
    return table


def _neighbours(first: Ints, last: Ints, dilation: int) -> NDArray[np.int32]:
    """Rows int32 [n, 3] of the left neighbour, the token and the right one; n beyond the sentence."""
    n = len(first)
    rows = np.arange(n)
    index = np.empty((n, 3), np.int32)
    index[:, 0] = np.where(rows - dilation >= first, rows - dilation, n)
    index[:, 1] = rows
    index[:, 2] = np.where(rows + dilation <= last, rows + dilation, n)
    return index
