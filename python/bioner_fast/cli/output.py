"""Results go to stdout, everything else to stderr; bars appear only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from bioner_fast.files import to_json


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(to_json(value, indent=2) + "\n")


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print ``name  value`` lines, values aligned."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
        sys.stdout.write(f"{name:<{width}}  {text}\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table on stdout: the first column left, the others right aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: never cut figures there.
    console = Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False, markup=False
    )
    console.print(table)
