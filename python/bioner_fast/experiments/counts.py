"""Per-sentence counts of right, spurious and missed entities: what significance is computed from."""

from __future__ import annotations

import base64
import os
import zlib

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.corpus import Labels, read_predictions
from bioner_fast.data.schemes import Scheme, Spans, TagSet, decode_spans, types_of
from bioner_fast.errors import FormatError

SentenceCounts = NDArray[np.int64]


def sentence_counts(
    gold: Labels, predicted: Labels, sentence_offsets: NDArray[np.int64], kind: str | None = None
) -> SentenceCounts:
    """True positives, false positives and false negatives of every sentence, by conlleval's chunks.

    Args:
        gold, predicted: ids ``[N]`` and names of chunk tags.
        sentence_offsets: int64 ``[S + 1]``.
        kind: count entities of this type only.

    Returns:
        int64 ``[S, 3]``; its column sums are the counts of :func:`bioner_fast.data.scoring.score`.

    Example:
        >>> tags = np.array([0, 1, 0]), ("B-Gene", "O")
        >>> sentence_counts(tags, (np.array([0, 1, 1]), tags[1]), np.array([0, 2, 3])).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    types = types_of((*gold[1], *predicted[1]))
    ours, theirs = (_spans(side, sentence_offsets, types) for side in (gold, predicted))
    if kind is not None:
        wanted = types.index(kind) if kind in types else -1
        ours, theirs = (_only(spans, wanted) for spans in (ours, theirs))
    n = int(sentence_offsets[-1]) + 1
    keys = [(spans.start * n + spans.end) * max(len(types), 1) + spans.type_id for spans in (ours, theirs)]
    hits = np.isin(keys[1], keys[0], assume_unique=True)

    def per_sentence(starts: NDArray[np.int64]) -> SentenceCounts:
        where = np.searchsorted(sentence_offsets, starts, side="right") - 1
        return np.bincount(where, minlength=sentence_offsets.size - 1).astype(np.int64)

    right = per_sentence(theirs.start[hits])
    return np.stack([right, per_sentence(theirs.start) - right, per_sentence(ours.start) - right], axis=1)


def _spans(side: Labels, sentence_offsets: NDArray[np.int64], types: tuple[str, ...]) -> Spans:
    ids, names = side
    return decode_spans(ids, sentence_offsets, TagSet(names, Scheme.IOBES, types))


def _only(spans: Spans, wanted: int) -> Spans:
    mask = spans.type_id == wanted
    return Spans(spans.start[mask], spans.end[mask], spans.type_id[mask])


def counts_of_file(path: str | os.PathLike[str]) -> SentenceCounts:
    """Per-sentence counts of a file of ``token gold predicted`` lines, int64 ``[S, 3]``."""
    corpus, ids, names = read_predictions(path)
    return sentence_counts((corpus.tag_ids, corpus.tag_names), (ids, names), corpus.sentence_offsets)


def pack(counts: SentenceCounts) -> str:
    """Counts as a short string: little-endian uint16 columns, zlib, base64."""
    return base64.b64encode(zlib.compress(counts.T.astype("<u2").tobytes(), 9)).decode("ascii")


def unpack(text: str, path: str | os.PathLike[str] = "counts") -> SentenceCounts:
    """What :func:`pack` packed, int64 ``[S, 3]``.

    Raises:
        FormatError: the string is damaged; ``path`` is named.
    """
    try:
        values = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype="<u2")
        return values.reshape(3, -1).T.astype(np.int64)
    except (ValueError, zlib.error) as error:
        raise FormatError(path, f"the counts per sentence are damaged ({error})") from None
