"""Which precision a bundle runs in.

``auto`` takes the fastest precision that this processor has instructions for and that the bundle allows (see
:mod:`bioner_fast.tagging.measure`); a bundle that nobody measured runs in float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import UsageError
from bioner_fast.models.bundle import Bundle, read_outline
from bioner_fast.models.engine import PRECISIONS, Ranges, Tokens
from bioner_fast.models.registry import build_engine, can_run
from bioner_fast.ops import infer
from bioner_fast.resources import data_folder
from bioner_fast.tagging.emissions import engine_emissions
from bioner_fast.tagging.encoding import encode

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
    threads = torch.get_num_threads()
    engine = build_engine(bundle.network, "float32", threads=threads, observe=True)
    for corpus in corpora:
        last = int((corpus.sentence_offsets <= _CALIBRATION_TOKENS).sum())
        offsets = corpus.sentence_offsets[:last]
        encoded = encode(bundle, corpus.tokens[: int(offsets[-1])], offsets, threads=threads)
        tokens = Tokens(encoded.word_ids, encoded.caps, encoded.forms)
        engine_emissions(engine, tokens, encoded.sentence_offsets, bundle.network.context)
    assert engine.observed is not None
    return engine.observed
