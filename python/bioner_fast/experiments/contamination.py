"""Sentences of a devel or test split that stand in another corpus's training split.

Corpora share abstracts: what one labels for testing another may show in training, if under other labels. Two
sentences are the same if their characters are, white space aside: corpora cut tokens differently.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.tasks import Task
from bioner_fast.experiments.corpora import ExperimentCorpus
from bioner_fast.files import atomic_write, write_json

_OVERLAPS = "contamination.json"
_SENTENCES = "contamination.tsv"


def sentence_texts(corpus: Corpus) -> list[bytes]:
    """The characters of every sentence as UTF-8, without white space between tokens."""
    tokens = corpus.tokens.packed()
    text = tokens.buffer.tobytes()
    bounds = tokens.offsets[corpus.sentence_offsets].tolist()
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


class Seen:
    """Sentences to look out for.

    Example:
        >>> seen = Seen([Corpus.from_sentences([[("p53", "O"), ("binds", "O")]])])
        >>> other = Corpus.from_sentences([[("p", "O"), ("53", "O"), ("binds", "O")], [("It", "O")]])
        >>> seen.mask(other).tolist()
        [True, False]
    """

    def __init__(self, corpora: Iterable[Corpus]) -> None:
        self.texts = {text for corpus in corpora for text in sentence_texts(corpus)}

    def mask(self, corpus: Corpus | None) -> NDArray[np.bool_]:
        """Which sentences of ``corpus`` are among them, bool ``[S]``."""
        texts = [] if corpus is None else sentence_texts(corpus)
        return np.fromiter((text in self.texts for text in texts), dtype=np.bool_, count=len(texts))


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a split stands in another corpus's training split.

    Attributes:
        corpus, split: whose sentences are looked at.
        train: the corpus whose training split has them.
        sentences: how many.
        of: sentences of the split.
    """

    corpus: str
    split: str
    train: str
    sentences: int
    of: int

    @property
    def percent(self) -> float:
        """Share of the split's sentences."""
        return 100.0 * self.sentences / self.of if self.of else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def overlaps(corpora: Sequence[ExperimentCorpus]) -> Iterator[tuple[Overlap, NDArray[np.int64]]]:
    """All overlaps of devel and test splits with other corpora's training splits.

    Yields:
        The overlap, and which sentences of the split they are, from 0.
    """
    trains = {corpus.name: Seen([corpus.splits["train"]]) for corpus in corpora}
    for corpus in corpora:
        for split in ("devel", "test"):
            mine = corpus.splits[split]
            for name, train in trains.items():
                hits = np.flatnonzero(train.mask(mine)) if name != corpus.name else np.zeros(0, np.int64)
                if hits.size:
                    yield Overlap(corpus.name, split, name, hits.size, mine.n_sentences), hits


def write_contamination(corpora: Sequence[ExperimentCorpus], folder: Path) -> list[Overlap]:
    """Write ``contamination.json``, the overlaps, and ``contamination.tsv``, their sentences.

    What is there of corpora that are not among these stays.

    Returns:
        The overlaps, the largest share of a split first.
    """
    by_name = {corpus.name: corpus for corpus in corpora}
    rows: dict[Overlap, list[str]] = {
        overlap: rows
        for overlap, rows in _read(folder).items()
        if not {overlap.corpus, overlap.train} <= set(by_name)
    }
    for overlap, hits in overlaps(corpora):
        split = by_name[overlap.corpus].splits[overlap.split]
        bounds = split.sentence_offsets
        rows[overlap] = [
            f"{overlap.corpus}\t{overlap.split}\t{i + 1}\t{overlap.train}\t"
            + " ".join(split.tokens[int(bounds[i]) : int(bounds[i + 1])].tolist())
            for i in hits.tolist()
        ]
    found = sorted(rows, key=lambda o: (-o.percent, o.corpus, o.split, o.train))
    write_json(folder / _OVERLAPS, {"overlaps": [overlap.to_json() for overlap in found]})
    with atomic_write(folder / _SENTENCES) as out:
        out.write("corpus\tsplit\tsentence\tstands in train of\ttext\n")
        out.writelines(f"{row}\n" for overlap in found for row in rows[overlap])
    return found


def _read(folder: Path) -> dict[Overlap, list[str]]:
    """What :func:`write_contamination` wrote; nothing where it is not there or not whole."""
    try:
        facts = json.loads((folder / _OVERLAPS).read_text(encoding="utf-8"))
        rows: dict[Overlap, list[str]] = {Overlap(**overlap): [] for overlap in facts["overlaps"]}
        by_place = {(o.corpus, o.split, o.train): found for o, found in rows.items()}
        for row in (folder / _SENTENCES).read_bytes().decode().split("\n")[1:-1]:
            corpus, split, _, train, _ = row.split("\t")
            by_place[corpus, split, train].append(row)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return rows


def without(corpus: Corpus, mask: NDArray[np.bool_]) -> Corpus:
    """The sentences of a corpus that are not marked, bool ``[S]``; documents that lose all of them vanish."""
    lengths = np.diff(corpus.sentence_offsets)
    keep = ~mask
    tokens = np.flatnonzero(np.repeat(keep, lengths))
    kept = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)[corpus.document_offsets]
    documents = np.flatnonzero(np.diff(kept) > 0)
    return Corpus(
        corpus.tokens.take(tokens),
        np.ascontiguousarray(corpus.tag_ids[tokens]),
        corpus.tag_names,
        np.concatenate([[0], np.cumsum(lengths[keep])]).astype(np.int64),
        np.append(kept[documents], kept[-1]).astype(np.int64),
        tuple(corpus.document_ids[i] for i in documents),
        corpus.path,
    )


def write_without(task: Task, mask: NDArray[np.bool_], target: Path) -> Path:
    """Write a copy of a task into ``target``, its training split without the marked sentences."""
    folder = target / task.name
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("devel", "test"):
        shutil.copyfile(task.folder / f"{split}.tsv", folder / f"{split}.tsv")
    assert task.train is not None
    without(task.train, mask).write(folder / "train.tsv")
    return folder
