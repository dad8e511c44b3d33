"""A whole step of an MLP by SGD, as one native call.

CPU only, where :func:`bioner_fast.ops.dense.available` says so; for
:class:`bioner_fast.models.windowed.mlp_step.MlpStep`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from bioner_fast.ops import _native


@dataclass(frozen=True)
class MlpWeights:
    """All that a step changes.

    Attributes:
        words: float32 [V, D], the word table.
        caps: float32 [C, E], beside a word's row; or None.
        hidden: float32 [H, window * (D + E)].
        low: of :func:`bioner_fast.ops.dense.blocks`, from ``hidden``.
        bias: float32 [H].
        head: float32 [K, H].
        head_bias: float32 [K].
    """

    words: Tensor
    caps: Tensor | None
    hidden: Tensor
    low: Tensor
    bias: Tensor
    head: Tensor
    head_bias: Tensor


@dataclass(frozen=True)
class Windows:
    """What tokens read: rows of a text.

    Attributes:
        words: int64 [M], a row of the word table for each place of the text.
        caps: int64 [M], of capitalisation.
        starts: int64 [N], the place where each token's window starts. Where windows of tokens that follow one
            another overlap, rows that they share are looked up once.
        size: places of a window.
    """

    words: Tensor
    caps: Tensor
    starts: Tensor
    size: int


def sgd(
    weights: MlpWeights, windows: Windows, gold: Tensor, *, size: int, rate: float, word_rate: float,
    seed: int = 0, share: float = 0.0, clip: tuple[float, float] = (-math.inf, math.inf),
) -> float:  # fmt: skip
    """Learn from a batch: ``head(dropout(relu(hidden x + bias)))``, cross entropy, and SGD.

    Products of the hidden layer read operands rounded to bfloat16; sums and all else are float32.

    Args:
        weights: changed in place.
        windows: of the tokens; x are their rows, side by side.
        gold: int64 [N].
        size: tokens that the loss is a mean of.
        rate: of all weights but the words.
        word_rate: of the words; a word that occurs twice is stepped twice.
        seed, share: of the dropout, as for :func:`bioner_fast.ops.step.units`.
        clip: as for :func:`bioner_fast.ops.step.head`.

    Returns:
        The loss before the step.

    Raises:
        ValueError, TypeError: shapes, dtypes or numbers do not fit, or the processor cannot. Nothing has
            changed then.
    """
    w, x = weights, windows
    loss: float = _native.call(
        "mlp_sgd", w.words, w.words, w.caps, w.hidden, w.low, w.bias, w.head, w.head_bias,
        x.words, x.caps, x.starts, gold, x.size, size, *clip, seed, share, rate, word_rate,
    )  # fmt: skip
    return loss
