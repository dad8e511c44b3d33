"""The idcnn as an architecture, with its settings of training."""

from __future__ import annotations

from typing import Any

from bioner_fast.errors import UsageError
from bioner_fast.models.architecture import Architecture, Sizes
from bioner_fast.models.idcnn.engine import IdcnnEngine
from bioner_fast.models.idcnn.network import IdcnnConfig, IdcnnNetwork


def _build(settings: Any, sizes: Sizes) -> IdcnnNetwork:
    return IdcnnNetwork(
        IdcnnConfig(
            sizes.tasks,
            sizes.rows,
            sizes.word_dim,
            channels=settings.channels,
            dilations=settings.dilations,
            char_filters=settings.char_filters,
            affix_dim=settings.affix_dim,
            dropout=settings.dropout,
            input_dropout=settings.input_dropout,
            word_dropout=settings.word_dropout,
            tune_words=bool(settings.tune_vectors),
            crf=settings.decoder == "crf",
        )
    )


def _check(settings: Any) -> None:
    for name in ("filter_widths", "hidden", "caps"):
        if getattr(settings, name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag}: belongs to cnn and mlp, not to --arch idcnn")
    if not settings.dilations:
        raise UsageError("--dilations: expected at least one")


IDCNN = Architecture(
    name="idcnn",
    network=IdcnnNetwork,
    build=_build,
    defaults={"dropout": 0.4, "decoder": "crf", "learning_rate": 1.5e-3},
    crf=True,
    noun="an idcnn",
    check=_check,
    engine=IdcnnEngine,
)
