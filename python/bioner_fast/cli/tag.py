"""``bioner-fast tag``: text or documents in, the same documents with entities out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from bioner_fast.cli.grouped import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bioner_fast.formats.base import Writer
    from bioner_fast.tagging.inputs import Input
    from bioner_fast.tagging.shards import TaggerSettings, TagOptions

_STANDARD = "-"

_INPUT_HELP = "Files or folders of files to tag; - is standard input."
_OUTPUT_HELP = "File, or folder (ending in /) for one file per input; - is standard output."
_INPUT_FORMAT_HELP = (
    "text, lines, jsonl, conll, pubtator, bioc-xml, bioc-json, brat, pubmed-xml, jats, jats-tables, "
    "medline, csv, tsv or parquet; guessed from the name when omitted, text for standard input."
)
_OUTPUT_FORMAT_HELP = (
    "jsonl, conll, pubtator, bioc-xml, bioc-json, brat, csv, tsv, parquet or html; when omitted, guessed "
    "from the name of the output, else that of the input where it holds entities, else jsonl."
)
_MODEL_HELP = (
    "Model folder, as train leaves it in model/, or a name of bioner-fast models; general when omitted."
)
_OVERLAPS_HELP = (
    "Of overlapping entities: the likeliest, the longest, or all; best for general and models of train "
    "--merge-types, else keep."
)
_MERGE_HELP = "The same as --overlaps best."
_TYPES_HELP = "Only these types, as in gene,disease."
_SCORE_HELP = "Only entities of at least this score."
_CONTEXT_HELP = "auto: the rest of a document is evidence (general); none: every sentence for itself."
_ABBREVIATIONS_HELP = "Give out the abbreviations that documents define (JSON lines)."
_BATCH_HELP = "Tokens worked on together; memory grows with it, results do not change."
_PRECISION_HELP = "Of the network on a CPU; auto: the fastest that cost at most 0.1 F1 on devel."
_JSON_HELP = "Print counts and speed as one JSON object (with -o)."
_WORKERS_HELP = "Processes, one input each at a time (with an output folder); each loads the model."
_THREADS_HELP = "CPU threads of all workers together; all cores by default."
_RESUME_HELP = "Go on with a run into this folder: keep outputs that are proved whole."
_LIMIT_HELP = "A document, or line, of more megabytes is bad; it is never held in memory whole."
_STRICT_HELP = "Stop at the first bad document instead of leaving it out."
_TEXT_COLUMN_HELP = "Of a table (csv, tsv, parquet): the column of texts; by default text or abstract."
_ID_COLUMN_HELP = "Of a table: the column of identifiers; by default rows are numbered."
_ROWS_HELP = "Of a table that is written: a row an entity, or a row a document with a list of entities."
_ERRORS_HELP = (
    "List bad documents here, as JSON lines, in place of what is there; by default in errors.ndjson of an "
    "output folder, else on stderr."
)

_GROUPS = {
    "Input": ("input_format", "lines", "text_column", "id_column", "max_document_mb"),
    "Model": ("model", "document_context", "precision", "device", "threads", "batch_tokens"),
    "Answer": ("types", "min_score", "overlaps", "merge", "abbreviations"),
    "Output": ("output", "output_format", "rows", "force", "as_json"),
    "Many files": ("workers", "resume", "errors", "strict"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``tag``."""

    @app.command(cls=grouped(_GROUPS))
    def tag(
        inputs: Annotated[list[str], typer.Argument(metavar="IN...", help=_INPUT_HELP)],
        model: Annotated[str | None, typer.Option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)] = None,
        output: Annotated[str, typer.Option("--output", "-o", help=_OUTPUT_HELP)] = _STANDARD,
        input_format: Annotated[str | None, typer.Option(metavar="FORMAT", help=_INPUT_FORMAT_HELP)] = None,
        output_format: Annotated[str | None, typer.Option(metavar="FORMAT", help=_OUTPUT_FORMAT_HELP)] = None,
        lines: Annotated[bool, typer.Option("--lines", help="Text input: each line is a document.")] = False,
        text_column: Annotated[str | None, typer.Option(metavar="NAME", help=_TEXT_COLUMN_HELP)] = None,
        id_column: Annotated[str | None, typer.Option(metavar="NAME", help=_ID_COLUMN_HELP)] = None,
        rows: Annotated[str, typer.Option(metavar="entities|documents", help=_ROWS_HELP)] = "entities",
        types: Annotated[str | None, typer.Option(metavar="TYPE,...", help=_TYPES_HELP)] = None,
        min_score: Annotated[float, typer.Option(metavar="P", help=_SCORE_HELP)] = 0.0,
        overlaps: Annotated[
            str | None, typer.Option(metavar="best|longest|keep", help=_OVERLAPS_HELP)
        ] = None,
        merge: Annotated[bool, typer.Option("--merge", help=_MERGE_HELP)] = False,
        document_context: Annotated[str, typer.Option(metavar="auto|none", help=_CONTEXT_HELP)] = "auto",
        abbreviations: Annotated[bool, typer.Option("--abbreviations", help=_ABBREVIATIONS_HELP)] = False,
        max_document_mb: Annotated[int, typer.Option(min=1, max=1 << 20, help=_LIMIT_HELP)] = 256,
        workers: Annotated[int, typer.Option(min=1, max=1024, help=_WORKERS_HELP)] = 1,
        resume: Annotated[bool, typer.Option("--resume", help=_RESUME_HELP)] = False,
        strict: Annotated[bool, typer.Option("--strict", help=_STRICT_HELP)] = False,
        errors: Annotated[Path | None, typer.Option(metavar="FILE", help=_ERRORS_HELP)] = None,
        batch_tokens: Annotated[int, typer.Option(min=1, help=_BATCH_HELP)] = 16384,
        device: Annotated[
            str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")
        ] = "auto",
        threads: Annotated[int | None, typer.Option(min=1, help=_THREADS_HELP)] = None,
        precision: Annotated[
            str, typer.Option(metavar="auto|float32|bfloat16|int8", help=_PRECISION_HELP)
        ] = "auto",
        force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help=_JSON_HELP)] = False,
    ) -> None:
        """Find entities in text or documents; they come out in the order they came in, under their own ids.

        \b
        Example: echo "Familial breast cancer." | bioner-fast tag -

        Offsets are Unicode code points into the text as given. On a terminal, without -o and --output-format,
        the text is printed with its entities in colours. Tags of column files are not taken for annotations:
        the columns of the model stand to the right of them.

        Into a folder, every input becomes one file, written whole or not at all, and manifest.json says what
        was done. A bad document is listed and left out.
        """
        from bioner_fast.errors import UsageError
        from bioner_fast.formats.base import TableColumns
        from bioner_fast.formats.table_rows import check_rows
        from bioner_fast.models.device import choose_device
        from bioner_fast.resources import find_model
        from bioner_fast.tagging.inputs import find_inputs
        from bioner_fast.tagging.inputs import output_format as choose
        from bioner_fast.tagging.precision import check_precision
        from bioner_fast.tagging.resolve import Answer, type_names
        from bioner_fast.tagging.shards import TaggerSettings, TagOptions

        if as_json and output == _STANDARD:
            raise UsageError(
                "--json prints a summary on standard output; name a file with -o for the documents"
            )
        if merge and overlaps not in (None, "best"):
            raise UsageError(f"--merge means --overlaps best, which --overlaps {overlaps} is not")
        # Everything that can be wrong with the arguments is found before the model is loaded.
        answer = Answer(
            "best" if merge else overlaps, type_names(types), min_score, document_context, abbreviations
        )
        folder_of_model = find_model(model)
        written = None if output == _STANDARD else output
        columns = TableColumns(text_column, id_column) if text_column or id_column else None
        found = find_inputs(
            inputs,
            input_format,
            lines=lines,
            output=written,
            columns=columns,
            max_document_mb=max_document_mb,
        )
        folder = _is_folder(inputs, output, output_format, resume or workers > 1)
        written_as = choose(found, output, output_format, folder=folder)
        choose_device(device)
        check_precision(precision)
        settings = TaggerSettings(folder_of_model, device, threads, precision)
        options = TagOptions(written_as, answer, batch_tokens, settings.lanes(), strict, check_rows(rows))
        if folder:
            _into_folder(settings, found, Path(output), options, workers, resume, force, errors, as_json)
        else:
            coloured = output == _STANDARD and output_format is None and sys.stdout.isatty()
            _into_one(settings, found, output, options, force, errors, as_json, coloured=coloured)


def _is_folder(inputs: list[str], output: str, given: str | None, wanted: bool) -> bool:
    """Whether every input gets an output of its own."""
    from bioner_fast.errors import UsageError

    if output == _STANDARD:
        if wanted:
            raise UsageError("--workers and --resume write one file per input; name a folder with -o")
        return False
    path = Path(output)
    looks = output.endswith(("/", "\\")) or path.is_dir()
    # A folder of inputs goes into a folder, unless the output has the name of a file.
    if (
        given is None
        and not path.suffix
        and not path.exists()
        and any(Path(name).is_dir() for name in inputs)
    ):
        looks = True
    if given == "brat" and looks:
        if wanted:
            raise UsageError("--workers and --resume write one file per input, brat one folder for all")
        return False
    if wanted and not looks and (path.suffix or path.exists()):
        raise UsageError(f"--workers and --resume write one file per input; {output} is no folder")
    return looks or wanted


def _into_one(
    settings: TaggerSettings,
    inputs: Sequence[Input],
    output: str,
    options: TagOptions,
    force: bool,
    errors: Path | None,
    as_json: bool,
    *,
    coloured: bool = False,
) -> None:
    """All inputs into one file or standard output; ``coloured``: as text to be looked at."""
    import time

    from bioner_fast.cli.counting import Counting
    from bioner_fast.log import logger
    from bioner_fast.tagging.problems import BadDocument, BrokenInputError, write_errors
    from bioner_fast.tagging.shards import Outcome, check_output, tag_to

    tagger = settings.load()
    check_output(tagger, options)
    sink = cast(BinaryIO, sys.stdout.buffer) if output == _STANDARD else output
    outcome = Outcome()
    ended_by: BadDocument | None = None
    started = time.perf_counter()
    try:
        with Counting(outcome.counts, shown=output != _STANDARD or not sys.stdout.isatty()):
            tag_to(
                tagger,
                inputs,
                sink,
                options,
                force=force,
                stdin=cast(BinaryIO, sys.stdin.buffer),
                outcome=outcome,
                writer=_coloured() if coloured else None,
            )
    except BrokenInputError as error:
        ended_by = error.record  # which the end of the command tells
        raise
    finally:
        if errors is not None:
            write_errors(errors, outcome.bad)
        else:
            for bad in outcome.bad:
                if bad != ended_by:
                    logger.warning("left out: %s", bad)
    counts = outcome.counts
    _report(
        {
            "documents": counts.documents,
            "tokens": counts.tokens,
            "entities": counts.entities,
            "errors": len(outcome.bad),
            "seconds": time.perf_counter() - started,
            "outputs": [output],
        },
        as_json,
    )


def _coloured() -> Writer:
    """What prints for the terminal; importing it takes time that other outputs need not spend."""
    from bioner_fast.cli.coloured import ColouredWriter

    return ColouredWriter(sys.stdout)


def _into_folder(
    settings: TaggerSettings,
    inputs: Sequence[Input],
    folder: Path,
    options: TagOptions,
    workers: int,
    resume: bool,
    force: bool,
    errors: Path | None,
    as_json: bool,
) -> None:
    """Each input into a file of its own."""
    from bioner_fast.errors import BionerError
    from bioner_fast.tagging.run import tag_files

    done = tag_files(
        settings,
        inputs,
        folder,
        options,
        workers=workers,
        resume=resume,
        force=force,
        errors_file=errors,
        stdin=cast(BinaryIO, sys.stdin.buffer),
    )
    totals: dict[str, object] = {
        name: sum(getattr(record, name) for record in done.records)
        for name in ("documents", "tokens", "entities")
    }
    _report(
        {
            **totals,
            "errors": len(done.bad),
            "seconds": done.seconds,
            "resumed": done.resumed,
            "outputs": [str(folder / record.output) for record in done.records if record.output is not None],
        },
        as_json,
        tokens=sum(record.tokens for record in done.tagged),
    )
    if done.failed:
        first = done.failed[0].errors[-1]
        raise BionerError(
            f"{len(done.failed)} of {len(done.records)} inputs could not be read, the first is {first}; all "
            f"are in {done.errors_file}, and --resume tries them again"
        )


def _report(facts: dict[str, object], as_json: bool, tokens: int | None = None) -> None:
    """What was done, as one JSON object on standard output or a line in the log."""
    from bioner_fast.log import logger

    seconds = cast(float, facts["seconds"])
    tagged = cast(int, facts["tokens"] if tokens is None else tokens)
    rate = tagged / seconds if seconds > 0 else 0.0
    if as_json:
        from bioner_fast.cli.output import print_json

        print_json({**facts, "seconds": round(seconds, 3), "tokens_per_second": round(rate, 1)})
    logger.info(
        "tagged %s, %s: %s in %.1f s (%s tokens/s)%s",
        _count(facts["documents"], "document"),
        _count(facts["tokens"], "token"),
        _count(facts["entities"], "entity", "entities"),
        seconds,
        f"{rate:,.0f}",
        f"; {_count(facts['errors'], 'bad document')} left out" if facts["errors"] else "",
    )


def _count(number: object, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
