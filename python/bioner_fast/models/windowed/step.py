"""Steps of the published networks on a CPU, forward and backward written out.

The same numbers as :class:`bioner_fast.models.learning.step.Step`, which leaves gradients to autograd: a
step is a handful of matrix products, and what autograd and small calls put around them took as long as the
products themselves in bfloat16. Here nothing is converted that need not be: word vectors that stay fixed
are kept in the products' type, weights get their rounded copy from the optimiser's pass, and gradients go
from the products to the optimiser as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.models.batch import Batch
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Gradient, Optimizer
from bioner_fast.models.learning.step import Step
from bioner_fast.models.loss import LEAST, MOST, loss_and_gradient
from bioner_fast.models.windowed.encoder import Encoder
from bioner_fast.models.windowed.layout import id_windows, padded_text
from bioner_fast.models.windowed.network import TaggingNetwork
from bioner_fast.ops import dense, gated, products, step

# Heads with more tags are faster by Torch's products.
NATIVE_TAGS = 12

# Dropout that keeps so few values that their products are faster without the others (and of a gradient, relu
# takes half of what is kept).
SPARSE_SHARE = 0.5


class WindowStep(Step):
    """Takes steps of a network for which :func:`bioner_fast.models.windowed.make_step.writes_out` says so, by
    the loss of softmaxes.

    Arguments are those of :class:`bioner_fast.models.learning.step.Step`.
    """

    network: TaggingNetwork

    def __init__(
        self,
        network: TaggingNetwork,
        optimizer: Optimizer,
        average: Average | None = None,
        *,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(network, optimizer, average, processes=processes)
        self.buffers = _Buffers(network.embedding.words)
        self.product = network.training_product or network.embedding.words.dtype
        # Hidden layers by ops.dense; gradients that are added up or measured must be there. Without AMX
        # Torch's products are as fast, and only the MLP, whose batches are small, gains by it.
        self.tiles = (
            self.product == torch.bfloat16
            and self.processes.alone
            and optimizer.clip == 0
            and (dense.in_tiles() if network.shape.filter_widths else dense.available())
        )
        # In bfloat16 with AMX, whose products are several times as fast, and on ARM it was not measured.
        self.sparse = (
            self.product != torch.bfloat16
            or products.widens()
            or (dense.available() and not dense.in_tiles())
        )
        self.words = network.embedding.words.detach()
        if not network.embedding.tune_words:
            self.words = network.low_words(self.product)
        self.encoders = {
            index: _EncoderPass(encoder, f"towers.{index}", self)
            for index, encoder in enumerate(network.encoders)
            if f"towers.{index}.hidden.0.weight" in optimizer.parameters
        }

    def low(self, name: str, weight: Tensor) -> Tensor:
        """A weight as the products read it, [O, I]; the optimiser keeps it up to date."""
        if self.product == weight.dtype:
            return weight.detach().view(len(weight), -1)
        return self.optimizer.low_copy(name, self.product).view(len(weight), -1)

    def drops_much(self, share: float) -> bool:
        """Whether what dropout takes from a layer is left out of its products."""
        return self.sparse and not self.tiles and share >= SPARSE_SHARE

    def gradient_buffers(
        self, n: int, width: int, rows: bool, sparse: bool = False
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """Memory for gradients of products: rows [n, width] (if ``rows``), and columns, their transpose.

        The product that makes a weight's gradient is faster from columns if it is sparse or in bfloat16;
        otherwise it is not, and reads the rows. The last result is what it shall read.
        """
        if sparse or self.product == torch.bfloat16:
            columns = self.buffers.new("columns", (width, n), self.product)
            return self.buffers.new("rows", (n, width), self.product) if rows else None, columns, columns
        only = self.buffers.new("rows", (n, width), self.product)
        return only, None, only.t()

    @torch.no_grad()
    def gradients(self, batch: Batch) -> tuple[Tensor, dict[str, Gradient], tuple[Tensor, Tensor] | None]:
        """As for every step; the gradients lie in buffers that the next call writes anew."""
        network, gradients = self.network, dict[str, Gradient]()
        heads = network.linear_heads
        used = sorted({encoder for head, _, _ in batch.parts for encoder in network.inputs[head]})
        inputs = _Convolved(self, batch) if network.shape.filter_widths else _Whole(self, batch)
        hidden = {encoder: self.encoders[encoder].forward(inputs) for encoder in used}
        whole = len(batch.parts) == 1
        grads = {t: None if whole else self.buffers.zeros(f"top {t}", hidden[t].shape) for t in used}
        loss = self.words.new_zeros((), dtype=network.embedding.words.dtype)
        for head, rows, tags in batch.parts:
            layer = heads[head]
            encoders = network.inputs[head]
            parts = [hidden[encoder][rows] for encoder in encoders]
            read = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            part, into, *learnt = _head(layer, read, tags, batch.total or batch.size)
            loss += part
            for name, value in zip(("weight", "bias"), learnt, strict=True):
                name = f"heads.{head}.{name}"
                before = gradients.get(name)
                gradients[name] = before + value if isinstance(before, Tensor) else value
            start = 0
            for encoder, block in zip(encoders, parts, strict=True):
                mine, start = into[:, start : start + block.shape[1]], start + block.shape[1]
                target = grads[encoder]
                if target is None:
                    grads[encoder] = mine.contiguous()
                else:
                    target[rows] += mine
        for encoder in used:
            grad_top = grads[encoder]
            assert grad_top is not None
            self.encoders[encoder].backward(inputs, grad_top, gradients)
        return loss, gradients, inputs.finish(gradients)


def _head(layer: nn.Linear, read: Tensor, tags: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss of a head, and its gradients for what the head reads, its weight and its bias."""
    if layer.out_features <= NATIVE_TAGS:
        into = torch.empty_like(read)
        loss, weight, bias = step.head(read, layer.weight, layer.bias, tags, size, into, (LEAST, MOST))
        return loss, into, weight, bias
    loss, grad = loss_and_gradient(F.linear(read, layer.weight, layer.bias), tags, size)
    return loss, grad @ layer.weight, grad.t() @ read, grad.sum(0)


class _Buffers:
    """Memory that steps use again."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.kept: dict[str, Tensor] = {}

    def new(self, name: str, shape: tuple[int, ...] | torch.Size, dtype: torch.dtype | None = None) -> Tensor:
        """An uninitialised tensor under a name, until the name is asked for again."""
        size = 1
        for length in shape:
            size *= length
        held = self.kept.get(name)
        if held is None or len(held) < size:
            held = self.kept[name] = self.like.new_empty(size + size // 8, dtype=dtype or self.like.dtype)
        return held[:size].view(shape)

    def zeros(self, name: str, shape: torch.Size) -> Tensor:
        return self.new(name, shape).zero_()

    def low(self, owner: str) -> Callable[[str, tuple[int, ...]], Tensor]:
        """:meth:`new` in bfloat16, under names of their own for each owner."""
        return lambda name, shape: self.new(f"{name} {owner}", shape, torch.bfloat16)


@dataclass
class _Convolved:
    """What the convolutions of a batch read, per width: runs of rows, and where windows start in them."""

    owner: WindowStep
    batch: Batch
    wants_gradient = True  # for the kernels

    @property
    def gradient_type(self) -> torch.dtype:
        """Of what :meth:`backward` reads."""
        return self.owner.product

    def __post_init__(self) -> None:
        owner, batch = self.owner, self.batch
        shape, features, words = owner.network.shape, batch.features, owner.words
        window, dim = shape.window, owner.network.embedding.dim
        self.runs: list[Tensor] = []
        self.starts: list[Tensor] = []
        self.positions: dict[str, Tensor] = {}
        # Windows for themselves are so many rows that putting them in panels costs more than tiles save.
        self.tiles = owner.tiles and not isinstance(batch.tokens, Tensor)
        self.operands: list[dense.Operand] = []
        if isinstance(batch.tokens, Tensor):
            ids = id_windows(features, window)[0].index_select(0, batch.tokens)
            for width in shape.filter_widths:
                slots = window - width + 1
                spread = ids.unfold(1, width, 1).reshape(-1)
                run = owner.buffers.new(f"runs {width}", (len(spread), dim), owner.product)
                torch.index_select(words, 0, spread, out=run)
                self.runs.append(run.view(batch.size * slots, width * dim))
                self.starts.append(torch.arange(0, batch.size * slots, slots))
            return
        word_ids, _, starts = padded_text(features, window).rows(
            batch.tokens.start, batch.tokens.stop, window
        )
        for width in shape.filter_widths:
            spread = word_ids.unfold(0, width, 1).reshape(-1)
            run = owner.buffers.new(f"runs {width}", (len(spread), dim), owner.product)
            torch.index_select(words, 0, spread, out=run)
            self.runs.append(run.view(-1, width * dim))
            self.starts.append(starts)
            if self.tiles:
                self.operands.append(dense.operand(self.runs[-1], width * dim, owner.buffers.low(f"{width}")))

    def features(self, encoder: _EncoderPass) -> Tensor:
        """What the first hidden layer reads: G [n, slots * filters]."""
        network, buffers = self.owner.network, self.owner.buffers
        shape, module = network.shape, encoder.module
        size = self.batch.size, len(module.slots) * shape.filters
        out = buffers.new(f"features {encoder.name}", size, self.owner.product)
        column = 0
        for k, width in enumerate(shape.filter_widths):
            run = self.runs[k]
            name = f"{encoder.name} {k}"
            values = buffers.new(f"positions {name}", (len(run), shape.filters), self.owner.product)
            kernel = f"{encoder.name}.kernels.{k}"
            if self.tiles:
                dense.forward(self.operands[k], self.owner.optimizer.blocks(kernel), values)
            else:
                values = products.mm(run, self.owner.low(kernel, module.kernels[k]).t(), out=values)
            self.positions[name] = values
            slots = shape.window - width + 1
            step.positions(values, module.biases[k], self.starts[k], slots, out, column)
            column += slots * shape.filters
        return out

    def backward(self, encoder: _EncoderPass, grad: Tensor, gradients: dict[str, Gradient]) -> None:
        """Gradients of the kernels from that of :meth:`features`."""
        network, buffers, product = self.owner.network, self.owner.buffers, self.owner.product
        shape, module, column = network.shape, encoder.module, 0
        for k, width in enumerate(shape.filter_widths):
            run, slots = self.runs[k], shape.window - width + 1
            values = self.positions[f"{encoder.name} {k}"]
            bias, name = torch.empty_like(module.biases[k]), f"{encoder.name}.kernels.{k}"
            gradients[f"{encoder.name}.biases.{k}"] = bias
            where = grad, values, self.starts[k], slots, column
            if self.tiles:
                size = dense.padded(shape.filters), dense.padded(len(run))
                columns = buffers.new(f"columns {name}", size, product)
                step.positions_grad(*where, None, columns, bias)
                gradients[name] = dense.WeightGradient(columns, self.operands[k])
            else:
                rows, turned, read = self.owner.gradient_buffers(len(run), shape.filters, False)
                step.positions_grad(*where, rows, turned, bias)
                kernel = buffers.new(f"kernel {encoder.name} {k}", (shape.filters, run.shape[1]), product)
                kernel = products.mm(read, run, out=kernel)
                gradients[name] = kernel.view(module.kernels[k].shape)
            column += slots * shape.filters

    def finish(self, gradients: dict[str, Gradient]) -> None:
        """Nothing: the vectors stay as they are."""


@dataclass
class _Whole:
    """What an MLP reads: the window of each token, words and capitalisation."""

    owner: WindowStep
    batch: Batch

    def __post_init__(self) -> None:
        batch, embedding = self.batch, self.owner.network.embedding
        self.wants_gradient = embedding.caps is not None or embedding.tune_words
        words, caps = id_windows(batch.features, self.owner.network.shape.window)
        if isinstance(batch.tokens, Tensor):
            words, caps = words.index_select(0, batch.tokens), caps.index_select(0, batch.tokens)
        else:
            words, caps = words[batch.tokens], caps[batch.tokens]
        self.word_ids, self.caps = words.reshape(-1), caps.reshape(-1)
        words = self.owner.words
        if words.dtype == torch.bfloat16:  # fixed
            rows = words.index_select(0, self.word_ids)
            if embedding.caps is not None:
                rows = torch.cat([rows, F.embedding(self.caps, embedding.caps).to(rows.dtype)], 1)
        else:
            rows = self.owner.buffers.new("rows of words", (len(self.word_ids), embedding.dim), words.dtype)
            step.rows(words, self.word_ids, embedding.caps, self.caps, rows)
        self.rows = rows.view(batch.size, -1)
        if not self.owner.tiles:
            self.rows = self.rows.to(self.owner.product)
        self.grad: Tensor | None = None

    @property
    def gradient_type(self) -> torch.dtype:
        return self.owner.words.dtype if self.owner.tiles else self.owner.product

    def features(self, encoder: _EncoderPass) -> Tensor:
        return self.rows

    def backward(self, encoder: _EncoderPass, grad: Tensor, gradients: dict[str, Gradient]) -> None:
        self.grad = grad if self.grad is None else self.grad + grad

    def finish(self, gradients: dict[str, Gradient]) -> tuple[Tensor, Tensor] | None:
        embedding = self.owner.network.embedding
        if self.grad is None:
            return None
        tokens, window = self.batch.tokens, self.owner.network.shape.window
        word_ids, caps = self.word_ids, self.caps
        grad = self.grad.view(len(word_ids), embedding.dim).to(embedding.words.dtype)
        if isinstance(tokens, slice):  # windows overlap: a row gets its gradients at once
            text = padded_text(self.batch.features, window)
            word_ids, caps, starts = text.rows(tokens.start, tokens.stop, window)
            grad = step.fold(grad.view(self.batch.size, window, -1), starts, len(word_ids))
        if embedding.caps is not None:
            gradients["embedding.caps"] = step.caps_grad(grad, caps, embedding.caps)
        return (word_ids, grad) if embedding.tune_words else None


@dataclass
class _EncoderPass:
    """The hidden layers of an encoder, and memory for what they compute."""

    module: Encoder
    name: str
    owner: WindowStep

    def layers(self) -> Iterator[tuple[int, nn.Linear, float]]:
        """Number, layer and dropout."""
        last = len(self.module.hidden) - 1
        for number, layer in enumerate(self.module.hidden):
            assert isinstance(layer, nn.Linear)
            yield number, layer, self.module.dropout if number == last else 0.0

    def forward(self, inputs: _Convolved | _Whole) -> Tensor:
        """T [n, out_features]."""
        owner, last = self.owner, len(self.module.hidden) - 1
        self.read = [inputs.features(self)]
        self.operands: list[dense.Operand] = []
        for number, layer, share in self.layers():
            weight, read = f"{self.name}.hidden.{number}.weight", self.read[-1]
            dtype = layer.weight.dtype if number == last else owner.product
            size = len(read), layer.out_features
            out = owner.buffers.new(f"units {self.name} {number}", size, dtype)
            self.read.append(out)
            if owner.drops_much(share):
                kernel = owner.low(weight, layer.weight)
                products.kept_units(read, kernel, layer.bias, gated.seeds(1)[0], share, out)
                continue
            sums = owner.buffers.new("sums", size, owner.product)
            if owner.tiles:
                x = dense.operand(read, layer.in_features, owner.buffers.low(weight))
                self.operands.append(x)
                dense.forward(x, owner.optimizer.blocks(weight), sums)
            else:
                sums = products.mm(read, owner.low(weight, layer.weight).t(), out=sums)
            step.units(sums, layer.bias, gated.seeds(1)[0] if share > 0 else 0, share, out)
        return self.read[-1]

    def backward(self, inputs: _Convolved | _Whole, grad: Tensor, gradients: dict[str, Gradient]) -> None:
        """Gradients of all weights of the encoder, from that of its output."""
        owner = self.owner
        for number, layer, share in reversed(list(self.layers())):
            weight = f"{self.name}.hidden.{number}.weight"
            wanted = number > 0 or inputs.wants_gradient
            bias = torch.empty_like(layer.bias)
            gradients[f"{self.name}.hidden.{number}.bias"] = bias
            size = (len(grad), layer.in_features)
            into = owner.buffers.new(
                f"into {self.name} {number}", size, owner.product if number > 0 else inputs.gradient_type
            )
            through = self._backward_tiles if owner.tiles else self._backward_products
            gradients[weight], grad = through(number, layer, share, grad, bias, into if wanted else None)
        if inputs.wants_gradient:
            inputs.backward(self, grad, gradients)

    def _backward_tiles(
        self, number: int, layer: nn.Linear, share: float, grad: Tensor, bias: Tensor, into: Tensor | None
    ) -> tuple[Gradient, Tensor]:
        """Gradients of a layer's weight and input, the latter in ``into``; that of its bias is written.

        Without ``into`` there is none for the input, and ``grad`` is returned.
        """
        owner, weight, outputs = self.owner, f"{self.name}.hidden.{number}.weight", layer.out_features
        n, wide = dense.padded(len(grad)), dense.padded(outputs)
        columns = owner.buffers.new(f"columns {weight}", (wide, n), owner.product)
        rows = None if into is None else owner.buffers.new("padded rows", (n, wide), owner.product)
        step.units_grad(grad, self.read[number + 1], share, rows, columns, bias)
        if rows is not None and into is not None:
            dense.backward(rows, outputs, owner.optimizer.blocks(weight), into)
        return dense.WeightGradient(columns, self.operands[number]), grad if into is None else into

    def _backward_products(
        self, number: int, layer: nn.Linear, share: float, grad: Tensor, bias: Tensor, into: Tensor | None
    ) -> tuple[Gradient, Tensor]:
        """As :meth:`_backward_tiles`, by Torch's products or sparse ones."""
        owner, weight = self.owner, f"{self.name}.hidden.{number}.weight"
        sparse = owner.drops_much(share)
        rows, columns, read = owner.gradient_buffers(len(grad), layer.out_features, into is not None, sparse)
        step.units_grad(grad, self.read[number + 1], share, rows, columns, bias)
        made = owner.buffers.new(f"grad {weight}", layer.weight.shape, owner.product)
        multiply = products.sparse_mm if sparse else products.mm
        made = multiply(read, self.read[number], made)
        if rows is not None and into is not None:
            grad = multiply(rows, owner.low(weight, layer.weight), into)
        return made, grad
