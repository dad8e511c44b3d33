"""The published networks: an embedding, one or two encoders, a linear head per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from bioner_fast.features.batch import Features
from bioner_fast.models.base import Network
from bioner_fast.models.embedding import TokenEmbedding
from bioner_fast.models.windowed.encoder import Encoder, glorot_
from bioner_fast.models.windowed.layout import id_windows, padded_text

SHARINGS = ("single", "multi-output", "dependent")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything that fixes a network's shape; saved with a bundle.

    Attributes:
        tasks: name and number of tags of each task, in order.
        rows: rows of the word table.
        word_dim: its width.
        sharing: ``single``, ``multi-output`` (one encoder, a head per task) or ``dependent`` (two tasks,
            each with an encoder; the second head sees both).
        window: positions of a window, odd.
        filter_widths: widths of the convolutions; empty for an MLP.
        filters: filters per width.
        hidden: sizes of the hidden layers.
        dropout: before the heads.
        caps_dim: width of the capitalisation embedding; 0 for none.
        caps_classes: its rows.
        tune_words: whether training changes the word table.
    """

    tasks: tuple[tuple[str, int], ...]
    rows: int
    word_dim: int
    sharing: str = "single"
    window: int = 7
    filter_widths: tuple[int, ...] = (3, 4, 5)
    filters: int = 100
    hidden: tuple[int, ...] = (1200,)
    dropout: float = 0.75
    caps_dim: int = 0
    caps_classes: int = 5
    tune_words: bool = False

    def __post_init__(self) -> None:
        if self.sharing not in SHARINGS:
            raise ValueError(f"sharing: expected one of {', '.join(SHARINGS)}, found {self.sharing!r}")
        if self.sharing == "dependent" and len(self.tasks) != 2:
            raise ValueError(f"sharing 'dependent': expected two tasks, found {len(self.tasks)}")
        if self.sharing == "single" and len(self.tasks) != 1:
            raise ValueError(f"sharing 'single': expected one task, found {len(self.tasks)}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window: expected an odd number, found {self.window}")
        if any(not 1 <= width <= self.window for width in self.filter_widths):
            raise ValueError(
                f"filter_widths: expected widths of 1 to {self.window}, found {self.filter_widths}"
            )

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> NetworkConfig:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: an unknown or a missing entry.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(facts) - known):
            raise ValueError(f"unknown entries of the network: {', '.join(unknown)}")
        values = dict(facts)
        try:
            values["tasks"] = tuple((str(name), int(tags)) for name, tags in values["tasks"])
            values["filter_widths"] = tuple(int(v) for v in values.get("filter_widths", (3, 4, 5)))
            values["hidden"] = tuple(int(v) for v in values.get("hidden", (1200,)))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the network's configuration is not complete: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        facts = asdict(self)
        facts["tasks"] = [list(task) for task in self.tasks]
        return facts | {"filter_widths": list(self.filter_widths), "hidden": list(self.hidden)}


class TaggingNetwork(Network):
    """Emissions for every token from the window around it.

    Example:
        >>> network = TaggingNetwork(NetworkConfig((("NER", 5),), rows=30, word_dim=12, hidden=(20,)))
        >>> network.reset()
        >>> network.log_probabilities(features)["NER"].shape  # doctest: +SKIP
        torch.Size([N, 5])
    """

    shape: NetworkConfig
    _low_words: Tensor | None = None

    def __init__(self, shape: NetworkConfig) -> None:
        super().__init__(shape)
        self.embedding = TokenEmbedding(
            shape.rows, shape.word_dim, shape.caps_dim, shape.caps_classes, shape.tune_words
        )
        # Saved weights call them towers.
        self.towers = nn.ModuleList(
            Encoder(
                self.embedding.dim,
                shape.window,
                shape.filter_widths,
                shape.filters,
                shape.hidden,
                shape.dropout,
            )
            for _ in range(2 if shape.sharing == "dependent" else 1)
        )
        # Which encoders each head sees. The dependent head reads both.
        self.inputs = [(0,) for _ in shape.tasks] if shape.sharing != "dependent" else [(0,), (0, 1)]
        width = self.encoders[0].out_features
        self.heads = nn.ModuleList(
            nn.Linear(width * len(encoders), tags)
            for (_, tags), encoders in zip(shape.tasks, self.inputs, strict=True)
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TaggingNetwork:
        """See :class:`Network`."""
        return cls(NetworkConfig.from_json(config))

    @property
    def context(self) -> int:
        """Half a window."""
        return self.shape.window // 2

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew."""
        self.embedding.reset(generator)
        for encoder in self.encoders:
            encoder.reset(generator)
        for head in self.linear_heads:
            glorot_(head.weight, head.in_features, head.out_features, generator)
            nn.init.zeros_(head.bias)

    def low_words(self, dtype: torch.dtype) -> Tensor:
        """The word table in another type, without gradient; kept, as training does not change it."""
        words = self.embedding.words.detach()
        if dtype == words.dtype:
            return words
        if self._low_words is None or self._low_words.dtype != dtype:
            self._low_words = words.to(dtype)
        return self._low_words

    @property
    def encoders(self) -> list[Encoder]:
        """One for each task of dependent sharing, else one."""
        return [encoder for encoder in self.towers if isinstance(encoder, Encoder)]

    @property
    def linear_heads(self) -> list[nn.Linear]:
        """The heads, by task."""
        return [head for head in self.heads if isinstance(head, nn.Linear)]

    def part_logits(
        self, features: Features, tokens: slice | Tensor, parts: Sequence[tuple[int, slice | None]]
    ) -> list[Tensor]:
        """Logits of heads for some tokens: a slice takes the packed form, token numbers the gathered form."""
        hidden = self.hidden(
            features, tokens, {encoder for head, _ in parts for encoder in self.inputs[head]}
        )
        return [self.logits(hidden, head, rows) for head, rows in parts]

    def learning(self, heads: Sequence[int]) -> dict[str, Tensor]:
        """The heads, the encoders they see, and the capitalisation embedding."""
        learns = {f"towers.{encoder}" for head in heads for encoder in self.inputs[head]}
        learns |= {f"heads.{head}" for head in heads} | {"embedding.caps"}
        return {
            name: value
            for name, value in self.named_parameters()
            if value.requires_grad and ".".join(name.split(".")[:2]) in learns
        }

    def hidden(
        self, features: Features, tokens: slice | Tensor | None, encoders: set[int]
    ) -> dict[int, Tensor]:
        """Outputs [n, out_features] of the encoders asked for (see :meth:`part_logits`)."""
        window = self.shape.window
        product = self.product
        if isinstance(tokens, Tensor):
            words, caps = id_windows(features, window)
            words, caps = words.index_select(0, tokens), caps.index_select(0, tokens)
            embedded = self.embedding(words.view(-1), caps.view(-1)).view(len(tokens), -1)
            return {index: self.encoders[index].gathered(embedded, product) for index in sorted(encoders)}
        start, stop = (0, len(features)) if tokens is None else (tokens.start, tokens.stop)
        if stop <= start:
            empty = self.embedding.words.new_empty(0, self.encoders[0].out_features)
            return dict.fromkeys(sorted(encoders), empty)
        words, caps, starts = padded_text(features, window).rows(start, stop, window)
        if self.shape.filter_widths:
            rows = self.embedding.runs(words, caps, *self.encoders[0].run)
        else:
            rows = self.embedding(words, caps)
        return {index: self.encoders[index].packed(rows, starts, product) for index in sorted(encoders)}

    def logits(self, hidden: Mapping[int, Tensor], head: int, rows: slice | None = None) -> Tensor:
        """One head on the encoders' outputs; ``rows`` takes a part of them."""
        parts = [hidden[encoder] if rows is None else hidden[encoder][rows] for encoder in self.inputs[head]]
        result: Tensor = self.linear_heads[head](parts[0] if len(parts) == 1 else torch.cat(parts, 1))
        return result
