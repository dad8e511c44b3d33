"""Make docs/images/tag.svg: what ``bioner-fast tag`` shows, with the answer of the shipped model.

    python tools/picture.py

Make it anew where the model changes.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

import bioner_fast
from bioner_fast.cli.coloured import ColouredWriter

TEXT = """\
Vemurafenib kills melanoma cells with BRAF V600E, such as A375.
Two patients developed acute hepatitis and chronic nephropathy.
Tnfrsf11a knockout mice lack osteoclasts and lymph nodes."""
WIDTH = 84
# Background, foreground, and the sixteen colours of a terminal, as xterm has them.
THEME = TerminalTheme(
    (30, 30, 30),
    (229, 229, 229),
    [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (60, 60, 220),
        (175, 0, 175),
        (0, 205, 205),
        (229, 229, 229),
    ],
    [
        (90, 90, 90),
        (255, 0, 0),
        (60, 220, 60),
        (255, 255, 0),
        (120, 160, 255),
        (255, 130, 255),
        (0, 255, 255),
        (255, 255, 255),
    ],
)


def draw(text: str) -> str:
    """The picture of tagging ``text``, as SVG that loads no font from the network."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor"
    )
    console.print("$ bioner-fast tag abstract.txt", highlight=False)
    writer = ColouredWriter(console)
    for document in bioner_fast.load("general", device="cpu").tag([text]):
        writer.write(document)
    writer.finish()
    svg = console.export_svg(title="bioner-fast tag", theme=THEME, unique_id="tag")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "ui-monospace, Menlo"
    )


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "tag.svg")
    arguments = parser.parse_args()
    arguments.o.write_text(draw(TEXT), encoding="utf-8")


if __name__ == "__main__":
    main()
