"""A worker process: reads jobs from its standard input, trains, and answers on its standard output.

A job and an answer are a line of JSON each. The process ends when its input ends, in the middle of a run too:
so the death of the programme that started it, however violent, leaves no process behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import shutil
import sys
import threading
import tomllib
import traceback
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from bioner_fast import lifeline
from bioner_fast.data.tasks import load_task
from bioner_fast.errors import BionerError
from bioner_fast.experiments.contamination import Seen, write_without
from bioner_fast.experiments.counts import counts_of_file, pack
from bioner_fast.experiments.provenance import software
from bioner_fast.experiments.replication import TestScores
from bioner_fast.experiments.store import FORMAT, locked, now, record_failure
from bioner_fast.files import replace_directory, write_json
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.stopping import TrainingInterrupted
from bioner_fast.training.train import TrainResult, resumed_config, train


def main() -> None:
    """Serve jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints, prints elsewhere
    logging.getLogger("bioner_fast").setLevel(logging.INFO)
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    lifeline.untie()
    while True:
        job = json.loads(jobs.get())
        try:
            answer = work(job)
        except TrainingInterrupted:
            answer = {"status": "interrupted"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(stream: IO[str], jobs: queue.SimpleQueue[str]) -> None:
    for line in stream:
        jobs.put(line)
    os._exit(0)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one run and leave its result; a run that fails leaves its reason.

    Args:
        job: ``folder`` of the run, ``config`` (values of TrainConfig), ``keep_model``, ``need_model`` (train
            again where there is a result but no model any more), ``exclude`` (whether
            to leave out what other tasks' devel and test splits have), ``replication`` (whether to score test
            at every evaluation), ``record`` (facts for the result).

    Returns:
        ``{"status": "done" | "failed" | "busy", ...}``.
    """
    folder = Path(job["folder"])
    with locked(folder.parents[1] / "locks" / folder.name) as mine:
        if not mine:
            return {"status": "busy"}
        gone = job["need_model"] and not any((folder / part).is_dir() for part in ("model", "work/model"))
        if (folder / "result.json").is_file() and not gone:
            _tidy(folder, keep_model=job["keep_model"])
            return {"status": "done", "already": True}
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger = logging.getLogger("bioner_fast")
        logger.addHandler(handler)
        try:
            return {"status": "done", **_train(job, folder)}
        except (Exception, MemoryError) as error:
            reason = str(error) if isinstance(error, BionerError) else f"{type(error).__name__}: {error}"
            record_failure(folder, reason, traceback.format_exc())
            return {"status": "failed", "reason": reason}
        finally:
            logger.removeHandler(handler)
            handler.close()


def _train(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    out = folder / "work"
    left_out: dict[str, int] = {}
    values = dict(job["config"])
    if job["exclude"] and len(values["tasks"]) > 1:
        values["tasks"], left_out = _without_seen(values, out.parent / "corpora")
    config = TrainConfig(**values, out=str(out))
    begun = _begun(config, out)
    resume = begun is not None
    if not resume and (out / "checkpoint").is_dir():
        logging.getLogger("bioner_fast").warning("what lies in %s has other settings: it starts anew", out)
    observer = TestScores() if job["replication"] else None
    phase = phase_folder(job, config)
    shared = phase is not None and phase.exists()
    result = train(
        begun or config,
        resume=resume,
        force=not resume and out.exists(),
        observer=observer,
        first_phase=phase,
    )
    facts = {
        "format": FORMAT,
        **job["record"],
        "config": _portable(tomllib.loads((out / "config.toml").read_text(encoding="utf-8"))),
        "software": software(),
        "left_out": left_out,
        **_outcome(result, out),
        "resumed": resume or shared,  # its time does not tell what it takes
        "finished": now(),
    }
    write_json(folder / "result.json", facts)
    _tidy(folder, keep_model=job["keep_model"])
    return {"scores": facts["scores"], "seconds": result.seconds, "tokens": result.train_tokens}


def phase_folder(job: dict[str, Any], config: TrainConfig) -> Path | None:
    """Where the first phase of a dependent run is kept for others; its name says all that it depends on."""
    if config.sharing != "dependent":
        return None
    first = load_task(config.tasks[0], config.data, warn=False)
    values = {
        name: value for name, value in job["config"].items() if name not in ("tasks", "data", "vectors")
    }
    facts = {
        "values": values,
        "corpus": {split: corpus.digest() for split, corpus in first.splits().items()},
        "vectors": job["record"]["vectors"],
        "replication": job["replication"],
        "software": software(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return Path(job["folder"]).parents[1] / "phases" / f"{first.name}-s{config.seed}-{digest}"


def _tidy(folder: Path, *, keep_model: bool) -> None:
    """Keep what belongs to a result, and delete what was needed to get it."""
    out = folder / "work"
    for name in ("predictions", "model") if keep_model else ("predictions",):
        if (out / name).is_dir():
            replace_directory(out / name, folder / name)
    (folder / "failure.json").unlink(missing_ok=True)
    for left in (out, folder / "corpora"):
        shutil.rmtree(left, ignore_errors=True)


def _begun(config: TrainConfig, out: Path) -> TrainConfig | None:
    """The run of the very same settings that lies there; newer versions may have other defaults.

    It keeps its threads, which its bits depend on. Its files may lie elsewhere by now: what they hold is in
    the run's name.
    """
    file = out / "config.toml"
    if not file.is_file():
        return None
    try:
        saved = TrainConfig.load(file)
        paths = {name: getattr(config, name) for name in ("tasks", "data", "vectors", "init_from")}
        replace(saved, **paths).save(file)
        begun = replace(config, threads=saved.threads)
        resumed_config(begun)
    except BionerError:
        return None
    return begun


def _portable(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as they were resolved, without this machine's folders."""
    values = {key: value for key, value in values.items() if key not in ("out", "data")}
    vectors = {"vectors": Path(values["vectors"]).name} if "vectors" in values else {}
    # The model that it started from lies in the folder of another run.
    origin = {"init_from": Path(values["init_from"]).parent.name} if "init_from" in values else {}
    return {**values, **vectors, **origin, "tasks": [Path(task).name for task in values["tasks"]]}


def _without_seen(values: dict[str, Any], target: Path) -> tuple[list[str], dict[str, int]]:
    """Tasks whose training data lacks the sentences of the other tasks' devel and test splits.

    Returns:
        The tasks, as paths where a copy was needed, and the number of sentences left out of each.
    """
    tasks = [load_task(name, values.get("data"), warn=False) for name in values["tasks"]]
    names, left_out = [], {}
    for name, task in zip(values["tasks"], tasks, strict=True):
        seen = Seen([c for other in tasks if other is not task for c in (other.devel, other.test) if c])
        mask = seen.mask(task.train)
        names.append(str(write_without(task, mask, target)) if mask.any() else name)
        if mask.any():
            left_out[task.name] = int(mask.sum())
    return names, left_out


def _outcome(result: TrainResult, out: Path) -> dict[str, Any]:
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    counts = {}
    for task, splits in result.tasks.items():
        if "f1" in splits.get("test", {}):
            counts[task] = pack(counts_of_file(out / "predictions" / f"{task}.test.tsv"))
    return {
        "scores": result.tasks,
        "selected_step": result.selected_step,
        "selection": result.selection,
        "train_tokens": result.train_tokens,
        "train_tokens_per_second": result.train_tokens_per_second,
        "seconds": result.seconds,
        "history": [_short(record) for record in history],
        "counts_per_sentence": {"test": counts},
    }


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without what nothing is computed from."""
    kept = {key: record[key] for key in ("step", "phase", "epoch", "loss", "tokens")}
    for split in ("devel", "test"):
        if split in record:
            kept[split] = {task: facts.get("f1", facts["accuracy"]) for task, facts in record[split].items()}
    return kept


if __name__ == "__main__":
    main()
