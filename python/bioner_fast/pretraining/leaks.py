"""What text must not show: sentences of the devel and test splits that models are judged by."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError
from bioner_fast.features.tokenize import Segmented, segment
from bioner_fast.pretraining.text import find_texts, read_texts

# So many tokens in a row are a leak; a shorter sentence is one if it is the whole of another.
RUN = 12
SHORTEST = 5
_JUDGED = ("devel.tsv", "test.tsv")

Keys = npt.NDArray[np.uint64]


class Unwanted:
    """Runs of tokens to look out for, whatever their case and white space.

    Args:
        texts: sentences, or whole documents.

    Example:
        >>> unwanted = Unwanted([["BRCA1 mutations cause breast cancer."]])
        >>> unwanted.mask(segment(["We agree. BRCA1 Mutations cause breast cancer."])).tolist()
        [False, True]
    """

    def __init__(self, texts: Sequence[Sequence[str]] = ()) -> None:
        runs, wholes = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for part in texts:
            made = segment(list(part), threads=1)
            run, _, whole, _ = _keys(made.tokens, made.sentence_offsets)
            runs.append(run)
            wholes.append(whole)
        self.runs, self.wholes = np.unique(np.concatenate(runs)), np.unique(np.concatenate(wholes))

    def __len__(self) -> int:
        return len(self.runs) + len(self.wholes)

    def mask(self, text: Segmented) -> npt.NDArray[np.bool_]:
        """Which sentences hold any of them, bool [S]."""
        found = np.zeros(text.n_sentences, np.bool_)
        if len(self):
            runs, run_of, wholes, whole_of = _keys(text.tokens, text.sentence_offsets)
            found[run_of[_isin(runs, self.runs)]] = True
            found[whole_of[_isin(wholes, self.wholes)]] = True
        return found


def _isin(keys: Keys, ordered: Keys) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    same: npt.NDArray[np.bool_] = ordered[places] == keys
    return same


def _keys(
    tokens: StringColumn, offsets: npt.NDArray[np.int64]
) -> tuple[Keys, npt.NDArray[np.int64], Keys, npt.NDArray[np.int64]]:
    """Keys of the runs of RUN tokens in long sentences, and of short sentences as wholes.

    Returns:
        The runs' keys and their sentences, the short sentences' keys and their numbers.
    """
    from bioner_fast.features.word_forms import word_forms

    forms = word_forms(tokens, folding=False, threads=1)
    _, first = np.unique(forms.ids, return_index=True)
    distinct = [_token_key(token) for token in tokens.take(first.astype(np.int64)).tolist()]
    keys = np.array(distinct, np.uint64)[forms.ids] if len(tokens) else np.zeros(0, np.uint64)
    factors = np.random.default_rng(0).integers(1 << 62, size=RUN, dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
    lengths = np.diff(offsets)
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.zeros(max(len(keys) - RUN + 1, 0), np.uint64)
    for place, factor in enumerate(factors):
        sums += keys[place : place + len(sums)] * factor
    whole = sentence[: len(sums)] == sentence[RUN - 1 :][: len(sums)]
    short = np.flatnonzero((lengths >= SHORTEST) & (lengths < RUN))
    wholes = np.zeros(len(short), np.uint64)
    for place in range(RUN - 1):
        there = lengths[short] > place
        wholes[there] += keys[offsets[short[there]] + place] * factors[place]
    return sums[whole], sentence[: len(sums)][whole], wholes, short


def _token_key(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.lower().encode(), digest_size=8).digest(), "little")


def judged_texts(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What corpora hold for judging: ``devel.tsv`` and ``test.tsv`` of a folder and below, else a whole file.

    Yields:
        The file and its sentences or documents.

    Raises:
        BionerError: a name is not there, or a folder holds no such file.
    """
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*.tsv") if file.name in _JUDGED)
            if not files:
                raise BionerError(
                    f"{name} holds no devel.tsv or test.tsv; name a folder of corpora, or a file"
                )
        elif path.exists():
            files = [path]
        else:
            raise BionerError(f"{name}: no such file or folder")
        for file in files:
            yield str(file), _sentences(file) if file.suffix == ".tsv" else _documents(file)


def _sentences(file: Path) -> list[str]:
    corpus = Corpus.read(file)
    bounds = corpus.sentence_offsets.tolist()
    tokens = corpus.tokens.tolist()
    return [" ".join(tokens[a:b]) for a, b in itertools.pairwise(bounds)]


def _documents(file: Path) -> list[str]:
    return [text for name, format in find_texts([str(file)]) for text in read_texts(name, format)]
