"""What training cannot go on with: tags that no model can learn, and numbers that are none."""

from __future__ import annotations

import torch

from bioner_fast.errors import BionerError
from bioner_fast.models.base import Network
from bioner_fast.models.transitions import first_illegal
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.data import Prepared
from bioner_fast.training.phases import Phase


def diverged(config: TrainConfig, how: str) -> BionerError:
    """The error that says how a run diverged."""
    return BionerError(
        f"training diverged: {how}; try a smaller --learning-rate (it is {config.learning_rate:g})"
    )


def check_weights(config: TrainConfig, network: Network, phase: Phase, step: int) -> None:
    """A loss does not show all: it is of the weights before a step, and dead units hide theirs.

    Raises:
        BionerError: a weight is not finite, or a word vector too large to be stored.
    """
    weights = dict(network.learning(phase.heads))
    if config.tune_vectors:
        weights[network.word_table_key] = network.embedding.words
    largest = torch.stack([torch.stack(torch.aminmax(w.detach())).abs().amax() for w in weights.values()])
    held = largest.clone()
    if config.tune_vectors and config.vector_precision == "float16":
        held[-1] = held[-1].to(torch.float16)
    for name, weight, fits in zip(weights, largest.tolist(), held.isfinite().tolist(), strict=True):
        if fits:
            continue
        how = f"{name} has a weight of {weight:g}"
        if not step:
            raise BionerError(f"--init-from {config.init_from}: {how}, which a model cannot hold")
        raise diverged(config, f"{how} after step {step}")


def check_tags(config: TrainConfig, prepared: Prepared) -> None:
    """A CRF cannot learn tags that its scheme forbids.

    Raises:
        BionerError: a training sentence has such tags.
    """
    for task in prepared.tasks:
        tags = task.train.tags.cpu()
        if len(task.open):
            tags = torch.where(tags < len(task.tagset.names), tags, task.tagset.names.index("O"))
        sentence = first_illegal(tags, task.train.features.offsets.cpu(), task.tagset)
        if sentence is not None:
            raise BionerError(
                f"task {task.name}: the tags of training sentence {sentence + 1} do not follow the "
                f"{config.scheme} scheme, so a CRF cannot learn them; take --decoder viterbi"
            )
