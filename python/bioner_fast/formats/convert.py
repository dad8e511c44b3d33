"""Conversion between document formats, with a report of what could not be taken over.

``formats`` knows no tokenizer; whoever converts to ``conll`` hands one in
(:func:`bioner_fast.features.layers.add_tokens`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from bioner_fast.compression import MAX_DOCUMENT_MB
from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError, UsageError
from bioner_fast.files import atomic_write, to_json
from bioner_fast.formats.base import Problem, Reporter, TableColumns, report_native
from bioner_fast.formats.registry import OnProblem, get_format, guess_format, open_writer, read_documents

# Formats that hold entities but no relations, or neither; their writers know nothing of other formats.
_PLAIN = ("text", "lines", "jsonl", "conll")


@dataclass(slots=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        documents, entities, relations: how many were read and handed to the writer.
        skipped: bad documents left out.
        actions: for annotations, relations and texts that did not go over as they stood, how many were
            ``dropped``, ``moved``, ``kept`` (in doubt) and ``changed``.
    """

    documents: int = 0
    entities: int = 0
    relations: int = 0
    skipped: int = 0
    actions: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        return {
            "documents": self.documents,
            "entities": self.entities,
            "relations": self.relations,
            "skipped": self.skipped,
            **{action: self.actions[action] for action in ("dropped", "moved", "kept", "changed")},
        }

    def summary(self) -> str:
        """One sentence."""
        parts = [f"{self.documents} documents with {self.entities} annotations converted"]
        parts += [f"{count} {action}" for action, count in sorted(self.actions.items())]
        if self.skipped:
            parts.append(f"{self.skipped} bad documents skipped")
        return ", ".join(parts)


def problem_record(problem: Problem) -> dict[str, object]:
    """A problem as a JSON object, for report files."""
    record = {
        "path": problem.path,
        "line": problem.line,
        "document": problem.document,
        "kind": problem.kind,
        "action": problem.action,
        "message": problem.message,
    }
    return {key: value for key, value in record.items() if value is not None}


def convert_documents(
    source: str | os.PathLike[str] | BinaryIO,
    target: str | os.PathLike[str] | BinaryIO,
    from_format: str | None = None,
    to_format: str | None = None,
    *,
    add_tokens: Callable[[Document], Document] | None = None,
    force: bool = False,
    skip_bad: bool = False,
    on_problem: OnProblem = None,
    report_file: str | os.PathLike[str] | None = None,
    target_name: str | None = None,
    tag_column: int | None = None,
    max_document_mb: int = MAX_DOCUMENT_MB,
) -> ConversionReport:
    """Convert documents from one format to another, streaming.

    Args:
        source, target: paths or open binary streams.
        from_format, to_format: names of formats; guessed from the paths when None.
        add_tokens: gives a document the tokens that ``conll`` needs.
        force: replace an existing target.
        skip_bad: leave bad documents out and report them, instead of stopping at the first.
        on_problem: receives each annotation, relation or text that could not go over as it stands.
        report_file: where to write the same as JSON lines.
        max_document_mb: a document that is larger is bad.
        target_name: what reports call the target, where it is a file that the user did not name.
        tag_column: of column files, the column of the tags, counted from 1; the last one by default.

    Raises:
        FormatError: the source is malformed, or a document is bad and ``skip_bad`` is false; the target is
            then as it was.
        UsageError: a format is unknown or cannot be guessed, or ``conll`` is wanted without ``add_tokens``.

    Example:
        >>> convert_documents("CDR.PubTator", "cdr.bioc.xml").summary()  # doctest: +SKIP
        '500 documents with 9796 annotations converted'
    """
    if isinstance(source, (str, os.PathLike)) and isinstance(target, (str, os.PathLike)):
        here, there = Path(source), Path(target)
        if here.exists() and there.exists() and os.path.samefile(here, there):
            raise UsageError(f"{here} would be converted onto itself; name another output")
    if to_format is None and isinstance(target, (str, os.PathLike)):
        to_format = guess_format(target)
    if to_format is not None:
        to_format = get_format(to_format).name
    if to_format == "conll" and add_tokens is None:
        raise UsageError("conversion to conll needs tokens; pass add_tokens")
    report = ConversionReport()
    if report_file is None:
        _convert(
            source,
            target,
            from_format,
            to_format,
            add_tokens,
            force,
            skip_bad,
            on_problem,
            report,
            target_name,
            tag_column,
            max_document_mb,
        )
        return report
    with atomic_write(report_file) as out:

        def record(problem: Problem) -> None:
            out.write(to_json(problem_record(problem)) + "\n")
            if on_problem is not None:
                on_problem(problem)

        _convert(
            source,
            target,
            from_format,
            to_format,
            add_tokens,
            force,
            skip_bad,
            record,
            report,
            target_name,
            tag_column,
            max_document_mb,
        )
    return report


def _convert(
    source: str | os.PathLike[str] | BinaryIO,
    target: str | os.PathLike[str] | BinaryIO,
    from_format: str | None,
    to_format: str | None,
    add_tokens: Callable[[Document], Document] | None,
    force: bool,
    skip_bad: bool,
    on_problem: OnProblem,
    report: ConversionReport,
    target_name: str | None,
    tag_column: int | None,
    max_document_mb: int,
) -> None:
    def collect(problem: Problem) -> None:
        if target_name is not None and problem.path == str(target):
            problem = replace(problem, path=target_name)
        if problem.kind == "document":
            if not skip_bad:
                name = "" if problem.document is None else f"document {problem.document}: "
                raise FormatError(problem.path, name + problem.message, problem.line)
            report.skipped += 1
        else:
            report.actions[problem.action] += 1
        if on_problem is not None:
            on_problem(problem)

    columns = TableColumns(tags=tag_column)
    documents = read_documents(
        source, from_format, on_problem=collect, columns=columns, max_document_mb=max_document_mb
    )
    name = os.fspath(target) if isinstance(target, (str, os.PathLike)) else "<stream>"
    reporter = Reporter(str(name), collect)
    with open_writer(target, to_format, force=force, on_problem=collect) as out:
        for document in documents:
            report.documents += 1
            report.entities += sum(1 for _ in document.iter_entities())
            if to_format in _PLAIN:
                _report_plain(document, to_format, reporter)
            report.relations += sum(1 for _ in document.iter_relations())
            if to_format == "conll" and add_tokens is not None:
                document = add_tokens(document)
            out.write(document)


def _report_plain(document: Document, to_format: str, reporter: Reporter) -> None:
    for relation in document.iter_relations():
        label = " ".join(part for part in (relation.id, relation.type) if part) or "without name"
        message = f"relation {label} cannot be written as {to_format}"
        reporter.annotation(document.id, message, kind="relation")
    report_native(document, reporter)
