"""``bioner-fast train``: every field of TrainConfig is a flag."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioner_fast.cli.grouped import grouped
from bioner_fast.errors import UsageError
from bioner_fast.training.config import TrainConfig, flag

if TYPE_CHECKING:
    from bioner_fast.training.train import TrainResult

_HELP = """Train a model; print its scores on devel and test.

\b
Example: bioner-fast train --tasks sample-disease --out runs/sample
"""

# What is trained where nobody names an architecture: recipes/general.toml, of which the rest is the default.
RECOMMENDED: dict[str, Any] = {"arch": "idcnn", "precision": "bfloat16"}

_GROUPS = {
    "Data": (
        "tasks", "data", "tag_column", "pos", "percent_keep", "scheme", "silver", "silver_epochs",
        "fit", "test",
    ),
    "Model": ("arch", "sharing", "merge_types", "init_from", "decoder", "viterbi", "dropout"),
    "Model: idcnn": ("channels", "dilations", "char_filters", "affix_dim", "input_dropout", "word_dropout"),
    "Model: cnn and mlp": ("window", "filter_widths", "filters", "hidden", "dropout_mask", "caps"),
    "Word vectors": (
        "vectors", "tune_vectors", "vector_learning_rate", "vector_dim", "min_count", "max_vocab", "max_rank",
        "normalization", "folding", "vector_precision",
    ),
    "Course": (
        "epochs", "patience", "steps", "evaluate_every", "selection", "batch_size", "batches", "optimizer",
        "learning_rate", "schedule", "warmup", "weight_decay", "clip", "average", "seed",
    ),
    "Machine": ("device", "threads", "precision", "cuda_graphs"),
    "Run": ("out", "config", "resume", "force", "checkpoint_every", "as_json"),
}  # fmt: skip

_BESIDE: dict[str, tuple[Any, Any, Any]] = {
    "config": (
        Path | None,
        None,
        typer.Option("--config", help="TOML file with any of these settings; flags win."),
    ),
    "viterbi": (bool, False, typer.Option("--viterbi", help="Same as --decoder viterbi.")),
    "resume": (bool, False, typer.Option("--resume", help="Go on with the run in --out.")),
    "force": (bool, False, typer.Option("--force", help="Replace the run in --out.")),
    "as_json": (bool, False, typer.Option("--json", help="Print one JSON object.")),
}


def register(app: typer.Typer) -> None:
    """Add the command ``train``."""

    def train(**values: Any) -> None:
        _train(values)

    parameters = [*_config_parameters()]
    for name, (kind, default, option) in _BESIDE.items():
        parameters.append(_parameter(name, kind, default, option))
    train.__doc__ = _HELP
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(name="train", help=_HELP, cls=grouped(_GROUPS))(train)


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _config_parameters() -> list[inspect.Parameter]:
    """A flag per field; None means that it was not given."""
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "tuple[str, ...]": str,
                             "tuple[int, ...]": str}  # fmt: skip
    parameters = []
    for item in fields(TrainConfig):
        kind = kinds[str(item.type).removesuffix(" | None")]
        names = [flag(item.name)]
        if kind is bool:
            names = [f"{names[0]}/--no-{names[0][2:]}"]
        text = item.metadata["help"]
        if item.default is not None and item.default != () and kind is not bool:
            default = RECOMMENDED["arch"] if item.name == "arch" else item.default
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
            text += f"  [default: {shown}]"
        option = typer.Option(*names, help=text, show_default=False)
        parameters.append(_parameter(item.name, kind | None, None, option))
    return parameters


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(
            f"{flag(name)}: expected whole numbers separated by commas, found {text!r}"
        ) from None


def _train(values: dict[str, Any]) -> None:
    beside = {name: values.pop(name) for name in _BESIDE}
    given = {name: value for name, value in values.items() if value is not None}
    for name in ("tasks", "pos"):
        if name in given:
            given[name] = tuple(part.strip() for part in given[name].split(",") if part.strip())
    for name in ("filter_widths", "hidden", "dilations"):
        if name in given:
            given[name] = _numbers(name, given[name])
    if beside["viterbi"]:
        if given.get("decoder", "viterbi") != "viterbi":
            raise UsageError(f"--viterbi and --decoder {given['decoder']} contradict each other")
        given["decoder"] = "viterbi"
    if beside["config"] is not None:
        if beside["resume"]:
            raise UsageError("--resume takes the settings of the run in --out; leave --config out")
        config = TrainConfig.load(beside["config"], given, RECOMMENDED)
    elif beside["resume"] or "arch" in given:
        config = TrainConfig(**given)
    else:
        config = TrainConfig(**(RECOMMENDED | given))

    from bioner_fast.models.learning.distributed import is_first
    from bioner_fast.training.stopping import TrainingInterrupted
    from bioner_fast.training.train import train

    try:
        result = train(config, resume=beside["resume"], force=beside["force"], given=given)
    except TrainingInterrupted as stop:
        print(f"bioner-fast: {stop}", file=sys.stderr)  # noqa: T201
        raise SystemExit(130) from None  # all is said
    if is_first():
        _show(result, as_json=beside["as_json"])


def _show(result: TrainResult, *, as_json: bool) -> None:
    from bioner_fast.cli.output import print_json, print_table

    if as_json:
        print_json(result.to_json())
        return
    rows = []
    for task, splits in result.tasks.items():
        for split, facts in splits.items():
            figures = [
                f"{facts[key]:.2f}" if key in facts else "-"
                for key in ("precision", "recall", "f1", "accuracy")
            ]
            rows.append([task, split, *figures])
    print_table(["Task", "Split", "P", "R", "F1", "Accuracy"], rows)
    print(f"step {result.selected_step}: {result.selection}")  # noqa: T201
    speed = f"{result.train_tokens_per_second:,.0f} tokens/s in training"
    print(f"{result.train_tokens:,} tokens in {result.seconds:.0f} s ({speed}); model: {result.model}")  # noqa: T201
