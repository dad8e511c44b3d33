"""``bioner-fast models``: the models that are installed."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``models``."""

    @app.command()
    def models(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """List the installed models: name, types, size, scores.

        \b
        Example: bioner-fast models --json

        A name can be given to --model and --init-from. Models are those of the package and those in the
        folders of BIONER_MODELS.
        """
        from bioner_fast.cli.output import print_json, print_table
        from bioner_fast.models.installed import describe_models

        found = describe_models()
        if as_json:
            print_json({"models": [model.to_json() for model in found]})
            return
        print_table(
            ["model", "MB", "types", "F1"],
            [
                [
                    model.name,
                    f"{model.size / 1e6:.1f}",
                    ", ".join(model.types),
                    ", ".join(model.scores_shown()),
                ]
                for model in found
            ],
        )
