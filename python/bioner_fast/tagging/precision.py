"""Which precision a bundle runs in, measured when it is saved.

``auto`` takes the fastest precision that this processor has instructions for and that cost no task more than
``MAX_LOSS`` on devel; a bundle that nobody measured runs in float32.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import UsageError
from bioner_fast.log import logger
from bioner_fast.models.bundle import Bundle, Inference, add_inference, load_bundle, read_outline
from bioner_fast.models.engine import PRECISIONS, Ranges, Tokens
from bioner_fast.models.registry import build_engine, can_run
from bioner_fast.ops import infer
from bioner_fast.resources import data_folder

# Points of F1 (accuracy of parts of speech) that `auto` may cost on devel, of any task.
MAX_LOSS = 0.1
# Tokens of calibration text: ranges of values hardly grow beyond.
_CALIBRATION_TOKENS = 50_000


def check_precision(wanted: str) -> None:
    """UsageError unless it is ``auto`` or a precision."""
    if wanted not in ("auto", *PRECISIONS):
        raise UsageError(f"precision must be one of auto, {', '.join(PRECISIONS)}, not {wanted!r}")


def choose(bundle: Bundle, wanted: str, *, engine: bool) -> str:
    """The precision to run in.

    Args:
        bundle: it says what was measured.
        wanted: ``auto`` or a precision.
        engine: whether an engine runs the network, rather than torch.

    Raises:
        UsageError: an unknown precision, or int8 without an engine.
    """
    check_precision(wanted)
    if wanted == "int8" and not engine:
        raise UsageError("precision int8 needs the CPU and a network with hidden layers; take bfloat16")
    if wanted != "auto":
        return wanted
    return _fastest(bundle.inference.allowed if engine and bundle.inference is not None else ())


def _fastest(allowed: Sequence[str]) -> str:
    fast = [name for name in PRECISIONS if name in allowed and infer.is_native(name)]
    return fast[-1] if fast else "float32"


def foresee(path: str | os.PathLike[str], device: torch.device, wanted: str) -> str:
    """What :func:`choose` will say of a bundle that is not loaded yet.

    Raises:
        BionerError: the folder is no bundle.
    """
    if wanted != "auto":
        return wanted
    network, allowed = read_outline(path)
    return _fastest(allowed if device.type == "cpu" and can_run(network) else ())


def ranges_of(bundle: Bundle) -> Ranges:
    """Ranges of the layers' values: the bundle's own, else those on the package's sample text."""
    if bundle.inference is not None:
        return bundle.inference.ranges
    files = sorted((data_folder() / "samples").glob("*/train.tsv"))
    return observe(bundle, [Corpus.read(file) for file in files])


def observe(bundle: Bundle, corpora: list[Corpus]) -> dict[str, Tensor]:
    """Largest magnitudes of each layer's values on text, float32, per channel."""
    from bioner_fast.tagging.predict import Predictor, engine_emissions

    predictor = Predictor(bundle, torch.device("cpu"), torch.get_num_threads(), "float32")
    engine = build_engine(bundle.network, "float32", threads=torch.get_num_threads(), observe=True)
    for corpus in corpora:
        last = int((corpus.sentence_offsets <= _CALIBRATION_TOKENS).sum())
        offsets = corpus.sentence_offsets[:last]
        encoded = predictor.encode(corpus.tokens[: int(offsets[-1])], offsets)
        tokens = Tokens(encoded.word_ids, encoded.caps, encoded.forms)
        engine_emissions(engine, tokens, encoded.sentence_offsets, bundle.network.context)
    assert engine.observed is not None
    return engine.observed


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
    from bioner_fast.tagging.evaluate import score_corpus
    from bioner_fast.tagging.tagger import Tagger

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
