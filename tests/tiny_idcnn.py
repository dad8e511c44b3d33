"""A tiny idcnn with random weights: what tests of its network, bundle and tagger share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.batch import Features, featurize
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import TaskHead, save_bundle
from bioner_fast.models.idcnn.network import IdcnnConfig, IdcnnNetwork
from tiny_bundle import WORDS, heads

TOKENS = [*WORDS, "Ménière", "unseen", "TNFα", "IL-12b", "(", "1,234"]


def idcnn(*, seed: int = 0, **changes: Any) -> IdcnnNetwork:
    """A random network with the heads of ``tiny_bundle``."""
    tasks = tuple((head.name, len(head.tagset.names)) for head in heads())
    settings = {"channels": 16, "char_dim": 4, "char_filters": 8, "affix_dim": 3} | changes
    made = IdcnnNetwork(IdcnnConfig(tasks, rows=len(WORDS) + 2, word_dim=8, **settings))
    generator = torch.Generator().manual_seed(seed)
    made.reset(generator)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("heads"):
                parameter.mul_(4.0)
            elif name.startswith(("chains", "unknown")):
                parameter.normal_(generator=generator)
    return made.eval()


def text(sentences: list[list[str]]) -> Features:
    """Features of sentences."""
    offsets = torch.tensor([0, *map(len, sentences)]).cumsum(0).numpy()
    tokens = StringColumn.from_list([token for sentence in sentences for token in sentence])
    return featurize(tokens, offsets, Vocabulary(StringColumn.from_list(WORDS)), folding=True, forms=True)


def save_idcnn(path: Path, **changes: Any) -> Path:
    """Save it as a bundle."""
    network = idcnn(**changes)
    tasks = tuple(
        TaskHead(head.name, head.tagset, head.kind, "crf", network.decoder_tables(index))
        for index, head in enumerate(heads())
    )
    return save_bundle(path, network, Vocabulary(StringColumn.from_list(WORDS)), tasks)
