"""``bioner-fast data``: known corpora, download with checksums, report on a corpus folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bioner_fast.data.check import TaskReport
    from bioner_fast.data.manifest import RemoteFile

_GROUP_HELP = """Known corpora, download with checksums, report on a corpus folder.

\b
Example: bioner-fast data list
"""
_JSON = typer.Option("--json", help="Print one JSON object.")
_TO = typer.Option("--to", metavar="DIR", help="Folder that holds one folder per corpus.")


def register(app: typer.Typer) -> None:
    """Add the commands ``data list``, ``data fetch`` and ``data check``."""
    data = typer.Typer(help=_GROUP_HELP, no_args_is_help=True)
    data.command("list")(list_corpora)
    data.command("fetch")(fetch_corpora)
    data.command("check")(check_folder)
    app.add_typer(data, name="data")


def list_corpora(
    folder: Annotated[Path, _TO] = Path("data"),
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List the corpora that can be fetched, and whether they are in a folder already.

    \b
    Example: bioner-fast data list
    """
    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.data.manifest import load_manifest

    manifest = load_manifest()
    corpora = manifest.corpora.items()
    size = {name: sum(file.bytes for file in files) for name, files in corpora}
    present = {name: all((folder / file.path).is_file() for file in files) for name, files in corpora}
    if as_json:
        facts = [
            {
                "name": name,
                "files": [file.name for file in files],
                "bytes": size[name],
                "present": present[name],
            }
            for name, files in corpora
        ]
        print_json({"base": manifest.base, "licence": manifest.licence, "corpora": facts})
        return
    rows = []
    for name, files in corpora:
        splits = ", ".join(file.name.removesuffix(".tsv") for file in files)
        rows.append([name, splits, f"{size[name] / 1e6:.1f}", "yes" if present[name] else ""])
    print_table(("corpus", "splits", "MB", f"in {folder}"), rows)
    typer.echo(f"From {manifest.base}\nLicence: {manifest.licence}")


def fetch_corpora(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Corpora; see data list.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Fetch every known corpus.")] = False,
    folder: Annotated[Path, _TO] = Path("data"),
    base: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Another address with the same paths; https, file or a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace folders with other content.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Fetch corpora; sizes and SHA-256 are checked, and a folder appears only when it is whole.

    \b
    Example: bioner-fast data fetch NCBI-disease-IOB --to data
    """
    from bioner_fast.cli.output import print_json
    from bioner_fast.data.manifest import fetch, load_manifest, select
    from bioner_fast.errors import UsageError
    from bioner_fast.log import logger

    if not names and not every:
        raise UsageError("say which corpora to fetch, or --all; 'bioner-fast data list' shows them")
    if names and every:
        raise UsageError("give either names or --all")
    manifest = load_manifest()

    def announce(file: RemoteFile) -> None:
        logger.info("fetching %s (%.1f MB)", file.path, file.bytes / 1e6)

    fetched: list[str] = []
    present: list[str] = []
    for name in select(manifest, names or ()):
        is_new = fetch(manifest, name, folder, base=base, force=force, on_file=announce)
        (fetched if is_new else present).append(name)
    if as_json:
        print_json({"folder": str(folder), "fetched": fetched, "present": present})
        return
    for name in fetched:
        typer.echo(f"{folder / name}: fetched, digests verified")
    for name in present:
        typer.echo(f"{folder / name}: there already, digests verified")


def check_folder(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A task folder, or a folder of them.")],
    tag_column: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Column of the tags, counted from 1; by default the last."),
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Report on a corpus folder: counts, types, scheme, illegal sequences, sentences that splits share.

    \b
    Example: bioner-fast data check sample-disease
    """
    from bioner_fast.cli.output import print_json
    from bioner_fast.data.check import check_task, find_tasks
    from bioner_fast.data.manifest import load_manifest
    from bioner_fast.data.tasks import find_task
    from bioner_fast.errors import BionerError

    tasks = find_tasks(find_task(folder))
    if not tasks:
        raise BionerError(f"{folder} has no train.tsv, devel.tsv or test.tsv, and neither has a folder in it")
    manifest = load_manifest()
    reports = [check_task(task, manifest, tag_column=tag_column) for task in tasks]
    if as_json:
        print_json({"tasks": [report.to_json() for report in reports]})
        return
    for report in reports:
        _print_report(report)


def _print_report(report: TaskReport) -> None:
    from bioner_fast.cli.output import print_table
    from bioner_fast.data.tasks import POS_TASKS

    known = report.name.lower() in map(str.lower, POS_TASKS)
    others = "part-of-speech tags" if known else "tags of no chunks: parts of speech?"
    scheme = others if report.scheme is None else report.scheme.upper()
    columns = ("split", "documents", "sentences", "tokens", "mentions", "longest", "illegal", "repeated")
    rows = [
        [
            name,
            *(f"{n:,}" for n in (split.documents, split.sentences, split.tokens, split.mentions)),
            *(f"{n:,}" for n in (split.longest_sentence, split.illegal, split.repeated_sentences)),
        ]
        for name, split in report.splits.items()
    ]
    print_table(columns, rows, title=f"{report.name} ({scheme})")
    types = sorted({kind for split in report.splits.values() for kind in split.types})
    header = "tag" if report.scheme is None else "type"
    counts = [
        [kind, *(f"{split.types.get(kind, 0):,}" for split in report.splits.values())] for kind in types
    ]
    print_table((header, *report.splits), counts)
    for pair, count in report.shared_sentences.items():
        first, second = pair.split("-")
        typer.echo(f"{count:,} sentences of {second} are in {first} too")
    for name, split in report.splits.items():
        if split.strays:
            typer.echo(f"{name} has tags of no scheme, read as O: {', '.join(split.strays[:10])}")
    if report.scheme is None and not known:
        typer.echo(
            f"train takes such tags for parts of speech with --pos {report.name}; is it another --tag-column?"
        )
    if report.missing:
        typer.echo(f"no {', '.join(report.missing)}")
    if report.published is not None:
        typer.echo(
            "the files are the published ones"
            if report.published
            else "the files differ from the published ones"
        )
