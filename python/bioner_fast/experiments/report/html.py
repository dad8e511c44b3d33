"""A report as one HTML page that needs nothing else: styles and drawings are inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from bioner_fast.experiments.report.blocks import Block, Cell, Code, Facts, Picture, Report, Table

_STYLE = """
:root { --ink: #1c2733; --soft: #5d6b7a; --line: #dfe5ec; --tint: #f5f8fb; --accent: #0b6e75; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef2f6; color: var(--ink);
       font: 15px/1.55 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1360px; margin: 0 auto; padding: 40px 44px 56px; background: #fff; min-height: 100vh; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 10px; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 44px 0 10px; padding-top: 18px; border-top: 2px solid var(--accent); }
p { max-width: 78ch; margin: 8px 0 12px; }
.lead { color: var(--soft); font-size: 16px; }
nav { margin: 18px 0 0; display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: 14px; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.scroll { overflow-x: auto; margin: 14px 0 18px; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap;
        font-variant-numeric: tabular-nums; }
th, td { padding: 5px 9px; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 8px; }
thead th { font-weight: 600; color: var(--soft); vertical-align: bottom; white-space: normal;
           max-width: 11em; }
thead tr.groups th { text-align: center; color: var(--accent); padding: 5px 5px 0; border-bottom: none; }
thead tr.groups th:not(:empty)::after { content: ""; display: block; margin-top: 4px;
                                        border-bottom: 1px solid var(--accent); }
tbody tr:hover { background: var(--tint); }
tbody td:first-child { font-weight: 600; }
tbody tr.summary td { border-top: 2px solid var(--soft); font-weight: 600; }
td.strong { font-weight: 700; color: var(--accent); }
td.faint { color: #a3adb8; }
td .sd { color: #8794a1; font-weight: 400; font-size: 11.5px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; font-size: 14px;
     max-width: 100ch; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: 10px 12px; background: var(--tint); font-size: 13px; }
figure { margin: 18px 0; } figure svg { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 13.5px; max-width: 90ch; margin-top: 6px; }
@media (max-width: 700px) { main { padding: 24px 16px; } }
@media print { body { background: #fff; } main { max-width: none; padding: 0; } h2 { break-after: avoid; } }
"""


def html(report: Report) -> str:
    """Render a report."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body><main>",
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="lead">{escape(report.lead)}</p>',
        "<nav>",
        *(f'<a href="#{_anchor(s.title)}">{escape(s.title)}</a>' for s in report.sections),
        "</nav>",
    ]
    for section in report.sections:
        parts.append(f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>')
        parts += ["\n".join(_block(block)) for block in section.blocks]
        parts.append("</section>")
    return "\n".join([*parts, "</main></body>", "</html>", ""])


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Picture):
        yield "<figure>"
        yield _inline(block) if block.svg is not None else "<p>The picture needs matplotlib.</p>"
        yield f"<figcaption>{escape(block.caption)}</figcaption></figure>"
    elif isinstance(block, Facts):
        yield "<dl>"
        yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in block.items)
        yield "</dl>"
    elif isinstance(block, Code):
        yield f"<pre><code>{escape(block.text)}</code></pre>"
    else:
        yield f"<p>{escape(block)}</p>"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="scroll"><table><thead>'
    if table.groups:
        headings = "".join(f'<th colspan="{width}">{escape(name)}</th>' for name, width in table.groups)
        yield f'<tr class="groups">{headings}</tr>'
    yield "<tr>" + "".join(f"<th>{escape(column)}</th>" for column in table.columns) + "</tr></thead><tbody>"
    for number, row in enumerate(table.rows, start=1):
        summary = ' class="summary"' if table.summary and number == len(table.rows) else ""
        yield f"<tr{summary}>" + "".join(map(_cell, row)) + "</tr>"
    yield "</tbody></table></div>"


def _cell(cell: Cell) -> str:
    kinds = [name for name in ("strong", "faint") if getattr(cell, name)]
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    mean, sign, deviation = escape(cell.text).partition(" ± ")
    return f"<td{kind}>{mean}" + (f' <span class="sd">± {deviation}</span>' if sign else "") + "</td>"


def _inline(picture: Picture) -> str:
    """The drawing without its XML prologue, with ids of its own: several drawings share one page."""
    assert picture.svg is not None
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{picture.name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{picture.name}-", svg)
    svg = re.sub(r'href="#', f'href="#{picture.name}-', svg)
    label = f'role="img" aria-label="{escape(picture.caption, quote=True)}"'
    return svg.replace("<svg ", f"<svg {label} ", 1)
