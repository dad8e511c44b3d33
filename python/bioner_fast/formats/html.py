"""One page that shows documents with their entities. It fetches nothing; markup in a text stays text."""

from __future__ import annotations

import html
from collections import Counter
from typing import BinaryIO

from bioner_fast.data.document import Document
from bioner_fast.data.markup import STYLE, colours, mark_entities
from bioner_fast.formats.base import Reporter, report_native, utf8

# Shared with the page of the service, which fills <main> itself.
PAGE_STYLE = (
    """\
:root{color-scheme:light dark;--bg:#fff;--fg:#1c1c1e;--line:#d8d8dc;--bar:#f6f6f8}
@media (prefers-color-scheme:dark){:root{--bg:#17181a;--fg:#e8e8ea;--line:#3a3b3f;--bar:#202124}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.6 system-ui,sans-serif}
header{position:sticky;top:0;z-index:1;background:var(--bar);border-bottom:1px solid var(--line);\
padding:.5rem 1rem;display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:center}
header h1{font-size:1rem;margin:0 .5rem 0 0}
header button{font:inherit;font-size:.85rem;color:inherit;cursor:pointer;\
background:color-mix(in srgb,var(--c) 28%,transparent);border:1px solid var(--c);\
border-radius:1rem;padding:.1rem .7rem}
header button[aria-pressed=false]{background:none;opacity:.6;text-decoration:line-through}
header label{font-size:.85rem;display:flex;gap:.4rem;align-items:center}
main{max-width:56rem;margin:0 auto;padding:1rem}
article{border-bottom:1px solid var(--line);padding:.5rem 0 1rem;content-visibility:auto;\
contain-intrinsic-size:auto 12rem}
article h2{font-size:.85rem;font-weight:600;opacity:.7;margin:.5rem 0;overflow-wrap:anywhere}
article h3{font-size:.75rem;font-weight:600;opacity:.6;margin:.6rem 0 0;text-transform:uppercase}
article p{margin:.2rem 0}
body.bf-plain .bf-text mark::after{content:none}
"""
    + STYLE
)

SCRIPT = """\
"use strict";
const off=new Set();let least=0;
function apply(){for(const mark of document.querySelectorAll("main mark")){const score=mark.dataset.s;
mark.classList.toggle("bf-off",off.has(mark.dataset.t)||(score!==undefined&&Number(score)<least));}}
function wire(root){for(const button of root.querySelectorAll("button[data-t]"))button.onclick=()=>{
const on=button.getAttribute("aria-pressed")!=="true";button.setAttribute("aria-pressed",String(on));
if(on)off.delete(button.dataset.t);else off.add(button.dataset.t);apply();};}
wire(document);
const slider=document.getElementById("score");
slider.oninput=()=>{least=Number(slider.value);
document.getElementById("least").textContent=least.toFixed(2);apply();};
document.getElementById("labels").onchange=(event)=>
document.body.classList.toggle("bf-plain",!event.target.checked);
"""

CONTROLS = (
    '<label>score at least <input id="score" type="range" min="0" max="1" step="0.01" value="0">'
    '<output id="least">0.00</output></label>'
    '<label><input id="labels" type="checkbox" checked> names of types</label>'
)


def article(document: Document, palette: dict[str, str]) -> str:
    """One document as HTML; every type of its entities has a colour in ``palette``."""
    parts = [f"<article><h2>{html.escape(document.id)}</h2>"]
    for passage in document.passages:
        if passage.section:
            parts.append(f"<h3>{html.escape(passage.section)}</h3>")
        marked = mark_entities(passage.text, passage.entities, palette, passage.offset)
        parts.append(f'<p class="bf-text">{marked}</p>')
    parts.append("</article>\n")
    return "".join(parts)


def legend(counts: list[tuple[str, int]], palette: dict[str, str]) -> str:
    """Buttons that switch the types on and off, with their counts."""
    return "".join(
        f'<button type="button" aria-pressed="true" data-t="{html.escape(name)}" '
        f'style="--c:{palette[name]}">{html.escape(name)} {count:,}</button>'
        for name, count in counts
    )


class Writer:
    """Writes the page. Documents are kept until the end: the legend with its counts stands above them."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._articles: list[str] = []
        self._counts: Counter[str] = Counter()
        self._palette: dict[str, str] = {}

    def write(self, document: Document) -> None:
        """Add one document."""
        report_native(document, self._reporter)
        new = [entity.type for entity in document.iter_entities()]
        self._counts.update(new)
        if any(name not in self._palette for name in new):
            self._palette = colours(self._counts)
        self._articles.append(article(document, self._palette))

    def finish(self) -> None:
        """Write the page."""
        counts = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        self._stream.write(
            utf8(
                '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
                '<meta name="viewport" content="width=device-width,initial-scale=1">'
                f"<title>Entities</title><style>{PAGE_STYLE}</style></head><body>\n"
                f"<header><h1>{len(self._articles):,} document{'' if len(self._articles) == 1 else 's'}</h1>"
                f"{legend(counts, self._palette)}{CONTROLS}</header>\n<main>\n"
            )
        )
        for one in self._articles:
            self._stream.write(utf8(one))
        self._stream.write(utf8(f"</main>\n<script>{SCRIPT}</script></body></html>\n"))
