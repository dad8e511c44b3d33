"""``bioner-fast info``: what this installation is and what it can use."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``info``."""

    @app.command()
    def info(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Show version, commit, compiler, SIMD level, CUDA and threads.

        \b
        Example: bioner-fast info --json
        """
        from bioner_fast.cli.output import print_json, print_pairs
        from bioner_fast.installation import describe_installation

        facts = describe_installation()
        if as_json:
            print_json(facts)
        else:
            print_pairs(facts)
