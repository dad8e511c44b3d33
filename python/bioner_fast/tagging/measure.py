"""What each precision costs a bundle, measured on devel when it is saved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bioner_fast.data.corpus import Corpus
from bioner_fast.log import logger
from bioner_fast.models.bundle import Inference, add_inference, load_bundle
from bioner_fast.models.engine import PRECISIONS
from bioner_fast.models.registry import can_run
from bioner_fast.tagging.evaluate import score_corpus
from bioner_fast.tagging.precision import observe
from bioner_fast.tagging.tagger import Tagger

# Points of F1 (accuracy of parts of speech) that `auto` may cost on devel, of any task.
MAX_LOSS = 0.1


def measure_precisions(path: str | os.PathLike[str], corpora: Mapping[str, Corpus]) -> Inference | None:
    """Score a saved bundle on devel at every precision, and store in it what ``auto`` may take.

    Args:
        path: the bundle; it is replaced, whole, by one with the figures.
        corpora: devel of each head, by its name; heads without one are left out, and if none is left nothing
            is done.

    Returns:
        What was stored; None where there is nothing to measure with or no engine for the network.

    Raises:
        BionerError: the bundle cannot be read.

    Example:
        >>> measure_precisions("runs/ncbi/model", {"NCBI-disease-IOB": devel}).allowed  # doctest: +SKIP
        ('float32', 'bfloat16', 'int8')
    """
    bundle = load_bundle(path)
    if not corpora or not can_run(bundle.network):
        return None
    found = Inference(observe(bundle, list(corpora.values())), {}, ("float32",))
    add_inference(path, found)
    bundle = load_bundle(path)
    devel: dict[str, dict[str, float]] = {}
    for precision in PRECISIONS:
        tagger = Tagger(bundle, "cpu", precision=precision)
        for head in bundle.tasks:
            if head.name in corpora:
                score = score_corpus(tagger, corpora[head.name], head).score
                value = score.accuracy if head.kind == "pos" else score.overall.f1
                devel.setdefault(head.name, {})[precision] = round(value, 4)
    allowed = tuple(
        precision
        for precision in PRECISIONS
        if all(scores["float32"] - scores[precision] <= MAX_LOSS for scores in devel.values())
    )
    found = Inference(found.ranges, devel, allowed)
    add_inference(path, found)
    logger.info(
        "%s: precisions that cost at most %.1f on devel: %s", Path(path), MAX_LOSS, ", ".join(allowed)
    )
    return found


def adopt_precisions(
    path: str | os.PathLike[str], measured: str | os.PathLike[str], corpora: Sequence[Corpus]
) -> None:
    """Give a bundle the precisions that another one was measured at, where no devel is left to measure with.

    Args:
        path: the bundle; it is replaced, whole. The ranges of its values are its own.
        measured: a bundle of the same network that was trained in the same way on less.
        corpora: text for the ranges.

    Raises:
        BionerError: a bundle cannot be read.
    """
    known = load_bundle(measured).inference
    if known is not None:
        add_inference(path, Inference(observe(load_bundle(path), list(corpora)), known.devel, known.allowed))
