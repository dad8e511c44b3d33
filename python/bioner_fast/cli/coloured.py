"""Tagged documents as text to be looked at: entities in the colour of their type, and a legend."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.text import Text

from bioner_fast.data.document import Document

# The types of the model that comes with the package; others take what is left, in order of appearance.
_STYLES = {
    "gene": "bold black on bright_green",
    "disease": "bold white on red",
    "chemical": "bold black on bright_cyan",
    "species": "bold black on bright_yellow",
    "cell_line": "bold white on blue",
    "variant": "bold white on magenta",
    "cell_type": "bold black on bright_blue",
    "anatomy": "bold black on bright_magenta",
}
_OTHERS = ("bold black on green", "bold black on yellow", "bold black on cyan", "bold black on white")
# Control characters as pictures of themselves: a text must not steer the terminal.
_CONTROLS = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"},
    0x0D: None,
    0x7F: 0x2421,
    **dict.fromkeys(range(128, 160), 65533),
}


class ColouredWriter:
    """Prints documents for a terminal; a writer as those of the formats.

    Without colours (``NO_COLOR``, a dumb terminal) entities are written ``[aspirin|chemical]``.

    Args:
        stream: the terminal, or a console of Rich.
    """

    def __init__(self, stream: TextIO | Console) -> None:
        if not isinstance(stream, Console):
            stream = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._console = stream
        self._plain = self._console.color_system is None
        self._styles: dict[str, str] = {}
        self._count = 0

    def write(self, document: Document) -> None:
        """Print one document, with its id above it if it is not the first."""
        self._count += 1
        if self._count > 1:
            self._console.print()
        for passage in document.passages:
            text = passage.text
            marked = Text()
            position = 0
            inside = sorted(passage.entities, key=lambda e: (e.start, -e.end))
            for entity in inside:
                start, end = max(entity.start - passage.offset, position), entity.end - passage.offset
                if start >= end:  # inside the one before it
                    continue
                marked.append(_shown(text[position:start]))
                mention = _shown(text[start:end])
                if self._plain:
                    marked.append(f"[{mention}|{entity.type}]")
                else:
                    marked.append(mention, self._style(entity.type))
                position = end
            marked.append(_shown(text[position:]))
            marked.rstrip()
            self._console.print(marked)

    def finish(self) -> None:
        """Print the legend: the types that were found, in their colours."""
        if self._styles:
            legend = Text("\n")
            for kind, style in self._styles.items():
                legend.append(f" {kind} ", style)
                legend.append(" ")
            self._console.print(legend)

    def _style(self, kind: str) -> str:
        if kind not in self._styles:
            others = [style for style in _OTHERS if style not in self._styles.values()]
            self._styles[kind] = _STYLES.get(kind) or (others[0] if others else "bold reverse")
        return self._styles[kind]


def _shown(text: str) -> str:
    return text.translate(_CONTROLS)
