"""From results to figures: means and deviations over seeds, replication maxima, significance."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioner_fast.experiments.counts import SentenceCounts, unpack
from bioner_fast.experiments.plan import Run
from bioner_fast.experiments.significance import Comparison, approximate_randomisation


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure over seeds.

    Example:
        >>> str(Figure((80.0, 82.0))), str(Figure((80.0,))), str(Figure(()))
        ('81.00 ± 1.41', '80.00', 'not run')
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds; there has to be one."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation, None for fewer than two seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __bool__(self) -> bool:
        return bool(self.values)

    def __str__(self) -> str:
        if not self.values:
            return "not run"
        deviation = self.deviation
        return f"{self.mean:.2f}" if deviation is None else f"{self.mean:.2f} ± {deviation:.2f}"


class Results:
    """Results of runs, looked up by what was run.

    Args:
        results: as :meth:`Store.results` gives them.
    """

    def __init__(self, results: Iterable[Mapping[str, Any]]) -> None:
        self.by_run: dict[Run, Mapping[str, Any]] = {}
        for result in sorted(results, key=lambda r: str(r.get("finished", ""))):
            self.by_run[result["run"]] = result  # of two the later one
        self.by_cell: dict[Run, dict[int, Mapping[str, Any]]] = {}
        for run, result in self.by_run.items():
            self.by_cell.setdefault(run.cell(), {})[run.seed] = result
        self.counts_of = functools.cache(self._counts_of)

    def __len__(self) -> int:
        return len(self.by_run)

    def seeds(self, cell: Run | None) -> dict[int, Mapping[str, Any]]:
        """Results by seed of the runs like ``cell``."""
        found = {} if cell is None else self.by_cell.get(cell.cell(), {})
        return dict(sorted(found.items()))

    def score(
        self,
        cell: Run | None,
        task: str,
        split: str = "test",
        measure: str = "f1",
        seeds: Collection[int] | None = None,
    ) -> Figure:
        """A score of a task over all seeds, or over some."""
        found = self.seeds(cell)
        taken = [found[seed] for seed in found if seeds is None or seed in seeds]
        scores = [result["scores"].get(task, {}).get(split, {}) for result in taken]
        return Figure(tuple(score[measure] for score in scores if measure in score))

    def fact(self, cell: Run | None, name: str) -> Figure:
        """A number of the run as a whole, as ``seconds``; resumed runs have no telling time."""
        results = self.seeds(cell).values()
        return Figure(tuple(float(r[name]) for r in results if name in r and not r.get("resumed")))

    def maximum(self, cell: Run | None, task: str) -> Figure:
        """Replication of the published readout: the highest test F1 of all evaluations of a run."""
        found = []
        for result in self.seeds(cell).values():
            values = [record["test"][task] for record in result["history"] if task in record.get("test", {})]
            if values:
                found.append(max(values))
        return Figure(tuple(found))

    def compare(self, ours: Run | None, theirs: Run | None, task: str) -> Comparison | None:
        """Significance of the difference on a task's test split, over the seeds that both have.

        None where there is no such seed, or the results hold no counts of the same test split.
        """
        left, right = self.seeds(ours), self.seeds(theirs)
        seeds = tuple(seed for seed in left if seed in right)
        if ours is None or theirs is None or not seeds:
            return None
        if any(not _same_test(left[seed], right[seed], task) for seed in seeds):
            return None
        sums = [self.counts_of(cell.cell(), seeds, task) for cell in (ours, theirs)]
        if sums[0] is None or sums[1] is None or sums[0].shape != sums[1].shape:
            return None
        return approximate_randomisation(sums[0], sums[1])

    def _counts_of(self, cell: Run, seeds: Sequence[int], task: str) -> SentenceCounts | None:
        """Counts per sentence, summed over seeds."""
        packed = [
            self.by_cell[cell][seed].get("counts_per_sentence", {}).get("test", {}).get(task)
            for seed in seeds
        ]
        if not packed or any(text is None for text in packed):
            return None
        total: SentenceCounts = np.sum([unpack(text) for text in packed], axis=0, dtype=np.int64)
        return total


def _same_test(left: Mapping[str, Any], right: Mapping[str, Any], task: str) -> bool:
    digests = [result.get("corpora", {}).get(task, {}).get("test") for result in (left, right)]
    return digests[0] is not None and digests[0] == digests[1]
