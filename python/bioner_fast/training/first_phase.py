"""The first phase of dependent training, kept for other runs: the second task does not matter to it.

With the same first task, seed and settings it ends in the same bits whatever comes second, as long as the
word table is the same too (vectors from a file that are not trained). So a programme of many corpora trains
it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bioner_fast.errors import BionerError
from bioner_fast.files import atomic_directory
from bioner_fast.log import logger
from bioner_fast.training.checkpoint import CheckpointFolder
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.position import Position

_GROUP = "first-phase"


def can_share(config: TrainConfig) -> bool:
    """Whether the first phase of this (resolved) run could be another's."""
    return config.sharing == "dependent" and config.vectors is not None and not config.tune_vectors


def seed_from(config: TrainConfig, *place: int) -> None:
    """Start Torch's generator anew: what was drawn before, for heads of any size, must not matter.

    Args:
        config: of the run.
        place: different for every use, or what is drawn at one place would be drawn again at another.
    """
    state = np.random.SeedSequence([config.seed, *place]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]) >> 1)


def leave(
    folder: Path, weights: Mapping[str, Tensor], position: Position, random: np.random.Generator
) -> None:
    """Keep the first phase, which has just ended.

    Args:
        folder: of this phase alone; whoever calls says by its name what the phase depends on.
        weights: what the phase has trained.
        position: at the start of the second phase.
        random: the generator that plans epochs.
    """
    facts = {
        "step": position.step,
        "position": asdict(position),
        "random": random.bit_generator.state,
    }
    # Whole at once: another programme may leave the same one at the same time.
    with atomic_directory(folder, force=True, manifest=False) as made:
        CheckpointFolder(made).save(facts, {_GROUP: dict(weights)})


def take(folder: Path, weights: Mapping[str, Tensor], random: np.random.Generator) -> Position | None:
    """Take up what :func:`leave` kept.

    Args:
        folder: where it was kept.
        weights: what the phase trains; they get the values that were kept.
        random: gets the state that was kept.

    Returns:
        The position at the start of the second phase; None if nothing (whole) is kept.
    """
    kept = CheckpointFolder(folder)
    if not kept.exists():
        return None
    try:
        facts, groups = kept.load()
        tensors = groups[_GROUP]
    except (BionerError, KeyError):
        logger.warning("%s is damaged; the first phase is trained again", folder)
        return None
    if {name: value.shape for name, value in weights.items()} != {n: v.shape for n, v in tensors.items()}:
        logger.warning("%s is of another network; the first phase is trained again", folder)
        return None
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(tensors[name])
    random.bit_generator.state = facts["random"]
    logger.info("the first phase is that of another run (%s)", folder.name)
    return Position.from_json(facts["position"])
