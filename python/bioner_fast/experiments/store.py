"""A results folder: what it was made with, and a folder per run whose ``result.json`` is written last."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.experiments.corpora import ExperimentCorpus
from bioner_fast.experiments.plan import Run, Settings
from bioner_fast.files import atomic_write, write_json

FORMAT = 1
# A file in the folder of a run whose model is there to stay.
KEEP = "keep"


class Store:
    """The folder given by ``--out``.

    ``experiment.json`` says what all runs have in common: corpora, vectors and settings. ``runs/ID/`` holds
    ``result.json`` of a run that is done, or ``failure.json`` of one that failed, and while it is at work the
    training's own folder ``work/``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.facts = self.path / "experiment.json"
        self.runs = self.path / "runs"
        self._commands = self.path / "commands.txt"

    def add_command(self, line: str) -> None:
        """Note a command that made runs of this folder, once; results themselves name no folders."""
        if line not in (known := self.commands()):
            with atomic_write(self._commands) as out:
                out.write("\n".join([*known, line]) + "\n")

    def commands(self) -> list[str]:
        """The commands that made runs of this folder, to be pasted in a terminal."""
        if not self._commands.is_file():
            return []
        return self._commands.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]

    def bind(
        self,
        corpora: Sequence[ExperimentCorpus],
        vectors: Mapping[str, Any] | None,
        settings: Settings,
        *,
        has_best: bool = True,
    ) -> None:
        """Record what the runs are made with; a folder that was made with something else is refused.

        Args:
            corpora: more may come in later.
            vectors: what :func:`describe_vectors` says of them.
            settings: how runs are trained.
            has_best: whether any run has the recipe; otherwise it is left open.

        Raises:
            UsageError: corpora, vectors or settings are not those of the runs in this folder.
            FormatError: ``experiment.json`` is damaged.
        """
        new: dict[str, Any] = {
            "format": FORMAT,
            "vectors": None if vectors is None else dict(vectors),
            "settings": json.loads(json.dumps(settings.to_json())),
            "corpora": {corpus.name: _describe(corpus) for corpus in corpora},
        }
        if not has_best:
            new["settings"]["recipe"] = None
        if self.facts.is_file():
            old = self.read()
            # What one side leaves open is as the other says.
            for one, other in ((old, new), (new, old)):
                if one["settings"]["recipe"] is None:
                    one["settings"]["recipe"] = other["settings"]["recipe"]
            self._check(old, new)
            new["corpora"] = {**old["corpora"], **new["corpora"]}
        write_json(self.facts, new)

    def _check(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        again = f"take another --out, or the one {self.path} was made with"
        if old["vectors"] != new["vectors"]:
            had = (old["vectors"] or {}).get("name", "random vectors")
            has = (new["vectors"] or {}).get("name", "random vectors")
            raise UsageError(
                f"--vectors {has}: the runs in {self.path} have {had} (or another version); {again}"
            )
        for name, what in (
            ("overrides", "--train"),
            ("recipe", "--config"),
            ("exclude_seen", "--exclude-seen"),
        ):
            if old["settings"][name] != new["settings"][name]:
                raise UsageError(
                    f"{what}: the runs in {self.path} have {json.dumps(old['settings'][name])}, "
                    f"not {json.dumps(new['settings'][name])}; {again}"
                )
        for name in old["corpora"].keys() & new["corpora"].keys():
            if old["corpora"][name]["digests"] != new["corpora"][name]["digests"]:
                raise UsageError(f"--data: corpus {name} is not the one of the runs in {self.path}; {again}")

    def read(self) -> dict[str, Any]:
        """``experiment.json``.

        Raises:
            BionerError: there is none. FormatError: it is damaged or newer than this package.
        """
        facts = _read_json(self.facts, ("format", "vectors", "settings", "corpora"))
        if facts["format"] != FORMAT:
            raise FormatError(
                self.facts, f"format {facts['format']} is not known here; take a newer bioner-fast"
            )
        return facts

    def folder(self, run_id: str) -> Path:
        """Where a run lies."""
        return self.runs / run_id

    def result(self, run_id: str) -> dict[str, Any] | None:
        """The result of a run that is done."""
        path = self.folder(run_id) / "result.json"
        return read_result(path) if path.is_file() else None

    def results(self) -> list[dict[str, Any]]:
        """All results there are, by id."""
        return [read_result(path) for path in sorted(self.runs.glob("*/result.json"))]

    def failures(self) -> dict[str, str]:
        """Reasons of runs that failed and were not done since, by id."""
        found = {}
        for path in sorted(self.runs.glob("*/failure.json")):
            if not (path.parent / "result.json").is_file():
                found[path.parent.name] = str(_read_json(path, ("reason",))["reason"])
        return found


def _describe(corpus: ExperimentCorpus) -> dict[str, Any]:
    sizes = {
        split: {"sentences": part.n_sentences, "tokens": part.n_tokens}
        for split, part in corpus.splits.items()
    }
    return {"kind": corpus.kind, "digests": corpus.digests, "sizes": sizes}


def read_result(path: Path) -> dict[str, Any]:
    """Read and check a ``result.json``; its ``run`` becomes a :class:`Run`.

    Raises:
        FormatError: it is damaged, or newer than this package.
    """
    facts = _read_json(path, ("format", "run", "scores"))
    if facts["format"] != FORMAT:
        raise FormatError(path, f"format {facts['format']} is not known here; take a newer bioner-fast")
    try:
        lists = {name: tuple(facts["run"].get(name, ())) for name in ("tasks", "base")}
        facts["run"] = Run(**{**facts["run"], **lists})
    except TypeError:
        raise FormatError(path, "its run is not described as expected") from None
    return facts


def _read_json(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BionerError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise FormatError(path, "expected JSON") from None
    if not isinstance(facts, dict) or any(name not in facts for name in needed):
        raise FormatError(path, f"expected an object with {', '.join(needed)}")
    return facts


def record_failure(folder: Path, reason: str, trace: str = "") -> None:
    """Write the ``failure.json`` of a run."""
    write_json(folder / "failure.json", {"reason": reason, "trace": trace, "when": now()})


def now() -> str:
    """The time, as results have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file ``path``; released at the end, and by death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
