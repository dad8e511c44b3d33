"""Silver annotations: what models are sure of in raw text, as corpora to train on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.tokenize import segment
from bioner_fast.files import MANIFEST_NAME, atomic_directory, sha256, write_json
from bioner_fast.log import logger
from bioner_fast.models.bundle import TaskHead, bundle_folder, load_bundle
from bioner_fast.ops import crf_marginals
from bioner_fast.pretraining.leaks import Unwanted, judged_texts
from bioner_fast.pretraining.text import find_texts, pools
from bioner_fast.tagging.predict import Found, Predictor
from bioner_fast.tagging.scores import chain, span_scores

FACTS = "silver.json"
# Characters that are tagged together; sentences of other lengths are left out.
_POOL = 500_000
_LENGTHS = (3, 150)


@dataclass(slots=True)
class SilverTask:
    """What was kept for one head.

    Attributes:
        sentences, tokens, entities: kept.
        seen: sentences that were looked at.
    """

    sentences: int = 0
    tokens: int = 0
    entities: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class SilverResult:
    """What :func:`make_silver` wrote.

    Attributes:
        folder: holds a task per head, each with ``train.tsv``, and ``silver.json``.
        tasks: counts by name of the head.
    """

    folder: Path
    tasks: dict[str, SilverTask] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "folder": str(self.folder),
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
        }


def make_silver(
    models: Sequence[str | os.PathLike[str]],
    texts: Sequence[str],
    out: str | os.PathLike[str],
    *,
    exclude: Sequence[str] = (),
    heads: Sequence[str] | None = None,
    min_score: float = 0.5,
    whole_documents: bool = False,
    tokens: int | None = None,
    threads: int | None = None,
    precision: str = "auto",
    force: bool = False,
) -> SilverResult:
    """Tag raw text, and keep the sentences that all models tag alike and are sure of.

    A sentence is kept for a head if every model gives it the same tags, every entity's span marginal is at
    least ``min_score`` with every model, and so is the probability of O of every token outside of entities.

    Args:
        models: bundles, or names of installed models; several are teachers that have to agree.
        texts: files and folders of raw text.
        out: folder to write, in the form of corpora; it appears whole or not at all.
        exclude: corpora whose devel and test sentences are left out.
        heads: names of the heads to use; None for all that tag entities.
        min_score: the least probability.
        whole_documents: keep a text (a paragraph of ``.txt``) only if all its sentences are kept.
        tokens: stop after so many tokens are kept for every head; None for all text.
        threads: of the CPU.
        precision: of the models' networks.
        force: replace ``out``.

    Raises:
        UsageError: models have other tags, or a head is not there.
        BionerError: text or models cannot be read, or nothing is kept.

    Example:
        >>> make_silver(["runs/a/model"], ["abstracts.txt"], "silver")  # doctest: +SKIP
        SilverResult(folder=PosixPath('silver'), tasks={...})
    """
    if not 0 <= min_score <= 1:
        raise UsageError(f"--min-score: expected 0 to 1, found {min_score:g}")
    if not models:
        raise UsageError("--models: name at least one model")
    if tokens is not None and tokens < 1:
        raise UsageError(f"--tokens: expected at least 1, found {tokens}")
    files = find_texts(texts)
    unwanted = Unwanted([part for _, part in judged_texts(exclude)])
    bundles = [load_bundle(bundle_folder(model)) for model in models]
    count = threads or torch.get_num_threads()
    teachers = [Predictor(bundle, torch.device("cpu"), count, precision) for bundle in bundles]
    names = _common_heads([bundle.tasks for bundle in bundles], [os.fspath(model) for model in models], heads)
    tasks = {name: SilverTask() for name in names}
    with atomic_directory(out, force=force) as folder:
        streams = {}
        try:
            for name in names:
                (folder / name).mkdir()
                streams[name] = open(folder / name / "train.tsv", "wb")  # noqa: SIM115
            for name, corpus, seen in _kept(
                teachers, names, files, unwanted, min_score, whole_documents, count
            ):
                task = tasks[name]
                if tokens is not None and task.tokens >= tokens:
                    continue
                task.seen += seen
                task.sentences += corpus.n_sentences
                task.tokens += corpus.n_tokens
                task.entities += _entities(corpus)
                if corpus.n_tokens:
                    streams[name].write(corpus.to_bytes(documents=False))
                if tokens is not None and all(one.tokens >= tokens for one in tasks.values()):
                    break
        finally:
            for stream in streams.values():
                stream.close()
        if empty := [name for name, task in tasks.items() if not task.entities]:
            raise BionerError(
                f"no entity of {', '.join(empty)} is sure enough; name more text or a lower --min-score"
            )
        write_json(
            folder / FACTS,
            {
                "models": {
                    os.fspath(model): sha256(bundle.path / MANIFEST_NAME)
                    for model, bundle in zip(models, bundles, strict=True)
                },
                "text": {Path(path).name: sha256(path) for path, _ in files},
                "excluded": list(exclude),
                "min_score": min_score,
                "unit": "document" if whole_documents else "sentence",
                "tasks": {name: asdict(task) for name, task in tasks.items()},
            },
        )
    for name, task in tasks.items():
        logger.info(
            "%s: %s of %s sentences, %s tokens, %s entities",
            name, f"{task.sentences:,}", f"{task.seen:,}", f"{task.tokens:,}", f"{task.entities:,}",
        )  # fmt: skip
    return SilverResult(Path(out), tasks)


def _common_heads(
    known: Sequence[Sequence[TaskHead]], models: Sequence[str], wanted: Sequence[str] | None
) -> list[str]:
    """Names of the heads to use.

    Raises:
        UsageError: a model lacks one, or has other tags.
    """
    first = {head.name: head for head in known[0] if head.kind == "ner"}
    names = list(first) if wanted is None else list(wanted)
    if not names:
        raise UsageError(f"--models: {models[0]} has no head that tags entities")
    for model, heads in zip(models, known, strict=True):
        theirs = {head.name: head for head in heads if head.kind == "ner"}
        for name in names:
            if name not in theirs:
                raise UsageError(f"--models: {model} has no head {name!r}; it has {', '.join(theirs)}")
            if theirs[name].tagset.names != first[name].tagset.names:
                raise UsageError(f"--models: {model} and {models[0]} have other tags for {name}")
    return names


def _kept(
    teachers: Sequence[Predictor],
    names: Sequence[str],
    files: Sequence[tuple[str, str]],
    unwanted: Unwanted,
    min_score: float,
    whole_documents: bool,
    threads: int,
) -> Iterator[tuple[str, Corpus, int]]:
    """Per stretch of text and head what is kept, and how many sentences were seen."""
    for texts in pools(files, _POOL):
        text = segment(texts, threads=threads)
        offsets = text.sentence_offsets
        lengths = np.diff(offsets)
        fit = (lengths >= _LENGTHS[0]) & (lengths <= _LENGTHS[1]) & ~unwanted.mask(text)
        emissions = []
        for teacher in teachers:
            encoded = teacher.encode(text.tokens, offsets)
            emissions.append((teacher, teacher.emissions(encoded)))
        for name in names:
            good, tags, head = fit, None, None
            for teacher, values in emissions:
                found = next(f for f in teacher.decode(values, offsets) if f.head.name == name)
                if tags is None:
                    tags, head = found.tags, found.head
                same = np.logical_and.reduceat(found.tags == tags, offsets[:-1]) if len(lengths) else good
                good = good & same & _sure(found, values[name], offsets, min_score)
            assert tags is not None
            assert head is not None
            if whole_documents:
                at = text.text_offsets
                full = [good[a:b].all() for a, b in itertools.pairwise(at)]
                good = np.repeat(np.array(full, np.bool_), np.diff(at))
            yield name, _corpus(text.tokens, tags, head, offsets, good), len(lengths)


def _sure(
    found: Found, emissions: torch.Tensor, offsets: NDArray[np.int64], least: float
) -> NDArray[np.bool_]:
    """Sentences of which the model is sure, bool [S]."""
    head, sentences = found.head, len(offsets) - 1
    good = np.ones(sentences, np.bool_)
    if not sentences:
        return good
    transitions, first, last = (table.to(emissions) for table in chain(head))
    with torch.inference_mode():
        outside = crf_marginals(emissions, transitions, torch.from_numpy(offsets), first, last)
    index = head.tagset.index["O"]
    doubtful = (found.tags == index) & (outside[:, index].numpy() < least)
    good &= ~np.logical_or.reduceat(doubtful, offsets[:-1])
    # The marginals themselves, not what a bundle's calibration makes of them.
    scores = span_scores(head, emissions, offsets, found.start, found.end, found.type_id)
    sentence = np.searchsorted(offsets, found.start, "right") - 1
    good[sentence[scores < least]] = False
    return good


def _corpus(
    tokens: StringColumn,
    tags: NDArray[np.int64],
    head: TaskHead,
    offsets: NDArray[np.int64],
    good: NDArray[np.bool_],
) -> Corpus:
    """The sentences that are kept."""
    lengths = np.diff(offsets)
    rows = np.flatnonzero(np.repeat(good, lengths))
    kept = np.concatenate([[0], np.cumsum(lengths[good])]).astype(np.int64)
    documents = np.array([0, len(kept) - 1], np.int64)
    return Corpus(tokens.take(rows), tags[rows].astype(np.int32), head.tagset.names, kept, documents, ("",))


def _entities(corpus: Corpus) -> int:
    """How many entities begin in it."""
    begins = np.array([name[0] in "BS" for name in corpus.tag_names], np.bool_)
    return int(begins[corpus.tag_ids].sum())
