"""What a run of an experiment is: a model on some corpora with a seed, and how it is trained."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bioner_fast.errors import UsageError
from bioner_fast.experiments.corpora import ExperimentCorpus, label

MODELS = ("mlp", "cnn", "best")
# The recipe of ``best``: what differs from the defaults of --arch idcnn, for several corpora together, and
# for one of them from there on. recipes/accurate.toml and recipes/tune.toml write it out.
RECIPE: dict[str, Any] = {"arch": "idcnn", "channels": 384, "precision": "bfloat16"}
JOINT: dict[str, Any] = {"epochs": 8}
TUNING: dict[str, Any] = {"epochs": 6}
# Settings that only some runs have: a value given for all runs passes by the others.
_STEPS = ("steps", "evaluate_every")
_EPOCHS = ("epochs", "patience", "batches")
_WINDOWED = ("filter_widths", "hidden", "caps")
# What a study fixes itself.
RESERVED = (
    "tasks", "arch", "sharing", "data", "vectors", "init_from", "out", "seed", "percent_keep", "threads",
    "device", "test",
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One training run.

    Attributes:
        model: ``mlp`` or ``cnn`` (the published networks), or ``best`` (the recipe).
        tasks: folder names of the corpora; dependent: the first is trained first.
        sharing: ``single``, ``multi-output`` or ``dependent``.
        percent: share of the first corpus's training data.
        course: ``published``, or ``epochs``: as many passes over the data as a single-task run makes.
        seed: of everything random.
        base: corpora of the multi-task run of the same seed whose model this one starts from; none for a new
            network.
    """

    model: str
    tasks: tuple[str, ...]
    sharing: str = "single"
    percent: float = 1.0
    course: str = "published"
    seed: int = 1
    base: tuple[str, ...] = ()

    def cell(self) -> Run:
        """The same for every seed."""
        return replace(self, seed=0)

    def origin(self) -> Run | None:
        """The run whose model this one starts from."""
        return Run(self.model, self.base, "multi-output", seed=self.seed) if self.base else None

    def title(self) -> str:
        """For people.

        Example:
            >>> Run("cnn", ("BC2GM-IOB", "CRAFT-IOB"), "multi-output", 0.5).title()
            'cnn multi-output BC2GM+CRAFT 50 % seed 1'
        """
        names = "+".join(map(label, self.tasks)) if len(self.tasks) < 4 else f"{len(self.tasks)} corpora"
        if len(self.tasks) >= 4 and self.percent < 1:
            names = f"{label(self.tasks[0])}+{len(self.tasks) - 1}"
        parts = [self.model, "tuned on" if self.base else self.sharing, names]
        parts += [f"{self.percent:.0%}".replace("%", " %")] if self.percent < 1 else []
        parts += [f"by {self.course}"] if self.course != "published" else []
        return " ".join([*parts, f"seed {self.seed}"])


@dataclass(frozen=True, slots=True)
class Study:
    """One of the published experiments.

    Attributes:
        name: as on the command line.
        title: a heading.
        about: what it does, a sentence or two.
        runs: without regard to seeds (seed 0), the most telling first.
        required: those of them that a closing run must contain.
    """

    name: str
    title: str
    about: str
    runs: tuple[Run, ...]
    required: tuple[Run, ...]


@dataclass(frozen=True)
class Settings:
    """How runs are trained: what is the same for all of them, and part of a results folder's identity.

    Attributes:
        recipe: settings of ``best``, as :class:`TrainConfig` takes them; its ``arch`` is idcnn by default.
        overrides: settings for all runs they apply to; ``(model, name)`` as key, model "" for all.
        exclude_seen: leave out training sentences that stand in another corpus's devel or test split.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    exclude_seen: bool = False

    def of(self, run: Run, corpora: Mapping[str, ExperimentCorpus] | None = None) -> dict[str, Any]:
        """The values of :class:`TrainConfig` for a run, without folders, vectors and threads.

        Args:
            run: the run.
            corpora: by name; needed for ``course="epochs"``, whose steps follow from the corpora's sizes.
        """
        values: dict[str, Any]
        if run.model == "best":
            course = TUNING if run.base else JOINT if run.sharing == "multi-output" else {}
            values = {**(self.recipe or RECIPE), **course}
            values.setdefault("arch", "idcnn")
            if values["arch"] != "idcnn":  # joint training of the others counts steps
                values = {"arch": values["arch"], **self.recipe}
        else:
            # The paper's results have Viterbi on; the exact path, under the constraints of the scheme.
            values = {"arch": run.model, "decoder": "viterbi"}
        counted = run.sharing == "multi-output" and values["arch"] != "idcnn"
        scopes = ("", run.model, *(("tuned",) if run.base else ()))
        for scope in scopes:  # the closer one wins
            for (model, name), value in self.overrides.items():
                if model == scope and _applies(name, values["arch"], counted):
                    values[name] = value
        if run.course == "epochs" and corpora is not None:
            from bioner_fast.models.registry import find  # loads Torch, which few plans need

            tokens = sum(corpora[name].train_tokens for name in run.tasks)
            size = values.get("batch_size") or find(values["arch"]).settings["batch_size"]
            epoch = max(1, tokens // size)
            values |= {"steps": epoch * self._epochs(run), "evaluate_every": epoch}
        values |= {"tasks": run.tasks, "sharing": run.sharing, "seed": run.seed}
        if run.percent < 1:
            values["percent_keep"] = run.percent
        return values

    def _epochs(self, run: Run) -> int:
        for model in (run.model, ""):
            if (model, "epochs") in self.overrides:
                return int(self.overrides[model, "epochs"])
        return 20

    def to_json(self) -> dict[str, Any]:
        """A JSON object that :meth:`from_json` reads."""
        overrides = {f"{model}.{name}".lstrip("."): value for (model, name), value in self.overrides.items()}
        return {"recipe": dict(self.recipe), "overrides": overrides, "exclude_seen": self.exclude_seen}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Settings:
        """What :meth:`to_json` wrote."""
        overrides = {_scoped(name): value for name, value in facts["overrides"].items()}
        return cls(facts["recipe"], overrides, facts["exclude_seen"])


def _applies(name: str, arch: str, counted: bool) -> bool:
    if name in _STEPS:
        return counted
    if name in _EPOCHS:
        return not counted and not (name == "batches" and arch == "idcnn")
    return not (name in _WINDOWED and arch == "idcnn") and not (name == "filter_widths" and arch == "mlp")


def _scoped(name: str) -> tuple[str, str]:
    model, dot, rest = name.partition(".")
    return (model, rest) if dot else ("", name)


def load_recipe(path: str | os.PathLike[str] | None) -> dict[str, Any]:
    """The settings in a recipe of ``best``; an empty one without a file.

    Raises:
        BionerError: the file cannot be read, or is no configuration of train.
        UsageError: it sets what an experiment sets itself.
    """
    if path is None:
        return {}
    from bioner_fast.training.config import TrainConfig

    TrainConfig.load(path)
    values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    for name in values:
        if name in RESERVED and name != "arch":
            raise UsageError(f"{os.fspath(path)}: an experiment sets {name} itself; leave it out")
    return values


def parse_overrides(pairs: Iterable[str]) -> dict[tuple[str, str], Any]:
    """``KEY=VALUE`` of ``--train``: for all runs, or with ``cnn.KEY=VALUE`` for those of one model.

    Raises:
        UsageError: not of that form, or no such setting, or one that an experiment fixes itself.

    Example:
        >>> parse_overrides(["epochs=2", "cnn.hidden=30,20"])
        {('', 'epochs'): 2, ('cnn', 'hidden'): (30, 20)}
    """
    from dataclasses import fields

    from bioner_fast.training.config import TrainConfig

    kinds = {item.name: str(item.type).removesuffix(" | None") for item in fields(TrainConfig)}
    found: dict[tuple[str, str], Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        model, name = _scoped(key.strip().replace("-", "_"))
        if not equals or name not in kinds or (model and model not in (*MODELS, "tuned")):
            raise UsageError(
                f"--train {pair}: expected KEY=VALUE with a setting of train, as in batch_size=100 "
                "or cnn.epochs=5"
            )
        if name in RESERVED:
            raise UsageError(f"--train {pair}: an experiment sets {name} itself")
        found[model, name] = _value(pair, kinds[name], text.strip())
    return found


def _value(pair: str, kind: str, text: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind.startswith("tuple"):
            return tuple(int(part) for part in text.split(",") if part.strip())
        return {"int": int, "float": float, "str": str}[kind](text)
    except (ValueError, KeyError):
        raise UsageError(f"--train {pair}: expected {kind} as value, found {text!r}") from None


def run_id(run: Run, values: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """The name of a run's folder: readable, and different whenever the outcome may differ.

    Args:
        run: what is trained.
        values: how, from :meth:`Settings.of`.
        identity: digests of the corpora and vectors, and what was left out.

    Example:
        >>> run_id(Run("cnn", ("BC2GM-IOB",)), {}, {})[:-9]
        'cnn-single-BC2GM-s1'
    """
    described = {name: value for name, value in asdict(run).items() if name != "base" or value}
    facts = {"run": described, "values": dict(values), **identity}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    names = list(map(label, run.tasks))
    shown = "+".join(names) if len(names) < 3 else f"{names[0]}+{len(names) - 1}"
    parts = [run.model, "tuned" if run.base else run.sharing, shown]
    parts += [f"p{100 * run.percent:g}"] if run.percent < 1 else []
    parts += [run.course] if run.course != "published" else []
    return "-".join([*parts, f"s{run.seed}", digest])
