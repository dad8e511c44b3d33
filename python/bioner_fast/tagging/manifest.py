"""What a run over many files has done, so that it can be proved and resumed.

While the run goes on, a journal (``.journal.jsonl``) in the output folder takes a line for each input that is
done, after its output has been renamed into place; a line that a kill cut short does not count. At the end
``manifest.json`` says it all, in the order of the inputs, with the size and SHA-256 of every output, as
:func:`bioner_fast.files.verify_directory` checks them; the journal goes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bioner_fast import __version__
from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import (
    DAMAGED,
    MANIFEST_NAME,
    atomic_write,
    parse_json,
    read_json,
    sha256,
    to_json,
    walk,
    write_json,
)
from bioner_fast.tagging.problems import BadDocument
from bioner_fast.temporary import locked_folder

JOURNAL_NAME = ".journal.jsonl"
RUN_VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What became of one input.

    Attributes:
        input: its path as given.
        format: what it was read as.
        input_bytes, input_sha256: what it was when it was read.
        output: name of the output in the output folder; None if the input could not be read.
        output_bytes, output_sha256: what was written.
        documents, tokens, entities: how many went into the output.
        errors: documents that were left out; of an input that could not be read, the reason.
    """

    input: str
    format: str
    input_bytes: int
    input_sha256: str
    output: str | None = None
    output_bytes: int = 0
    output_sha256: str = ""
    documents: int = 0
    tokens: int = 0
    entities: int = 0
    errors: tuple[BadDocument, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        record = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "errors"
        }
        return {**record, "errors": [bad.to_json() for bad in self.errors]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ShardRecord:
        """What :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        numbers = ("input_bytes", "output_bytes", "documents", "tokens", "entities")
        output = record["output"]
        return cls(
            input=str(record["input"]),
            format=str(record["format"]),
            input_sha256=str(record["input_sha256"]),
            output=None if output is None else str(output),
            output_sha256=str(record["output_sha256"]),
            errors=tuple(BadDocument.from_json(bad) for bad in record["errors"]),
            **{name: int(record[name]) for name in numbers},
        )


def run_identity(model: Path, settings: Mapping[str, object]) -> dict[str, object]:
    """What has to be the same for outputs to belong together: package, model and settings.

    Args:
        model: the bundle; its manifest holds the digests of all its files, so the manifest's digest will do.
        settings: what else changes the outputs.
    """
    return {
        "run_version": RUN_VERSION,
        "package_version": __version__,
        "model": {"path": str(model), "sha256": sha256(model / MANIFEST_NAME)},
        "settings": dict(settings),
    }


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """How another run's identity differs from this one's, as half a sentence; None if it does not."""
    for key in ("run_version", "package_version"):
        if mine[key] != theirs.get(key):
            return f"by {key.replace('_', ' ')} {theirs.get(key)}, this is {mine[key]}"
    model = theirs.get("model") or {}
    if mine["model"]["sha256"] != model.get("sha256"):
        return f"with the model {model.get('path')}, which is not the model {mine['model']['path']} of today"
    old, new = theirs.get("settings") or {}, mine["settings"]
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            return f"with {key.replace('_', ' ')} {old.get(key)}, not {new.get(key)}"
    return None


class OutputFolder:
    """The output folder of a run: its journal and manifest. One process at a time may have it open.

    Args:
        folder: is made if it is not there.
        identity: from :func:`run_identity`.
        resume: go on with what an earlier run left.
        force: forget what an earlier run left.

    Attributes:
        done: records of an earlier run, by output name; nothing is checked yet.
        resuming: whether there was an earlier run.

    Raises:
        BionerError: another process has the folder; or an earlier run left something and neither ``resume``
            nor ``force`` is set, or it was another model's or had other settings.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, object], *, resume: bool = False, force: bool = False
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.done: dict[str, ShardRecord] = {}
        self.resuming = False
        self._journal: IO[str] | None = None
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(locked_folder(folder, "another run"))
        try:
            self._open(resume, force)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, resume: bool, force: bool) -> None:
        journal, manifest = self.folder / JOURNAL_NAME, self.folder / MANIFEST_NAME
        if not force and (journal.exists() or manifest.exists()):
            if not resume:
                raise BionerError(
                    f"{self.folder} holds the outputs of an earlier run; go on with --resume, or begin again "
                    "with --force"
                )
            identity, records = _read_journal(journal) if journal.exists() else _read_manifest(manifest)
            found = difference(self.identity, identity)
            if found is not None:
                raise BionerError(
                    f"{self.folder} was begun {found}; choose another folder, or begin again with --force"
                )
            self.resuming = True
            self.done = {record.output: record for record in records if record.output is not None}

    def begin(self, kept: list[ShardRecord]) -> None:
        """Start the journal with what stays of an earlier run."""
        with atomic_write(self.folder / JOURNAL_NAME) as out:
            out.write(to_json(self.identity) + "\n")
            for record in kept:
                out.write(to_json(record.to_json()) + "\n")
        # The manifest of an earlier run would call outputs whole that are about to change.
        (self.folder / MANIFEST_NAME).unlink(missing_ok=True)
        self._journal = open(self.folder / JOURNAL_NAME, "a", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._stack.callback(self._journal.close)

    def add(self, record: ShardRecord) -> None:
        """Note, durably, that an input is done.

        Raises:
            BionerError: the journal cannot be written.
        """
        assert self._journal is not None
        try:
            self._journal.write(to_json(record.to_json()) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise BionerError(
                f"{self.folder / JOURNAL_NAME} cannot be written: {error.strerror or error}"
            ) from None

    def finish(self, records: list[ShardRecord], errors: Path | None) -> None:
        """Write the manifest of a run that has been through all inputs.

        Args:
            records: in the order of the inputs.
            errors: the errors file, if it lies in the folder.
        """
        files = {
            record.output: {"bytes": record.output_bytes, "sha256": record.output_sha256}
            for record in records
            if record.output is not None
        }
        if errors is not None:
            files[errors.name] = {"bytes": errors.stat().st_size, "sha256": sha256(errors)}
        totals = {
            name: sum(getattr(record, name) for record in records)
            for name in ("documents", "tokens", "entities")
        }
        content = {
            **self.identity,
            "totals": {**totals, "errors": sum(len(record.errors) for record in records)},
            "inputs": [record.to_json() for record in records],
            "files": files,
        }
        write_json(self.folder / MANIFEST_NAME, content)
        (self.folder / JOURNAL_NAME).unlink(missing_ok=True)

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing writes what a full disk refused once more; that error has been told.
        with contextlib.suppress(OSError):
            self._stack.close()


Run = tuple[Mapping[str, Any], list[ShardRecord]]


def _read_journal(path: Path) -> Run:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    # What follows the last line end was cut short, and its input counts as not done.
    try:
        records = [parse_json(line) for line in lines[:-1]]
        return _checked(records[0]), [ShardRecord.from_json(record) for record in records[1:]]
    except DAMAGED:
        raise FormatError(path, "expected the journal of a run; begin again with --force") from None


def _read_manifest(path: Path) -> Run:
    try:
        content = read_json(path)
        return _checked(content), [ShardRecord.from_json(record) for record in content["inputs"]]
    except DAMAGED:
        raise FormatError(
            path, "expected the manifest of a tagging run; choose another folder or pass --force"
        ) from None


def _checked(identity: Any) -> Mapping[str, Any]:
    """What :func:`run_identity` gave, as far as :func:`difference` looks at it; TypeError otherwise."""
    if not all(isinstance(part, dict) for part in (identity, identity["model"], identity["settings"])):
        raise TypeError("expected objects")
    return cast("Mapping[str, Any]", identity)


def digest_input(path: str) -> tuple[int, str]:
    """Size and SHA-256 of an input; of a brat folder or a standoff file, of all its files and their names.

    Raises:
        OSError, BionerError: it cannot be read.
    """
    import hashlib

    target = Path(path)
    if target.is_dir():
        found = (Path(place, name) for place, _, names in walk(target) for name in names)
        files = sorted(file for file in found if file.is_file())
    elif target.suffix.lower() in (".ann", ".a1", ".a2"):
        files = sorted({target, *(target.with_suffix(end) for end in (".txt", ".ann", ".a1", ".a2"))})
        files = [file for file in files if file.is_file()]
    else:
        return target.stat().st_size, sha256(target)
    total, whole = 0, hashlib.sha256()
    for file in files:
        total += file.stat().st_size
        line = f"{file.relative_to(target.parent).as_posix()}\0{sha256(file)}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return total, whole.hexdigest()
