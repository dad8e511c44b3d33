"""Train a model: data in, a folder with a bundle, scores and predictions out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import DAMAGED, read_json, write_json
from bioner_fast.log import logger
from bioner_fast.models.architecture import Sizes
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead, add_provenance, save_bundle
from bioner_fast.models.decoders import decoder_tables
from bioner_fast.models.device import choose_device
from bioner_fast.models.learning.distributed import Processes, connected
from bioner_fast.models.product import on_gpus
from bioner_fast.tagging.evaluate import score_corpus
from bioner_fast.tagging.measure import adopt_precisions, measure_precisions
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.checkpoint import STATE
from bioner_fast.training.config import TrainConfig, flag, task_name
from bioner_fast.training.data import Prepared, brings_vectors, prepare
from bioner_fast.training.evaluation import Scores, summary
from bioner_fast.training.first_phase import can_share, seed_from
from bioner_fast.training.folder import RunFolder
from bioner_fast.training.initial import Origin, start_from
from bioner_fast.training.loop import Trainer
from bioner_fast.training.metrics import MetricsFile
from bioner_fast.training.selection import Observer, heads_of

# What may differ between a run and its continuation.
_FREE = {"out", "checkpoint_every"}


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The outcome of a run.

    Attributes:
        tasks: per task, ``devel`` and ``test`` scores in percent, where the task has these splits.
        selected_step: the step whose weights were kept.
        selection: a sentence that says by what.
        train_tokens: tokens seen in training.
        train_tokens_per_second: without evaluations; of the last process of a run that was resumed.
        seconds: of that process, from start to end.
        model: the bundle.
    """

    tasks: dict[str, Scores]
    selected_step: int
    selection: str
    train_tokens: int
    train_tokens_per_second: float
    seconds: float
    model: Path

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "model": str(self.model)}


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    first_phase: Path | None = None,
    given: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train and write ``config.out``: ``model/``, ``config.toml``, ``metrics.jsonl``, ``predictions/``.

    One step is selected on devel; test is scored once, with the saved bundle. Processes that ``torchrun``
    started train together (see ``models.learning.distributed``); the first one writes.

    Args:
        config: settings; what is None takes its default.
        resume: go on with the run in ``config.out`` (settings come from there), bit for bit as if it had not
            stopped.
        force: replace a run that lies there.
        observer: called after every evaluation, with its record; what it adds goes to ``metrics.jsonl``.
        first_phase: dependent: a folder that the first phase is taken from if it is there, and else left in
            for other runs with the same first task, seed and settings (see ``training.first_phase``).
        given: to resume: settings that have to agree with the run's; by default those of ``config`` that
            differ from their defaults.

    Raises:
        UsageError: settings that contradict each other, or the run that is resumed.
        BionerError: data cannot be read, the folder holds a run, or training diverged.
        TypeError: ``config`` is no TrainConfig.
        TrainingInterrupted: Ctrl-C or SIGTERM came; a checkpoint is saved.

    Example:
        >>> train(TrainConfig(tasks=("sample-disease",), epochs=2, out="runs/two")).tasks  # doctest: +SKIP
        {'sample-disease': {'devel': {'precision': ...}, 'test': {...}}}
    """
    began = time.monotonic()
    if not isinstance(config, TrainConfig):
        raise TypeError(f"config: expected a TrainConfig, got {type(config).__name__}")
    if resume and force:
        raise UsageError("--resume and --force contradict each other")
    if resume:
        config = resumed_config(config, given)
    if config.init_from is not None and config.vectors is None and config.tune_vectors is None:
        config = replace(config, tune_vectors=not brings_vectors(config.init_from))
    threads_before = torch.get_num_threads()
    device = choose_device(config.device)
    if config.precision == "tf32" and device.type != "cuda":
        raise UsageError("--precision tf32: only GPUs have it; take float32 or bfloat16")
    config = _fixed(config.resolved(), device)
    folder = RunFolder(config.out or "")
    devices = [device] if device.type == "cuda" else []
    torch.set_num_threads(config.threads or threads_before)
    try:
        with (
            connected(device) as processes,
            folder.held(processes.first),
            torch.random.fork_rng(devices=devices),
        ):
            if resume and folder.finished():
                logger.info("%s is complete already", folder.path)
                return _read_result(folder)
            writes = processes.first and not resume
            starting = folder.starting(config, force=force) if writes else nullcontext()
            return _train(config, folder, device, began, starting, processes, observer, first_phase)
    finally:
        torch.set_num_threads(threads_before)


def _train(
    config: TrainConfig,
    folder: RunFolder,
    device: torch.device,
    began: float,
    starting: AbstractContextManager[None],
    processes: Processes,
    observer: Observer | None,
    first_phase: Path | None,
) -> TrainResult:
    with starting:
        prepared, network, trainer, origin = _build(config, folder, device, processes)
        silver = _silver_tasks(config, processes)
        if config.fit == "train+devel" and not processes.alone:
            raise UsageError("--fit train+devel: not with several processes")
    chosen = None
    if config.fit == "train+devel":
        chosen = _select(config, folder)
        first = RunFolder(folder.selection).silver / "model" if silver else None
        prepared, network, trainer, origin = _build(chosen.config, folder, device, processes, first)
    elif silver:
        first = _silver_phase(config, folder, silver)
        prepared, network, trainer, origin = _build(config, folder, device, processes, first)
    trainer.selection.observer = observer
    trainer.first_phase = first_phase if can_share(config) else None
    processes.wait()  # for the first one to clear the folder
    rule = trainer.selection.selector.rule if chosen is None else chosen.rule
    logger.info("%s", rule)
    if folder.checkpoints.exists():
        _go_on(trainer, folder)
        logger.info("going on from step %d", trainer.state.position.step)
    with on_gpus(tf32=config.precision == "tf32") if device.type == "cuda" else nullcontext():
        trainer.run()
    if not processes.first:
        processes.wait()
        return _read_result(folder)
    facts = {
        "config": json.loads(json.dumps(_set_values(config))),
        "corpora": prepared.digests,
        "selected_step": trainer.state.position.best_step,
        "selection": rule,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": processes.size,
        "devel": trainer.state.position.best_scores,
        **({} if origin is None else {"init_from": asdict(origin)}),
    }
    save_bundle(
        folder.model,
        network,
        prepared.vocabulary,
        heads_of(network, trainer.selection.heads),
        schema=prepared.schema,
        precision=config.vector_precision,
        provenance=facts,
        merge_types=config.merge_types,
        force=True,  # what may lie there is this run's own, from a process that was stopped after this point
    )
    devel = {task.name: task.devel.corpus for task in prepared.tasks if task.devel is not None}
    if chosen is not None:
        adopt_precisions(folder.model, chosen.model, [task.train.corpus for task in prepared.tasks])
    measure_precisions(folder.model, devel)
    scores = score_saved(folder, prepared, config)
    result = TrainResult(
        scores,
        trainer.state.position.best_step,
        rule,
        trainer.state.position.tokens,
        trainer.speed.per_second,
        time.monotonic() - began,
        folder.model,
    )
    add_provenance(folder.model, {"scores": scores})
    write_json(folder.result, result.to_json())
    folder.close()
    processes.wait()
    return result


def _go_on(trainer: Trainer, folder: RunFolder) -> None:
    """Put the trainer where its checkpoint is.

    Raises:
        FormatError: the checkpoint is damaged.
    """
    try:
        trainer.load()
    except (*DAMAGED, RuntimeError) as error:  # what a state is made of was checked by nobody
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise FormatError(
            folder.checkpoints.path / STATE,
            f"the checkpoint is damaged ({detail[:200]}); begin again with --force",
        ) from error


def _silver_tasks(config: TrainConfig, processes: Processes) -> tuple[str, ...]:
    """The folders of ``--silver`` that belong to the run's tasks.

    Raises:
        UsageError: there are none, or several processes train.
    """
    if config.silver is None:
        return ()
    if not processes.alone:
        raise UsageError("--silver: not with several processes; train on it alone first, then --init-from")
    names = [task_name(task) for task in config.tasks]
    found = tuple(
        str(Path(config.silver, name)) for name in names if Path(config.silver, name, "train.tsv").is_file()
    )
    if not found:
        raise UsageError(
            f"--silver {config.silver}: it has no {' or '.join(f'{name}/train.tsv' for name in names)}"
        )
    return found


def _silver_phase(config: TrainConfig, folder: RunFolder, tasks: tuple[str, ...]) -> Path:
    """Train on silver annotations: a run of its own in ``silver/``, which goes on where it was stopped."""
    place = folder.silver
    begun = (place / "config.toml").is_file()
    settings = replace(
        config, tasks=tasks, data=None, silver=None, out=str(place), epochs=config.silver_epochs, patience=0,
        selection="last", test=False, percent_keep=1.0, sharing=None, merge_types=False,
    )  # fmt: skip
    logger.info("silver annotations first: %s", ", ".join(tasks))
    return train(settings, resume=begun, given={}).model


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What devel chose for a run that trains on it, too.

    Attributes:
        config: the run's settings with that length.
        model: the bundle that devel judged.
        rule: a sentence that says what was chosen, and how.
    """

    config: TrainConfig
    model: Path
    rule: str


def _select(config: TrainConfig, folder: RunFolder) -> _Chosen:
    """Train on train alone, in ``selection/``, to find how long; it goes on where it was stopped."""
    place = RunFolder(folder.selection)
    settings = replace(config, fit="train", test=False, out=str(place.path))
    logger.info("devel selects first, in %s", place.path)
    result = train(settings, resume=place.config.is_file(), given={})
    length, unit = result.selected_step, "steps"
    if config.steps is None:
        records = place.metrics.read_text(encoding="utf-8").splitlines()
        epochs = {record["step"]: int(record["epoch"]) for record in map(json.loads, records)}
        # Nothing was better than the weights that it began with: then one epoch is the least.
        length, unit = max(epochs.get(result.selected_step, 1), 1), "epochs"
    rule = f"trained on train and devel for {length} {unit}, a length {result.selection}"
    changed = {unit: length, "patience": 0}
    if unit == "steps" and config.evaluate_every is not None:
        changed["evaluate_every"] = min(config.evaluate_every, length)
    return _Chosen(TrainConfig(**{**_set_values(config), **changed}), result.model, rule)


def _build(
    config: TrainConfig,
    folder: RunFolder,
    device: torch.device,
    processes: Processes,
    silver: Path | None = None,
) -> tuple[Prepared, Network, Trainer, Origin | None]:
    """All that comes before the first step; reads the data and writes nothing."""
    prepared = prepare(config, device)
    torch.manual_seed(config.seed)
    network = _network(config, prepared).to(device)
    origin = None
    if silver is not None:
        origin = start_from(str(silver), network, prepared)
    elif config.init_from is not None:
        origin = start_from(config.init_from, network, prepared)
    network.training_product = torch.bfloat16 if config.precision == "bfloat16" else None
    heads = tuple(
        TaskHead(
            task.name,
            task.tagset,
            task.kind,
            config.decoder or "argmax",
            decoder_tables(
                config.decoder or "argmax",
                len(task.tagset.names),
                task.train.tags.cpu(),
                task.train.features.offsets.cpu(),
            ),
        )
        for task in prepared.tasks
    )
    metrics = MetricsFile(folder.metrics)
    trainer = Trainer(config, prepared, network, heads, folder.checkpoints, metrics, processes)
    return prepared, network, trainer, origin


def score_saved(folder: RunFolder, prepared: Prepared, config: TrainConfig) -> dict[str, Scores]:
    """Score devel and test with the saved bundle, and write their predictions."""
    tagger = Tagger.load(folder.model, config.device, config.threads, "float32")
    heads = {head.name: head for head in tagger.bundle.tasks}
    scores: dict[str, Scores] = {}
    for task in prepared.tasks:
        scores[task.name] = {}
        splits: list[tuple[str, Corpus | None]] = [
            ("devel", None if task.devel is None else task.devel.corpus),
            ("test", task.test),
        ]
        for split, corpus in splits:
            if corpus is None:
                continue
            outcome = score_corpus(tagger, corpus, heads[task.name])
            outcome.write(folder.predictions / f"{task.name}.{split}.tsv")
            scores[task.name][split] = summary(outcome.score.to_json(), task.kind)
    return scores


def _network(config: TrainConfig, prepared: Prepared) -> Network:
    tasks = tuple((task.name, len(task.tagset.names)) for task in prepared.tasks)
    network = config.architecture.build(config, Sizes(tasks, *prepared.table.shape))
    if config.sharing == "dependent":  # the first phase starts alike whatever the size of the second head
        seed_from(config, 0)
    network.reset()
    network.embedding.words.data = prepared.table
    network.calibrate([task.train.features for task in prepared.tasks])
    return network


def _fixed(config: TrainConfig, device: torch.device) -> TrainConfig:
    """With threads and device as they are on this machine, so that the saved settings say them."""
    values = _set_values(config)
    return TrainConfig(
        **{**values, "threads": config.threads or torch.get_num_threads(), "device": device.type}
    )


def _set_values(config: TrainConfig) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in fields(config)}


def resumed_config(config: TrainConfig, given: Mapping[str, Any] | None = None) -> TrainConfig:
    """The settings of the run in ``config.out``; flags that are given again must agree with them.

    Args:
        config: what was asked for.
        given: the settings that were given explicitly; by default those that differ from their defaults.

    Raises:
        UsageError: a setting differs from the run's.
        BionerError: there is no run.
    """
    out = config.out if config.out or not config.tasks else config.resolved().out
    if out is None:
        raise UsageError("--resume: name the run with --out")
    folder = RunFolder(out)
    if not folder.config.is_file():
        raise BionerError(
            f"{out} holds no run to resume (it has no config.toml); leave --resume out to start one"
        )
    saved = TrainConfig.load(folder.config, {"out": os.fspath(out)})
    if given is None:
        plain = TrainConfig(tasks=config.tasks)
        given = {
            n: v for n, v in _set_values(config).items() if v != getattr(plain, n) or (n == "tasks" and v)
        }
    free = {}
    for name, value in given.items():
        if name in _FREE:
            free[name] = value
        elif value != getattr(saved, name) and not (name == "device" and value == "auto"):
            raise UsageError(
                f"--resume: {flag(name)} is {value!r} here and {getattr(saved, name)!r} in {folder.config}; "
                "leave it out, or start another run"
            )
    return TrainConfig(**{**_set_values(saved), **free, "out": os.fspath(out)})


def _read_result(folder: RunFolder) -> TrainResult:
    try:
        facts = read_json(folder.result)
        return TrainResult(**{**facts, "model": Path(facts["model"])})
    except DAMAGED:
        raise BionerError(f"{folder.result} is damaged; the model is in {folder.model}") from None
