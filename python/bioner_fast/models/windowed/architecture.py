"""The published networks as architectures: cnn, and mlp, which has no convolutions."""

from __future__ import annotations

from typing import Any

from bioner_fast.errors import UsageError
from bioner_fast.models.architecture import Architecture, Sizes
from bioner_fast.models.windowed.engine import WindowEngine
from bioner_fast.models.windowed.make_step import make_window_step
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork


def _build(settings: Any, sizes: Sizes) -> TaggingNetwork:
    network = TaggingNetwork(
        NetworkConfig(
            sizes.tasks,
            sizes.rows,
            sizes.word_dim,
            sharing=settings.sharing or "single",
            window=settings.window,
            filter_widths=settings.filter_widths,
            filters=settings.filters,
            hidden=settings.hidden,
            dropout=settings.dropout,
            caps_dim=5 if settings.caps else 0,
            tune_words=bool(settings.tune_vectors),
        )
    )
    for encoder in network.encoders:
        encoder.batch_mask = settings.dropout_mask == "batch"
    return network


def _check_cnn(settings: Any) -> None:
    if settings.filter_widths == ():
        raise UsageError("--filter-widths: a cnn needs at least one; take --arch mlp for none")


def _check_mlp(settings: Any) -> None:
    if settings.filter_widths:
        raise UsageError("--filter-widths: an mlp has no convolutions; take --arch cnn")


def _runs(network: TaggingNetwork) -> bool:
    return bool(network.shape.hidden)


# What the published code does not do.
_PLAIN: dict[str, Any] = {"batches": "tokens", "schedule": "constant", "clip": 0.0, "average": 0.0}

# The published settings.
CNN = Architecture(
    name="cnn",
    network=TaggingNetwork,
    build=_build,
    defaults={
        "filter_widths": (3, 4, 5), "hidden": (1200,), "dropout": 0.75, "caps": False, "tune_vectors": False,
        "optimizer": "adam", "learning_rate": 1e-4, "batch_size": 200, "decoder": "argmax", **_PLAIN,
    },
    sentences=False,
    step=make_window_step,
    noun="a cnn",
    kind="window network (cnn, mlp)",
    named=False,
    check=_check_cnn,
    engine=WindowEngine,
    runs=_runs,
)  # fmt: skip
MLP = Architecture(
    name="mlp",
    network=TaggingNetwork,
    build=_build,
    defaults={
        "filter_widths": (), "hidden": (300,), "dropout": 0.0, "caps": True, "tune_vectors": True,
        "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 50, "decoder": "viterbi", **_PLAIN,
    },
    sentences=False,
    step=make_window_step,
    noun="an mlp",
    kind="window network (cnn, mlp)",
    named=False,
    check=_check_mlp,
    engine=WindowEngine,
    runs=_runs,
)  # fmt: skip
