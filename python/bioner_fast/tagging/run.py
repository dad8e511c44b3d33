"""Runs over many files: one output each, a manifest, an errors file, worker processes, and resumption."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.files import MANIFEST_NAME, sha256
from bioner_fast.log import logger
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.device import choose_device
from bioner_fast.tagging.inputs import ERRORS_NAME, STANDARD, Input, output_names
from bioner_fast.tagging.manifest import JOURNAL_NAME, OutputFolder, ShardRecord, digest_input, run_identity
from bioner_fast.tagging.precision import foresee
from bioner_fast.tagging.problems import BadDocument, write_errors
from bioner_fast.tagging.shards import Shard, TaggerSettings, TagOptions, check_output, tag_shard
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.tagging.workers import Workers
from bioner_fast.temporary import remove_leftovers

# Seconds between notes of how far a run is.
_NOTE_EVERY = 10.0
# Bad documents that are told one by one as they are found; all are in the errors file.
_TOLD = 20


@dataclass(slots=True)
class RunSummary:
    """What a run has done.

    Attributes:
        records: one for each input, in order; those of an earlier run that were kept are among them.
        tagged: those of this run.
        errors_file: where the bad documents are listed, None if there are none.
        seconds: from the first input to the last output, without loading the model.
    """

    records: list[ShardRecord] = field(default_factory=list)
    tagged: list[ShardRecord] = field(default_factory=list)
    errors_file: Path | None = None
    seconds: float = 0.0

    @property
    def resumed(self) -> int:
        """How many inputs were done before."""
        return len(self.records) - len(self.tagged)

    @property
    def bad(self) -> list[BadDocument]:
        """All bad documents and inputs."""
        return [bad for record in self.records for bad in record.errors]

    @property
    def failed(self) -> list[ShardRecord]:
        """Inputs without an output."""
        return [record for record in self.records if record.output is None]


def tag_files(
    settings: TaggerSettings,
    inputs: Sequence[Input],
    folder: Path,
    options: TagOptions,
    *,
    workers: int = 1,
    resume: bool = False,
    force: bool = False,
    errors_file: Path | None = None,
    stdin: BinaryIO | None = None,
    tagger: Tagger | None = None,
) -> RunSummary:
    """Tag every input into a file of its own in ``folder``.

    Outputs are renamed into place one by one, each is noted in the journal after that, and ``manifest.json``
    says it all at the end. Inputs that cannot be read to their end are recorded and passed over.

    Args:
        settings: the model, for each worker.
        inputs: from :func:`find_inputs`.
        folder: of the outputs.
        options: how documents are tagged and written; the lanes are those of ``settings``.
        workers: processes; 1 tags in this one.
        resume: keep outputs of an earlier run that are whole by their digests and whose inputs are
            as they were.
        force: begin again over an earlier run's outputs.
        errors_file: of bad documents, empty if there are none; by default ``errors.ndjson`` in ``folder``,
            which exists only if there are some.
        stdin: what ``-`` means.
        tagger: one that is loaded already, for a single worker.

    Raises:
        UsageError: two inputs have one output, or standard input is to be resumed or shared out.
        BionerError: the folder holds something else, or an output cannot be written.
        FormatError, BrokenInputError: the first bad document or input, if ``options.strict``.
    """
    names = output_names(inputs, options.output_format)
    if any(one.path == STANDARD for one in inputs) and (resume or workers > 1):
        raise UsageError("standard input (-) can be neither resumed nor shared by workers; name files")
    if not (settings.model / MANIFEST_NAME).is_file():
        load_bundle(settings.model)  # says what is wrong with it
    # What auto means is another thing on another machine, where the run may be resumed.
    device = choose_device(settings.device)
    precision = foresee(settings.model, device, settings.precision)
    settings = replace(settings, device=device.type, precision=precision)
    facts = {
        "output_format": options.output_format,
        "rows": options.rows,
        **options.answer.facts(),
        "device": settings.device,
        "precision": settings.precision,
    }
    with ExitStack() as stack:
        run = stack.enter_context(
            OutputFolder(folder, run_identity(settings.model, facts), resume=resume, force=force)
        )
        plan = [Shard(one, folder / name) for one, name in zip(inputs, names, strict=True)]
        if not force:
            _refuse_strangers(plan, names, run)
        kept = _kept(plan, names, run.done)
        todo = [index for index, name in enumerate(names) if name not in kept]
        summary = RunSummary()
        records = [kept.get(name) for name in names]
        workers = min(workers, max(len(todo), 1))
        options = replace(options, lanes=settings.lanes(workers))
        work = [plan[index] for index in todo]
        done: Iterable[tuple[int, ShardRecord]] = ()
        # Nothing is touched before the model has been loaded.
        if workers > 1:
            pool = stack.enter_context(Workers(workers, settings, options, _gpus(settings)))
            done = pool.run(work)
        elif work:
            done = _here(tagger or settings.load(), work, options, stdin)
        begun = time.perf_counter()
        _clear(plan, folder)
        run.begin(list(kept.values()))
        progress = _Progress(len(inputs), len(kept))
        for position, record in done:
            index = todo[position]
            record = replace(record, output=None if record.output is None else names[index])
            run.add(record)
            records[index] = record
            summary.tagged.append(record)
            progress.add(record)
        summary.records = [record for record in records if record is not None]
        summary.seconds = time.perf_counter() - begun
        own = folder / ERRORS_NAME
        own.unlink(missing_ok=True)  # it may be of an earlier run
        target = own if errors_file is None else errors_file
        if summary.bad or errors_file is not None:
            write_errors(target, summary.bad)
        summary.errors_file = target if summary.bad else None
        run.finish(summary.records, target if summary.bad and errors_file is None else None)
    return summary


def _here(
    tagger: Tagger, shards: Sequence[Shard], options: TagOptions, stdin: BinaryIO | None
) -> Iterator[tuple[int, ShardRecord]]:
    """As :meth:`Workers.run`, in this process."""
    check_output(tagger, options)
    return ((index, tag_shard(tagger, shard, options, stdin)) for index, shard in enumerate(shards))


def _gpus(settings: TaggerSettings) -> int:
    """GPUs to deal out to workers."""
    if settings.device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()


def _refuse_strangers(plan: Sequence[Shard], names: Sequence[str], run: OutputFolder) -> None:
    """Nothing is overwritten that an earlier run of this kind did not write."""
    if run.resuming:
        return
    for shard, name in zip(plan, names, strict=True):
        if shard.target.exists():
            raise BionerError(
                f"{run.folder / name} exists; choose another folder or pass --force to replace it"
            )


def _kept(
    plan: Sequence[Shard], names: Sequence[str], done: dict[str, ShardRecord]
) -> dict[str, ShardRecord]:
    """Those records of an earlier run whose output is whole and whose input is as it was."""

    def check(at: int) -> str | None:
        shard, record = plan[at], done[names[at]]
        if not shard.target.is_file():
            return "its output is missing"
        if shard.target.stat().st_size != record.output_bytes or sha256(shard.target) != record.output_sha256:
            return "its output is not whole"
        if shard.input.format != record.format:
            return f"it was read as {record.format}"
        try:
            digest = digest_input(shard.input.path)
        except (BionerError, OSError):  # tagging it will say why
            return "it cannot be read"
        return None if digest == (record.input_bytes, record.input_sha256) else "it has changed"

    known = [index for index, name in enumerate(names) if name in done]
    with ThreadPoolExecutor(4) as pool:
        wrong = list(pool.map(check, known))
    for index, reason in zip(known, wrong, strict=True):
        if reason is not None:
            logger.warning("%s is tagged again: %s", plan[index].input.path, reason)
    return {
        names[index]: done[names[index]] for index, reason in zip(known, wrong, strict=True) if reason is None
    }


def _clear(plan: Sequence[Shard], folder: Path) -> None:
    """Delete what killed runs left half-written."""
    names = defaultdict(set, {folder: {MANIFEST_NAME, ERRORS_NAME, JOURNAL_NAME}})
    for shard in plan:
        names[shard.target.parent].add(shard.target.name)
    for parent, own in names.items():
        remove_leftovers(parent, own)


class _Progress:
    """Tells, now and then, how far the run is."""

    def __init__(self, inputs: int, kept: int) -> None:
        self._inputs, self._kept = inputs, kept
        self._done = self._documents = self._told = 0
        self._begun = self._noted = time.monotonic()
        if kept:
            logger.info("%s of %s inputs are done already", f"{kept:,}", f"{inputs:,}")

    def add(self, record: ShardRecord) -> None:
        self._done += 1
        self._documents += record.documents
        for bad in record.errors:
            self._told += 1
            if self._told <= _TOLD:
                logger.warning("%s", bad)
            elif self._told == _TOLD + 1:
                logger.warning("further bad documents are only listed in the errors file")
        now = time.monotonic()
        left = self._inputs - self._kept - self._done
        if left and now - self._noted >= _NOTE_EVERY:
            self._noted = now
            logger.info(
                "%s of %s inputs, %s documents, %s documents/s; about %.0f min left",
                f"{self._kept + self._done:,}",
                f"{self._inputs:,}",
                f"{self._documents:,}",
                f"{self._documents / (now - self._begun):,.0f}",
                (now - self._begun) / self._done * left / 60,
            )
