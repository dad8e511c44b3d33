"""The accurate architecture: dilated convolutions over whole sentences (Strubell et al. 2017, "ID-CNN").

```text
word vector (fixed, scaled) | character CNN | affixes and shape     per token
        linear to `channels`, LayerNorm
        block of dilation 1, 2, 4, ...: h = LayerNorm(h + GLU(conv(h)))
        linear head per task
```

It works on packed text: a convolution reads rows of neighbours by index, and a neighbour beyond the sentence
is a row of zeros. What belongs to a form (characters, affixes) is computed once per distinct form of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.features.batch import Features
from bioner_fast.features.vocabulary import UNKNOWN_ROW
from bioner_fast.features.word_forms import AFFIX_COLUMNS, AFFIX_ROWS, CHARACTERS
from bioner_fast.models.base import Network, added
from bioner_fast.models.batch import Batch
from bioner_fast.models.embedding import TokenEmbedding
from bioner_fast.models.idcnn.packed import gather_neighbours, neighbours
from bioner_fast.models.product import dropout, linear
from bioner_fast.models.sentences import sentence_bounds
from bioner_fast.models.transitions import Transitions
from bioner_fast.ops import gated

# Mean length that word vectors are scaled to.
WORD_NORM = 4.0


@dataclass(frozen=True, slots=True)
class IdcnnConfig:
    """Everything that fixes the network's shape; saved with a bundle.

    Attributes:
        tasks: name and number of tags of each task, in order.
        rows: rows of the word table.
        word_dim: its width.
        channels: width of the sentence encoder.
        dilations: of the blocks, in order; their convolutions are three wide.
        char_dim, char_filters: character embedding, and filters (three wide) over it; 0 filters for none.
        affix_dim: width of the embedding of each affix and the shape; 0 for none.
        dropout: before each block and the heads.
        input_dropout: of a token's features.
        word_dropout: share of word vectors that training replaces by that of unknown words.
        tune_words: whether training changes the word table.
        crf: whether each head has transition scores of its own.
    """

    tasks: tuple[tuple[str, int], ...]
    rows: int
    word_dim: int
    channels: int = 256
    dilations: tuple[int, ...] = (1, 2, 4)
    char_dim: int = 24
    char_filters: int = 64
    affix_dim: int = 24
    dropout: float = 0.4
    input_dropout: float = 0.5
    word_dropout: float = 0.05
    tune_words: bool = False
    crf: bool = True

    def __post_init__(self) -> None:
        if not self.dilations or any(not 1 <= dilation <= 64 for dilation in self.dilations):
            raise ValueError(f"dilations: expected at least one, from 1 to 64, found {self.dilations}")
        if self.channels < 1:
            raise ValueError(f"channels: expected at least 1, found {self.channels}")

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> IdcnnConfig:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: an unknown or a missing entry.
        """
        values = {name: value for name, value in facts.items() if name != "arch"}
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise ValueError(f"unknown entries of the network: {', '.join(unknown)}")
        try:
            values["tasks"] = tuple((str(name), int(tags)) for name, tags in values["tasks"])
            values["dilations"] = tuple(int(dilation) for dilation in values["dilations"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the network's configuration is not complete: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        tasks = [list(task) for task in self.tasks]
        return {"arch": "idcnn", **asdict(self), "tasks": tasks, "dilations": list(self.dilations)}


class CharacterCnn(nn.Module):
    """Filters of three characters, the largest value of each over a word.

    A filter's response is the sum of three rows of small tables (character and place within the filter): no
    matrix product whose rows could round differently in another batch.
    """

    def __init__(self, dim: int, filters: int) -> None:
        super().__init__()
        self.filters = filters
        self.characters = nn.Parameter(torch.empty(CHARACTERS - 1, dim))  # padding has no row
        self.kernel = nn.Parameter(torch.empty(dim, 3 * filters))
        self.bias = nn.Parameter(torch.empty(filters))

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Normal characters, uniform filters."""
        limit = (3 * self.kernel.shape[0]) ** -0.5
        with torch.no_grad():
            self.characters.normal_(generator=generator)
            self.kernel.uniform_(-limit, limit, generator=generator)
            self.bias.uniform_(-limit, limit, generator=generator)

    def forward(self, characters: Tensor) -> Tensor:
        """Features [U, filters] of words given as uint8 [U, slots]."""
        tables = F.pad(self.characters @ self.kernel, (0, 0, 1, 0))
        left, middle, right = torch.split(F.embedding(characters.int(), tables), self.filters, 2)
        responses = middle + F.pad(left, (0, 0, 1, 0))[:, :-1] + F.pad(right, (0, 0, 0, 1))[:, 1:]
        responses = responses.masked_fill((characters == 0)[:, :, None], -torch.inf)
        return F.relu(responses.amax(1) + self.bias)


class Block(nn.Module):
    """``LayerNorm(h + GLU(conv(h)))`` with a convolution of three tokens, ``dilation`` apart."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Linear(3 * channels, 2 * channels)
        self.norm = nn.LayerNorm(channels)

    def forward(
        self, hidden: Tensor, bounds: tuple[Tensor, Tensor, int], share: float, product: torch.dtype | None
    ) -> Tensor:
        """[n, channels] to [n, channels]; see :func:`bioner_fast.ops.gated.gated_block`."""
        conv, norm = self.conv, self.norm
        if gated.available(hidden):
            seed = gated.seeds(1)[0] if share > 0 else 0
            return gated.gated_block(
                hidden, conv.weight, conv.bias, (norm.weight, norm.bias, norm.eps), bounds,
                dilation=self.dilation, share=share, seed=seed, product=product,
            )  # fmt: skip
        taken = dropout(hidden, share)
        rows = gather_neighbours(taken, *neighbours(*bounds, self.dilation))
        normed: Tensor = norm(hidden + F.glu(linear(rows, conv.weight, conv.bias, product), 1))
        return normed


class IdcnnNetwork(Network):
    """Emissions from dilated convolutions over sentences.

    Example:
        >>> network = IdcnnNetwork(IdcnnConfig((("NER", 5),), rows=30, word_dim=12, channels=16))
        >>> network.reset()
        >>> network.context
        7
    """

    shape: IdcnnConfig
    uses_forms = True
    fixed_launches = True

    def __init__(self, shape: IdcnnConfig) -> None:
        super().__init__(shape)
        self.embedding = TokenEmbedding(shape.rows, shape.word_dim, 0, 0, shape.tune_words)
        self.unknown = nn.Parameter(torch.empty(shape.word_dim))
        self.register_buffer("word_scale", torch.ones(()))
        self.word_scale: Tensor
        width = shape.word_dim
        self.characters = CharacterCnn(shape.char_dim, shape.char_filters) if shape.char_filters else None
        width += shape.char_filters
        self.affixes = nn.Parameter(torch.empty(AFFIX_ROWS, shape.affix_dim)) if shape.affix_dim else None
        width += shape.affix_dim * AFFIX_COLUMNS
        self.input = nn.Linear(width, shape.channels)
        self.norm = nn.LayerNorm(shape.channels)
        self.blocks = nn.ModuleList(Block(shape.channels, dilation) for dilation in shape.dilations)
        self.heads = nn.ModuleList(nn.Linear(shape.channels, tags) for _, tags in shape.tasks)
        self.chains = nn.ModuleList(Transitions(tags) for _, tags in shape.tasks if shape.crf)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> IdcnnNetwork:
        """See :class:`Network`."""
        return cls(IdcnnConfig.from_json(config))

    @property
    def context(self) -> int:
        """The sum of the dilations."""
        return sum(self.shape.dilations)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Uniform linear layers as torch's, normal embeddings, transition scores of zero."""
        self.embedding.reset(generator)
        with torch.no_grad():
            self.unknown.zero_()
            self.word_scale.fill_(1.0)
            if self.characters is not None:
                self.characters.reset(generator)
            if self.affixes is not None:
                self.affixes.normal_(std=0.3, generator=generator)
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    limit = module.in_features**-0.5
                    module.weight.uniform_(-limit, limit, generator=generator)
                    module.bias.uniform_(-limit, limit, generator=generator)
                elif isinstance(module, nn.LayerNorm | Transitions):
                    module.reset_parameters()

    def calibrate(self, features: Sequence[Features]) -> None:
        """Scale word vectors so that those of the training data's words have a mean length of WORD_NORM."""
        rows = torch.unique(torch.cat([part.word_ids.long() for part in features]))
        norms = self.embedding.words[rows[rows > UNKNOWN_ROW]].norm(dim=1)
        mean = float(norms.mean()) if len(norms) else 0.0
        self.word_scale.fill_(WORD_NORM / mean if mean > 0 else 1.0)

    def learning(self, heads: Sequence[int]) -> dict[str, Tensor]:
        """Everything but the heads and transition scores of other tasks."""
        others = {f"{kind}.{i}" for kind in ("heads", "chains") for i in range(len(self.heads))}
        others -= {f"{kind}.{i}" for kind in ("heads", "chains") for i in heads}
        return {
            name: value
            for name, value in self.named_parameters()
            if value.requires_grad and ".".join(name.split(".")[:2]) not in others
        }

    def chain(self, head: int) -> Transitions:
        """The transition scores of a head.

        Raises:
            ValueError: the network has none.
        """
        if not self.shape.crf:
            raise ValueError("the network was made without transition scores (crf)")
        chain = self.chains[head]
        assert isinstance(chain, Transitions)
        return chain

    def loss(
        self,
        batch: Batch,
        constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None = None,
        open_tags: Sequence[Tensor] = (),
    ) -> Tensor:
        """With ``constraints`` the mean negative log-likelihood of a sentence (see :meth:`Network.loss`)."""
        if constraints is None:
            return super().loss(batch)
        terms = []
        for part, (head, _, tags), offsets in zip(
            self.batch_logits(batch), batch.parts, batch.offsets, strict=True
        ):
            allowed = open_tags[head] if head < len(open_tags) and len(open_tags[head]) else None
            chain = self.chain(head)
            terms.append(-chain.log_likelihood(part, tags, offsets, constraints[head], allowed).sum())
        sentences = sum(len(offsets) - 1 for offsets in batch.offsets)
        return added(terms) / (batch.total or sentences)

    def decoder_tables(self, head: int) -> Mapping[str, Tensor]:
        """``transitions``, ``start`` and ``end`` of a head with a CRF."""
        return self.chain(head).tables() if self.shape.crf else {}

    def part_logits(
        self, features: Features, tokens: slice | Tensor, parts: Sequence[tuple[int, slice | None]]
    ) -> list[Tensor]:
        """Logits of heads for a run of tokens; their neighbours in the sentences count.

        Raises:
            ValueError: token numbers, where only a slice will do, or features without forms.
        """
        if isinstance(tokens, Tensor):
            raise ValueError("tokens: expected a slice: an idcnn reads whole sentences, not single tokens")
        hidden = self._encode(features, tokens.start, tokens.stop)
        results = []
        for head, rows in parts:
            logits: Tensor = self.heads[head](hidden if rows is None else hidden[rows])
            results.append(logits)
        return results

    def _encode(self, features: Features, start: int, stop: int) -> Tensor:
        """[stop - start, channels]."""
        if stop <= start:
            return self.embedding.words.new_zeros(0, self.shape.channels)
        bounds = sentence_bounds(features)
        # Neighbours beyond the range, where it cuts a sentence.
        low = max(int(bounds.host_first[start]), start - self.context)
        high = min(int(bounds.host_last[stop - 1]) + 1, stop + self.context)
        share = self.shape.dropout if self.training else 0.0
        product = self.product
        tokens = self._tokens(features, low, high)
        tokens = dropout(tokens, self.shape.input_dropout if self.training else 0.0, product)
        hidden = self.norm(linear(tokens, self.input.weight, self.input.bias, product))
        around = bounds.first[low:high], bounds.last[low:high], low
        for block in self.blocks:
            hidden = block(hidden, around, share, product)
        return dropout(hidden[start - low : stop - low], share)

    def _tokens(self, features: Features, low: int, high: int) -> Tensor:
        """What is known of each token by itself, [high - low, width]."""
        if features.forms is None:
            raise ValueError("features: an idcnn needs features with forms")
        ids = features.word_ids[low:high].long()
        forms = features.forms
        characters, affixes, places = forms.characters, forms.affixes, forms.ids[low:high]
        if self.training or len(characters) > high - low:  # else they are few: no search for those in use
            distinct, places = torch.unique(places, return_inverse=True)
            characters, affixes = characters[distinct], affixes[distinct]
        unknown = ids == UNKNOWN_ROW
        if self.training and self.shape.word_dropout > 0:
            kept = dropout(torch.ones(len(characters), 1, device=ids.device), self.shape.word_dropout)
            unknown = unknown | (kept == 0).view(-1)[places]
        words = self.embedding(ids, ids) * self.word_scale
        parts = [torch.where(unknown[:, None], self.unknown, words)]
        if (looks := self._looks(characters, affixes)) is not None:
            parts.append(F.embedding(places, looks))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _looks(self, characters: Tensor, affixes: Tensor) -> Tensor | None:
        """Character and affix features of forms."""
        parts: list[Tensor] = []
        if self.characters is not None:
            parts.append(self.characters(characters))
        if self.affixes is not None:
            parts.append(F.embedding(affixes, self.affixes).flatten(1))
        return torch.cat(parts, 1) if parts else None
