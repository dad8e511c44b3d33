"""What several heads that know a type say together of an entity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.tagging.calibration import calibrated
from bioner_fast.tagging.predict import Found
from bioner_fast.tagging.scores import span_scores

Ints = NDArray[np.int64]


def pool_heads(
    found: Sequence[Found],
    emissions: Mapping[str, Tensor],
    sentence_offsets: Ints,
    names: Mapping[str, str],
    calibration: Mapping[str, Mapping[str, tuple[float, float]]],
) -> list[Found]:
    """Scores as the mean over all heads that know the type.

    Of a model of several corpora that tags as one, many heads may know genes. The score of an entity that one
    of them found becomes the mean of what each of these heads gives to it (under all of its types with that
    normal name), so that one sure head among doubtful ones does not settle an overlap.

    Args:
        found: of every head.
        emissions: log-probabilities [N, K] of every head.
        sentence_offsets: int64 [S+1].
        names: normal names by type.
        calibration: of the bundle.
    """
    heads = [one for one in found if one.head.kind == "ner" and len(one.head.tagset.types)]
    normal = [np.array([names.get(kind, kind) for kind in one.head.tagset.types]) for one in heads]
    total = [one.score.copy() for one in heads]
    asked = [np.ones(len(one.score)) for one in heads]
    for other, kinds in zip(heads, normal, strict=True):
        # All that the others found of its types, each place and type once.
        wanted: dict[tuple[int, int, str], list[tuple[int, int]]] = {}
        for number, one in enumerate(heads):
            if one is other:
                continue
            named = normal[number][one.type_id] if len(one.type_id) else np.zeros(0, normal[number].dtype)
            for i in np.flatnonzero(np.isin(named, kinds)).tolist():
                key = int(one.start[i]), int(one.end[i]), str(named[i])
                wanted.setdefault(key, []).append((number, i))
        for layer in _layers(sorted(wanted)):
            start, end = (np.array([span[k] for span in layer], np.int64) for k in (0, 1))
            mass = np.zeros(len(layer))
            for kind, name in enumerate(kinds):
                mine = np.flatnonzero([span[2] == name for span in layer])
                ids = np.full(len(mine), kind, np.int64)
                values = span_scores(
                    other.head, emissions[other.head.name], sentence_offsets, start[mine], end[mine], ids
                )
                known = calibration.get(other.head.name, {})
                mass[mine] += calibrated(values, ids, other.head.tagset.types, known)
            for span, value in zip(layer, np.minimum(mass, 1.0).tolist(), strict=True):
                for number, i in wanted[span]:
                    total[number][i] += value
                    asked[number][i] += 1
    means = {
        one.head.name: dataclasses.replace(one, score=total[n] / asked[n]) for n, one in enumerate(heads)
    }
    return [means.get(one.head.name, one) for one in found]


def _layers(spans: Sequence[tuple[int, int, str]]) -> list[list[tuple[int, int, str]]]:
    """Spans, by ascending start, in as few lists as it takes for those of a list not to overlap."""
    layers: list[list[tuple[int, int, str]]] = []
    for span in spans:
        layer = next((one for one in layers if one[-1][1] <= span[0]), None)
        if layer is None:
            layers.append([span])
        else:
            layer.append(span)
    return layers
