"""Two runs on the same sentences: whether their F1 differ by more than chance, by task and type."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioner_fast.data.corpus import Corpus, Labels, read_predictions
from bioner_fast.data.schemes import Scheme, convert, is_tag_scheme, types_of
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.counts import sentence_counts
from bioner_fast.experiments.significance import approximate_randomisation, f1

_SPLITS = ("test", "devel")


@dataclass(frozen=True, slots=True)
class Difference:
    """A task, or one of its types.

    Attributes:
        first, second: F1 of the two runs, in percent.
        difference: of the first less the second, in points.
        p: probability of a difference at least as large if the runs were exchangeable.
        sentences: how many have different counts; the others have no say.
    """

    first: float
    second: float
    difference: float
    p: float
    sentences: int


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """Both runs on one task: over all types, and by type."""

    overall: Difference
    types: dict[str, Difference]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def compare_runs(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    split: str = "test",
    shuffles: int = 10_000,
    seed: int = 1,
) -> dict[str, TaskComparison]:
    """Compare two runs on the entity tasks that both have predictions of (``predictions/TASK.SPLIT.tsv``).

    Args:
        first, second: folders that ``train`` left.
        split: ``test`` or ``devel``.
        shuffles: of the test by approximate randomisation; p is at least ``1 / (shuffles + 1)``.
        seed: of the shuffles.

    Raises:
        UsageError: there is no such split, or no entity task that both runs have.
        BionerError: a folder is no run, or the runs were scored on other sentences or gold tags.
    """
    if split not in _SPLITS:
        raise UsageError(f"--split: expected {' or '.join(_SPLITS)}, found {split!r}")
    files = [_predictions(Path(run), split) for run in (first, second)]
    common = [task for task in files[0] if task in files[1]]
    found = {}
    for task in common:
        sides = [read_predictions(where[task]) for where in files]
        if not all(is_tag_scheme(corpus.tag_names) for corpus, _, _ in sides):
            continue  # parts of speech have no entities
        (gold, ids, names), (other, other_ids, other_names) = sides
        _check_alike(gold, other, str(files[0][task]), str(files[1][task]))
        ours, theirs = (ids, names), (other_ids, other_names)
        wanted = dict.fromkeys((None, *sorted(types_of((*gold.tag_names, *names, *other_names)))))
        lines = {kind: _line(gold, ours, theirs, kind, shuffles, seed) for kind in wanted}
        found[task] = TaskComparison(
            lines[None], {kind: line for kind, line in lines.items() if kind is not None}
        )
    if not found:
        raise UsageError(f"{first} and {second} have no entity task in common that both scored on {split}")
    return found


def _predictions(run: Path, split: str) -> dict[str, Path]:
    folder = run / "predictions"
    if not folder.is_dir():
        raise BionerError(f"{run}: expected the folder of a run, with predictions/; found none")
    ending = f".{split}.tsv"
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}"))}


def _check_alike(ours: Corpus, theirs: Corpus, first: str, second: str) -> None:
    same = ours.tokens == theirs.tokens and np.array_equal(ours.sentence_offsets, theirs.sentence_offsets)
    if not same or convert(ours, Scheme.IOB2).tags() != convert(theirs, Scheme.IOB2).tags():
        what = "gold tags" if same else "sentences"
        raise BionerError(f"{first} and {second} have other {what}; runs are compared on the same text")


def _line(
    gold: Corpus, ours: Labels, theirs: Labels, kind: str | None, shuffles: int, seed: int
) -> Difference:
    counts = [
        sentence_counts((gold.tag_ids, gold.tag_names), side, gold.sentence_offsets, kind)
        for side in (ours, theirs)
    ]
    result = approximate_randomisation(counts[0], counts[1], shuffles=shuffles, seed=seed)
    first, second = (f1(side.sum(axis=0)) for side in counts)
    return Difference(first, second, result.difference, result.p, result.n_sentences)
