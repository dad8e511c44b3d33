"""The published networks as one would write them in plain PyTorch and Keras 3, and the floor of a step.

Every peer starts from the weights of one of our networks, so that losses can be compared step by step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.models.learning.optimizer import BETA1, BETA2, EPSILON
from bioner_fast.models.windowed.network import TaggingNetwork
from conftest import THREADS


def filters_first(network: TaggingNetwork) -> Tensor:
    """Columns of the first hidden layer in the order of flattened Conv2d outputs: filters, then positions."""
    shape, columns, start = network.shape, [], 0
    for width in shape.filter_widths:
        positions = shape.window - width + 1
        block = torch.arange(positions * shape.filters).view(positions, shape.filters) + start
        columns.append(block.t().reshape(-1))
        start += positions * shape.filters
    return torch.cat(columns)


class PlainCnn(nn.Module):
    """Embedding, a Conv2d of each width over gathered windows, a hidden layer, dropout, a head per task."""

    def __init__(self, like: TaggingNetwork) -> None:
        super().__init__()
        shape, encoder = like.shape, like.encoders[0]
        self.words = nn.Embedding.from_pretrained(like.embedding.words.detach().clone(), freeze=True)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(1, shape.filters, (width, shape.word_dim)) for width in shape.filter_widths
        )
        self.hidden = nn.Linear(encoder.hidden[0].in_features, encoder.hidden[0].out_features)
        self.dropout = nn.Dropout(shape.dropout)
        self.heads = nn.ModuleList(nn.Linear(encoder.out_features, tags) for _, tags in shape.tasks)
        self.to(like.embedding.words.dtype)
        with torch.no_grad():
            for ours, theirs, bias in zip(encoder.kernels, self.convolutions, encoder.biases, strict=True):
                theirs.weight.copy_(ours[:, None])
                theirs.bias.copy_(bias)
            self.hidden.weight.copy_(encoder.hidden[0].weight[:, filters_first(like)])
            self.hidden.bias.copy_(encoder.hidden[0].bias)
            for ours, theirs in zip(like.heads, self.heads, strict=True):
                theirs.load_state_dict(ours.state_dict())

    def forward(self, ids: Tensor) -> list[Tensor]:
        image = self.words(ids)[:, None]
        parts = [convolution(image).relu().flatten(1) for convolution in self.convolutions]
        hidden = self.dropout(self.hidden(torch.cat(parts, 1)).relu())
        return [head(hidden) for head in self.heads]


class PlainMlp(nn.Module):
    """Fine-tuned words with sparse gradients beside capitalisation, a hidden layer, a head."""

    def __init__(self, like: TaggingNetwork) -> None:
        super().__init__()
        encoder = like.encoders[0]
        self.words = nn.Embedding.from_pretrained(
            like.embedding.words.detach().clone(), freeze=False, sparse=True
        )
        self.caps = nn.Embedding.from_pretrained(like.embedding.caps.detach().clone(), freeze=False)
        self.hidden = nn.Linear(encoder.hidden[0].in_features, encoder.hidden[0].out_features)
        self.head = nn.Linear(encoder.out_features, like.heads[0].out_features)
        self.to(like.embedding.words.dtype)
        self.hidden.load_state_dict(encoder.hidden[0].state_dict())
        self.head.load_state_dict(like.heads[0].state_dict())

    def forward(self, ids: Tensor, caps: Tensor) -> Tensor:
        rows = torch.cat([self.words(ids), self.caps(caps)], 2).flatten(1)
        return self.head(self.hidden(rows).relu())


def plain_cnn_steps(model: PlainCnn, rate: float) -> Callable[[Tensor, Sequence[Tensor]], Tensor]:
    """A step of ``torch.optim.Adam``; per head its tags, -100 where a row belongs to another task."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate, (BETA1, BETA2))
    steps = 0

    def step(ids: Tensor, tags: Sequence[Tensor]) -> Tensor:
        nonlocal steps
        steps += 1
        # As the published code has it; this alone makes the weights comparable to the last digits.
        optimizer.param_groups[0]["eps"] = EPSILON / math.sqrt(1 - BETA2**steps)
        outputs = model(ids)
        loss = sum(F.cross_entropy(o, t, reduction="sum") for o, t in zip(outputs, tags, strict=True))
        loss = loss / len(ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def keras_cnn(like: TaggingNetwork, peer: Callable[[str], Any], rate: float) -> tuple[Any, Any]:
    """The published network in Keras 3, compiled; on JAX, the fastest of its backends on a CPU."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:THREADS])  # the only limit that XLA's threads, made now, obey
    try:
        keras = peer("keras")
        if keras.backend.backend() == "jax":
            peer("jax").devices()
    finally:
        os.sched_setaffinity(0, cores)
    shape, encoder = like.shape, like.encoders[0]
    layers = keras.layers
    ids = keras.Input((shape.window,), dtype="int32")
    words = layers.Embedding(shape.rows, shape.word_dim, trainable=False)
    image = layers.Reshape((shape.window, shape.word_dim, 1))(words(ids))
    convolutions = [
        layers.Conv2D(shape.filters, (width, shape.word_dim), activation="relu")
        for width in shape.filter_widths
    ]
    joined = layers.Concatenate()([layers.Flatten()(convolution(image)) for convolution in convolutions])
    hidden = layers.Dense(encoder.out_features, activation="relu")
    head = layers.Dense(like.heads[0].out_features, activation="softmax")
    model = keras.Model(ids, head(layers.Dropout(shape.dropout)(hidden(joined))))
    words.set_weights([like.embedding.words.detach().numpy()])
    for layer, kernel, bias in zip(convolutions, encoder.kernels, encoder.biases, strict=True):
        layer.set_weights([kernel.detach().permute(1, 2, 0)[:, :, None].numpy(), bias.detach().numpy()])
    for layer, ours in ((hidden, encoder.hidden[0]), (head, like.heads[0])):
        layer.set_weights([ours.weight.detach().t().numpy(), ours.bias.detach().numpy()])
    model.compile(keras.optimizers.Adam(rate, epsilon=EPSILON), "sparse_categorical_crossentropy")
    return model, keras


class Floor:
    """The matrix products of a step of the packed CNN and a fused Adam over its parameters; nothing else."""

    def __init__(self, network: TaggingNetwork, rows: int, tokens: int, dtype: torch.dtype) -> None:
        encoder = network.encoders[0]
        widest = max(encoder.widths) * encoder.dim
        runs = torch.randn(rows, widest).to(dtype)
        self.products: list[tuple[Tensor, Tensor, Tensor]] = []
        for kernel in encoder.kernels:
            flat = kernel.detach().reshape(kernel.shape[0], -1).to(dtype)
            read = runs[:, : flat.shape[1]]
            self._add(read, flat.t())
            self._add(torch.randn(rows, kernel.shape[0]).to(dtype).t(), read)  # its gradient
        for layer in (*encoder.hidden, *network.heads):
            weight = layer.weight.detach().to(dtype)
            values = torch.randn(tokens, weight.shape[1]).to(dtype)
            grad = torch.randn(tokens, weight.shape[0]).to(dtype)
            self._add(values, weight.t())
            self._add(grad, weight)
            self._add(grad.t(), values)
        self.learnt = [p.detach().clone() for p in network.learning([0]).values()]
        self.state = [[torch.zeros_like(p) for p in self.learnt] for _ in range(3)]
        self.count = [torch.ones(())] * len(self.learnt)

    def _add(self, a: Tensor, b: Tensor) -> None:
        self.products.append((a, b, torch.empty(a.shape[0], b.shape[1], dtype=a.dtype)))

    def __call__(self) -> None:
        for a, b, out in self.products:
            torch.mm(a, b, out=out)
        torch._fused_adam_(
            self.learnt, *self.state, [], self.count, lr=1e-4, beta1=BETA1, beta2=BETA2, weight_decay=0.0,
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip


def as_int32(ids: Tensor) -> np.ndarray:
    """Ids as Keras wants them."""
    return ids.to(torch.int32).numpy()
