"""A tiny network with random weights, saved as a bundle: what tests of bundles and tagging load.

The weights are large, so that log-probabilities are far apart and entities are frequent.
"""

from __future__ import annotations

from pathlib import Path

import torch

from bioner_fast.data.schemes import Scheme, TagSet
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import TaskHead, save_bundle
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork

WORDS = """
the of in and is a with cancer breast disease gene BRCA1 tumor cell alpha beta TNF IL 0 - . , ( ) patients
Crohn syndrome treated Sjogren mutation protein induced familial
""".split()  # noqa: SIM905


def iobes(*types: str) -> TagSet:
    """The tag set of some entity types."""
    tags = ("O", *(f"{prefix}-{type}" for type in types for prefix in "BIES"))
    return TagSet(tags, Scheme.IOBES, types)


def heads(decoders: dict[str, str] | None = None) -> tuple[TaskHead, ...]:
    """An entity head of two types, one of a single type and one of parts of speech."""
    chosen = {"medical": "viterbi", "cells": "viterbi", "pos": "viterbi"} | (decoders or {})
    made = [
        TaskHead("medical", iobes("Disease", "Gene"), "ner", chosen["medical"]),
        TaskHead("cells", iobes("Cell"), "ner", chosen["cells"]),
        TaskHead("pos", TagSet(("NN", "IN", "DT"), None, ()), "pos", chosen["pos"]),
    ]
    return tuple(head if head.decoder != "forward-argmax" else with_tables(head) for head in made)


def with_tables(head: TaskHead) -> TaskHead:
    """The head with the transitions its scheme allows as tables, for forward-argmax."""
    transitions, start, _ = head.tagset.constraints()
    tables = {"transitions": torch.as_tensor(transitions), "start": torch.as_tensor(start)}
    return TaskHead(head.name, head.tagset, head.kind, head.decoder, tables)


def network(
    tasks: tuple[TaskHead, ...], *, filters: tuple[int, ...] = (3, 4, 5), seed: int = 0
) -> TaggingNetwork:
    """A random network with these heads."""
    shape = NetworkConfig(
        tuple((head.name, len(head.tagset.names)) for head in tasks),
        rows=len(WORDS) + 2,
        word_dim=8,
        sharing="multi-output" if len(tasks) > 1 else "single",
        filter_widths=filters,
        filters=6,
        hidden=(16,),
        caps_dim=3,
    )
    made = TaggingNetwork(shape)
    generator = torch.Generator().manual_seed(seed)
    made.reset(generator)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "bias" not in name:
                parameter.mul_(20.0 if name.startswith("embedding") else 2.0)
    return made


def save_tiny(
    path: Path,
    *,
    decoders: dict[str, str] | None = None,
    filters: tuple[int, ...] = (3, 4, 5),
    precision: str = "float16",
) -> Path:
    """Save the tiny bundle under ``path``."""
    tasks = heads(decoders)
    vocabulary = Vocabulary(StringColumn.from_list(WORDS))
    provenance = {"command": "none", "seed": 0}
    return save_bundle(
        path, network(tasks, filters=filters), vocabulary, tasks, precision=precision, provenance=provenance
    )
