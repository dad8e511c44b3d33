"""``bioner-fast evaluate``: score a file of predictions, or run a model on a corpus and score it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bioner_fast.cli.grouped import grouped

if TYPE_CHECKING:
    from bioner_fast.data.scoring import Score
_GROUPS = {
    "Predictions in a file": ("gold_column", "predicted_column"),
    "Run a model": (
        "model",
        "task",
        "split",
        "data",
        "head",
        "output",
        "force",
        "device",
        "threads",
        "precision",
    ),
    "Scores": ("scheme", "normal_types", "tag_column", "as_json"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``evaluate``."""

    @app.command(cls=grouped(_GROUPS))
    def evaluate(
        file: Annotated[
            str | None, typer.Argument(metavar="[FILE]", help="Lines of token, gold tag and predicted tag.")
        ] = None,
        scheme: Annotated[
            str,
            typer.Option(
                metavar="RULE",
                help="conlleval (lenient chunks), strict (well-formed chunks only) or token.",
            ),
        ] = "conlleval",
        gold_column: Annotated[
            str | None,
            typer.Option(
                metavar="N",
                help="Column of the gold tags, counted from 1, or its name; by default the one called gold, "
                "else the last but one.",
            ),
        ] = None,
        predicted_column: Annotated[
            str | None,
            typer.Option(
                metavar="N", help="Column of the predicted tags; by default that of the model, else the last."
            ),
        ] = None,
        normal_types: Annotated[
            bool,
            typer.Option("--normal-types", help="Compare types by normal names: GGP and Protein are gene."),
        ] = False,
        model: Annotated[
            str | None,
            typer.Option(
                metavar="MODEL",
                help="Run this model (as for the command tag) instead of reading predictions.",
            ),
        ] = None,
        task: Annotated[
            str | None,
            typer.Option(metavar="NAME_OR_PATH", help="The corpus to run a model on."),
        ] = None,
        split: Annotated[str, typer.Option(help="With --model: train, devel or test.")] = "test",
        data: Annotated[
            Path | None, typer.Option(metavar="DIR", help="With --model: holds one folder per task.")
        ] = None,
        head: Annotated[
            str | None, typer.Option(metavar="NAME", help="With --model: the task of the bundle to score.")
        ] = None,
        tag_column: Annotated[
            int | None,
            typer.Option(
                metavar="N", min=2, help="Column of the gold tags, counted from 1, of FILE or of the task."
            ),
        ] = None,
        output: Annotated[
            Path | None,
            typer.Option(
                "-o", "--output", metavar="FILE", help="With --model: also write the predictions here."
            ),
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace the file of --output.")] = False,
        device: Annotated[str, typer.Option(help="With --model: auto, cpu or cuda.")] = "auto",
        threads: Annotated[int | None, typer.Option(help="With --model: CPU threads.", min=1)] = None,
        precision: Annotated[
            str, typer.Option(help="With --model: auto, float32, bfloat16 or int8.")
        ] = "auto",
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Score predictions: precision, recall and F1 per entity type, with counts, and accuracy.

        \b
        Example: printf 'p53\\tB-Gene\\tB-Gene\\nbinds\\tO\\tO\\n' > out.tsv; bioner-fast evaluate out.tsv

        Three columns without names are token, gold and predicted tag. Part-of-speech predictions are scored
        with --scheme token.
        """
        from bioner_fast.cli.output import print_json
        from bioner_fast.errors import UsageError
        from bioner_fast.files import refuse_existing

        if file is not None and (model is not None or task is not None):
            raise UsageError("evaluate takes either a FILE of predictions, or --task and perhaps --model")
        if file is not None:
            if output is not None or head is not None:
                raise UsageError("--head and --output go with --task")
            if tag_column is not None and gold_column is None:
                gold_column = str(tag_column)
            result = _score_file(file, scheme, gold_column, predicted_column, normal_types)
        else:
            if gold_column is not None or predicted_column is not None:
                raise UsageError("--gold-column and --predicted-column are for a FILE of predictions")
            if task is None:
                raise UsageError(
                    "evaluate needs a FILE of predictions, or --task, the corpus to run a model on"
                )
            if output is not None:
                refuse_existing(output, force=force)
            from bioner_fast.tagging.evaluate import score_bundle

            outcome = score_bundle(
                model, task, split, data_dir=data, head=head, scheme=scheme,
                device=device, threads=threads, precision=precision,
                tag_column=tag_column, normal_types=normal_types,
            )  # fmt: skip
            if output is not None:
                outcome.write(output)
            result = outcome.score
        if as_json:
            print_json(result.to_json())
        else:
            _print_score(result)


def _score_file(
    path: str, scheme: str, gold_column: str | None, predicted_column: str | None, normal_types: bool
) -> Score:
    from bioner_fast.data.predictions import load_predictions
    from bioner_fast.data.scoring import RULES, score
    from bioner_fast.errors import UsageError

    if scheme not in RULES:
        raise UsageError(f"--scheme {scheme}: expected {', '.join(RULES)}")
    found = load_predictions(
        path,
        gold_column=gold_column,
        predicted_column=predicted_column,
        normal_types=normal_types,
        parts_of_speech=scheme == "token",
    )
    return score(found.gold, found.ids, found.names, scheme=scheme)


def _print_score(result: Score) -> None:
    from bioner_fast.cli.output import print_table
    from bioner_fast.data.scoring import TABLE_COLUMNS

    print_table(TABLE_COLUMNS, result.rows())
    typer.echo(f"{result.scheme}: {result.n_tokens:,} tokens, accuracy {result.accuracy:.2f} %")
