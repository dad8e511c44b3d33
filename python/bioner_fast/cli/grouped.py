"""Help whose options stand in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperCommand

_REST = "Other options"


def grouped(groups: Mapping[str, Sequence[str]]) -> type[TyperCommand]:
    """A class of commands that show their options in groups.

    Args:
        groups: headings, and the names of the parameters below each; the order is theirs. What is in no
            group, ``--help`` too, stands at the end.
    """

    class Grouped(TyperCommand):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            left = {parameter.name: parameter for parameter in self.get_params(ctx)}
            arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
            sections = [("Arguments", [left.pop(p.name) for p in arguments])]
            sections += [(heading, [left.pop(name) for name in names]) for heading, names in groups.items()]
            for heading, parameters in (*sections, (_REST, list(left.values()))):
                lines = [line for p in parameters if (line := p.get_help_record(ctx)) is not None]
                if lines:
                    with formatter.section(heading):
                        formatter.write_dl(lines)

    return Grouped
