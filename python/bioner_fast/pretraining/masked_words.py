"""The objective: words of a sentence are hidden, and the encoder says which they were.

A word is hidden with its characters and affixes; of some only the word vector is, so that spelling tells,
and some stay or become another word. The answer is one of the text's most frequent words. Its score is the
product of its vector, which is fixed, with what a small network makes of the encoder's output. Training
compares it with the words of the batch, the most frequent ones and a sample of the others, whose weights make
up for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bioner_fast.features.batch import Features, Forms
from bioner_fast.features.vocabulary import WORD_ROW
from bioner_fast.models.idcnn.network import WORD_NORM, Block, IdcnnNetwork
from bioner_fast.models.product import dropout, linear
from bioner_fast.models.sentences import sentence_bounds
from bioner_fast.ops import gated

# So many of the most frequent words are hidden less often.
COMMON = 60
# A block computes all tokens where more than this share of them is needed.
DENSE = 0.6


@dataclass(frozen=True, slots=True)
class Targets:
    """The words that can be asked for.

    Attributes:
        rows: int64 [V], their rows of the word table, the most frequent first.
        log_shares: float32 [V], logarithm of each one's share of the text.
        numbers: int64 [rows of the table], the number of each row's word among them, -1 for none.
    """

    rows: Tensor
    log_shares: Tensor
    numbers: Tensor

    @classmethod
    def most_frequent(cls, counts: npt.NDArray[np.int64], limit: int) -> Targets:
        """Of a text, where ``counts`` says how often each row of the word table occurs in it.

        Raises:
            ValueError: no word of the table occurs.
        """
        counts = counts.copy()
        counts[:WORD_ROW] = 0
        order = np.argsort(-counts, kind="stable")[: min(limit, int((counts > 0).sum()))]
        if not len(order):
            raise ValueError("no word of the table occurs")
        numbers = np.full(len(counts), -1, np.int64)
        numbers[order] = np.arange(len(order))
        shares = counts[order] / counts.sum()
        return cls(
            torch.from_numpy(order), torch.from_numpy(np.log(shares)).float(), torch.from_numpy(numbers)
        )

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Rates:
    """How much is hidden, and how.

    Attributes:
        words, common: share of the words that are asked for, and of the COMMON most frequent ones.
        spelt: share of these of which only the word vector is hidden.
        kept: share that stays as it is.
        swapped: share that becomes another word of the text.
    """

    words: float = 0.20
    common: float = 0.08
    spelt: float = 0.20
    kept: float = 0.10
    swapped: float = 0.10


@dataclass(frozen=True, slots=True)
class Masked:
    """A batch with hidden words.

    Attributes:
        features: of N tokens, some of them swapped.
        at: int64 [M], ascending: the tokens that are asked for.
        answers: int64 [M], numbers of the targets.
        hidden: bool [N], tokens of which nothing is seen.
        wordless: bool [N], tokens whose word vector is not seen.
    """

    features: Features
    at: Tensor
    answers: Tensor
    hidden: Tensor
    wordless: Tensor


def mask(
    features: Features, targets: Targets, rates: Rates, generator: torch.Generator | None = None,
    others: Features | None = None,
) -> Masked:  # fmt: skip
    """Hide words of packed text.

    Args:
        features: N tokens, with forms.
        targets: what can be asked for.
        rates: how much.
        generator: of the choice; by default Torch's own.
        others: where swapped words come from, with the same forms; without, words are hidden instead.
    """
    count = len(features)
    numbers = targets.numbers[features.word_ids]
    rate = torch.where(numbers < COMMON, rates.common, rates.words)
    asked = (torch.rand(count, generator=generator) < rate) & (numbers >= 0)
    how = torch.rand(count, generator=generator)
    wordless = asked & (how < rates.spelt)
    swapped = asked & (how >= rates.spelt) & (how < rates.spelt + rates.swapped)
    kept = asked & (how >= rates.spelt + rates.swapped) & (how < rates.spelt + rates.swapped + rates.kept)
    if others is None:
        swapped = torch.zeros_like(asked)
    hidden = asked & ~wordless & ~swapped & ~kept
    seen = features
    if others is not None:
        places = swapped.nonzero().view(-1)
        drawn = torch.randint(len(others), (len(places),), generator=generator)
        assert features.forms is not None
        assert others.forms is not None
        words, forms = features.word_ids.clone(), features.forms.ids.clone()
        words[places], forms[places] = others.word_ids[drawn], others.forms.ids[drawn]
        made = Forms(forms, features.forms.characters, features.forms.affixes)
        seen = Features(words, features.caps, features.offsets, made)
    at = asked.nonzero().view(-1)
    return Masked(seen, at, numbers[at], hidden, wordless)


class MaskedWords(nn.Module):
    """An encoder and what is thrown away after pre-training.

    Args:
        network: the encoder; its word table stays as it is.
        targets: V words that can be asked for.
        frequent: so many of the most frequent ones are always compared.
        sampled: and so many of the others, at random.
    """

    def __init__(
        self, network: IdcnnNetwork, targets: Targets, frequent: int = 500, sampled: int = 1000
    ) -> None:
        super().__init__()
        self.network, self.targets = network, targets
        self.frequent, self.sampled = min(frequent, len(targets)), sampled
        width, dim = network.shape.channels, network.shape.word_dim
        self.mask_vector = nn.Parameter(torch.zeros(network.input.in_features))
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, dim)
        )
        self.bias = nn.Parameter(targets.log_shares.clone())
        self.vectors = F.normalize(network.embedding.words[targets.rows].detach(), dim=1) * WORD_NORM

    def learning(self) -> dict[str, Tensor]:
        """What pre-training changes, by name."""
        inner = {f"network.{name}": value for name, value in self.network.learning([]).items()}
        return inner | {
            name: value for name, value in self.named_parameters() if not name.startswith("network.")
        }

    def encode(self, masked: Masked) -> Tensor:
        """The encoder's output for the tokens that are asked for, [M, channels]; nothing else is computed."""
        network, features, at = self.network, masked.features, masked.at
        shape, count = network.shape, len(masked.features)
        product = network.product
        share = shape.dropout if self.training else 0.0
        tokens = network._tokens(features, 0, count)
        dim = shape.word_dim
        words = torch.where(masked.wordless[:, None], network.unknown, tokens[:, :dim])
        tokens = torch.where(masked.hidden[:, None], self.mask_vector, torch.cat([words, tokens[:, dim:]], 1))
        tokens = dropout(tokens, shape.input_dropout if self.training else 0.0, product)
        hidden = network.norm(linear(tokens, network.input.weight, network.input.bias, product))
        bounds = sentence_bounds(features)
        everything = torch.arange(count)
        wanted = [at]
        for block in list(network.blocks)[:0:-1]:
            assert isinstance(block, Block)
            more = gated.needed(wanted[0], bounds.first, bounds.last, block.dilation)
            wanted.insert(0, more if len(more) < DENSE * count else everything)
        rows = everything
        for block, outputs in zip(network.blocks, wanted, strict=True):
            assert isinstance(block, Block)
            if outputs is everything or not gated.available(hidden):
                hidden = block(hidden, (bounds.first, bounds.last, 0), share, product)
                continue
            where = gated.neighbours(outputs, rows, bounds.first, bounds.last, block.dilation)
            norm = block.norm.weight, block.norm.bias, block.norm.eps
            hidden = gated.gated_block_at(
                hidden, block.conv.weight, block.conv.bias, norm, where,
                share=share, seed=gated.seeds(1)[0] if share > 0 else 0, product=product,
            )  # fmt: skip
            rows = outputs
        if len(hidden) > len(at):  # every block was dense
            hidden = hidden[at]
        return dropout(hidden, share)

    def loss(self, masked: Masked) -> Tensor:
        """Mean loss of a batch, in nats per word, against a sample of the targets."""
        made = self.head(self.encode(masked))
        answers = masked.answers
        total = len(self.targets)
        chosen = torch.zeros(total, dtype=torch.bool)
        chosen[: self.frequent] = True
        chosen[answers] = True
        rest = total - int(chosen.sum())
        corrections = torch.zeros(total)
        if 0 < self.sampled < rest:
            drawn = torch.randint(total, (self.sampled * total // rest,))
            drawn = torch.unique(drawn[~chosen[drawn]])
            corrections[drawn] = math.log(rest / max(len(drawn), 1))
            chosen[drawn] = True
        else:
            chosen[:] = True
        candidates = chosen.nonzero().view(-1)
        place = torch.empty(total, dtype=torch.long)
        place[candidates] = torch.arange(len(candidates))
        scores = made @ self.vectors[candidates].t() + (self.bias + corrections)[candidates]
        return F.cross_entropy(scores, place[answers])

    @torch.no_grad()
    def judge(self, parts: Sequence[Masked]) -> tuple[float, float]:
        """Mean loss in nats per word over all targets, and the share of right answers, of held-out text."""
        was = self.training
        self.eval()
        loss, right, count = 0.0, 0, 0
        for part in parts:
            scores = self.head(self.encode(part)) @ self.vectors.t() + self.bias
            loss += float(F.cross_entropy(scores, part.answers, reduction="sum"))
            right += int((scores.argmax(1) == part.answers).sum())
            count += len(part.answers)
        self.train(was)
        return loss / max(count, 1), right / max(count, 1)
