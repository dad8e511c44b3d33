"""The rest of the document as evidence: abbreviations that it defines, and names that come again.

The network sees a sentence. What a document says elsewhere is used in three steps, head by head:

1. A name that is found under several types has one of them: the one with the largest sum of scores.
2. A name that is found elsewhere, and surely, is an entity where the network thought it possible. One that
   is not found at another place, and is less than certain here, is none.
3. An abbreviation has the type of its long form, from one definition to the next; if the long form touches no
   entity, it is none either.

Last, names that are younger than all corpora are what they are (:func:`young_names`).

The figures were chosen on 154 of BioRED's training documents that were kept apart as devel (`docs/tagging.md`
says what each step brings). Everything here is of one document, so results do not depend on what documents
come together, and memory grows with the tokens of a batch only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.names import Repeats, find_repeats
from bioner_fast.tagging.calibration import calibrated
from bioner_fast.tagging.predict import Found
from bioner_fast.tagging.scores import span_scores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# What a name has to score elsewhere, on average, and here, to be added.
SURE = 0.8
POSSIBLE = 0.1
# What an entity has to score to stay where the same name stands elsewhere and is none.
CERTAIN = 0.9


_YOUNG = re.compile(
    r"\b(?:(?P<disease>COVID-?19|Covid-?19|COVID(?!-?\d)|2019 novel coronavirus disease)"
    r"|(?P<species>SARS-?CoV-?2|2019-nCoV))\b"
)


def young_names(text: str) -> list[tuple[int, int, str]]:
    """Names that came up after the corpora were annotated: code-point offsets and types.

    Example:
        >>> young_names("COVID-19 and SARS-CoV-2")
        [(0, 8, 'disease'), (13, 23, 'species')]
    """
    if "CoV" not in text and "COVID" not in text and "Covid" not in text:
        return []
    return [(*match.span(), str(match.lastgroup)) for match in _YOUNG.finditer(text)]


def use_context(
    found: Sequence[Found],
    emissions: Mapping[str, Tensor],
    tokens: StringColumn,
    sentence_offsets: Ints,
    document_offsets: Ints,
    abbreviations: Ints,
    calibration: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    ranked: bool = False,
    known: Sequence[tuple[int, int, str]] = (),
) -> list[Found]:
    """What the heads found, in the light of the whole documents.

    Args:
        found: of every head; entities by ascending start.
        emissions: log-probabilities [N, K] of every head.
        tokens: [N].
        sentence_offsets, document_offsets: int64, token numbers.
        abbreviations: int64 [A, 4], from :func:`find_abbreviations`.
        calibration: of the bundle.
        ranked: of several heads that know the long form the first one gives the type, else the surest.
        known: tokens and types of names that are what they are in any text.
    """
    heads = [
        _HeadEntities(one, emissions[one.head.name], sentence_offsets, calibration.get(one.head.name, {}))
        for one in found
        if one.head.kind == "ner"
    ]
    starts = np.concatenate([*(head.start for head in heads), abbreviations[:, 0]])
    ends = np.concatenate([*(head.end for head in heads), abbreviations[:, 1]])
    order = np.argsort(starts, kind="stable")
    names = find_repeats(tokens, document_offsets, starts[order], ends[order])
    if len(names.start):
        groups = int(max(names.group.max(), names.occurrence_group.max())) + 1
        for head in heads:
            head.same_names(names, groups)
        if len(abbreviations):
            short = names.group[np.argsort(order)][-len(abbreviations) :]
            _abbreviations(heads, names, short, abbreviations, ranked)
    for start, end, kind in known:
        _settle(heads, start, end, kind)
    changed = {head.found.head.name: head.result() for head in heads}
    return [changed.get(one.head.name, one) for one in found]


class _HeadEntities:
    """The entities of one head, while they change. Starts ascend, and no two overlap."""

    def __init__(
        self,
        found: Found,
        emissions: Tensor,
        sentence_offsets: Ints,
        calibration: Mapping[str, tuple[float, float]],
    ) -> None:
        self.found = found
        self.start, self.end = found.start, found.end
        self.kind, self.score = found.type_id, found.score
        self._emissions = emissions
        self._sentence_offsets = sentence_offsets
        self._calibration = calibration

    def result(self) -> Found:
        return dataclasses.replace(
            self.found, start=self.start, end=self.end, type_id=self.kind, score=self.score
        )

    def at(self, start: Ints, end: Ints) -> Ints:
        """The number of the entity that is exactly there, -1 if none is."""
        place = np.searchsorted(self.start, start)
        inside = np.minimum(place, max(len(self.start) - 1, 0))
        if len(self.start) == 0:
            return np.full(len(start), -1, np.int64)
        exact = (self.start[inside] == start) & (self.end[inside] == end)
        return np.where(exact, inside, -1)

    def touched(self, start: Ints, end: Ints) -> Bools:
        """Whether an entity shares a token with a span."""
        return np.searchsorted(self.end, start, "right") < np.searchsorted(self.start, end)

    def marginals(self, start: Ints, end: Ints, kind: Ints) -> Floats:
        """Scores of spans, by ascending start, that do not overlap."""
        offsets = self._sentence_offsets
        sentence = np.searchsorted(offsets, start, "right") - 1
        chosen, place = np.unique(sentence, return_inverse=True)
        sizes = offsets[chosen + 1] - offsets[chosen]
        part = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.arange(part[-1]) + np.repeat(offsets[chosen] - part[:-1], sizes)
        shift = (part[:-1] - offsets[chosen])[place]
        with torch.inference_mode():
            emissions = self._emissions[torch.from_numpy(rows)]
            scores = span_scores(self.found.head, emissions, part, start + shift, end + shift, kind)
        return calibrated(scores, kind, self.found.head.tagset.types, self._calibration)

    def same_names(self, names: Repeats, groups: int) -> None:
        """Steps 1 and 2."""
        start, end, group = names.start, names.end, names.occurrence_group
        entity = self.at(start, end)
        hit = entity >= 0
        weight = np.zeros((groups, len(self.found.head.tagset.types)))
        count = np.zeros(weight.shape, np.int64)
        np.add.at(weight, (group[hit], self.kind[entity[hit]]), self.score[entity[hit]])
        np.add.at(count, (group[hit], self.kind[entity[hit]]), 1)
        best = weight.argmax(1)
        number = np.arange(groups)
        mean = weight[number, best] / np.maximum(count[number, best], 1)
        other = hit & (self.kind[np.maximum(entity, 0)] != best[group]) if len(self.kind) else hit
        # Names across sentences have no marginal.
        possible = ~hit & (mean[group] >= SURE) & self._within(start, end)
        possible[possible] = ~self.touched(start[possible], end[possible])
        asked = np.flatnonzero(other | possible)
        asked = asked[_apart(start[asked], end[asked])]
        if len(asked):
            self._adopt(start, end, group, entity, asked, other, best, mean)
        entity = self.at(start, end)
        bare = (entity < 0) & ~self.touched(start, end)
        doubted = np.bincount(group[bare], minlength=groups) > 0
        gone = entity[(entity >= 0) & doubted[group]]
        self.drop(gone[self.score[gone] < CERTAIN].tolist())

    def _adopt(
        self,
        start: Ints,
        end: Ints,
        group: Ints,
        entity: Ints,
        asked: Ints,
        other: Bools,
        best: Ints,
        mean: Floats,
    ) -> None:
        """Give the occurrences ``asked`` the type of their group: a new type, or being an entity at all."""
        kind = best[group[asked]]
        own = self.marginals(start[asked], end[asked], kind)
        score = (own + mean[group[asked]]) / 2
        relabel = other[asked]
        self.kind, self.score = self.kind.copy(), self.score.copy()
        self.kind[entity[asked[relabel]]] = kind[relabel]
        self.score[entity[asked[relabel]]] = score[relabel]
        new = ~relabel & (own >= POSSIBLE)
        self.add(start[asked[new]], end[asked[new]], kind[new], score[new])

    def _within(self, start: Ints, end: Ints) -> Bools:
        """Whether spans lie in one sentence."""
        offsets = self._sentence_offsets
        within: Bools = np.searchsorted(offsets, start, "right") == np.searchsorted(offsets, end - 1, "right")
        return within

    def add(self, start: Ints, end: Ints, kind: Ints, score: Floats) -> None:
        """More entities, that touch none there is."""
        if len(start):
            columns = [np.concatenate([self.start, start]), np.concatenate([self.end, end])]
            order = np.argsort(columns[0], kind="stable")
            self.start, self.end = columns[0][order], columns[1][order]
            self.kind = np.concatenate([self.kind, kind])[order]
            self.score = np.concatenate([self.score, score])[order]

    def drop(self, numbers: Sequence[int]) -> None:
        """Fewer entities."""
        if numbers:
            keep = np.ones(len(self.start), bool)
            keep[list(numbers)] = False
            self.start, self.end = self.start[keep], self.end[keep]
            self.kind, self.score = self.kind[keep], self.score[keep]


def _apart(start: Ints, end: Ints) -> Ints:
    """Numbers of spans, by ascending start, that do not overlap: the first, then the next behind it."""
    if len(start) == 0 or bool((end[:-1] <= start[1:]).all()):
        return np.arange(len(start))
    chosen, behind = [], -1
    for number, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        if a >= behind:
            chosen.append(number)
            behind = b
    return np.array(chosen, np.int64)


def _settle(heads: Sequence[_HeadEntities], start: int, end: int, kind: str) -> None:
    """Make a span an entity of a type, in the first head that knows that; nothing else may lie in it."""
    left = True
    for head in heads:
        types = head.found.head.tagset.types
        touching = np.flatnonzero((head.start < end) & (head.end > start))
        inside = (head.start[touching] >= start) & (head.end[touching] <= end)
        head.drop(touching[inside].tolist())
        if left and kind in types and bool(inside.all()):
            one = np.array([start]), np.array([end]), np.array([types.index(kind)])
            head.add(*one, np.array([CERTAIN]))
            left = False


def _abbreviations(
    heads: Sequence[_HeadEntities], names: Repeats, groups: Ints, abbreviations: Ints, ranked: bool
) -> None:
    """Step 3.

    Args:
        heads: are changed.
        names: the occurrences.
        groups: int64 [A], the group of each short form.
        abbreviations: int64 [A, 4].
        ranked: whether an earlier head goes before a surer one.
    """
    long_start, long_end = abbreviations[:, 2], abbreviations[:, 3]
    touched = np.zeros(len(abbreviations), bool)
    owner = np.full(len(abbreviations), -1)
    kind = np.zeros(len(abbreviations), np.int64)
    score = np.zeros(len(abbreviations))
    for number, head in enumerate(heads):
        touched |= head.touched(long_start, long_end)
        if len(head.start) == 0:
            continue
        # The entity that ends where the long form does, if it is all of that.
        place = np.minimum(np.searchsorted(head.end, long_end), len(head.end) - 1)
        whole = (head.end[place] == long_end) & (head.start[place] <= long_start)
        better = whole & ((owner < 0) if ranked else (head.score[place] > score))
        owner[better], kind[better], score[better] = (
            number,
            head.kind[place[better]],
            head.score[place[better]],
        )
    # Occurrences belong to the last definition before them (the first one, if none is).
    order = np.lexsort((abbreviations[:, 0], groups))
    keys = groups[order] * (int(names.start.max()) + 1) + abbreviations[order, 0]
    chosen = np.flatnonzero(np.isin(names.occurrence_group, groups))
    start, end, group = names.start[chosen], names.end[chosen], names.occurrence_group[chosen]
    found = np.searchsorted(keys, group * (int(names.start.max()) + 1) + start, "right") - 1
    first = np.searchsorted(groups[order], group)
    definition = order[np.maximum(found, first)]
    for number, head in enumerate(heads):
        entity = head.at(start, end)
        mine = owner[definition] == number
        nothing = (owner[definition] < 0) & ~touched[definition]
        another = (owner[definition] >= 0) & ~mine
        changed = mine & (entity >= 0)
        head.kind, head.score = head.kind.copy(), head.score.copy()
        head.kind[entity[changed]] = kind[definition[changed]]
        head.score[entity[changed]] = np.maximum(head.score[entity[changed]], score[definition[changed]])
        gone = entity[(nothing | another) & (entity >= 0)].tolist()
        new = np.flatnonzero(mine & (entity < 0))
        new = new[~head.touched(start[new], end[new])]
        new = new[_apart(start[new], end[new])]
        added = start[new], end[new], kind[definition[new]], score[definition[new]]
        head.drop(gone)
        head.add(*added)
