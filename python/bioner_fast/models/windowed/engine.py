"""The engine of the windowed networks (cnn, mlp): tables of distinct words for the first layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

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
from bioner_fast.models.windowed.encoder import Encoder
from bioner_fast.models.windowed.layout import PADDING_CAPS, PADDING_ROW
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.ops import infer

# Elements of a filter group that a product reads are multiples of it: 4 bytes of int8.
_GROUP = 4


@dataclass(frozen=True, slots=True)
class _Layer:
    """A hidden layer; its inputs are ``index`` rows beginning with each token's first."""

    weights: infer.Weights
    rows: int


class _EncoderEngine:
    """One encoder. Its first layer is a sum of table rows: filters at a position, or units of a window."""

    def __init__(self, encoder: Encoder, name: str, precision: str, ranges: Ranges) -> None:
        self.name, self.precision = name, precision
        self.widths = tuple(sorted(encoder.widths))
        if self.widths:
            # Groups by ascending width: what a position offers to a window is the beginning of its row.
            order = sorted(range(len(encoder.widths)), key=lambda k: encoder.widths[k])
            self.columns = encoder.filters
            parts = [encoder.kernels[k] for k in order]  # [filters, taps, dim]
            biases = [encoder.biases[k] for k in order]
            hidden = list(encoder.hidden)
        else:
            first = encoder.hidden[0]
            assert isinstance(first, torch.nn.Linear)
            self.columns = first.out_features
            parts = [first.weight.view(self.columns, encoder.window, encoder.dim)]
            biases = [first.bias]
            hidden = list(encoder.hidden)[1:]
        width = infer.padded(self.columns)
        self.groups, self.width = len(parts), width
        self.group_columns = -(-self.columns // _GROUP) * _GROUP
        # [parts, width, dim]: what a table row holds, part by part.
        products = torch.cat([pad_rows(part, width).transpose(0, 1) for part in parts])
        self.parts = len(products)
        self.products = infer.pack(
            products.reshape(-1, encoder.dim), torch.zeros(self.parts * width), [encoder.dim], "float32"
        )
        self.part_norms = products.norm(dim=2)
        self.taps = torch.tensor([part.shape[1] for part in parts], dtype=torch.int32)
        self.group_of_part = torch.arange(self.groups).repeat_interleave(self.taps.long())
        self.bias = torch.cat([pad_rows(bias, width) for bias in biases]).contiguous()
        # Bytes of an output row: groups side by side, and room for the last vector of the last one.
        self.row = (self.groups - 1) * self.group_columns + width
        self._layers(encoder, hidden, ranges)

    def _layers(self, encoder: Encoder, hidden: list[torch.nn.Module], ranges: Ranges) -> None:
        """Pack the layers behind the first."""
        self.layers: list[_Layer] = []
        self.quantisations: list[infer.Quantisation | None] = []
        self.out_width = self.width
        for number, layer in enumerate(hidden):
            assert isinstance(layer, torch.nn.Linear)
            if number == 0 and self.widths:
                weight, segments = self._window_weight(encoder, layer.weight)
                used = self.groups * self.group_columns
            else:
                used = infer.padded(layer.in_features)
                weight, segments = F.pad(layer.weight, (0, used - layer.in_features)), [used]
            quantisation, repeated = None, None
            if self.precision == "int8":
                scale = infer.Quantisation.of(ranges[f"{self.name}.{number}"][:used], signed=False).scale
                repeated = infer.Quantisation(torch.cat([scale[:k] for k in segments]), 0)
                # As the native pass takes it: over the padded columns.
                groups = scale.view(self.groups, -1) if number == 0 and self.widths else scale[None]
                width = self.width if number == 0 else used
                quantisation = infer.Quantisation(
                    F.pad(groups, (0, width - groups.shape[1])).reshape(-1).contiguous(), 0
                )
            rows = infer.padded(layer.out_features)
            packed = infer.pack(
                pad_rows(weight, rows), pad_rows(layer.bias, rows), segments, self.precision, repeated
            )
            self.quantisations.append(quantisation)
            self.layers.append(_Layer(packed, len(segments)))
            self.out_width = rows

    def _window_weight(self, encoder: Encoder, weight: Tensor) -> tuple[Tensor, list[int]]:
        """A hidden layer over a window of filter outputs, its columns by position, then group."""
        places: dict[tuple[int, int], Tensor] = {}
        at = 0
        for k, w in enumerate(encoder.widths):
            rank = sorted(range(len(encoder.widths)), key=lambda j: encoder.widths[j]).index(k)
            for position in range(encoder.window - w + 1):
                part = weight[:, at : at + encoder.filters]
                places[position, rank] = F.pad(part, (0, self.group_columns - encoder.filters))
                at += encoder.filters
        columns, segments = [], []
        for position in range(encoder.window - self.widths[0] + 1):
            groups = [places[position, g] for g in range(self.groups) if (position, g) in places]
            columns += groups
            segments.append(len(groups) * self.group_columns)
        return torch.cat(columns, 1), segments


class WindowEngine(Engine):
    """See :mod:`bioner_fast.models.engine`."""

    def __init__(self, network: TaggingNetwork, precision: str, ranges: Ranges, threads: int) -> None:
        super().__init__(network, precision, threads)
        shape = network.shape
        self._embedding, self._window, self._caps_classes = (
            network.embedding,
            shape.window,
            shape.caps_classes,
        )
        self._encoders = []
        for number, encoder in enumerate(network.encoders):
            self._encoders.append(_EncoderEngine(encoder, str(number), precision, ranges))
        self._taps = [
            infer.Taps(encoder.taps, encoder.bias, self._scale(encoder)) for encoder in self._encoders
        ]
        self._steps = [
            # A group's for each of its parts.
            None
            if taps.scale is None
            else taps.scale.view(encoder.groups, -1)[encoder.group_of_part].view(-1)
            for encoder, taps in zip(self._encoders, self._taps, strict=True)
        ]
        self._heads = self._pack_heads(network)
        size = 4 if precision == "float32" else 2
        sizes = {t.name: t.parts * t.width * size for t in self._encoders}
        self._cache = RowCache(
            lambda n: {name: torch.empty(n, size, dtype=torch.uint8) for name, size in sizes.items()},
            sum(sizes.values()),
        )

    def _scale(self, encoder: _EncoderEngine) -> Tensor | None:
        """Int16 steps that no product of an embedded token and a filter can exceed."""
        if self.precision == "float32":
            return None
        squares = self._embedding.words.norm(dim=1).max() ** 2
        if self._embedding.caps is not None:
            squares = squares + self._embedding.caps.norm(dim=1).max() ** 2
        bound = encoder.part_norms * squares.sqrt()
        per_group = [part.amax(0) for part in torch.split(bound, encoder.taps.tolist())]
        return (torch.cat(per_group) / 32766).clamp_min(1e-30).contiguous()

    def _pack_heads(self, network: TaggingNetwork) -> infer.Weights:
        """All heads over the outputs of all encoders side by side."""
        starts = np.cumsum([0, *(encoder.out_width for encoder in self._encoders)])
        rows = []
        for head, inputs in zip(network.linear_heads, network.inputs, strict=True):
            weight = head.weight.new_zeros(head.out_features, int(starts[-1]))
            given = torch.split(head.weight, head.in_features // len(inputs), 1)
            for encoder, part in zip(inputs, given, strict=True):
                weight[:, starts[encoder] : starts[encoder] + part.shape[1]] = part
            rows.append(weight)
        bias = torch.cat([head.bias for head in network.linear_heads])
        padded = infer.padded(len(bias))
        return infer.pack(
            pad_rows(torch.cat(rows), padded), pad_rows(bias, padded), [int(starts[-1])], "float32"
        )

    def place(self, tokens: Tokens) -> Placed:
        """Words, with their capitalisation where the network sees it, to rows of products.

        The last row belongs to what lies beyond a sentence.
        """
        ids = tokens.word_ids.astype(np.int64) * self._caps_classes
        padding = PADDING_ROW * self._caps_classes
        if self._embedding.caps is not None:
            ids = ids + tokens.caps
            padding += PADDING_CAPS
        distinct, inverse = np.unique(np.append(ids, padding), return_inverse=True)
        keys = distinct[:, None].view(np.uint8)

        def fill(which: NDArray[np.int64], tables: dict[str, Tensor], first: int) -> None:
            for low in range(0, len(which), 1024):
                self._fill(distinct[which[low : low + 1024]], tables, first + low)

        rows, tables = self._cache.place(keys, fill)
        return Placed(rows[inverse], tables)

    def _fill(self, keys: Ints, tables: dict[str, Tensor], first: int) -> None:
        words = torch.from_numpy(keys // self._caps_classes)
        embedded = self._embedding(words, torch.from_numpy(keys % self._caps_classes))
        rows = slice(first, first + len(keys))
        for encoder, steps in zip(self._encoders, self._steps, strict=True):
            fill_table(embedded, encoder.products, steps, tables[encoder.name][rows], self.threads)

    def log_probabilities(self, placed: Placed, start: int, stop: int, offsets: Ints) -> Tensor:
        """See :meth:`Engine.log_probabilities`."""
        n, margin = stop - start, self._window // 2
        # Padded text (see models.windowed.layout), and how far the last row's taps reach.
        sentence = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        starts = (np.arange(n) + margin * sentence).astype(np.int32)
        total = n + margin * len(offsets)
        index = np.full(total + self._window, placed.rows[-1], np.int32)
        index[starts + margin] = placed.rows[start:stop]
        text = torch.from_numpy(index)
        hidden = [
            self._run(encoder, taps, placed.tables[encoder.name], text, total, starts)
            for encoder, taps in zip(self._encoders, self._taps, strict=True)
        ]
        return self._classify(hidden[0] if len(hidden) == 1 else torch.cat(hidden, 1), self._heads)

    def _run(
        self,
        encoder: _EncoderEngine,
        taps: infer.Taps,
        table: Tensor,
        text: Tensor,
        total: int,
        starts: NDArray[np.int32],
    ) -> Tensor:
        """Float32 [n, out_width]."""
        n = len(starts)
        finish = infer.Finish("relu", groups=encoder.groups, group_columns=encoder.group_columns)
        if encoder.layers:
            finish.next = torch.empty(total, encoder.row * infer.SIZES[self.precision], dtype=torch.uint8)
            finish.next_precision, finish.quantisation = self.precision, encoder.quantisations[0]
        else:
            finish.out = torch.empty(total, encoder.out_width)
        infer.table_sum(table, text, total, 1, taps, finish, self.threads)
        if not encoder.layers:
            assert finish.out is not None
            return finish.out.index_select(0, torch.from_numpy(starts).long())
        values = finish.next
        first = torch.from_numpy(starts)[:, None]
        for number, layer in enumerate(encoder.layers):
            assert values is not None
            self._observe(f"{encoder.name}.{number}", values)
            if number:
                first = torch.arange(n, dtype=torch.int32)[:, None]
            index = (first + torch.arange(layer.rows, dtype=torch.int32)).contiguous()
            width = len(layer.weights.bias)
            finish = infer.Finish("relu", group_columns=width)
            if number + 1 < len(encoder.layers):
                finish.next = torch.empty(n, width * infer.SIZES[self.precision], dtype=torch.uint8)
                finish.next_precision = self.precision
                finish.quantisation = encoder.quantisations[number + 1]
            else:
                finish.out = torch.empty(n, width)
            infer.linear(values, index, layer.weights, finish, self.threads)
            values = finish.next
        assert finish.out is not None
        return finish.out
