"""Tagging files: one output for each input, or one for all of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bioner_fast.data.document import Document
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import sha256
from bioner_fast.formats.base import Problem, Reporter, Writer
from bioner_fast.formats.registry import DocumentWriter, open_writer
from bioner_fast.formats.table_rows import Rows
from bioner_fast.installation import MAX_THREADS, available_threads
from bioner_fast.tagging.inputs import STANDARD, Input, read_input
from bioner_fast.tagging.manifest import ShardRecord, digest_input
from bioner_fast.tagging.prepare import BATCH_TOKENS
from bioner_fast.tagging.problems import BadDocument, BrokenInputError, Problems, broken_input
from bioner_fast.tagging.resolve import Answer, chosen_types
from bioner_fast.tagging.stream import StreamCounts, tag_stream
from bioner_fast.tagging.tagger import Tagger


@dataclass(frozen=True, slots=True)
class TaggerSettings:
    """What it takes to load a tagger; goes to worker processes.

    Attributes:
        model: the bundle's folder.
        device: as for :class:`Tagger`.
        threads: CPU threads of all workers together, None for all there are.
        precision: as for :class:`Tagger`.
    """

    model: Path
    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"

    def load(self) -> Tagger:
        """Load it. On a CPU one batch is one thread's work: that keeps cores busier than sharing each out."""
        return Tagger.load(self.model, self.device, 1, self.precision)

    def lanes(self, workers: int = 1) -> int:
        """Batches that each worker has under way at a time.

        Raises:
            UsageError: ``threads`` is out of range.
        """
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(f"threads: expected 1 to {MAX_THREADS}, got {self.threads}")
        return max((self.threads or available_threads()) // workers, 1)


@dataclass(frozen=True, slots=True)
class TagOptions:
    """How documents are tagged and written.

    Attributes:
        output_format: name of a format that is written.
        answer: what is asked for.
        batch_tokens: tokens worked on together.
        lanes: batches worked on at a time.
        strict: stop at the first bad document.
        rows: of tables that are written: ``entities`` or ``documents``.
    """

    output_format: str = "jsonl"
    answer: Answer = dataclasses.field(default_factory=Answer)
    batch_tokens: int = BATCH_TOKENS
    lanes: int = 1
    strict: bool = False
    rows: Rows = "entities"


@dataclass(frozen=True, slots=True)
class Shard:
    """An input and the path of its output."""

    input: Input
    target: Path


@dataclass(slots=True)
class Outcome:
    """What tagging gave: counts of the documents written, and those left out."""

    counts: StreamCounts = dataclasses.field(default_factory=StreamCounts)
    bad: list[BadDocument] = dataclasses.field(default_factory=list)


def check_output(tagger: Tagger, options: TagOptions) -> None:
    """See that the model finds what is asked for, and that the format can hold it.

    Raises:
        UsageError: the model finds only parts of speech, and the format has no columns; or it finds no such
            type.
    """
    output_format = options.output_format
    if options.answer.types is not None:
        chosen_types(options.answer.types, tagger.bundle.types)
    if all(head.kind == "pos" for head in tagger.bundle.tasks) and output_format != "conll":
        raise UsageError(
            f"{tagger.bundle.path} finds no entities, only parts of speech; write column files "
            "(--output-format conll)"
        )


def tag_to(
    tagger: Tagger,
    inputs: Sequence[Input],
    sink: str | os.PathLike[str] | BinaryIO,
    options: TagOptions,
    *,
    force: bool = False,
    stdin: BinaryIO | None = None,
    outcome: Outcome | None = None,
    writer: Writer | None = None,
) -> Outcome:
    """Tag inputs, one after another, into one output, which appears whole or not at all.

    Bad documents are left out and collected, unless ``options.strict``.

    Args:
        tagger: the tagger.
        inputs: from :func:`find_inputs`.
        sink: a path or an open binary stream.
        options: how.
        force: replace the output if it exists.
        stdin: what ``-`` means.
        outcome: is filled and returned; it says what was found even when the call ends in an error.
        writer: takes the documents, in place of a file in ``options.output_format``.

    Raises:
        BrokenInputError: an input cannot be read to its end, or there are only bad documents.
        FormatError: a document is bad, and ``options.strict``.
        BionerError: the output exists, or cannot be written.
    """
    outcome = Outcome() if outcome is None else outcome
    reading, writing = Problems(strict=options.strict), Problems(strict=options.strict)
    label = inputs[0].path if len(inputs) == 1 else None

    def from_writer(problem: Problem) -> None:
        # Users know documents by the file they came from.
        writing(problem if label is None else dataclasses.replace(problem, path=label))

    stream = tag_stream(
        tagger,
        _documents(inputs, reading, stdin),
        batch_tokens=options.batch_tokens,
        answer=options.answer,
        keep_tokens=options.output_format == "conll",
        counts=outcome.counts,
        lanes=options.lanes,
    )
    try:
        opened = (
            open_writer(sink, options.output_format, force=force, on_problem=from_writer, rows=options.rows)
            if writer is None
            else DocumentWriter(writer, ExitStack(), Reporter(label or "<stdout>", from_writer))
        )
        with closing(stream), opened as out:
            for document in stream:
                before = len(writing.bad)
                try:
                    out.write(document)
                except FormatError as error:
                    writing.add(BadDocument(label or error.path, document.id, error.detail))
                if len(writing.bad) > before:
                    outcome.counts.documents -= 1
                    outcome.counts.entities -= sum(e.task is not None for e in document.iter_entities())
            if not outcome.counts.documents and (reading.bad or writing.bad):
                raise BrokenInputError((reading.bad or writing.bad)[0])
    finally:
        outcome.bad += [*reading.bad, *writing.bad]
    return outcome


def _documents(inputs: Sequence[Input], problems: Problems, stdin: BinaryIO | None) -> Iterator[Document]:
    for one in inputs:
        try:
            yield from read_input(one, on_problem=problems, stdin=stdin, prefix=len(inputs) > 1)
        except UsageError:
            raise
        except (BionerError, OSError) as error:
            broken_input("<stdin>" if one.path == STANDARD else one.path, error)


def tag_shard(
    tagger: Tagger, shard: Shard, options: TagOptions, stdin: BinaryIO | None = None
) -> ShardRecord:
    """Tag one input into its own output and say what was done.

    An input that cannot be read to its end gives no output, and a record that says why.

    Raises:
        FormatError, BrokenInputError: a document or the input is bad, and ``options.strict``.
        BionerError: the output cannot be written.
    """
    source = shard.input.path
    outcome = Outcome()
    size, digest = 0, ""
    try:
        if source != STANDARD:
            try:
                size, digest = digest_input(source)
            except (BionerError, OSError) as error:
                broken_input(source, error)
        tag_to(tagger, [shard.input], shard.target, options, force=True, stdin=stdin, outcome=outcome)
    except BrokenInputError as error:
        if options.strict:
            raise
        # What an earlier run made of the input would be taken for this run's.
        shard.target.unlink(missing_ok=True)
        bad = outcome.bad if error.record in outcome.bad else [*outcome.bad, error.record]
        return ShardRecord(source, shard.input.format, size, digest, errors=tuple(bad))
    counts = outcome.counts
    return ShardRecord(
        input=source,
        format=shard.input.format,
        input_bytes=size,
        input_sha256=digest,
        output=str(shard.target),
        output_bytes=shard.target.stat().st_size,
        output_sha256=sha256(shard.target),
        documents=counts.documents,
        tokens=counts.tokens,
        entities=counts.entities,
        errors=tuple(outcome.bad),
    )
