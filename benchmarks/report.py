"""Turn the JSON of pytest-benchmark into a Markdown table and an SVG chart, group by group.

python benchmarks/report.py runs/benchmarks.json --out docs/benchmarks
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_by_group(results: Path) -> dict[str, list[Row]]:
    """Each benchmark's name, median seconds and notes; ours first in each group.

    A benchmark that notes no `role` is told by its name: one called after this package is ours, the others
    of its group are then peers, called after their parameters or function.
    """
    items: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in json.loads(results.read_text())["benchmarks"]:
        items[item["group"] or item["name"]].append(item)
    groups: dict[str, list[Row]] = {}
    for group, members in items.items():
        named = [any(word in member["name"] for word in ("bioner_fast", "ours")) for member in members]
        rows = groups[group] = []
        for member, is_named in zip(members, named, strict=True):
            seconds = member["stats"]["median"]
            role = "ours" if is_named or not any(named) else "peer"
            notes = {"role": role, **member.get("extra_info", {})}
            function, _, case = member["name"].removeprefix("test_").partition("[")
            own = (
                "bioner_fast" if notes["role"] == "ours" else (case.rstrip("]") or function.replace("_", " "))
            )
            if "tokens" in notes:
                notes.setdefault("tokens_per_second", notes["tokens"] / seconds)
            rows.append({"name": notes.get("peer") or own, "seconds": seconds, **notes})
        rows.sort(key=lambda row: (row["role"] != "ours", row["seconds"]))
    return groups


def times_ours(row: Row, ours: Row | None) -> str:
    """How much longer `row` takes than `ours`: for a token, where both say how many there were."""
    if ours is None or row["role"] == "ours":
        return ""
    if row.get("tokens") and ours.get("tokens"):
        return f"{row['seconds'] / row['tokens'] / (ours['seconds'] / ours['tokens']):,.2f}"
    return f"{row['seconds'] / ours['seconds']:,.2f}"


def number(value: float | None, unit: float = 1.0, digits: int = 1) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def times(row: Row, ours: Row) -> float:
    if row.get("tokens_per_second") and ours.get("tokens_per_second"):
        return float(ours["tokens_per_second"] / row["tokens_per_second"])
    return float(row["seconds"] / ours["seconds"])


def table(groups: dict[str, list[Row]]) -> str:
    """Markdown. "times ours" is how much longer the peer takes: for a token where tokens are counted."""
    lines = [
        "| group | who | threads | median ms | million tokens/s | GB/s | copy share | times ours |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for group, rows in groups.items():
        ours = next((r for r in rows if r["role"] == "ours"), None)
        for row in rows:
            share = row.get("copy_share")
            cells = [
                group,
                row["name"],
                str(row.get("threads", "")),
                number(row["seconds"], 1e-3, 2),
                number(row.get("tokens_per_second"), 1e6, 2),
                number(row.get("bytes_per_second"), 1e9, 1),
                "" if share is None else f"{share:.0%}",
                times_ours(row, ours),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def chart(groups: dict[str, list[Row]]) -> str:
    """SVG bars of tokens/s, each group scaled to its fastest."""
    bar, gap, left, width = 16, 5, 230, 420
    parts: list[str] = []
    y = 10
    for group, rows in groups.items():
        speeds = [row.get("tokens_per_second") or 1 / row["seconds"] for row in rows]
        parts.append(f'<text x="10" y="{y + 12}" font-weight="bold">{escape(group)}</text>')
        y += 20
        for row, speed in zip(rows, speeds, strict=True):
            length = max(1.0, width * speed / max(speeds))
            colour = "#2563eb" if row["role"] == "ours" else "#9ca3af"
            label = f"{speed:,.0f} tokens/s" if row.get("tokens_per_second") else f"{speed:,.2f} runs/s"
            parts += [
                f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row["name"])}</text>',
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" fill="{colour}"/>',
                f'<text x="{left + length + 6:.1f}" y="{y + 12}">{label}</text>',
            ]
            y += bar + gap
        y += 12
    total = left + width + 190
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{y}" viewBox="0 0 {total} {y}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for table.md and chart.svg")
    options = parser.parse_args()
    groups = rows_by_group(options.results)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(table(groups))
    (options.out / "chart.svg").write_text(chart(groups))
    print(f"{options.out / 'table.md'} and {options.out / 'chart.svg'}: {len(groups)} groups")


if __name__ == "__main__":
    main()
