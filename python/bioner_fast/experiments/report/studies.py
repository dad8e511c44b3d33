"""A section per study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bioner_fast.experiments.analysis import Figure, Results
from bioner_fast.experiments.corpora import label
from bioner_fast.experiments.plan import Run, Study
from bioner_fast.experiments.published import Published
from bioner_fast.experiments.report import pictures
from bioner_fast.experiments.report.blocks import Cell, Picture, Section, Table
from bioner_fast.experiments.studies import SIZES

NONE = "Not run."
_COMPARED = [
    "Corpus",
    "devel F1",
    "test F1",
    "single task",
    "difference",
    "p",
    "maximum on test (replication)",
]


def figure(value: Figure) -> Cell:
    """A mean with its deviation."""
    return Cell(str(value), faint=not value)


def rounded(value: Figure) -> Cell:
    """A mean without decimals."""
    return Cell(f"{value.mean:,.0f}" if value else "–", faint=not value)


def replication(results: Results, run: Run | None, task: str) -> Cell:
    """The highest test F1 of all evaluations, where it was looked at."""
    value = results.maximum(run, task)
    return Cell(str(value) if value else "–", faint=not value)


def compared(results: Results, run: Run | None, baseline: Run | None, task: str) -> list[Cell]:
    """Difference of means and its significance, of the seeds that both have (if there are such)."""
    shared = results.seeds(run).keys() & results.seeds(baseline).keys() or None
    ours, theirs = (results.score(cell, task, seeds=shared) for cell in (run, baseline))
    if not ours or not theirs:
        return [Cell("–", faint=True)] * 2
    outcome = results.compare(run, baseline, task)
    p = Cell("–", faint=True) if outcome is None else Cell(_p(outcome.p), strong=outcome.p < 0.05)
    return [Cell(_signed(ours.mean - theirs.mean)), p]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def kind(run: Run) -> str:
    """What runs of the same settings have in common: "cnn", "cnn multi-output, epochs", "cnn, 50 %"."""
    sharing = "tuned" if run.base else run.sharing
    parts = [run.model] + ([] if sharing == "single" else [sharing])
    more = [] if run.course == "published" else [run.course]
    more += [f"{100 * run.percent:g} %"] if run.percent < 1 else []
    return ", ".join([" ".join(parts), *more])


def length(histories: Iterable[Sequence[Mapping[str, Any]]]) -> str:
    """Steps and evaluations that runs really made: "300 steps, 1 evaluation"."""
    made = [(int(history[-1]["step"]), len(history)) for history in histories if history]

    def span(values: list[int], what: str) -> str:
        least, most = min(values), max(values)
        text = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return f"{text} {what}{'' if most == 1 else 's'}"

    return ", ".join(
        [span([s for s, _ in made], "step"), span([n for _, n in made], "evaluation")] if made else []
    )


def single(tasks: Sequence[str], results: Results) -> Section:
    """Every corpus alone with both published networks."""
    if not any(results.seeds(Run(model, (task,), seed=0)) for model in ("mlp", "cnn") for task in tasks):
        return Section("Single task", [_SINGLE, NONE])
    rows = []
    for task in tasks:
        for model in ("mlp", "cnn"):
            run = Run(model, (task,), seed=0)
            rows.append(
                [
                    Cell(label(task)),
                    Cell(model.upper()),
                    *(figure(results.score(run, task, *what)) for what in _MEASURES),
                    replication(results, run, task),
                    rounded(results.fact(run, "train_tokens_per_second")),
                    rounded(results.fact(run, "seconds")),
                ]
            )
    columns = [
        "Corpus", "Model", "devel F1", "test F1", "test P", "test R", "maximum on test (replication)",
        "training tokens/s", "seconds",
    ]  # fmt: skip
    return Section("Single task", [_SINGLE, Table(columns, rows)])


_SINGLE = (
    "The published networks with exact Viterbi decoding, each corpus alone; settings are the published ones "
    "but for those that the command changed."
)
_MEASURES = (("devel", "f1"), ("test", "f1"), ("test", "precision"), ("test", "recall"))


def _against_single(results: Results, run: Run, task: str) -> list[Cell]:
    alone = Run(run.model, (task,), seed=0)
    return [
        Cell(label(task)),
        figure(results.score(run, task, "devel")),
        figure(results.score(run, task)),
        figure(results.score(alone, task)),
        *compared(results, run, alone, task),
        replication(results, run, task),
    ]


def multi(tasks: Sequence[str], study: Study, results: Results) -> Section:
    """All corpora together, published and for as many epochs."""
    section = Section("Multi-output", [study.about])
    titles = {"published": "For a number of steps", "epochs": "For as many epochs as single-task training"}
    if not any(results.seeds(run) for run in study.runs):
        return Section(section.title, [NONE])
    for run in study.runs:
        made = length(result.get("history", []) for result in results.seeds(run).values())
        section.blocks.append(f"{titles[run.course]}{f' ({made})' if made else ''}:")
        if not results.seeds(run):
            section.blocks.append(NONE)
            continue
        section.blocks.append(Table(_COMPARED, [_against_single(results, run, task) for task in run.tasks]))
    return section


def dependent(study: Study, results: Results) -> Section:
    """On top of a part-of-speech tagger."""
    section = Section("Dependent", [study.about])
    known = any(results.seeds(run) for run in study.runs)
    rows = [_against_single(results, run, run.tasks[1]) for run in study.runs if known]
    section.blocks.append(Table(_COMPARED, rows) if rows else NONE)
    return section


def best(tasks: Sequence[str], study: Study, results: Results) -> Section:
    """The recommended model beside the CNN, and its multi-task training beside the single one."""
    if not any(results.seeds(run) for run in study.runs):
        return Section("Recommended model", [NONE])
    together = next((run for run in study.runs if len(run.tasks) > 1), None)
    from_all = {run.tasks[0]: run for run in study.runs if run.base}
    rows = []
    for task in tasks:
        run, cnn = Run("best", (task,), seed=0), Run("cnn", (task,), seed=0)
        published = Published.load().f1(label(task), "pair")
        alone = results.score(run, task)
        gap = Cell(_signed(alone.mean - published)) if alone and published else Cell("–", faint=True)
        rows.append(
            [
                Cell(label(task)),
                *(figure(results.score(run, task, *what)) for what in _MEASURES),
                gap,
                *compared(results, run, cnn, task),
                figure(results.score(together, task)),
                *compared(results, together, run, task),
                figure(results.score(from_all.get(task), task, "devel")),
                figure(results.score(from_all.get(task), task)),
                *compared(results, from_all.get(task), run, task),
                rounded(results.fact(run, "train_tokens_per_second")),
                rounded(results.fact(run, "seconds")),
            ]
        )
    columns = [
        "Corpus", "devel F1", "test F1", "test P", "test R", "to published pair", "to CNN", "p",
        "test F1", "to single", "p", "devel F1", "test F1", "to single", "p", "training tokens/s", "seconds",
    ]  # fmt: skip
    groups = [("", 1), ("single task", 7), ("multi-task", 3), ("multi-task, tuned", 4), ("single task", 2)]
    return Section("Recommended model", [study.about, Table(columns, rows, groups)])


def pairs(tasks: Sequence[str], study: Study, results: Results) -> Section:
    """A heat map of differences to single-task training, and the best partner of each corpus."""
    section = Section("Pairs", [study.about])
    if not any(results.seeds(run) for run in study.runs):
        section.blocks.append(NONE)
        return section
    by_pair = {frozenset(run.tasks): run for run in study.runs}
    values = np.full((len(tasks), len(tasks)), np.nan)
    rows = []
    for i, task in enumerate(tasks):
        alone = results.score(Run("cnn", (task,), seed=0), task)
        found: list[tuple[float, str]] = []
        cells = [Cell(label(task))]
        for j, other in enumerate(tasks):
            score = results.score(by_pair.get(frozenset((task, other))), task)
            if i == j:
                cells.append(Cell(f"({alone.mean:.2f})" if alone else "–", faint=True))
                continue
            cells.append(Cell(f"{score.mean:.2f}" if score else str(score), faint=not score))
            if score:
                found.append((score.mean, other))
                values[i, j] = score.mean - alone.mean if alone else np.nan
        published = Published.load()
        partner = published.partner(label(task))
        cells.append(Cell(label(max(found)[1]) if found else "–", faint=not found))
        theirs = published.f1(label(task), "pair")
        cells.append(Cell(f"{theirs:.2f} {partner}" if theirs is not None else "–", faint=theirs is None))
        rows.append(cells)
    if np.isfinite(values).any():
        svg = pictures.heat_map([label(t) for t in tasks], values) if pictures.available() else None
        caption = (
            "Test F1 of a corpus (row) trained together with another (column), less that of the corpus alone."
        )
        section.blocks.append(Picture("report-pairs", svg, caption))
    columns = ["Scored on", *(f"with {label(task)}" for task in tasks), "best partner", "published best pair"]
    section.blocks.append(Table(columns, rows))
    section.blocks.append("Means over seeds; in brackets those of the corpus alone.")
    return section


def size(tasks: Sequence[str], study: Study, results: Results) -> Section:
    """Curves and figures over the share of the training data."""
    section = Section("Size of the training data", [study.about])
    cut = [run for run in study.runs if run.percent < 1]
    if not any(results.seeds(run) for run in cut):
        section.blocks.append(NONE)
        return section
    known = {(run.tasks[0], run.sharing, run.percent): run for run in cut}
    whole = next((run for run in study.runs if run.percent == 1 and len(run.tasks) > 1), None)
    curves = {}
    rows = []
    for task in tasks:
        numbers = np.full((2, 2, len(SIZES)), np.nan)
        for row, sharing in enumerate(("single", "multi-output")):
            cells = [Cell(label(task)), Cell("single task" if sharing == "single" else sharing)]
            for column, percent in enumerate(SIZES):
                run = known.get((task, sharing, percent))
                if percent == 1:
                    run = Run("cnn", (task,), seed=0) if sharing == "single" else whole
                score = results.score(run, task)
                cells.append(figure(score))
                if score:
                    numbers[0, row, column] = score.mean
                    numbers[1, row, column] = np.nan if score.deviation is None else score.deviation
            rows.append(cells)
        if np.isfinite(numbers[0]).any():
            curves[label(task)] = (numbers[0], numbers[1])
    svg = pictures.size_curves(SIZES, curves) if pictures.available() else None
    caption = "Test F1 over the share of a corpus's training data; the bands are one standard deviation."
    section.blocks.append(Picture("report-size", svg, caption))
    section.blocks.append(Table(["Corpus", "Training", *(f"{100 * s:g} %" for s in SIZES)], rows))
    return section
