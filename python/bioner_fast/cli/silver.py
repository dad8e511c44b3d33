"""``bioner-fast silver``: annotations by models, to train on."""

from __future__ import annotations

from typing import Annotated

import typer

from bioner_fast.cli.grouped import grouped
from bioner_fast.cli.raw_text import Exclude, Texts

_GROUPS = {
    "What labels": ("models", "heads", "precision", "threads"),
    "What is kept": ("min_score", "whole_documents", "exclude", "tokens"),
    "Output": ("out", "force", "as_json"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``silver``."""
    app.command(cls=grouped(_GROUPS))(silver)


def silver(
    texts: Texts,
    models: Annotated[
        str,
        typer.Option(
            metavar="A[,B...]",
            help="Model folders or installed models; several have to agree.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="DIR", help="Folder to write.", show_default=False)
    ],
    exclude: Exclude = None,
    heads: Annotated[
        str | None,
        typer.Option(help="Heads to use, separated by commas; all if omitted.", show_default=False),
    ] = None,
    min_score: Annotated[
        float, typer.Option(help="Least probability of every entity, and of O elsewhere.")
    ] = 0.5,
    whole_documents: Annotated[
        bool, typer.Option("--whole-documents", help="Keep texts whole, or not at all.")
    ] = False,
    tokens: Annotated[
        int | None, typer.Option(help="Stop after so many kept tokens per head.", show_default=False)
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads  [default: all cores]", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tag raw text and keep the sentences that models are sure of; train --silver takes the folder.

    \b
    Example: bioner-fast silver --models runs/all/model abstracts.txt.gz -o silver --tokens 1000000
    """
    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.pretraining.silver import make_silver

    result = make_silver(
        [part for part in models.split(",") if part], texts, out, exclude=exclude or [],
        heads=None if heads is None else heads.split(","), min_score=min_score,
        whole_documents=whole_documents, tokens=tokens, threads=threads, precision=precision, force=force,
    )  # fmt: skip
    if as_json:
        print_json(result.to_json())
        return
    rows = [
        [name, f"{task.seen:,}", f"{task.sentences:,}", f"{task.tokens:,}", f"{task.entities:,}"]
        for name, task in result.tasks.items()
    ]
    print_table(["head", "sentences seen", "kept", "tokens", "entities"], rows)
