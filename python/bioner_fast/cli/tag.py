"""``bioner-fast tag``: text or documents in, the same documents with entities out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

if TYPE_CHECKING:
    from bioner_fast.data.document import Document

_STANDARD = "-"
# Formats that cannot hold what tagging finds.
_NO_ENTITIES = ("text", "lines")

_OUTPUT_HELP = "File, or folder for one file per input; - is standard output."
_INPUT_FORMAT_HELP = (
    "text, lines, jsonl, conll, pubtator, bioc-xml, bioc-json, brat or pubmed-xml; guessed from the name "
    "when omitted, text for standard input."
)
_OUTPUT_FORMAT_HELP = (
    "jsonl, conll, pubtator, bioc-xml, bioc-json or brat; when omitted, guessed from the name of the output, "
    "else that of the input where it holds entities, else jsonl."
)
_MERGE_HELP = "Of overlapping entities keep the one with the highest score."
_BATCH_HELP = "Tokens worked on together; memory grows with it, results do not change."
_JSON_HELP = "Print counts and speed as one JSON object (with -o FILE)."


def register(app: typer.Typer) -> None:
    """Add the command ``tag``."""

    @app.command()
    def tag(
        inputs: Annotated[
            list[str], typer.Argument(metavar="IN...", help="Files to tag; - is standard input.")
        ],
        model: Annotated[
            Path, typer.Option("--model", "-m", help="Model folder, as train leaves it in model/.")
        ],
        output: Annotated[str, typer.Option("--output", "-o", help=_OUTPUT_HELP)] = _STANDARD,
        input_format: Annotated[str | None, typer.Option(metavar="FORMAT", help=_INPUT_FORMAT_HELP)] = None,
        output_format: Annotated[str | None, typer.Option(metavar="FORMAT", help=_OUTPUT_FORMAT_HELP)] = None,
        lines: Annotated[bool, typer.Option("--lines", help="Text input: each line is a document.")] = False,
        merge: Annotated[bool, typer.Option("--merge", help=_MERGE_HELP)] = False,
        batch_tokens: Annotated[int, typer.Option(min=1, help=_BATCH_HELP)] = 16384,
        device: Annotated[
            str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")
        ] = "auto",
        threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default.")] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help=_JSON_HELP)] = False,
    ) -> None:
        """Find entities in text or documents; they come out in the order they came in, under their own ids.

        Offsets are Unicode code points into the text as given. With several tasks in the model all entities
        are kept, each with its task, unless --merge is given. Tags of column files are not taken for
        annotations: the columns of the model stand to the right of them.

        \b
        Example: echo "Familial breast cancer." | bioner-fast tag -m runs/sample/model -
        """
        from bioner_fast.cli.output import print_json
        from bioner_fast.errors import UsageError
        from bioner_fast.formats.registry import open_writer
        from bioner_fast.log import logger
        from bioner_fast.tagging.stream import Counts, tag_stream
        from bioner_fast.tagging.tagger import Tagger

        if as_json and output == _STANDARD:
            raise UsageError(
                "--json prints a summary on standard output; name a file with -o for the documents"
            )
        # Everything that can be wrong with the arguments is found before the model is loaded.
        formats = [_input_format(name, input_format, lines) for name in inputs]
        if inputs.count(_STANDARD) > 1:
            raise UsageError("standard input (-) can be read only once")
        groups = _outputs(inputs, formats, output, output_format)
        tagger = Tagger.load(model, device, threads)
        if all(head.kind == "pos" for head in tagger.bundle.tasks) and groups[0][1] != "conll":
            raise UsageError(
                f"{model} finds no entities, only parts of speech; write column files (--output-format conll)"
            )
        counts = Counts()
        started = time.perf_counter()
        for target, written_as, members in groups:
            stream = tag_stream(
                tagger,
                _documents([(inputs[i], formats[i]) for i in members]),
                batch_tokens=batch_tokens,
                merge=merge,
                keep_tokens=written_as == "conll",
                counts=counts,
            )
            sink = cast(BinaryIO, sys.stdout.buffer) if target is None else target
            with closing(stream), open_writer(sink, written_as, force=force) as writer:
                for document in stream:
                    writer.write(document)
        seconds = time.perf_counter() - started
        rate = counts.tokens / seconds if seconds > 0 else 0.0
        if as_json:
            print_json(
                {
                    "documents": counts.documents,
                    "tokens": counts.tokens,
                    "entities": counts.entities,
                    "seconds": round(seconds, 3),
                    "tokens_per_second": round(rate, 1),
                    "outputs": [str(target) for target, _, _ in groups],
                }
            )
        logger.info(
            "tagged %s documents, %s tokens: %s entities in %.1f s (%s tokens/s)",
            *(f"{n:,}" for n in (counts.documents, counts.tokens, counts.entities)),
            seconds,
            f"{rate:,.0f}",
        )


def _input_format(name: str, given: str | None, lines: bool) -> str:
    from bioner_fast.errors import BionerError, UsageError
    from bioner_fast.formats.registry import INPUT_FORMATS, get_format, guess_format

    if name != _STANDARD and not Path(name).exists():
        raise BionerError(f"{name}: no such file or folder")
    if given is not None and get_format(given).reader is None and not get_format(given).folder:
        raise UsageError(f"{given} is not an input format; choose one of {', '.join(INPUT_FORMATS)}")
    if lines:
        if given not in (None, "text", "lines"):
            raise UsageError(f"--lines is for text input, not for {given}")
        return "lines"
    if given is not None:
        return given
    return "text" if name == _STANDARD else guess_format(name)


def _outputs(
    inputs: list[str], formats: list[str], output: str, given: str | None
) -> list[tuple[Path | None, str, list[int]]]:
    """(target, its format, indices of the inputs that go there); target None is standard output."""
    from bioner_fast.errors import UsageError
    from bioner_fast.formats.registry import document_stem, get_format, guess_format

    everything = list(range(len(inputs)))
    folder = (
        output != _STANDARD and (output.endswith(("/", "\\")) or Path(output).is_dir()) and given != "brat"
    )
    if given is not None:
        name = given
    elif output == _STANDARD or folder:
        known = formats[0] if len(set(formats)) == 1 else "jsonl"
        name = "jsonl" if known in _NO_ENTITIES or get_format(known).writer is None else known
    else:
        name = guess_format(output)
    if name in _NO_ENTITIES:
        raise UsageError(f"{name} cannot hold entities; write jsonl or another format (--output-format)")
    if output == _STANDARD:
        return [(None, name, everything)]
    if not folder:
        return [(Path(output), name, everything)]
    suffix = "" if get_format(name).folder else get_format(name).suffixes[0]
    targets = [Path(output) / ("stdin" if i == _STANDARD else document_stem(i)) for i in inputs]
    targets = [target.with_name(target.name + suffix) for target in targets]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise UsageError(
                f"{inputs[targets.index(target)]} and {inputs[index]} would both be written to {target}"
            )
    return [(target, name, [index]) for index, target in enumerate(targets)]


def _documents(sources: list[tuple[str, str]]) -> Iterator[Document]:
    """The documents of some inputs, one after another."""
    from bioner_fast.formats.conll import TokenLayer
    from bioner_fast.formats.registry import document_stem, read_documents

    for name, format in sources:
        if name == _STANDARD:
            documents = read_documents(cast(BinaryIO, sys.stdin.buffer), format, name="<stdin>")
        else:
            documents = read_documents(name, format)
        for document in documents:
            if isinstance(document.native, TokenLayer):
                for passage in document.passages:
                    passage.entities = []
            if format == "lines" and len(sources) > 1:
                # Line numbers of several files would collide.
                document.id = f"{'stdin' if name == _STANDARD else document_stem(name)}:{document.id}"
            yield document
