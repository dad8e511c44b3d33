"""Everything that fixes a training run: one dataclass, each field a flag of ``bioner-fast train``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import atomic_write
from bioner_fast.installation import MAX_THREADS

if TYPE_CHECKING:
    from bioner_fast.models.architecture import Architecture

CHOICES: dict[str, tuple[str, ...]] = {
    "sharing": ("single", "multi-output", "dependent"),
    "decoder": ("argmax", "viterbi", "forward-argmax", "crf"),
    "scheme": ("iobes", "iob2"),
    "optimizer": ("adam", "adamw", "sgd"),
    "batches": ("tokens", "sentences"),
    "schedule": ("constant", "linear"),
    "normalization": ("default", "published"),
    "vector_precision": ("float16", "float32", "int8"),
    "dropout_mask": ("token", "batch"),
    "precision": ("float32", "tf32", "bfloat16"),
    "cuda_graphs": ("auto", "off"),
    "selection": ("devel", "last"),
    "fit": ("train", "train+devel"),
    "device": ("auto", "cpu", "cuda"),
}

# Types as a reader of TOML calls them.
_WORDS = {
    "str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false",
    "tuple[str, ...]": "a list of strings", "tuple[int, ...]": "a list of whole numbers",
}  # fmt: skip
# What the generators and the thread libraries take.
_MOST = {"seed": 2**63 - 1, "threads": MAX_THREADS}


def _flag(default: Any, text: str, name: str | None = None) -> Any:
    metadata = {"help": text} | ({} if name is None else {"flag": name})
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run; what is None takes the published value of the architecture (see :meth:`resolved`).

    Raises:
        UsageError: a value is out of range, or two do not go together; the message names the flag.

    Example:
        >>> TrainConfig(tasks=("sample-disease",), arch="mlp").resolved().batch_size
        50
    """

    tasks: tuple[str, ...] = _flag(
        (), "Tasks, separated by commas: names of folders in --data, paths, or samples."
    )
    arch: str = _flag(
        "cnn",
        "Architecture: idcnn (the accurate one; without --arch in bfloat16), cnn or mlp (the published "
        "ones), or one of your own as module:Name.",
    )
    sharing: str | None = _flag(
        None, "Several tasks: multi-output (the default) or dependent (exactly two, the first trained first)."
    )
    merge_types: bool = _flag(
        False, "The model tags with all tasks as one: normal types (gene, chemical, ...), overlaps resolved."
    )
    data: str | None = _flag(
        None, "Folder that holds a folder per task with train.tsv, devel.tsv and test.tsv."
    )
    tag_column: int | None = _flag(
        None, "Column of the tags in the tasks' files, counted from 1  [default: the last]"
    )
    pos: tuple[str, ...] = _flag(
        (), "Tasks whose tags are parts of speech, separated by commas; GENIA-pos is known to be one."
    )
    vectors: str | None = _flag(
        None, "Word vectors: word2vec, GloVe or fastText .vec. Without: random vectors that are fine-tuned."
    )
    init_from: str | None = _flag(
        None,
        "Start from the weights of this model (of the same architecture): all of them but the heads of other "
        "tasks. Without --vectors its own are taken, where they were not trained. none: from nothing, "
        "whatever a recipe says.",
    )
    silver: str | None = _flag(
        None, "idcnn: train on this folder of silver annotations first (see the command silver)."
    )
    silver_epochs: int = _flag(2, "Epochs of that.")
    out: str | None = _flag(None, "Folder of the run  [default: runs/TASKS-ARCH]")
    percent_keep: float = _flag(1.0, "Train on a contiguous slice of the first task: a fraction, 0 < P <= 1.")
    scheme: str = _flag("iobes", "Tag scheme to train with: iobes or iob2.")
    decoder: str | None = _flag(
        None, "argmax, viterbi, forward-argmax or crf (idcnn)  [default: cnn argmax, mlp viterbi, idcnn crf]"
    )
    window: int = _flag(7, "Positions of the window around each token, odd.")
    filter_widths: tuple[int, ...] | None = _flag(None, "cnn: widths of the convolutions  [default: 3,4,5]")
    filters: int = _flag(100, "cnn: filters per width.")
    hidden: tuple[int, ...] | None = _flag(None, "cnn, mlp: sizes of the hidden layers  [default: 1200, 300]")
    dropout: float | None = _flag(
        None, "Dropout before the output (idcnn: and blocks)  [default: cnn 0.75, mlp 0, idcnn 0.4]"
    )
    dropout_mask: str = _flag(
        "token", "cnn, mlp: a dropout mask for each token, or one for a batch: what it drops is not computed."
    )
    channels: int = _flag(256, "idcnn: width of the sentence encoder.")
    dilations: tuple[int, ...] = _flag((1, 2, 4), "idcnn: dilations of its blocks.")
    char_filters: int = _flag(64, "idcnn: filters over the characters of a word; 0 for none.")
    affix_dim: int = _flag(24, "idcnn: width of the embedding of each affix and the shape; 0 for none.")
    input_dropout: float = _flag(0.5, "idcnn: dropout of a token's features.")
    word_dropout: float = _flag(0.05, "idcnn: share of word vectors replaced by that of unknown words.")
    caps: bool | None = _flag(None, "Capitalisation embedding  [default: mlp yes, cnn no]")
    tune_vectors: bool | None = _flag(
        None, "Fine-tune the word vectors  [default: mlp yes, cnn only random ones]"
    )
    vector_learning_rate: float = _flag(1.0, "Learning rate of fine-tuned word vectors, as a multiple.")
    vector_dim: int = _flag(100, "Width of random word vectors.")
    min_count: int = _flag(2, "Random word vectors: rarer words of the training data are UNKNOWN.")
    max_vocab: int | None = _flag(None, "Keep the vectors of this many words, the first of the file.")
    max_rank: int | None = _flag(None, "Read only this many rows of the vector file.")
    normalization: str = _flag(
        "default", "Look-up of words: default, or published (digits are not mapped to 0)."
    )
    folding: bool = _flag(True, "Look-up folds Greek letters, dashes, ligatures and accents.")
    vector_precision: str = _flag(
        "float16", "Precision of word vectors in the model: float16, float32 or int8 (with a scale a row)."
    )
    optimizer: str | None = _flag(None, "adam, adamw or sgd  [default: cnn adam, mlp sgd, idcnn adamw]")
    learning_rate: float | None = _flag(None, "Learning rate  [default: cnn 0.0001, mlp 0.1, idcnn 0.0015]")
    batch_size: int | None = _flag(None, "Tokens of a step  [default: cnn 200, mlp 50, idcnn 800]")
    batches: str | None = _flag(
        None, "Order in an epoch: shuffled tokens, or whole shuffled sentences  [default: idcnn sentences]"
    )
    schedule: str | None = _flag(
        None, "Learning rate over the run: constant, or linear decay  [default: idcnn linear]"
    )
    warmup: int = _flag(
        100, "linear: steps over which the learning rate rises first, at most a tenth of the run."
    )
    weight_decay: float = _flag(0.0, "adamw: weight decay.")
    clip: float | None = _flag(None, "Longest gradient, 0 for any  [default: idcnn 5]")
    average: float | None = _flag(
        None,
        "Evaluate and keep a running average of the weights: its decay, 0 for none  [default: idcnn 0.998]",
    )
    epochs: int | None = _flag(None, "Epochs  [default: 20, idcnn 15]; not for multi-output of cnn and mlp")
    patience: int | None = _flag(
        None, "Stop after so many epochs without a better score on devel, 0 for never  [default: idcnn 5]"
    )
    steps: int | None = _flag(None, "multi-output of cnn and mlp: steps  [default: 20000]")
    evaluate_every: int | None = _flag(
        None, "multi-output of cnn and mlp: steps between evaluations  [default: 5000]"
    )
    fit: str = _flag(
        "train",
        "What the model is trained on: train; or train+devel: devel first selects how long, then both train "
        "that long.",
    )
    selection: str = _flag("devel", "Which step to keep: the best on devel, or the last.")
    test: bool = _flag(True, "Score the test split at the end; with --no-test it is not even read.")
    precision: str = _flag(
        "float32",
        "Of the matrix products in training: float32, tf32 (GPUs only: operands rounded to 10 bits) or "
        "bfloat16 (weights and sums stay float32).",
    )
    cuda_graphs: str = _flag(
        "auto", "GPUs, cnn with fixed vectors: replay whole steps as CUDA graphs (auto), or off."
    )
    seed: int = _flag(1, "Seed of everything random.")
    threads: int | None = _flag(None, "CPU threads  [default: all cores]")
    device: str = _flag("auto", "auto, cpu or cuda.")
    checkpoint_every: str = _flag("60s", "Save a checkpoint every so many seconds (60s) or steps (500).")

    def __post_init__(self) -> None:
        for name in ("tasks", "pos", "filter_widths", "hidden", "dilations"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        for name in ("data", "vectors", "init_from", "silver", "out"):
            value = getattr(self, name)
            if isinstance(value, os.PathLike):
                object.__setattr__(self, name, os.fspath(value))
        if self.init_from == "none":
            object.__setattr__(self, "init_from", None)
        self._check_types()
        self._check_values()

    def _check_types(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            kind = str(item.type)
            if value is None:
                good = "None" in kind
            elif kind.startswith("tuple"):
                inner: type = int if "int" in kind else str
                good = isinstance(value, tuple) and all(type(part) is inner for part in value)
            elif kind.startswith("float"):
                good = type(value) in (int, float)
            else:
                good = type(value).__name__ == kind.split(" ")[0]
            if not good:
                raise UsageError(
                    f"{flag(item.name)}: expected {_WORDS[kind.removesuffix(' | None')]}, found {value!r}"
                )
            if item.name in CHOICES and value is not None and value not in CHOICES[item.name]:
                known = ", ".join(CHOICES[item.name])
                raise UsageError(f"{flag(item.name)}: expected one of {known}, found {value!r}")

    def _check_values(self) -> None:
        at_least = {
            "filters": 1, "vector_dim": 1, "min_count": 1, "max_vocab": 1, "max_rank": 1, "batch_size": 1,
            "epochs": 1, "steps": 1, "evaluate_every": 1, "threads": 1, "seed": 0, "window": 1, "channels": 1,
            "silver_epochs": 1, "char_filters": 0, "affix_dim": 0, "warmup": 0, "patience": 0,
            "tag_column": 2,
        }  # fmt: skip
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{flag(name)}: expected at least {least}, found {value}")
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value is not None and value > most:
                raise UsageError(f"{flag(name)}: expected at most {most}, found {value}")
        if self.window % 2 == 0:
            raise UsageError(f"--window: expected an odd number, found {self.window}")
        if not 0 < self.percent_keep <= 1:
            raise UsageError(f"--percent-keep: expected a fraction, 0 < P <= 1, found {self.percent_keep:g}")
        for name in ("dropout", "input_dropout", "word_dropout", "average"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"{flag(name)}: expected 0 <= P < 1, found {value:g}")
        for name in ("weight_decay", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"{flag(name)}: expected 0 or more, found {value:g}")
        for name in ("learning_rate", "vector_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{flag(name)}: expected a positive number, found {value:g}")
        for name, most in (("filter_widths", self.window), ("hidden", 1 << 20), ("dilations", 64)):
            for value in getattr(self, name) or ():
                if not 1 <= value <= most:
                    raise UsageError(f"{flag(name)}: expected sizes of 1 to {most}, found {value}")
        if self.hidden == ():
            raise UsageError("--hidden: expected at least one layer")
        self._check_architecture()
        if self.tune_vectors is False and self.vectors is None and self.tasks and self.init_from is None:
            raise UsageError(
                "--no-tune-vectors: random vectors that are never trained are of no use; give --vectors"
            )
        self._check_tasks()
        self._check_fit()
        parse_interval(self.checkpoint_every)

    @property
    def architecture(self) -> Architecture:
        """What ``arch`` names.

        Raises:
            UsageError: there is no such architecture.
        """
        from bioner_fast.models.registry import find  # loads Torch, which the command table must not

        return find(self.arch)

    def _check_architecture(self) -> None:
        from bioner_fast.models.registry import with_crf

        known = self.architecture
        if self.decoder == "crf" and not known.crf:
            raise UsageError(f"--decoder crf: take --arch {with_crf()}, which reads whole sentences")
        known.check(self)
        if not known.sentences:
            if self.silver is not None:
                raise UsageError(f"--silver: take --arch {with_crf()}")
            return
        noun = known.noun or f"a {known.name}"
        if self.dropout_mask == "batch":
            raise UsageError(f"--dropout-mask batch: belongs to cnn and mlp, not to --arch {known.name}")
        if self.batches == "tokens":
            raise UsageError(f"--batches: {noun} trains on whole sentences")
        if self.sharing == "dependent":
            raise UsageError(f"--sharing dependent: belongs to cnn and mlp; {noun} shares by multi-output")
        if self.steps is not None or self.evaluate_every is not None:
            raise UsageError(f"--steps and --evaluate-every: {noun} counts --epochs")

    def _check_tasks(self) -> None:
        names = [task_name(task) for task in self.tasks]
        for task in self.pos:
            if self.tasks and task not in (*self.tasks, *names):
                raise UsageError(f"--pos: {task} is none of the tasks ({', '.join(names)})")
        if len(set(names)) < len(names):
            raise UsageError(f"--tasks: a task occurs twice in {', '.join(names)}")
        if self.sharing == "dependent" and len(names) != 2:
            raise UsageError(f"--sharing dependent: expected exactly two tasks, found {len(names)}")
        if self.sharing == "dependent" and self.init_from is not None:
            raise UsageError("--init-from: a dependent network cannot start from another")
        if self.sharing == "single" and len(names) > 1:
            raise UsageError(f"--sharing single: expected one task, found {len(names)}")
        multi = self.sharing == "multi-output" or (self.sharing is None and len(names) > 1)
        if self.architecture.sentences:
            return
        if multi and self.epochs is not None:
            raise UsageError(
                "--epochs: multi-output training counts steps; give --steps and --evaluate-every"
            )
        if names and not multi and (self.steps is not None or self.evaluate_every is not None):
            raise UsageError("--steps and --evaluate-every belong to multi-output training; give --epochs")
        if multi and self.batches == "sentences":
            raise UsageError(
                "--batches: multi-output training always takes contiguous rows from a random start"
            )

    def _check_fit(self) -> None:
        if self.fit == "train":
            return
        for wrong, name in (
            (self.selection == "last", "--selection last"),
            (self.sharing == "dependent", "--sharing dependent"),
            (self.percent_keep < 1, "--percent-keep"),
        ):
            if wrong:
                raise UsageError(f"--fit {self.fit}: it does not go with {name}")

    def resolved(self) -> TrainConfig:
        """All values filled in.

        Raises:
            UsageError: there is no task.
        """
        if not self.tasks:
            raise UsageError("--tasks: name at least one task, say --tasks sample-disease")
        sharing = self.sharing or ("multi-output" if len(self.tasks) > 1 else "single")
        known = self.architecture
        counts: dict[str, Any] = {} if known.sentences else {"epochs": 20}
        if sharing == "multi-output" and not known.sentences:
            steps = self.steps or 20_000
            counts = {"steps": steps, "evaluate_every": min(self.evaluate_every or 5_000, steps)}
        settings = {**known.settings, "sharing": sharing, **counts}
        if self.vectors is None:
            settings["tune_vectors"] = True
        missing = {name: value for name, value in settings.items() if getattr(self, name) is None}
        names = "+".join(task_name(task) for task in self.tasks)
        return replace(self, **missing, out=self.out or os.path.join("runs", f"{names}-{known.name}"))

    def to_toml(self) -> str:
        """The values that are set, as TOML."""
        import tomli_w

        values = {item.name: getattr(self, item.name) for item in fields(self)}
        kept = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items() if v is not None}
        return tomli_w.dumps(kept)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as TOML, atomically."""
        with atomic_write(path) as out:
            out.write(self.to_toml())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        overrides: Mapping[str, Any] | None = None,
        recommended: Mapping[str, Any] | None = None,
    ) -> TrainConfig:
        """Read TOML; ``overrides`` win over the file. Where neither names ``arch``, it is ``recommended``'s.

        Raises:
            FormatError: not TOML, or an unknown entry.
            UsageError: a value is wrong.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(path, f"expected TOML ({error})") from None
        except OSError as error:
            raise BionerError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise FormatError(
                path, f"unknown entry {unknown[0]!r}; entries are the flags of train, as in batch_size"
            )
        try:
            values |= overrides or {}
            return cls(**(values if "arch" in values else {**(recommended or {}), **values}))
        except UsageError as error:
            if any(str(error).startswith(f"{flag(name)}:") for name in overrides or {}):
                raise
            raise UsageError(f"{os.fspath(path)}: {error}") from None


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def default_of(name: str) -> Any:
    """The default value of a field."""
    value = next(item.default for item in fields(TrainConfig) if item.name == name)
    assert value is not MISSING
    return value


def task_name(task: str) -> str:
    """A task's name: the last part of a path."""
    return Path(task).name or task


def parse_interval(text: str) -> tuple[str, float]:
    """``("seconds", n)`` of ``"60s"``, ``("steps", n)`` of ``"500"``."""
    number, unit = (text[:-1], "seconds") if text.endswith("s") else (text, "steps")
    try:
        value = float(number) if unit == "seconds" else int(number)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise UsageError(f"--checkpoint-every: expected seconds like 60s or steps like 500, found {text!r}")
    return unit, value
