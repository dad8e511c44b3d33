"""Which files are tagged and where each one goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bioner_fast.compression import MAX_DOCUMENT_MB
from bioner_fast.data.document import Document
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.files import MANIFEST_NAME, is_hidden, walk
from bioner_fast.formats.base import TableColumns
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.formats.registry import (
    INPUT_FORMATS,
    OnProblem,
    document_stem,
    get_format,
    guess_format,
    read_documents,
)
from bioner_fast.log import logger
from bioner_fast.tagging.manifest import JOURNAL_NAME

STANDARD = "-"
ERRORS_NAME = "errors.ndjson"
# Formats that cannot hold what tagging finds.
NO_ENTITIES = ("text", "lines")
_STANDOFF = (".ann", ".a1", ".a2")


@dataclass(frozen=True, slots=True)
class Input:
    """One file (or brat folder) to tag.

    Attributes:
        path: the file, or ``-`` for standard input.
        format: its format.
        name: what its output is called, relative to the output folder, without a suffix: the file's stem,
            after the folders between it and the folder that was given.
        columns: of a table, which hold texts and identifiers.
        max_document_mb: a document that is larger is bad.
    """

    path: str
    format: str
    name: str
    columns: TableColumns | None = None
    max_document_mb: int = MAX_DOCUMENT_MB


def find_inputs(
    names: Sequence[str],
    format: str | None = None,
    *,
    lines: bool = False,
    output: str | os.PathLike[str] | None = None,
    columns: TableColumns | None = None,
    max_document_mb: int = MAX_DOCUMENT_MB,
) -> list[Input]:
    """The files that some arguments mean, in order.

    A folder with brat annotations is one input. Another folder stands for the files in it and below, in the
    order of their paths; hidden files and those whose names say no format are left out.

    Args:
        names: files, folders, ``-``.
        format: of all inputs; guessed from each name when None (standard input: text).
        lines: text files hold a document a line.
        output: where outputs go; below a folder of inputs, that folder is left out.
        max_document_mb: a document that is larger is bad.
        columns: of tables; where they are given a ``.tsv`` file is a table, not a column file.

    Raises:
        UsageError: a format is unknown, cannot be read or cannot be guessed, or ``-`` comes twice.
        BionerError: a file is missing, or a folder holds nothing that can be read.
    """
    if format is not None and get_format(format).reader is None and not get_format(format).folder:
        raise UsageError(f"{format} is not an input format; choose one of {', '.join(INPUT_FORMATS)}")
    if lines and format not in (None, "text", "lines"):
        raise UsageError(f"--lines is for text input, not for {format}")
    if list(names).count(STANDARD) > 1:
        raise UsageError("standard input (-) can be read only once")
    given = "lines" if lines else format
    guess = guess_format if columns is None else guess_table
    written = None if output is None else os.path.realpath(output)
    result: list[Input] = []
    for name in names:
        if name == STANDARD:
            result.append(Input(name, given or "text", "stdin"))
        elif not Path(name).exists():
            raise BionerError(f"{name}: no such file or folder")
        elif not Path(name).is_dir() or given == "brat" or (given is None and _has_standoff(name, written)):
            result.append(Input(name, given or guess(name), document_stem(name)))
        else:
            result += _inside(Path(name), given, written, guess)
    if columns is not None:
        other = next((one for one in result if not get_format(one.format).table), None)
        if other is not None:
            raise UsageError(
                f"--text-column and --id-column are for tables, and {other.path} is read as {other.format}; "
                "say with --input-format csv, tsv or parquet what it is"
            )
        result = [replace(one, columns=columns) for one in result]
    return [replace(one, max_document_mb=max_document_mb) for one in result]


def guess_table(path: str | os.PathLike[str]) -> str:
    """As :func:`guess_format`, where columns are named: a ``.tsv`` file is a table."""
    name = os.fspath(path).lower().removesuffix(".gz")
    return "tsv" if name.endswith(".tsv") else guess_format(path)


def _has_standoff(folder: str, written: str | None) -> bool:
    return any(file.endswith(_STANDOFF) for _, _, files in walk(folder, written) for file in files)


def _inside(
    folder: Path, given: str | None, written: str | None, guess: Callable[[Path], str]
) -> list[Input]:
    found: list[Input] = []
    unknown = 0
    for place, folders, files in walk(folder, written):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            # What a run leaves beside its outputs is no text.
            if is_hidden(name) or name in (MANIFEST_NAME, ERRORS_NAME):
                continue
            path = Path(place, name)
            try:
                format = given or guess(path)
            except UsageError:
                unknown += 1
                continue
            stem = path.relative_to(folder).with_name(document_stem(name)).as_posix()
            found.append(Input(str(path), format, stem))
    if not found:
        raise BionerError(f"{folder} holds no files of a known format; say with --input-format what they are")
    if unknown:
        logger.warning("%s: %s files whose names say no known format are left out", folder, f"{unknown:,}")
    return sorted(found, key=lambda one: one.path)


def output_format(inputs: Sequence[Input], output: str, given: str | None, *, folder: bool) -> str:
    """The format to write: as given, else as the output's name says, else the inputs', else JSON lines.

    Raises:
        UsageError: it cannot hold entities, or cannot be guessed.
    """
    if given is not None:
        name = given
    elif output == STANDARD or folder:
        formats = {one.format for one in inputs}
        known = inputs[0].format if len(formats) == 1 else "jsonl"
        name = "jsonl" if known in NO_ENTITIES or get_format(known).writer is None else known
    elif all(get_format(one.format).table for one in inputs):
        name = guess_table(output)
    elif not Path(output).suffix:
        raise UsageError(
            f"-o {output}: the name says no format; {output}/ is a folder with one file per input, and "
            f"{output}.jsonl or --output-format jsonl one file for all"
        )
    else:
        name = guess_format(output)
    if name in NO_ENTITIES:
        raise UsageError(f"{name} cannot hold entities; write jsonl or another format (--output-format)")
    entry = get_format(name)
    if entry.writer is None:
        raise UsageError(f"{name} is read but not written; choose jsonl or another format (--output-format)")
    return name


def output_names(inputs: Sequence[Input], format: str) -> list[str]:
    """Names of the outputs inside the output folder, one for each input.

    Raises:
        UsageError: two inputs would be written to one file.
    """
    entry = get_format(format)
    suffix = ".tar.gz" if entry.folder else entry.suffixes[0]
    names = [one.name + suffix for one in inputs]
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if first.setdefault(name, index) != index:
            before, here = inputs[first[name]].path, inputs[index].path
            raise UsageError(f"{before} and {here} would both be written to {name}")
        # Some file systems take upper and lower case for the same.
        if name.casefold() in (MANIFEST_NAME, ERRORS_NAME, JOURNAL_NAME):
            raise UsageError(
                f"{inputs[index].path} would be written to {name}, which is the run's own; rename it"
            )
    return names


def read_input(
    one: Input,
    *,
    on_problem: OnProblem = None,
    stdin: BinaryIO | None = None,
    prefix: bool = False,
) -> Iterator[Document]:
    """The documents of an input, as they are tagged: the tags of column files are no annotations.

    Args:
        on_problem: as for :func:`read_documents`.
        stdin: what ``-`` means.
        prefix: put the file's name before the numbers of lines, which those of several files share.
    """
    if one.path == STANDARD:
        if stdin is None:
            raise UsageError("standard input (-) cannot be read here; name a file")
        documents = read_documents(
            stdin,
            one.format,
            name="<stdin>",
            on_problem=on_problem,
            columns=one.columns,
            max_document_mb=one.max_document_mb,
        )
    else:
        documents = read_documents(
            one.path,
            one.format,
            on_problem=on_problem,
            columns=one.columns,
            max_document_mb=one.max_document_mb,
        )
    for document in documents:
        if isinstance(document.native, TokenLayer):
            for passage in document.passages:
                passage.entities = []
        if prefix and one.format == "lines":
            document.id = f"{one.name}:{document.id}"
        yield document
