"""Make the charts of docs/images: speed beside peers, F1 against speed, learning curves.

    python tools/charts.py

The figures are those of benchmarks/RESULTS.md and of the records in docs/results. Make them anew where
these change.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import matplotlib
import records

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import StrMethodFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
OURS, PEER, THIRD = "#00796b", "#b0413e", "#5b5ea6"
# Chart of speed: what, section, row that begins so, column.
SPEEDS = (
    ("Viterbi, 9 tags / pytorch-crf", "Viterbi", "pytorch-crf", 3),
    ("CRF and gradients, 9 tags / pytorch-crf", "CRF: log-likelihood and gradients", "pytorch-crf", 2),
    ("score entities / seqeval", "Score entities", "seqeval", 3),
    ("tag text, int8 / spaCy ner, accuracy preset", "Tagging beside spaCy", "100,210", 4),
    ("tokenise and split sentences / spaCy", "Tokenise and split sentences", "spaCy", 3),
    (
        "train the published cnn, bfloat16 / PyTorch",
        "Training: a step of the published networks",
        "2026-",  # the newest
        2,
    ),
    ("load word vectors / gensim", "Word vectors: load", "gensim", 4),
    ("window_gather / thinc", "Windows", "`window_gather`, thinc", 1),
    ("read a column file / pandas", "Read a column file", "pandas", 4),
)
CORPORA = ("NCBI-disease", "BC5CDR", "BioNLP13GE")


def table(section: str) -> list[list[str]]:
    """The rows of the first table of a section of RESULTS.md, without its head."""
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    body = re.split(r"^## ", text.split(f"\n## {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(cell: str) -> float:
    """The number of a cell; of several runs, the median."""
    return median(float(part.strip().replace(",", "")) for part in cell.split(";"))


def speed(axes: Axes) -> None:
    """How many times as fast as its peer each part is."""
    found = []
    for what, section, start, column in SPEEDS:
        (row, *_) = (row for row in table(section) if row[0].startswith(start))
        found.append((number(row[column]), what))
    found.sort()
    axes.barh([what for _, what in found], [times for times, _ in found], color=OURS)
    for place, (times, _) in enumerate(found):
        axes.text(times * 1.1, place, f"{times:,.3g}", va="center")
    axes.set_xscale("log")
    axes.set_xlim(1, 4000)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("times as fast as the peer, same number of threads (log scale)")


def f1_speed(axes: Axes) -> None:
    """Test F1 on NCBI-disease against tokens a second."""
    for row in table("Tagging beside spaCy"):
        _, who, f1, tokens, _ = row
        if not f1 or "new tagger" in who or "the model above" in who:
            continue
        ours = who.startswith("bioner_fast")
        axes.plot(
            number(tokens), number(f1), "o" if ours else "s", color=OURS if ours else PEER, markersize=8
        )
        name = re.sub(r"`|\(auto\)|bioner_fast, |recipes/", "", who).replace("  ", " ").strip()
        axes.annotate(
            name,
            (number(tokens), number(f1)),
            xytext=(0, -16 if "auto" in who else 9),
            textcoords="offset points",
            ha="center",
        )
    axes.set_xscale("log")
    axes.set_xlim(2e3, 4e6)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(80, 86)
    axes.set_xlabel("tokens/s, text to entities, two cores (log scale)")
    axes.set_ylabel("test F1, NCBI-disease")


def learning(panels: list[Axes]) -> None:
    """F1 on devel by epoch: a corpus alone, and tuned from nine in one; a line a seed."""
    curves: dict[tuple[str, str], list[list[tuple[float, float]]]] = defaultdict(list)
    for name, content in records.contents(records.RESULTS).items():
        kind = re.match(r"best-tuned/runs/best-(single|tuned)-([\w-]+)-s\d-\w+/result\.json", name)
        if kind and kind[2] in CORPORA:
            history: list[dict[str, Any]] = json.loads(content)["history"]
            points = [(line["epoch"], *line["devel"].values()) for line in history if line.get("devel")]
            curves[kind[2], kind[1]].append([(point[0], point[1]) for point in points])
    for axes, corpus in zip(panels, CORPORA, strict=True):
        for kind, colour, label in (("single", THIRD, "alone"), ("tuned", OURS, "nine in one, then tuned")):
            for seed, points in enumerate(curves[corpus, kind]):
                axes.plot(*zip(*points, strict=True), color=colour, alpha=0.8, label="" if seed else label)
        axes.set_title(corpus)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("devel F1")
    panels[0].legend(loc="lower right", frameon=False)


def save(path: Path) -> None:
    """The same figure gives the same file."""
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close()


def main() -> None:
    """Write the charts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out = parser.parse_args().out
    plt.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bioner_fast",
            "font.family": "sans-serif",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    speed(plt.figure(figsize=(8, 3.6)).subplots())
    save(out / "speed.svg")
    f1_speed(plt.figure(figsize=(7, 3.6)).subplots())
    save(out / "f1-speed.svg")
    learning(list(plt.figure(figsize=(9, 3.2)).subplots(1, 3)))
    save(out / "learning.svg")


if __name__ == "__main__":
    main()
