"""Studies on corpora: which runs there are, which are left to do, and doing them."""

from __future__ import annotations

import fnmatch
import glob
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bioner_fast.data.tasks import SAMPLE_TASKS
from bioner_fast.errors import UsageError
from bioner_fast.experiments.contamination import write_contamination
from bioner_fast.experiments.corpora import ExperimentCorpus
from bioner_fast.experiments.plan import Run, Settings, Study, run_id
from bioner_fast.experiments.scheduler import Answer, Job, run_jobs
from bioner_fast.experiments.store import KEEP, Store
from bioner_fast.log import logger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.progress import clock


@dataclass(frozen=True)
class Programme:
    """Studies with everything their runs need.

    Attributes:
        studies: in order.
        corpora: by name.
        settings: how runs are trained.
        seeds: seeds 1 to this.
        vectors: the file, and what :func:`describe_vectors` says of it.
        required: only the runs that a closing run must contain.
        only: patterns of run ids, as in ``*BC2GM*``: runs that match one of them; none for all.
        device, threads, keep_models: of every run.
        replication: whether the published networks are scored on test at every evaluation, for the column
            "maximum on test".
        command: the command line with the last parts of paths, for the record of a run.
        full_command: one to be pasted in any folder, for the folder of results.
    """

    studies: Sequence[Study]
    corpora: Mapping[str, ExperimentCorpus]
    settings: Settings
    seeds: int
    vectors: str | None
    vector_facts: Mapping[str, Any] | None
    required: bool = False
    only: Sequence[str] = ()
    device: str = "auto"
    threads: int = 1
    keep_models: bool = False
    replication: bool = True
    command: str = ""
    full_command: str = ""

    def planned(self) -> dict[str, Run]:
        """All runs by id, whatever ``only`` says: seed 1 first, in the order of the studies; each once."""
        cells: dict[Run, None] = dict.fromkeys(
            run for study in self.studies for run in (study.required if self.required else study.runs)
        )
        found = {}
        for seed in range(1, self.seeds + 1):
            for cell in cells:
                run = replace(cell, seed=seed)
                found[self.id(run)] = run
        return found

    def runs(self) -> dict[str, Run]:
        """Those of :meth:`planned` that are to be done: what matches ``only``, and what that starts from.

        Raises:
            UsageError: no run matches a pattern of ``only``, or the settings do not fit a run.
        """
        found = self.planned()
        if not self.only:
            return found
        kept: set[str] = set()
        for pattern in self.only:
            matching = [name for name in found if fnmatch.fnmatchcase(name, f"*{pattern}*")]
            if not matching:
                shown = ", ".join(list(found)[:3])
                raise UsageError(f"--only {pattern}: no run is called so; they are called {shown}, ...")
            kept.update(matching)
        kept |= {self.id(origin) for name in kept if (origin := found[name].origin())}
        return {name: run for name, run in found.items() if name in kept}

    def id(self, run: Run) -> str:
        """The name of a run's folder."""
        identity = {
            "corpora": {name: self.corpora[name].digests for name in run.tasks},
            "vectors": (self.vector_facts or {}).get("sha256"),
            "exclude_seen": self.settings.exclude_seen and len(run.tasks) > 1,
        }
        if (origin := run.origin()) is not None:
            identity["origin"] = self.id(origin)
        return run_id(run, self.settings.of(run, self.corpora), identity)

    def config(self, run: Run) -> dict[str, Any]:
        """The values of :class:`TrainConfig` for a run, but for its folder.

        Raises:
            UsageError: the settings contradict each other.
        """
        values = {
            **self.settings.of(run, self.corpora),
            # Paths, since folders with the same names may lie elsewhere too.
            "tasks": [name if name in SAMPLE_TASKS else str(self.corpora[name].folder) for name in run.tasks],
            "vectors": self.vectors,
            "threads": self.threads,
            "device": self.device,
        }
        TrainConfig(**values)
        return values

    def planned_tokens(self, runs: Mapping[str, Run]) -> dict[str, int]:
        """Tokens that each of ``runs`` trains on, at most: early stopping may save some.

        A first phase that several runs share is counted for the first of them, which trains it.
        """
        tokens = {}
        phases: set[tuple[str, int]] = set()
        for name, run in runs.items():
            values = self.config(run)
            config = TrainConfig(**values).resolved()
            if config.steps is not None:
                tokens[name] = config.steps * (config.batch_size or 1)
                continue
            sizes = [self.corpora[task].train_tokens for task in run.tasks]
            sizes[0] = int(sizes[0] * run.percent)
            if (phase := _first_phase(values)) is not None:
                if phase in phases:
                    del sizes[0]
                phases.add(phase)
            tokens[name] = (config.epochs or 1) * sum(sizes)
        return tokens


class ProgrammeProgress:
    """A line on stderr per finished run, with the time left by the tokens that are left."""

    def __init__(self, programme: Programme, runs: Mapping[str, Run]) -> None:
        self.tokens = programme.planned_tokens(runs)
        self.runs = runs
        self.began = time.monotonic()
        self.finished = self.tokens_done = 0
        self.failed: dict[str, str] = {}
        self.busy: list[str] = []

    def done(self, job: Job, answer: Answer) -> None:
        """Note and tell what came of a run."""
        name = Path(job["folder"]).name
        self.finished += 1
        self.tokens_done += self.tokens[name]
        where = f"[{self.finished}/{len(self.runs)}] {self.runs[name].title()}"
        if answer["status"] == "busy":
            self.busy.append(name)
            logger.info("%s: another process is at it", where)
        elif answer["status"] == "failed":
            self.failed[name] = answer["reason"]
            logger.info("%s failed: %s", where, answer["reason"])
        else:
            logger.info("%s: %s%s", where, _headline(answer), self._left())

    def _left(self) -> str:
        left = sum(self.tokens.values()) - self.tokens_done
        if not left or not self.tokens_done:
            return ""
        return f"; about {clock(left * (time.monotonic() - self.began) / self.tokens_done)} left"


def _headline(answer: Answer) -> str:
    if "scores" not in answer:
        return "is done already"
    shown = []
    for task, splits in answer["scores"].items():
        if "f1" in splits.get("test", {}):
            shown.append(f"{task} test F1 {splits['test']['f1']:.2f} (devel {splits['devel']['f1']:.2f})")
    what = ", ".join(shown[:2]) + (", ..." if len(shown) > 2 else "")
    return f"{what}, {clock(answer['seconds'])}"


def execute(programme: Programme, store: Store, *, jobs: int) -> ProgrammeProgress:
    """Do the runs that have no result yet, over so many processes; a failed one does not stop the rest.

    Raises:
        UsageError: the settings contradict each other, or the folder's.
        KeyboardInterrupt: Ctrl-C; what was at work has saved its checkpoint.
    """
    runs = programme.runs()
    todo = left(programme, store, runs)
    work = _in_turn([_job(programme, store, name, run) for name, run in todo.items()])
    store.bind(
        list(programme.corpora.values()),
        programme.vector_facts,
        programme.settings,
        has_best=any(run.model == "best" for run in runs.values()),
    )
    if programme.full_command:
        store.add_command(programme.full_command)
    if len(todo) < len(runs):
        logger.info("%d of %d runs are done already", len(runs) - len(todo), len(runs))
    write_contamination(list(programme.corpora.values()), store.path)
    progress = ProgrammeProgress(programme, todo)
    if work:
        run_jobs(work, workers=jobs, threads=programme.threads, logs=store.path / "logs", done=progress.done)
    _forget(programme, store)
    return progress


def _first_phase(config: Mapping[str, Any]) -> tuple[str, int] | None:
    """What a dependent run trains first: corpus and seed; None where no other run can share that.

    Without vectors the words of both corpora make the vocabulary: every pair has a first phase of its own.
    """
    shared = config["sharing"] == "dependent" and config["vectors"] is not None
    return (config["tasks"][0], config["seed"]) if shared else None


def _first_phases(programme: Programme, runs: Iterable[Run]) -> set[tuple[str, int]]:
    return {phase for run in runs if (phase := _first_phase(programme.config(run)))}


def _in_turn(work: list[Job]) -> list[Job]:
    """Let dependent runs with the same first phase wait for the one that trains it."""
    leaders: dict[tuple[str, int], str] = {}
    for job in work:
        if (phase := _first_phase(job["config"])) is not None:
            leader = leaders.setdefault(phase, job["folder"])
            if leader != job["folder"]:
                job |= {"after": leader, "needs": False}
    return work


def left(programme: Programme, store: Store, runs: Mapping[str, Run]) -> dict[str, Run]:
    """The runs without a result, and those whose model they start from where that is gone."""
    todo = {name for name in runs if store.result(name) is None}
    origins = {programme.id(origin) for name in todo if (origin := runs[name].origin())}
    todo |= {name for name in origins if not (store.folder(name) / "model").is_dir()}
    return {name: run for name, run in runs.items() if name in todo}


def _forget(programme: Programme, store: Store) -> None:
    """Delete what was kept to start runs from, once none needs it, those that ``only`` left out included."""
    planned = programme.planned()
    undone = [run for name, run in planned.items() if store.result(name) is None]
    for task, seed in _first_phases(programme, planned.values()) - _first_phases(programme, undone):
        for folder in (store.path / "phases").glob(f"{glob.escape(Path(task).name)}-s{seed}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # not there, or not empty: other programmes share the folder
        (store.path / "phases").rmdir()
    origins = {programme.id(origin) for run in planned.values() if (origin := run.origin())}
    needed = {programme.id(origin) for run in undone if (origin := run.origin())}
    for name in origins:
        model, keep = store.folder(name) / "model", store.folder(name) / KEEP
        if programme.keep_models and model.is_dir():
            keep.touch()
        elif name not in needed and not keep.exists():
            shutil.rmtree(model, ignore_errors=True)


def _job(programme: Programme, store: Store, name: str, run: Run) -> Job:
    config = programme.config(run)
    after = None
    if (origin := run.origin()) is not None:
        after = str(store.folder(programme.id(origin)))
        config["init_from"] = str(store.folder(programme.id(origin)) / "model")
    is_origin = any(run == other.origin() for other in programme.planned().values())
    return {
        "folder": str(store.folder(name)),
        "after": after,
        "needs": after is not None,
        "config": config,
        "keep_model": programme.keep_models or is_origin,
        "need_model": is_origin,
        "exclude": programme.settings.exclude_seen,
        "replication": programme.replication and run.model != "best",
        "record": {
            "id": name,
            "run": asdict(run),
            "command": programme.command,
            "corpora": {task: programme.corpora[task].digests for task in run.tasks},
            "vectors": programme.vector_facts,
        },
    }
