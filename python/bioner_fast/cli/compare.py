"""``bioner-fast compare`` and ``plot``: what two runs differ in, and how one run learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands ``compare`` and ``plot``."""
    app.command()(compare)
    app.command()(plot)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of a run, as train leaves it.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the other run.")],
    split: Annotated[str, typer.Option(help="test or devel.")] = "test",
    shuffles: Annotated[int, typer.Option(min=1, help="Shuffles of the test.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffles.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two runs: whether their F1 differ by more than chance, by task and type.

    \b
    Example: bioner-fast compare runs/a runs/b

    The test is approximate randomisation over sentences. p is the probability of a difference at least as
    large if the runs were exchangeable.
    """
    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.experiments.compare import compare_runs

    found = compare_runs(first, second, split=split, shuffles=shuffles, seed=seed)
    if as_json:
        tasks = {task: result.to_json() for task, result in found.items()}
        print_json({"split": split, "shuffles": shuffles, "tasks": tasks})
        return
    rows = []
    for task, result in found.items():
        for name, line in (*result.types.items(), ("overall", result.overall)):
            figures = (f"{line.first:.2f}", f"{line.second:.2f}", f"{line.difference:+.2f}", f"{line.p:.4f}")
            rows.append([task, name, *figures, f"{line.sentences:,}"])
    print_table(("task", "type", "F1 A", "F1 B", "A - B", "p", "sentences"), rows)
    typer.echo(f"{split}: approximate randomisation over sentences, {shuffles:,} shuffles")


def plot(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as train leaves it.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="SVG or PNG  [default: RUN/learning.svg]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Draw the learning curves of a run: loss, and scores on devel after every evaluation.

    \b
    Example: bioner-fast plot runs/sample -o learning.svg

    Needs matplotlib: pip install 'bioner-fast[report]'.
    """
    from bioner_fast.errors import UsageError
    from bioner_fast.experiments.report.pictures import available
    from bioner_fast.files import atomic_write, refuse_existing

    target = run / "learning.svg" if output is None else output
    if target.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"--output {target}: expected a name that ends in .svg or .png")
    if not available():
        raise UsageError("plot needs matplotlib: pip install 'bioner-fast[report]'")
    from bioner_fast.experiments.report.learning import draw_run

    refuse_existing(target, force=force)
    picture = draw_run(run, target.suffix.lower()[1:])
    with atomic_write(target, "wb") as out:
        out.write(picture)
    typer.echo(f"{target}: written")
