"""Drawings with matplotlib, as SVG that is the same for the same numbers."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Colours that differ for colour-blind readers too (Okabe and Ito).
_BLUE, _ORANGE = "#0072B2", "#D55E00"
_INK, _SOFT = "#1c2733", "#5d6b7a"


def available() -> bool:
    """Whether matplotlib is installed (``pip install 'bioner-fast[report]'``)."""
    return importlib.util.find_spec("matplotlib") is not None


def heat_map(labels: Sequence[str], values: NDArray[np.float64]) -> str:
    """A map of differences.

    Args:
        labels: of rows and columns.
        values: [n, n] points of F1; NaN where there is nothing.

    Returns:
        SVG.
    """
    n = len(labels)
    figure, axes = _figure(2.2 + 0.78 * n, 1.7 + 0.56 * n)
    limit = max(1.0, float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0)
    masked = np.ma.masked_invalid(values)
    edges = np.arange(n + 1) - 0.5
    # Not imshow: that would put a bitmap into the SVG.
    mesh = axes.pcolormesh(
        edges, edges, masked, cmap="RdBu", vmin=-limit, vmax=limit, edgecolors="white", linewidth=1.5
    )
    axes.invert_yaxis()
    axes.set_facecolor("#e9edf1")
    for row in range(n):
        for column in range(n):
            value = values[row, column]
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.62 * limit else _INK
                axes.text(column, row, _signed(value), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), labels)
    axes.set_xlabel("trained together with")
    axes.set_ylabel("scored on")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, fraction=0.04, pad=0.03)
    bar.outline.set_visible(False)
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.set_label("difference in test F1, points", color=_SOFT)
    bar.ax.tick_params(colors=_SOFT, length=0)
    return _svg(figure)


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def size_curves(
    sizes: Sequence[float], curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> str:
    """Small curves side by side: F1 over the share of the training data.

    Args:
        sizes: shares, 0 to 1.
        curves: by corpus, means [2, S] and deviations [2, S] of single-task and of multi-output training; NaN
            where there is nothing.

    Returns:
        SVG.
    """
    plt = _pyplot()
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    with plt.rc_context(_RC):
        figure, grid = plt.subplots(rows, columns, figsize=(3.4 * columns, 2.5 * rows), squeeze=False)
    percent = 100 * np.asarray(sizes)
    for axes, (name, (means, deviations)) in zip(grid.flat, curves.items(), strict=False):
        for row, (title, colour) in enumerate((("single task", _BLUE), ("multi-output", _ORANGE))):
            known = np.isfinite(means[row])
            if known.any():
                spread = np.where(np.isfinite(deviations[row]), deviations[row], 0.0)[known]
                mean = means[row][known]
                axes.plot(percent[known], mean, "o-", color=colour, label=title, markersize=4, linewidth=1.6)
                axes.fill_between(
                    percent[known], mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0
                )
        axes.set_title(name, fontsize=10, color=_INK, loc="left", fontweight="bold")
        axes.set_xticks(sorted(percent), [f"{value:g}" for value in sorted(percent)])
        axes.grid(color="#e3e8ee", linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in list(grid.flat)[len(curves) :]:
        axes.set_visible(False)
    for row in range(rows):
        grid[row, 0].set_ylabel("test F1")
    for column in range(columns):
        last = max(row for row in range(rows) if row * columns + column < len(curves))
        grid[last, column].set_xlabel("% of the training data")
    handles = {
        label: h for axes in grid.flat for h, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="upper right", ncols=2, frameon=False, fontsize=10
        )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / (2.5 * rows)))
    return _svg(figure)


_RC: dict[str, Any] = {
    "font.size": 9.5, "text.color": _INK, "axes.labelcolor": _SOFT, "axes.edgecolor": "#b9c3ce",
    "xtick.color": _SOFT, "ytick.color": _SOFT, "svg.hashsalt": "bioner-fast", "svg.fonttype": "path",
}  # fmt: skip


def _pyplot() -> Any:
    """matplotlib.pyplot, without a window system; imported here because it is optional."""
    importlib.import_module("matplotlib").use("svg")
    return importlib.import_module("matplotlib.pyplot")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    plt = _pyplot()
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(width, height), layout="tight")
    return figure, axes


def learning_curves(groups: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]]) -> str:
    """Small curves side by side.

    Args:
        groups: by title, the runs: steps, and scores in percent.

    Returns:
        SVG.
    """
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    with style() as plt:
        figure, grid = plt.subplots(rows, columns, figsize=(3.4 * columns, 2.5 * rows), squeeze=False)
        for axes, (title, runs) in zip(grid.flat, groups.items(), strict=False):
            for steps, scores in runs:
                axes.plot(steps, scores, "o-", color=_BLUE, alpha=0.5, linewidth=1.2, markersize=2.5)
            axes.set_title(title, fontsize=10, color=_INK, loc="left", fontweight="bold")
            axes.set_xlabel("step")
            axes.grid(color="#e3e8ee", linewidth=0.8)
        for axes in list(grid.flat)[len(groups) :]:
            axes.set_visible(False)
        for row in range(rows):
            grid[row, 0].set_ylabel("devel F1")
        figure.tight_layout()
    return _svg(figure)


@contextmanager
def style() -> Iterator[Any]:
    """matplotlib.pyplot in the style of these pictures."""
    plt = _pyplot()
    with plt.rc_context(_RC):
        yield plt


def figure_of(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches, and its axes."""
    return _figure(width, height)


def _svg(figure: Any) -> str:
    plt = _pyplot()
    out = io.StringIO()
    with plt.rc_context(_RC):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=False)
    plt.close(figure)
    return out.getvalue()
