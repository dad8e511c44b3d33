"""A report as Markdown; pictures are files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bioner_fast.experiments.report.blocks import Block, Code, Facts, Picture, Report, Table


def markdown(report: Report) -> str:
    """Render a report."""
    parts = [f"# {report.title}", report.lead]
    for section in report.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return "\n".join(_table(block))
    if isinstance(block, Picture):
        if block.svg is None:
            return "*The picture needs matplotlib: `pip install 'bioner-fast[report]'`.*"
        return f"![{block.caption}]({block.name}.svg)\n\n*{block.caption}*"
    if isinstance(block, Facts):
        return "\n".join(f"- **{_escape(name)}**: {_escape(value)}" for name, value in block.items)
    if isinstance(block, Code):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
        return f"{fence}bash\n{block.text}\n{fence}"
    return _escape(block)


def _table(table: Table) -> Iterator[str]:
    headings = list(table.columns)
    at = 0
    for heading, width in table.groups:  # Markdown has no spanning headings
        for column in range(at, at + width):
            headings[column] = f"{heading} {headings[column]}".strip()
        at += width
    yield "| " + " | ".join(map(_escape, headings)) + " |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for row in table.rows:
        texts = [f"**{_escape(cell.text)}**" if cell.strong else _escape(cell.text) for cell in row]
        yield "| " + " | ".join(texts) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
