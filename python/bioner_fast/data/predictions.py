"""Files of predictions: which column is gold and which predicted, and what their tags are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from bioner_fast.data.columns import GOLD
from bioner_fast.data.corpus import Corpus, Ids, Labels, read_labels
from bioner_fast.data.schemes import Scheme, convert, respelled, tag_counts, types_of, warn_strays
from bioner_fast.data.tag_names import NO_TYPE, TagReading, not_chunks, read_tags
from bioner_fast.data.tasks import normal_labels, normal_type, with_normal_types
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.log import logger

_UNNAMED = re.compile(r"column\d+")


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is scored.

    Attributes:
        gold: the tokens with their gold tags.
        ids, names: predicted tags: int32 ``[N]``, indices into the names.
    """

    gold: Corpus
    ids: Ids
    names: tuple[str, ...]


def load_predictions(
    path: str | os.PathLike[str],
    *,
    gold_column: str | None = None,
    predicted_column: str | None = None,
    normal_types: bool = False,
    parts_of_speech: bool = False,
) -> Predictions:
    """Read a file (``-``: standard input) of a token, gold and predicted tags a line.

    Where the file names its columns, as ``tag`` does, gold is the one called so and predicted that of the
    model; of several models the one that finds types of gold. Elsewhere they are the last two.

    Args:
        path: the file.
        gold_column, predicted_column: a column by number, counted from 1, or by name.
        normal_types: compare types by their normal names (``GGP`` and ``Protein`` are both ``gene``).
        parts_of_speech: tags that are none of chunks are taken as they are.

    Raises:
        UsageError: the columns are not there or leave a choice, or their tags are none of chunks.
        FormatError: as :meth:`Corpus.read`.
    """
    shown = "<stdin>" if os.fspath(path) == "-" else os.fspath(path)
    choice = _Choice(shown, gold_column, predicted_column)
    corpus, labels = read_labels(path, choice.columns)
    if corpus.n_tokens == 0:
        raise BionerError(f"{shown}: there is nothing to score: the file holds no tokens")
    sides = [corpus.with_tags(*found) for found in labels]
    gold, predicted = sides[0], sides[choice.chosen(sides)]
    readings = [read_tags(tag_counts([side])) for side in (gold, predicted)]
    if None in readings and parts_of_speech:
        return Predictions(gold, predicted.tag_ids, predicted.tag_names)
    for side, reading in zip((gold, predicted), readings, strict=True):
        if reading is None:
            tags = not_chunks(side.tag_names)
            raise UsageError(f"{shown}: its tags ({tags}) are not of the form B-type; use --scheme token")
        warn_strays(side, reading)
    gold, predicted = _alike(gold, predicted, readings, shown)
    labels_of: Labels = (predicted.tag_ids, predicted.tag_names)
    if normal_types:
        gold, labels_of = with_normal_types(gold), normal_labels(gold, labels_of)
    else:
        _warn_types(gold, predicted, shown)
    return Predictions(gold, labels_of[0].astype("int32", copy=False), labels_of[1])


class _Choice:
    """Which columns are read, gold first, and which of the others is scored."""

    def __init__(self, path: str, gold: str | None, predicted: str | None) -> None:
        self._path = path
        self._given = gold, predicted
        self._names: list[str] | None = None
        self._candidates: list[int] = []

    def columns(self, names: list[str] | None) -> list[int]:
        """The columns to read, from 0 (negative: from the right), for those that the file names."""
        self._names = names
        gold, predicted = (
            None if text is None else self._number(option, text)
            for option, text in zip(("--gold-column", "--predicted-column"), self._given, strict=True)
        )
        if names is None:
            if gold is None:
                gold = -2 if predicted is None else predicted - 1
                if gold == 0:
                    raise UsageError(
                        "--predicted-column: the gold tags stand before it; say where, --gold-column N"
                    )
            self._candidates = [-1 if predicted is None else predicted]
        else:
            if gold is None:
                gold = names.index(GOLD) if GOLD in names[1:] else None
            if gold is None:
                raise UsageError(
                    f"{self._path}: none of its columns ({self._listed()}) is called gold; "
                    "say --gold-column N"
                )
            models = [
                i for i, name in enumerate(names) if i not in (0, gold) and not _UNNAMED.fullmatch(name)
            ]
            self._candidates = models if predicted is None else [predicted]
            if not self._candidates:
                raise UsageError(
                    f"{self._path}: none of its columns ({self._listed()}) is a model's; "
                    "say --predicted-column N"
                )
        if gold in self._candidates:
            raise UsageError(f"--gold-column and --predicted-column are both column {gold + 1}")
        return [gold, *self._candidates]

    def chosen(self, sides: list[Corpus]) -> int:
        """Of the columns that were read the one to score."""
        if len(self._candidates) == 1:
            return 1
        assert self._names is not None
        wanted = {normal_type(kind) for kind in types_of(sides[0].tag_names)}
        fits = [
            i
            for i, side in enumerate(sides[1:], start=1)
            if wanted & {normal_type(kind) for kind in types_of(side.tag_names)}
        ]
        if len(fits) != 1:
            raise UsageError(
                f"{self._path}: several columns are predicted ({self._listed(self._candidates)}); "
                "say --predicted-column N"
            )
        name = self._names[self._candidates[fits[0] - 1]]
        logger.info("%s: the column %s is scored: only it has types of gold", self._path, name)
        return fits[0]

    def _number(self, option: str, text: str) -> int:
        if text.isdecimal() and int(text) >= 2:
            return int(text) - 1
        if self._names is not None and text in self._names[1:]:
            return self._names.index(text)
        known = "" if self._names is None else f" or a name ({self._listed()})"
        raise UsageError(f"{option} {text}: expected the number of a column, counted from 1, above 1{known}")

    def _listed(self, columns: list[int] | None = None) -> str:
        names = self._names or []
        return ", ".join(f"{i + 1} {names[i]}" for i in columns or range(len(names)))


def _alike(
    gold: Corpus, predicted: Corpus, readings: list[TagReading | None], path: str
) -> tuple[Corpus, Corpus]:
    """Both sides with their tags spelled; one without types takes the other's, or both go without."""
    sides = []
    for side, reading in zip((gold, predicted), readings, strict=True):
        assert reading is not None
        sides.append(respelled(side, reading))
    kinds = [types_of(side.tag_names) for side in sides]
    bare = [found == (NO_TYPE,) for found in kinds]
    if bare[0] == bare[1] or not all(kinds):
        return sides[0], sides[1]
    typed = kinds[bare.index(False)]
    name = typed[0] if len(typed) == 1 else NO_TYPE
    if len(typed) > 1:
        logger.warning(
            "%s: the %s tags have no types; entities are compared without",
            path,
            "gold" if bare[0] else "predicted",
        )
    return _of_one_type(sides[0], name), _of_one_type(sides[1], name)


def _of_one_type(corpus: Corpus, name: str) -> Corpus:
    corpus = convert(corpus, Scheme.IOB2)  # neighbours of two types stay two chunks
    spelled = {tag: tag if tag == "O" else f"{tag[0]}-{name}" for tag in corpus.tag_names}
    return respelled(corpus, TagReading(spelled, (), False))


def _warn_types(gold: Corpus, predicted: Corpus, path: str) -> None:
    ours, theirs = types_of(gold.tag_names), types_of(predicted.tag_names)
    if set(ours) & set(theirs) or not {*map(normal_type, ours)} & {*map(normal_type, theirs)}:
        return
    logger.warning(
        "%s: gold and predicted tags have no type in common (%s; %s), but by normal names they have: "
        "--normal-types",
        path,
        ", ".join(ours[:3]),
        ", ".join(theirs[:3]),
    )
