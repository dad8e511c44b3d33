"""Scoring a saved bundle on a corpus: the bundle that gives the score is the one that tags."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.corpus import Corpus, Labels
from bioner_fast.data.schemes import convert, is_tag_scheme
from bioner_fast.data.scoring import RULES, Score, score
from bioner_fast.data.tasks import Task, load_task, normal_labels, with_normal_types
from bioner_fast.errors import UsageError
from bioner_fast.models.bundle import TaskHead
from bioner_fast.tagging.tagger import Tagger

SPLITS = ("train", "devel", "test")


@dataclass(frozen=True, slots=True)
class BundleScore:
    """The outcome of running a bundle on a corpus.

    Attributes:
        score: precision, recall, F1 and accuracy.
        corpus: the corpus in the tag scheme of the head.
        head: the head that was used.
        predicted: int32 [N], indices into ``head.tagset.names``.
    """

    score: Score
    corpus: Corpus
    head: TaskHead
    predicted: NDArray[np.int32]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``token gold predicted`` lines, an empty line between sentences, atomically."""
        self.corpus.write(path, predicted=(self.predicted, self.head.tagset.names))


def score_bundle(
    bundle: str | os.PathLike[str] | Tagger | None,
    task: str | Task,
    split: str = "test",
    *,
    data_dir: Path | None = None,
    head: str | None = None,
    scheme: str = "conlleval",
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
    tag_column: int | None = None,
    normal_types: bool = False,
) -> BundleScore:
    """Tag one split of a task with a saved bundle and score it.

    Args:
        bundle: as for :meth:`Tagger.load`, or a tagger that has loaded it.
        task: a task, its name, or the path of its folder.
        split: ``train``, ``devel`` or ``test``.
        data_dir: the folder of task folders, for tasks given by name.
        head: the bundle's head to use; by default the one called as the task, else the only entity head.
        scheme: ``conlleval``, ``strict`` or ``token``; part-of-speech heads are always scored by token.
        device, threads, precision: as for :class:`Tagger`, where the bundle is a folder.
        tag_column: the column of the tags in the task's files, counted from 1; the last one by default.
        normal_types: compare types by their normal names (``GGP`` and ``Protein`` are both ``gene``).

    Raises:
        UsageError: no such split, or the choice of the head is open.
        BionerError: the bundle or the corpus cannot be read.
    """
    if split not in SPLITS:
        raise UsageError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    tagger = bundle if isinstance(bundle, Tagger) else Tagger.load(bundle, device, threads, precision)
    loaded = task if isinstance(task, Task) else load_task(task, data_dir, tag_column=tag_column, pos=None)
    corpus: Corpus | None = getattr(loaded, split)
    if corpus is None:
        raise UsageError(f"task {loaded.name} has no {split} split")
    if head is None and any(known.name == loaded.name for known in tagger.bundle.tasks):
        head = loaded.name
    chosen = tagger.bundle.task(head)
    return score_corpus(tagger, corpus, chosen, scheme, normal_types)


def score_corpus(
    tagger: Tagger,
    corpus: Corpus,
    head: TaskHead,
    scheme: str = "conlleval",
    normal_types: bool = False,
) -> BundleScore:
    """As :func:`score_bundle`, on a corpus at hand."""
    if scheme not in RULES:
        raise UsageError(f"scheme must be one of {', '.join(RULES)}, not {scheme!r}")
    if is_tag_scheme(corpus.tag_names) != (head.kind == "ner"):
        has, wants = (
            ("parts of speech", "entities") if head.kind == "ner" else ("entities", "parts of speech")
        )
        raise UsageError(
            f"{corpus.path or 'the corpus'} is tagged with {has}, but task {head.name} finds {wants}"
        )
    if head.tagset.scheme is not None:
        corpus = convert(corpus, head.tagset.scheme)
    encoded = tagger.predictor.encode(corpus.tokens, corpus.sentence_offsets)
    found = next(one for one in tagger.predictor.find(encoded) if one.head is head)
    predicted = found.tags.astype(np.int32)
    gold = corpus
    labels: Labels = (predicted, head.tagset.names)
    if normal_types and head.kind == "ner":
        gold, labels = with_normal_types(corpus), normal_labels(corpus, labels)
    rule = "token" if head.kind == "pos" else scheme
    result = score(gold, *labels, corpus.sentence_offsets, scheme=rule)
    return BundleScore(result, corpus, head, predicted)
