"""``bioner-fast convert``: between tag schemes of column files, and between document formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from bioner_fast.data.corpus import Corpus
    from bioner_fast.data.document import Document
    from bioner_fast.formats.base import Problem

_STANDARD = "-"
SCHEMES = ("iob1", "iob2", "iob", "iobes")
_FORMAT_HELP = (
    "A tag scheme (iob1, iob2, iob, iobes) or a document format (text, lines, jsonl, conll, pubtator, "
    "bioc-xml, bioc-json, brat; pubmed-xml, jats, medline to read); guessed from the name when omitted."
)


def register(app: typer.Typer) -> None:
    """Add the command ``convert``."""

    @app.command()
    def convert(
        source: Annotated[str, typer.Argument(metavar="IN", help="File or folder; - is standard input.")],
        target: Annotated[str, typer.Argument(metavar="OUT", help="File or folder; - is standard output.")],
        from_name: Annotated[str | None, typer.Option("--from", metavar="F", help=_FORMAT_HELP)] = None,
        to_name: Annotated[str | None, typer.Option("--to", metavar="F", help="As --from.")] = None,
        tag_column: Annotated[
            int | None,
            typer.Option(
                metavar="N",
                min=2,
                help="Column of the tags of a column file, counted from 1; by default the last.",
            ),
        ] = None,
        report: Annotated[
            Path | None,
            typer.Option(
                help="Write what could not go over as it stands here, as JSON lines, not to stderr."
            ),
        ] = None,
        skip_bad: Annotated[
            bool, typer.Option("--skip-bad", help="Leave out bad documents instead of stopping at the first.")
        ] = False,
        max_document_mb: Annotated[
            int, typer.Option(min=1, max=1 << 20, help="A larger document, or line, is bad.")
        ] = 256,
        force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print what was done as one JSON object.")
        ] = False,
    ) -> None:
        """Convert a column file to another tag scheme, or documents to another format.

        \b
        Example: echo "TP53 in cancer" | bioner-fast convert - - --from lines --to bioc-json

        Between tag schemes only the column of the tags changes; others stay. Tags of no scheme become O.
        Annotations that a new format cannot hold as they stand are reported, one line each. A document format
        goes to a tag scheme by way of the tokenizer, for training.
        """
        from bioner_fast.errors import UsageError

        if as_json and target == _STANDARD:
            raise UsageError("--json prints on standard output, where the result goes; name an output file")
        from_name, to_name = _names(source, target, from_name, to_name)
        if from_name in SCHEMES and to_name in SCHEMES:
            result = _between_schemes(source, target, from_name, to_name, tag_column, force, max_document_mb)
        else:
            if tag_column is not None and from_name not in (*SCHEMES, "conll"):
                raise UsageError(f"--tag-column is for column files, not for {from_name}")
            result = _between_formats(
                source, target, from_name, to_name, tag_column, report, skip_bad, force, max_document_mb
            )
        if as_json:
            from bioner_fast.cli.output import print_json

            print_json(result)


def _names(source: str, target: str, from_name: str | None, to_name: str | None) -> tuple[str, str]:
    """Source and target format, guessed where not given; ``conll`` beside a scheme is that scheme's file."""
    from bioner_fast.errors import BionerError, UsageError
    from bioner_fast.formats.registry import FORMAT_NAMES, guess_format

    if source != _STANDARD and not Path(source).exists():
        raise BionerError(f"{source}: no such file or folder")
    known = (*SCHEMES, *FORMAT_NAMES)
    for option, name in (("--from", from_name), ("--to", to_name)):
        if name is not None and name not in known:
            raise UsageError(f"{option} {name!r} is not known; choose one of {', '.join(known)}")
    if from_name is None:
        if source == _STANDARD:
            raise UsageError("say with --from what comes on standard input")
        from_name = guess_format(source)
    if to_name is None:
        if target == _STANDARD:
            raise UsageError("say with --to what to write to standard output")
        to_name = guess_format(target)
    if from_name == "conll" and to_name in SCHEMES:
        from_name = "iob"
    elif from_name in SCHEMES and to_name == "conll":
        to_name = "iob2"
    if from_name == to_name == "conll":
        raise UsageError("say with --to which tag scheme to convert to: iob1, iob2 or iobes")
    return from_name, to_name


def _between_schemes(
    source: str,
    target: str,
    from_name: str,
    to_name: str,
    tag_column: int | None,
    force: bool,
    max_document_mb: int,
) -> dict[str, object]:
    import tempfile

    from bioner_fast.data.corpus import Corpus, load_bytes, replace_last_column

    label = "<stdin>" if source == _STANDARD else source
    with tempfile.TemporaryDirectory() as folder:
        path = source
        if source == _STANDARD:  # it is read twice
            path = str(Path(folder, "stdin"))
            Path(path).write_bytes(sys.stdin.buffer.read())
        column = -1 if tag_column is None else tag_column - 1
        corpus = _to_scheme(
            Corpus.read(path, tag_column=column, max_document_mb=max_document_mb), label, from_name, to_name
        )
        _write(replace_last_column(load_bytes(path, max_document_mb), corpus.tags(), column), target, force)
    return {"tokens": corpus.n_tokens, "sentences": corpus.n_sentences, "documents": corpus.n_documents}


def _to_scheme(corpus: Corpus, source: str, from_name: str, to_name: str) -> Corpus:
    from bioner_fast.data.schemes import Scheme, convert, detect_scheme, read_chunks, split_tag
    from bioner_fast.data.tag_names import not_chunks
    from bioner_fast.errors import FormatError

    read = read_chunks(corpus, source=source)
    found = None if read is None else detect_scheme(read[0].tag_names, read[0])
    if read is None or found is None:
        message = f"the tags of the column ({not_chunks(corpus.tag_names)}) are not of an IOB scheme"
        raise FormatError(source, f"{message}; nothing to convert (--tag-column names another column)")
    if from_name not in ("iob", found.name.lower()) and {from_name, found.name.lower()} & {"iobes"}:
        raise FormatError(source, f"the tags are {found.name}, not {from_name.upper()}; mend --from")
    corpus, reading = read
    corpus = convert(corpus, Scheme["IOB2" if to_name == "iob" else to_name.upper()], warn=True)
    if reading.bare:  # what came without types goes without
        corpus = corpus.with_tags(corpus.tag_ids, tuple(split_tag(tag)[0] for tag in corpus.tag_names))
    return corpus


def _write(data: bytes, target: str, force: bool) -> None:
    from bioner_fast.files import atomic_write, packed, refuse_existing

    if target == _STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    refuse_existing(target, force=force)
    with atomic_write(target, "wb") as out:
        out.write(packed(data, target))


def _between_formats(
    source: str,
    target: str,
    from_name: str,
    to_name: str,
    tag_column: int | None,
    report: Path | None,
    skip_bad: bool,
    force: bool,
    max_document_mb: int,
) -> dict[str, object]:
    import tempfile

    from bioner_fast.formats.convert import convert_documents
    from bioner_fast.log import logger

    def warn(problem: Problem) -> None:
        logger.warning("%s", problem)

    tokens: Callable[[Document], Document] | None = None
    scheme = to_name if to_name in SCHEMES else None
    if scheme is not None or to_name == "conll":
        from bioner_fast.features.layers import add_tokens

        tokens = add_tokens
    read_as = "conll" if from_name in SCHEMES else from_name
    given = cast(BinaryIO, sys.stdin.buffer) if source == _STANDARD else source
    with tempfile.TemporaryDirectory() as folder:
        sink: str | Path | BinaryIO = target
        if scheme is not None:
            sink = Path(folder, "tokens.tsv")
        elif target == _STANDARD:
            sink = cast(BinaryIO, sys.stdout.buffer)
        done = convert_documents(
            given,
            sink,
            read_as,
            "conll" if scheme is not None else to_name,
            add_tokens=tokens,
            force=force,
            skip_bad=skip_bad,
            on_problem=None if report is not None else warn,
            report_file=report,
            max_document_mb=max_document_mb,
            target_name=("<stdout>" if target == _STANDARD else target) if scheme is not None else None,
            tag_column=tag_column,
        )
        if scheme is not None:
            from bioner_fast.data.corpus import Corpus

            corpus = Corpus.read(Path(folder, "tokens.tsv"))
            _write(_to_scheme(corpus, source, "iob2", scheme).to_bytes(), target, force)
    logger.info("%s", done.summary())
    return done.to_json()
