"""Arguments that the commands over raw text share: ``pretrain``, ``silver`` and ``vectors train``."""

from __future__ import annotations

from typing import Annotated

import typer

Texts = Annotated[
    list[str],
    typer.Argument(
        metavar="TEXT...",
        help="Files or folders: .txt (a paragraph a line), .jsonl, PubMed XML; also .gz and .xz.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CORPORA",
        help="Drop sentences of these corpora's devel.tsv and test.tsv (a folder of any depth), or of a "
        "whole file; may be repeated.",
        show_default=False,
    ),
]
