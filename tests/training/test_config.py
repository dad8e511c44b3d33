"""Settings: published defaults, TOML, and a sentence for every mistake."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.training.config import TrainConfig, flag, parse_interval


def test_defaults_are_the_published_ones() -> None:
    cnn = TrainConfig(tasks=("A",), vectors="v.bin").resolved()
    assert (cnn.window, cnn.filter_widths, cnn.filters, cnn.hidden, cnn.dropout) == (
        7,
        (3, 4, 5),
        100,
        (1200,),
        0.75,
    )
    assert (cnn.optimizer, cnn.learning_rate, cnn.batch_size, cnn.epochs) == ("adam", 1e-4, 200, 20)
    assert (cnn.tune_vectors, cnn.caps, cnn.decoder, cnn.scheme, cnn.sharing) == (
        False,
        False,
        "argmax",
        "iobes",
        "single",
    )
    mlp = TrainConfig(tasks=("A",), vectors="v.bin", arch="mlp").resolved()
    assert (mlp.filter_widths, mlp.hidden, mlp.dropout, mlp.caps, mlp.tune_vectors) == (
        (),
        (300,),
        0.0,
        True,
        True,
    )
    assert (mlp.optimizer, mlp.learning_rate, mlp.batch_size, mlp.decoder) == ("sgd", 0.1, 50, "viterbi")
    multi = TrainConfig(tasks=("A", "B"), vectors="v.bin").resolved()
    assert (multi.sharing, multi.steps, multi.evaluate_every, multi.epochs) == (
        "multi-output",
        20_000,
        5_000,
        None,
    )
    assert multi.out == "runs/A+B-cnn".replace("/", os.sep)


def test_random_vectors_are_trained() -> None:
    assert TrainConfig(tasks=("A",)).resolved().tune_vectors is True


def test_toml_round_trip(tmp_path: Path) -> None:
    config = TrainConfig(
        tasks=("A", "B"), sharing="dependent", percent_keep=0.5, hidden=(30, 20), caps=True
    ).resolved()
    config.save(tmp_path / "c.toml")
    assert TrainConfig.load(tmp_path / "c.toml") == config
    assert TrainConfig.load(tmp_path / "c.toml", {"seed": 9}).seed == 9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"arch": "lstm"}, "--arch: expected one of cnn, mlp, idcnn, found 'lstm'"),
        ({"percent_keep": 0.0}, "--percent-keep"),
        ({"percent_keep": 1.5}, "--percent-keep"),
        ({"window": 4}, "--window"),
        ({"batch_size": 0}, "--batch-size"),
        ({"epochs": "ten"}, "--epochs: expected a whole number"),
        ({"seed": True}, "--seed: expected a whole number"),
        ({"seed": 2**63}, "--seed: expected at most"),
        ({"threads": 100_000}, "--threads: expected at most 1024"),
        ({"tasks": "A"}, "--tasks: expected a list of strings"),
        ({"dropout": 1.0}, "--dropout"),
        ({"learning_rate": -1.0}, "--learning-rate"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"filter_widths": (8,)}, "--filter-widths"),
        ({"arch": "mlp", "filter_widths": (3,)}, "--filter-widths"),
        ({"hidden": ()}, "--hidden"),
        ({"tasks": ("A", "x/A")}, "--tasks: a task occurs twice"),
        ({"tasks": ("A", "B", "C"), "sharing": "dependent"}, "exactly two"),
        ({"tasks": ("A", "B"), "sharing": "single"}, "one task"),
        ({"tasks": ("A", "B"), "epochs": 3}, "--epochs"),
        ({"tasks": ("A",), "steps": 3}, "--steps"),
        ({"tasks": ("A", "B"), "batches": "sentences"}, "--batches"),
        ({"tasks": ("A",), "tune_vectors": False}, "--no-tune-vectors"),
        ({"checkpoint_every": "often"}, "--checkpoint-every"),
        ({"checkpoint_every": "0s"}, "--checkpoint-every"),
    ],
)
def test_mistakes_name_the_flag(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig(**values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_task() -> None:
    with pytest.raises(UsageError, match="--tasks"):
        TrainConfig().resolved()


def test_bad_files(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    with pytest.raises(BionerError, match="cannot be read"):
        TrainConfig.load(file)
    file.write_text("epochs = = 3")
    with pytest.raises(FormatError, match="TOML"):
        TrainConfig.load(file)
    file.write_text("epoks = 3")
    with pytest.raises(FormatError, match="epoks"):
        TrainConfig.load(file)
    file.write_text("epochs = 0")
    with pytest.raises(UsageError, match=r"c\.toml: --epochs"):
        TrainConfig.load(file)
    with pytest.raises(UsageError, match=r"^--epochs: .*found -1"):
        TrainConfig.load(file, {"epochs": -1})


def test_toml_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xef\xbb\xbfepochs = 3\r\n")
    assert TrainConfig.load(file).epochs == 3


def test_every_field_has_a_flag_and_a_help_text() -> None:
    import typer

    from bioner_fast.cli import train

    app = typer.Typer()
    train.register(app)
    command = typer.main.get_command(app)
    flags = {name for parameter in command.params for name in parameter.opts}
    for item in fields(TrainConfig):
        assert item.metadata["help"]
        assert flag(item.name) in flags
    assert {"--viterbi", "--config", "--resume", "--force", "--json"} <= flags


def test_intervals() -> None:
    assert parse_interval("60s") == ("seconds", 60)
    assert parse_interval("500") == ("steps", 500)
