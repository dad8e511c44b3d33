"""A report on a task's files: counts, types, scheme, illegal sequences, sentences that splits share."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.manifest import Manifest, is_whole
from bioner_fast.data.schemes import TagSet, decode_spans, find_illegal
from bioner_fast.data.tasks import SPLITS, Task, load_task


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Facts about one file.

    Attributes:
        documents, sentences, tokens, mentions: how many.
        types: mentions per entity type; tokens per tag for part-of-speech tags.
        longest_sentence: in tokens.
        illegal: tags that the scheme does not allow where they stand.
        strays: tags that belong to no scheme; they are read as ``O``.
        repeated_sentences: sentences that occur before in the same file.
        digest: SHA-256 of the normal form.
    """

    documents: int
    sentences: int
    tokens: int
    mentions: int
    types: dict[str, int]
    longest_sentence: int
    illegal: int
    strays: list[str]
    repeated_sentences: int
    digest: str


@dataclass(frozen=True, slots=True)
class TaskReport:
    """Facts about a task.

    Attributes:
        shared_sentences: sentences of the second split that occur in the first, by ``"train-test"`` etc.
        missing: splits there are no files of.
        published: whether the files are those of the manifest; None where it does not know the task.
    """

    name: str
    folder: str
    kind: str
    scheme: str | None
    splits: dict[str, SplitReport]
    missing: list[str]
    shared_sentences: dict[str, int]
    published: bool | None

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)


def check_task(
    folder: str | Path, manifest: Manifest | None = None, *, tag_column: int | None = None
) -> TaskReport:
    """Read every split of a task and report on it.

    Args:
        folder: the task.
        manifest: known corpora.
        tag_column: the column of the tags, counted from 1; the last one by default.

    Raises:
        BionerError: the folder is no task, or a file is malformed.
    """
    task = load_task(folder, warn=False, tag_column=tag_column, pos=None)
    corpora = task.splits()
    keys = {name: sentence_keys(corpus) for name, corpus in corpora.items()}
    shared = {}
    for i, first in enumerate(SPLITS):
        for second in SPLITS[i + 1 :]:
            if first in keys and second in keys:
                seen = set(keys[first])
                shared[f"{first}-{second}"] = sum(key in seen for key in keys[second])
    known = manifest.corpora.get(task.name) if manifest is not None else None
    return TaskReport(
        name=task.name,
        folder=str(task.folder),
        kind=task.kind,
        scheme=None if task.source_scheme is None else task.source_scheme.value,
        splits={name: _split_report(task, name, keys[name]) for name in corpora},
        missing=[split for split in SPLITS if split not in corpora],
        shared_sentences=shared,
        published=None if known is None else is_whole(task.folder, known),
    )


def find_tasks(folder: Path) -> list[Path]:
    """``folder`` if it is a task, else the tasks in it."""
    if any((folder / f"{split}.tsv").is_file() for split in SPLITS):
        return [folder]
    entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    return [entry for entry in entries if any((entry / f"{split}.tsv").is_file() for split in SPLITS)]


def sentence_keys(corpus: Corpus) -> list[bytes]:
    """The tokens of every sentence as one comparable value each."""
    buffer, offsets = corpus.tokens.buffer, corpus.tokens.offsets
    bounds = corpus.sentence_offsets.tolist()
    keys = []
    for start, stop in itertools.pairwise(bounds):
        # Lengths belong to the key: "ab c" and "a bc" are different sentences.
        lengths = np.diff(offsets[start : stop + 1]).tobytes()
        keys.append(buffer[offsets[start] : offsets[stop]].tobytes() + b"\0" + lengths)
    return keys


def _split_report(task: Task, split: str, keys: list[bytes]) -> SplitReport:
    corpus = task.splits()[split]
    tagset = TagSet.for_corpora([corpus], task.source_scheme)
    tags = tagset.encode(corpus)
    spans = decode_spans(tags, corpus.sentence_offsets, tagset)
    if task.kind == "pos":
        counts, names = np.bincount(tags, minlength=len(tagset.names)), tagset.names
    else:
        counts, names = np.bincount(spans.type_id, minlength=len(tagset.types)), tagset.types
    per_type = dict(sorted(zip(names, counts.tolist(), strict=True)))
    illegal = find_illegal(corpus, task.source_scheme)
    lengths = np.diff(corpus.sentence_offsets)
    return SplitReport(
        documents=corpus.n_documents,
        sentences=corpus.n_sentences,
        tokens=corpus.n_tokens,
        mentions=len(spans),
        types=per_type,
        longest_sentence=int(lengths.max(initial=0)),
        illegal=illegal.count if task.kind == "ner" else 0,
        strays=list(task.strays.get(split, ())),
        repeated_sentences=sum(count - 1 for count in Counter(keys).values()),
        digest=corpus.digest(),
    )
