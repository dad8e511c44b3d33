"""The one table that ``benchmarks/gpu.sh`` ends with.

    python benchmarks/gpu_table.py FOLDER

FOLDER holds what each step printed (NAME.txt) and what pytest-benchmark wrote (NAME.json); what is not there
did not run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from report import Row, number, rows_by_group

STEPS = ("quick-tests", "tests", "sanitizer-memcheck", "sanitizer-racecheck")
MEASURED = ("kernels", "training-and-tagging")


def outcome(folder: Path, step: str) -> str:
    """The last line that a step printed."""
    path = folder / f"{step}.txt"
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    said = [line.strip("= ") for line in lines if line.strip()]
    return said[-1].replace("|", "\\|") if said else "did not run"


def share(row: Row) -> str:
    """Of the device's copy bandwidth."""
    if not row.get("device_copy") or not row.get("bytes_per_second"):
        return ""
    return f"{100 * row['bytes_per_second'] / row['device_copy']:.0f} %"


def table(folder: Path) -> str:
    """Markdown: tests and sanitizers, then what was measured."""
    lines = [
        "| what | outcome | ms | million tokens/s | GB/s | share of a copy |",
        "|---|---|--:|--:|--:|--:|",
    ]
    lines += [f"| {step} | {outcome(folder, step)} | | | | |" for step in STEPS]
    groups: dict[str, list[Row]] = {}
    for step in MEASURED:
        results = folder / f"{step}.json"
        if results.exists() and results.stat().st_size:  # empty where the step was cut short
            groups.update(rows_by_group(results))
        lines.append(f"| {step} | {outcome(folder, step)} | | | | |")
    for group, rows in groups.items():
        for row in rows:
            name = row["name"] if row["role"] != "ours" else "bioner_fast"
            cells = (
                f"{group.removeprefix('GPU: ')}: {name}",
                "measured",
                number(row["seconds"], 1e-3, 2),
                number(row.get("tokens_per_second"), 1e6, 2),
                number(row.get("bytes_per_second"), 1e9),
                share(row),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])))
