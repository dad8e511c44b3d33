"""The encoder: windows of embedded tokens to hidden features. One implementation for every architecture.

With filters it is the published CNN (convolutions over the window, all positions kept); without, the
published MLP (the window itself). Both have two forms that give the same numbers:

- *packed*, for tokens that follow one another: every convolution position of the text is computed once, as a
  GEMM, and its output is gathered into the windows that contain it;
- *gathered*, for tokens in any order: each window is computed for itself, 3.8 times the work in the
  convolutions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.models.product import dropout, linear


class Encoder(nn.Module):
    """Convolutions over the window (or none), then hidden ReLU layers, then dropout.

    Args:
        dim: width D of an embedded token.
        window: positions of a window, odd.
        filter_widths: widths of the convolutions; empty for none.
        filters: filters of each width.
        hidden: sizes of the hidden layers.
        dropout: share of the last hidden layer that is dropped in training.

    Attributes:
        batch_mask: whether the tokens of a batch share a dropout mask, so that what it drops is not computed
            (Graham et al. 2015, "Efficient batchwise dropout training using submatrices").

    Example:
        >>> Encoder(200, 7, (3, 4, 5), 100, (1200,), 0.75).out_features
        1200
    """

    def __init__(
        self,
        dim: int,
        window: int,
        filter_widths: Sequence[int],
        filters: int,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.dim, self.window, self.filters, self.dropout = dim, window, filters, dropout
        self.batch_mask = False
        self.widths = tuple(filter_widths)
        # Cross-correlation: y[f] = bias[f] + sum over u, d of kernel[f, u, d] * x[t + u, d].
        self.kernels = nn.ParameterList(torch.empty(filters, width, dim) for width in self.widths)
        self.biases = nn.ParameterList(torch.zeros(filters) for _ in self.widths)
        # Input of the first hidden layer: per width, per position in the window, the filters.
        size = window * dim
        if self.widths:
            size = sum(window - width + 1 for width in self.widths) * filters
        sizes = [size, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.out_features = sizes[-1]
        # Rows of the convolution outputs (one per position and width) that make up a window that starts at
        # row 0.
        slots = [p * len(self.widths) + k for k, w in enumerate(self.widths) for p in range(window - w + 1)]
        self.register_buffer(
            "slots", torch.tensor(slots or range(window), dtype=torch.int64), persistent=False
        )
        self.slots: Tensor

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Glorot-uniform weights and zero biases."""
        with torch.no_grad():
            for kernel, bias in zip(self.kernels, self.biases, strict=True):
                filters, width, dim = kernel.shape
                # As the published code counts: the receptive field belongs to both fans.
                glorot_(kernel, width * dim, filters * width * dim, generator)
                bias.zero_()
            for layer in self.hidden:
                assert isinstance(layer, nn.Linear)
                glorot_(layer.weight, layer.in_features, layer.out_features, generator)
                layer.bias.zero_()

    @property
    def run(self) -> tuple[int, int]:
        """Length of the runs of rows that the convolutions read, and how many more rows of them it takes.

        The length is the widest filter, made odd; the last windows of a narrower one start beyond the rows
        that have a whole run.
        """
        length = max(self.widths) | 1
        return length, max(0, length // 2 + 1 - min(self.widths))

    def packed(self, rows: Tensor, starts: Tensor, product: torch.dtype | None = None) -> Tensor:
        """Hidden features of tokens whose windows are consecutive rows of padded text (layout.py).

        Args:
            rows: with filters, [R, run * D]: row r holds embedded rows r, r + 1, ... next to one another;
                each width takes its first columns. Without, [R, D].
            starts: int64 [N], the first row of each token's window.
            product: type of the matrix products; None for that of the weights.

        Returns:
            [N, out_features].
        """
        if not self.widths:
            slots = starts[:, None] + self.slots
            return self._top(F.embedding(slots, rows).view(len(starts), -1), product)
        rows = rows.to(product or rows.dtype)
        outputs = [
            linear(rows[:, : width * self.dim], kernel.view(self.filters, -1), bias, product)
            for width, kernel, bias in zip(self.widths, self.kernels, self.biases, strict=True)
        ]
        positions = torch.cat(outputs, 1).relu_().view(-1, self.filters)
        slots = starts[:, None] * len(self.widths) + self.slots
        return self._top(F.embedding(slots, positions).view(len(starts), -1), product)

    def gathered(self, windows: Tensor, product: torch.dtype | None = None) -> Tensor:
        """Hidden features of windows in any order.

        Args:
            windows: [N, window * D] embedded windows.
            product: as for :meth:`packed`.

        Returns:
            [N, out_features].
        """
        if not self.widths:
            return self._top(windows, product)
        dim, windows = self.dim, windows.to(product or windows.dtype)
        # A GEMM for each position reads its columns in place; copying them together costs more than it saves.
        outputs = [
            linear(windows[:, p * dim : (p + width) * dim], kernel.view(self.filters, -1), bias, product)
            for width, kernel, bias in zip(self.widths, self.kernels, self.biases, strict=True)
            for p in range(self.window - width + 1)
        ]
        return self._top(torch.cat(outputs, 1).relu_(), product)

    def unfolded(self, windows: Tensor, product: torch.dtype | None = None) -> Tensor:
        """As :meth:`gathered`, by one product for each width: on a GPU launches cost more than copies."""
        if not self.widths:
            return self._top(windows, product)
        windows = windows.to(product or windows.dtype)
        outputs = [
            linear(runs.reshape(-1, runs.shape[2]), kernel.view(self.filters, -1), bias, product)
            for width, kernel, bias in zip(self.widths, self.kernels, self.biases, strict=True)
            for runs in (windows.unfold(1, width * self.dim, self.dim),)
        ]
        return self._top(torch.cat([out.view(len(windows), -1) for out in outputs], 1).relu_(), product)

    def _top(self, features: Tensor, product: torch.dtype | None) -> Tensor:
        drops = self.training and self.dropout > 0
        last = len(self.hidden) - 1
        for number, layer in enumerate(self.hidden):
            assert isinstance(layer, nn.Linear)
            if drops and self.batch_mask and number == last:
                return self._kept_units(features, layer, product)
            features = linear(features, layer.weight, layer.bias, product).relu_()
        return dropout(features, self.dropout if drops else 0.0)

    def _kept_units(self, features: Tensor, layer: nn.Linear, product: torch.dtype | None) -> Tensor:
        """A hidden layer of which only the units are computed that dropout keeps for the whole batch."""
        kept = (torch.rand(layer.out_features) >= self.dropout).nonzero().squeeze(1).to(features.device)
        weight, bias = layer.weight.index_select(0, kept), layer.bias.index_select(0, kept)
        units = linear(features, weight, bias, product).relu_() * (1 / (1 - self.dropout))
        return units.new_zeros(len(units), layer.out_features).index_copy(1, kept, units)


def glorot_(weight: Tensor, fan_in: int, fan_out: int, generator: torch.Generator | None = None) -> None:
    """Fill with uniform(-l, l), l = sqrt(6 / (fan_in + fan_out))."""
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    with torch.no_grad():
        weight.uniform_(-limit, limit, generator=generator)
