"""Learning curves of a run, from its ``metrics.jsonl``."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

from bioner_fast.errors import BionerError, FormatError
from bioner_fast.experiments.report.pictures import figure_of, style


def read_metrics(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The evaluations of a run, in order.

    Raises:
        BionerError: there is no run, or it has evaluated nothing yet. FormatError: the file is damaged.
    """
    path = Path(run, "metrics.jsonl")
    if not path.is_file():
        raise BionerError(f"{os.fspath(run)}: expected the folder of a run, with metrics.jsonl; found none")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            record = json.loads(line)
            records.append(
                {"step": int(record["step"]), "loss": float(record["loss"]), "devel": dict(record["devel"])}
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FormatError(
                path, "expected an evaluation as a JSON object, with step, loss and devel", number
            ) from None
    if not records:
        raise BionerError(f"{path}: the run has evaluated nothing yet")
    return records


def draw_run(run: str | os.PathLike[str], format: str = "svg") -> bytes:
    """Loss in training and scores on devel over the steps of a run.

    Args:
        run: the folder that ``train`` left.
        format: ``svg`` or ``png``.

    Raises:
        BionerError: as :func:`read_metrics`.
    """
    records = read_metrics(run)
    steps = [record["step"] for record in records]
    with style() as plt:
        figure, axes = figure_of(7.0, 3.6)
        tasks = dict.fromkeys(task for record in records for task in record["devel"])
        for number, task in enumerate(tasks):
            points = [
                (record["step"], facts.get("f1", facts.get("accuracy")))
                for record in records
                if (facts := record["devel"].get(task)) is not None
            ]
            axes.plot(*zip(*points, strict=True), "o-", color=f"C{number}", label=task, markersize=3.5)
        axes.set_xlabel("step")
        axes.set_ylabel("devel F1 (parts of speech: accuracy), %")
        axes.grid(color="#e3e8ee", linewidth=0.8)
        other = axes.twinx()
        other.plot(steps, [record["loss"] for record in records], "--", color="#5d6b7a", label="loss")
        other.set_ylabel("loss in training")
        lines = [*axes.get_lines(), *other.get_lines()]
        axes.legend(lines, [line.get_label() for line in lines], loc="center right", frameon=False)
        axes.set_title(Path(run).resolve().name, loc="left", fontweight="bold", fontsize=10)
        out = io.BytesIO()
        metadata = {"Date": None} if format == "svg" else {}
        figure.savefig(out, format=format, metadata=metadata, dpi=150)
        plt.close(figure)
    return out.getvalue()
