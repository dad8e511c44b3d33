"""The published experiments as lists of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Protocol

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.plan import Run, Study

# Shares of the first corpus in the study of sizes.
SIZES = (1.0, 0.5, 0.25, 0.1)
# The published auxiliary task of the dependent network.
AUXILIARY = "GENIA-pos"
# Corpora of the pairs that a closing run must contain.
REQUIRED_PAIRS = 3


class Known(Protocol):
    """What a study has to know of a corpus."""

    @property
    def name(self) -> str:
        """Of its folder."""

    @property
    def kind(self) -> str:
        """``ner`` or ``pos``."""

    @property
    def train_tokens(self) -> int:
        """Tokens of the training split."""


def chosen(names: Sequence[str], corpora: Sequence[Known]) -> list[Study]:
    """The studies called so; ``all`` stands for all that the corpora allow.

    Raises:
        UsageError: there is no such study.
        BionerError: the corpora do not suffice for one that is named.
    """
    every = "all" in names
    wanted = list(STUDIES) if every else list(dict.fromkeys(names))
    for name in names:
        if name not in STUDIES and name != "all":
            raise UsageError(f"there is no experiment {name}: expected {', '.join(STUDIES)}, all or report")
    found = [STUDIES[name](corpora) for name in wanted]
    for one in found:
        if not one.runs and not every:
            raise BionerError(f"experiment {one.name}: the corpora at hand do not suffice. {one.about}")
    return [one for one in found if one.runs]


def _entities(corpora: Sequence[Known]) -> tuple[str, ...]:
    return tuple(corpus.name for corpus in corpora if corpus.kind == "ner")


def single(corpora: Sequence[Known]) -> Study:
    """Every corpus alone, with both published networks."""
    runs = tuple(Run(model, (name,)) for model in ("mlp", "cnn") for name in _entities(corpora))
    return Study("single", "Single task", "Every corpus alone: MLP and CNN.", runs, runs)


def multi(corpora: Sequence[Known]) -> Study:
    """All entity corpora in one multi-output CNN."""
    names = _entities(corpora)
    runs = [] if len(names) < 2 else [Run("cnn", names, "multi-output", course=c) for c in COURSES]
    about = (
        "One multi-output CNN of all corpora with entities: for a number of steps, as published, and for as "
        "many passes over the data as single-task training makes."
    )
    return Study("multi", "Multi-output", about, tuple(runs), tuple(runs))


COURSES = ("published", "epochs")


def dependent(corpora: Sequence[Known]) -> Study:
    """Part-of-speech tagging first, then every corpus on top of it."""
    tagged = [corpus.name for corpus in corpora if corpus.kind == "pos"]
    first = next((name for name in tagged if name.startswith(AUXILIARY)), tagged[0] if tagged else None)
    runs = [Run("cnn", (first, name), "dependent") for name in _entities(corpora)] if first else []
    about = (
        f"A part-of-speech tagger ({AUXILIARY}) is trained first; the network of each corpus builds on it."
    )
    return Study("dependent", "Dependent", about, tuple(runs), tuple(runs))


def pairs(corpora: Sequence[Known]) -> Study:
    """Every two corpora in a multi-output CNN; one run gives both ordered pairs.

    The published training draws its batches from all rows of both corpora whatever their order, so that a
    pair and its reverse are the same training. Required are the pairs of the smallest corpora.
    """
    ranked = sorted((c for c in corpora if c.kind == "ner"), key=lambda c: (c.train_tokens, c.name))
    few = {corpus.name for corpus in ranked[:REQUIRED_PAIRS]}
    runs = [Run("cnn", pair, "multi-output") for pair in combinations(_entities(corpora), 2)]
    required = [run for run in runs if set(run.tasks) <= few]
    rest = [run for run in runs if run not in required]
    about = "A multi-output CNN of every two corpora, for a number of steps, as published."
    return Study("pairs", "Pairs", about, (*required, *rest), tuple(required))


def size(corpora: Sequence[Known]) -> Study:
    """A part of the first corpus, alone and with all of the others."""
    names = _entities(corpora)
    runs = []
    for percent in SIZES:
        for name in names:
            runs.append(Run("cnn", (name,), percent=percent))
            if len(names) > 1:
                runs.append(Run("cnn", _first(name, names, percent), "multi-output", percent))
    about = (
        "100, 50, 25 and 10 % of a corpus's training data (one contiguous slice), alone and together with "
        "all of the other corpora."
    )
    return Study("size", "Size of the training data", about, tuple(dict.fromkeys(runs)), ())


def _first(name: str, names: Sequence[str], percent: float) -> tuple[str, ...]:
    """All names, that of the cut corpus first; uncut, the order is that of the study ``multi``."""
    return tuple(names) if percent == 1 else (name, *(other for other in names if other != name))


def best(corpora: Sequence[Known]) -> Study:
    """The recommended model: every corpus alone, all in one, and from that one on each corpus."""
    names = _entities(corpora)
    runs = [Run("best", (name,)) for name in names]
    if len(names) > 1:  # the one that others wait for comes first
        tuned = [Run("best", (name,), base=names) for name in names]
        runs = [Run("best", names, "multi-output"), *tuned, *runs]
    about = (
        "The recommended model (or the recipe of --config): every corpus alone; one model of all; and that "
        "model trained further on each corpus alone (tuned)."
    )
    return Study("best", "Recommended model", about, tuple(runs), tuple(runs))


STUDIES: dict[str, Callable[[Sequence[Known]], Study]] = {
    "single": single, "multi": multi, "dependent": dependent, "pairs": pairs, "size": size, "best": best,
}  # fmt: skip
