"""Scoring predicted tags against gold ones: by chunk, lenient (conlleval) or strict, and by token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.corpus import Corpus, Labels
from bioner_fast.data.schemes import Scheme, detect_scheme, is_tag_scheme
from bioner_fast.errors import UsageError

RULES = ("conlleval", "strict", "token")
# Codes of the prefixes E and S.
_ONLY_IOBES = (3, 4)
# Tags of a side: ids [N]; of each name its prefix, type, number among all names, and row.
_Side = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives, and what follows from them (percentages).

    Example:
        >>> Counts(tp=3, fp=1, fn=3).f1
        60.0
    """

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        return _percent(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _percent(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        return _percent(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def to_json(self) -> dict[str, float | int]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
        }


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome of :func:`score`.

    Attributes:
        scheme: the rule: ``conlleval``, ``strict`` or ``token``.
        overall: counts over all types.
        types: counts per entity type (per tag for part-of-speech tags) that is found on either side, by name.
        n_tokens: tokens scored.
        n_correct: tokens whose predicted tag is the gold one.
    """

    scheme: str
    overall: Counts
    types: Mapping[str, Counts]
    n_tokens: int
    n_correct: int

    @property
    def accuracy(self) -> float:
        """Percentage of tokens whose tag is right."""
        return _percent(self.n_correct, self.n_tokens)

    @property
    def precision(self) -> float:
        return self.overall.precision

    @property
    def recall(self) -> float:
        return self.overall.recall

    @property
    def f1(self) -> float:
        return self.overall.f1

    def to_json(self) -> dict[str, Any]:
        """The object that ``evaluate --json`` prints."""
        return {
            "scheme": self.scheme,
            "accuracy": self.accuracy,
            "overall": self.overall.to_json(),
            "types": {name: counts.to_json() for name, counts in self.types.items()},
        }

    def rows(self) -> list[list[str]]:
        """The table for people: name, precision, recall, F1, gold, predicted, correct."""
        names = [*self.types.items(), ("overall", self.overall)]
        return [
            [
                name,
                *(f"{value:.2f}" for value in (counts.precision, counts.recall, counts.f1)),
                *(f"{value:,}" for value in (counts.tp + counts.fn, counts.tp + counts.fp, counts.tp)),
            ]
            for name, counts in names
        ]


TABLE_COLUMNS = ("type", "precision", "recall", "F1", "gold", "predicted", "correct")


def score(
    gold: Corpus | Labels,
    predicted_ids: npt.NDArray[np.integer[Any]],
    predicted_names: tuple[str, ...],
    sentence_offsets: npt.NDArray[np.int64] | None = None,
    scheme: str = "conlleval",
) -> Score:
    """Score predicted tags.

    Args:
        gold: a corpus, or (ids ``[N]``, names).
        predicted_ids: ``[N]`` integers, indices into ``predicted_names``.
        predicted_names: tags; they may be other ones than the gold names.
        sentence_offsets: int64 ``[S + 1]``; by default the corpus's.
        scheme: ``conlleval``: chunks by the lenient rules, any sequence has chunks. ``strict``: only chunks
            that are well-formed, each side's in its own scheme: of the predictions, that of the gold tags,
            IOB2 or IOBES, whichever the fewest of their tags break, in doubt that of the gold tags.
            ``token``: tokens by type, whatever the prefix; for part-of-speech tags by tag, and overall over
            all tokens.

    Raises:
        UsageError: no such rule.
        ValueError: the lengths differ, or an id is out of range.

    Example:
        >>> gold = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")]])
        >>> score(gold, np.array([0, 0]), ("B-Gene",)).to_json()["overall"]["precision"]
        50.0
    """
    if scheme not in RULES:
        raise UsageError(f"unknown scoring scheme {scheme!r}: expected {', '.join(RULES)}")
    if isinstance(gold, Corpus):
        gold_ids, gold_names = gold.tag_ids, gold.tag_names
        offsets = gold.sentence_offsets if sentence_offsets is None else sentence_offsets
    else:
        gold_ids, gold_names = np.asarray(gold[0], dtype=np.int32), gold[1]
        if sentence_offsets is None:
            raise TypeError("sentence_offsets: needed unless gold is a corpus")
        offsets = sentence_offsets
    if len(predicted_ids) != len(gold_ids):
        raise ValueError(
            f"predicted_ids: expected {len(gold_ids)}, one per gold tag, got {len(predicted_ids)}"
        )
    names = tuple(dict.fromkeys((*gold_names, *predicted_names)))
    chunk_tags = is_tag_scheme(names)
    types = tuple(dict.fromkeys(kind for kind in map(_conlleval_type, names) if kind))
    rows = types if chunk_tags else names
    index = {name: i for i, name in enumerate(names)}

    def side(ids: npt.NDArray[np.integer[Any]], tags: tuple[str, ...]) -> _Side:
        prefix, kind = _conlleval_table(tags, types)
        name = np.array([index[tag] for tag in tags], dtype=np.int32)
        key = kind if chunk_tags else name
        return np.ascontiguousarray(ids, dtype=np.int32), prefix, kind, name, key

    mine, theirs = side(gold_ids, gold_names), side(predicted_ids, predicted_names)
    offsets = np.ascontiguousarray(offsets)
    own = detect_scheme(gold_names, gold if isinstance(gold, Corpus) else None) or Scheme.IOB2
    counts, n_correct = _text.score_tags(mine, theirs, offsets, len(types), scheme, own.code, len(rows))
    if scheme == "strict":
        other = _scheme_of(theirs, offsets, own)
        if other is not own:
            counts = _compare(
                _strict_chunks(mine, offsets, own, len(types)),
                _strict_chunks(theirs, offsets, other, len(types)),
                len(types),
            )
    # Row n_types is the empty type, which no chunk tag here has; what conlleval finds there is no entity.
    per_type = {
        name: Counts(*counts[i].tolist()) for i, name in enumerate(rows if scheme == "token" else types)
    }
    overall = Counts(*(int(total) for total in counts[: len(per_type)].sum(axis=0)))
    # A type of the tag set that neither side has here is not listed: a file of predictions does not know it.
    seen = {name: found for name, found in sorted(per_type.items()) if found.tp or found.fp or found.fn}
    return Score(scheme, overall, seen, len(gold_ids), n_correct)


def _scheme_of(side: _Side, offsets: npt.NDArray[np.int64], gold: Scheme) -> Scheme:
    """Of ``gold``, IOB2 and IOBES the scheme that the fewest tags of a side break, in doubt ``gold``."""
    ids, prefix, kind, *_ = side
    foreign = int(np.isin(prefix, _ONLY_IOBES)[ids].sum())  # no scheme calls them illegal

    def broken(scheme: Scheme) -> tuple[int, bool]:
        illegal: int = _text.find_illegal_tags(ids, offsets, prefix, kind, scheme.code)[0]
        return illegal + (0 if scheme is Scheme.IOBES else foreign), scheme is not gold

    # Not IOB1 unless gold is: it would make chunks of all that ill-formed IOB2 begins with I.
    return min((gold, Scheme.IOB2, Scheme.IOBES), key=broken)


def _strict_chunks(
    side: _Side, offsets: npt.NDArray[np.int64], scheme: Scheme, n_types: int
) -> npt.NDArray[np.int64]:
    """The well-formed chunks of a side, a number each; its remainder by ``n_types`` is the type."""
    ids, prefix, kind, *_ = side
    start, end, types = _text.find_spans(ids, offsets, prefix, kind, True, scheme.code)
    chunks: npt.NDArray[np.int64] = ((start * (ids.size + 1) + end) * n_types + types)[types >= 0]
    return chunks


def _compare(
    gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], n_types: int
) -> npt.NDArray[np.int64]:
    """Right, too many and missed, of every type: int64 ``[n_types, 3]``."""
    both = np.intersect1d(gold, predicted, assume_unique=True)
    right, found, wanted = (
        np.bincount(chunks % n_types, minlength=n_types) for chunks in (both, predicted, gold)
    )
    return np.stack((right, found - right, wanted - right), axis=1)


def _conlleval_type(tag: str) -> str:
    """All after the first hyphen, whatever stands before it."""
    return tag.partition("-")[2]


def _conlleval_table(
    tags: tuple[str, ...], types: tuple[str, ...]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    index = {kind: i for i, kind in enumerate(types)}
    prefixes = []
    for tag in tags:
        head = tag.partition("-")[0]
        prefixes.append("OBIES".index(head) if head in ("O", "B", "I", "E", "S") else 5)
    kinds = [index.get(_conlleval_type(tag), -1) for tag in tags]
    return np.array(prefixes, dtype=np.uint8), np.array(kinds, dtype=np.int32)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
