"""The main table: every corpus, every kind of training, beside the published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bioner_fast.experiments.analysis import Figure, Results
from bioner_fast.experiments.corpora import label
from bioner_fast.experiments.plan import Run, Study
from bioner_fast.experiments.published import Published
from bioner_fast.experiments.report.blocks import Cell, Section, Table


def overview(tasks: Sequence[str], studies: Mapping[str, Study], results: Results) -> Section:
    """The section; the best of our own figures in a row stands out."""
    published = Published.load()
    columns = our_columns(tasks, studies)
    rows = []
    means: list[list[float | None]] = [[] for _ in range(len(published.sources) + len(columns))]
    for task in tasks:
        figures = [results.score(runs.get(task), task) for _, runs in columns]
        theirs = [published.f1(label(task), source.key) for source in published.sources]
        ours = [figure.mean if figure else None for figure in figures]
        for values, value in zip(means, [*theirs, *ours], strict=True):
            values.append(value)
        rows.append([Cell(label(task)), *map(number, theirs), *figure_cells(figures)])
    summary = len(tasks) > 1
    if summary:
        rows.append([Cell("Mean"), *map(_mean, means)])
    groups = [("", 1), ("published", len(published.sources)), ("MLP", 1), ("CNN", 4), ("best", 3)]
    headings = [source.title.removeprefix("published ") for source in published.sources]
    table = Table(["Corpus", *headings, *(title for title, _ in columns)], rows, groups, summary)
    about = (
        "Published numbers of the same corpora (with other word vectors, see the sources) and ours. A mean "
        "is given where every corpus has a figure."
    )
    return Section("Overview", [about, table])


def our_columns(tasks: Sequence[str], studies: Mapping[str, Study]) -> list[tuple[str, dict[str, Run]]]:
    """Headings, and by corpus the run (seed 0) that has its figure."""
    courses = {run.course: run for run in studies["multi"].runs}
    together = next((run for run in studies["best"].runs if len(run.tasks) > 1), None)

    def joint(run: Run | None) -> dict[str, Run]:
        return {} if run is None else dict.fromkeys(run.tasks, run)

    return [
        ("single task", {task: Run("mlp", (task,), seed=0) for task in tasks}),
        ("single task", {task: Run("cnn", (task,), seed=0) for task in tasks}),
        ("multi-output, by steps", joint(courses.get("published"))),
        ("multi-output, by epochs", joint(courses.get("epochs"))),
        ("dependent", {run.tasks[1]: run for run in studies["dependent"].runs}),
        ("single task", {task: Run("best", (task,), seed=0) for task in tasks}),
        ("multi-task", joint(together)),
        ("tuned", {run.tasks[0]: run for run in studies["best"].runs if run.base}),
    ]


def figure_cells(figures: Sequence[Figure]) -> list[Cell]:
    """Cells of a row; the highest mean stands out."""
    known = [figure.mean for figure in figures if figure]
    highest = max(known) if len(known) > 1 else None
    return [
        Cell(str(figure), strong=bool(figure) and figure.mean == highest, faint=not figure)
        for figure in figures
    ]


def number(value: float | None) -> Cell:
    """A published figure."""
    return Cell("–", faint=True) if value is None else Cell(f"{value:.2f}")


def _mean(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return number(statistics.fmean(known) if known and len(known) == len(values) else None)
