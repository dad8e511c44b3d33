"""The corpora that an experiment runs on: found in a folder, each text once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import types_of
from bioner_fast.data.tasks import SPLITS, Task, load_task
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.log import logger


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentCorpus:
    """A corpus with all three splits.

    Attributes:
        name: of its folder, and of its task in bundles and results.
        kind: ``ner`` or ``pos``.
        splits: ``train``, ``devel`` and ``test``.
        digests: SHA-256 of every split's normal form.
        folder: where it lies.
    """

    name: str
    kind: str
    splits: dict[str, Corpus]
    digests: dict[str, str]
    folder: Path

    @property
    def label(self) -> str:
        """The name as publications have it."""
        return label(self.name)

    @property
    def train_tokens(self) -> int:
        """Tokens of the training split."""
        return self.splits["train"].n_tokens

    @classmethod
    def of(cls, task: Task) -> ExperimentCorpus:
        """From a task that has all splits."""
        splits = task.splits()
        digests = {split: corpus.digest() for split, corpus in splits.items()}
        return cls(task.name, task.kind, splits, digests, task.folder)


def label(name: str) -> str:
    """A corpus's name without the tag scheme that folders of the published collection carry.

    Example:
        >>> label("NCBI-disease-IOB"), label("GENIA-pos")
        ('NCBI-disease', 'GENIA-pos')
    """
    for ending in ("-IOBES", "-IOB"):
        name = name.removesuffix(ending)
    return name


def find_corpora(
    data: str | os.PathLike[str] | None, names: Sequence[str] | None = None
) -> list[ExperimentCorpus]:
    """Read the corpora of a folder, by name; only those with a train, a devel and a test split count.

    Where several have the same training text (BC5CDR and its -chem and -disease halves) only the one with the
    most entity types is taken, unless they are named.

    Args:
        data: a folder with a folder per corpus; None if ``names`` are paths or samples.
        names: only these, in any order.

    Raises:
        UsageError: neither is given.
        BionerError: there is no such folder or corpus, it lacks a split, or there is none at all.
    """
    if names:
        found = [_complete(load_task(name, data, warn=False, pos=None)) for name in dict.fromkeys(names)]
        return sorted(found, key=lambda corpus: corpus.name)
    if data is None:
        raise UsageError("--data: name the folder of the corpora, or single corpora with --corpora")
    folder = Path(data)
    if not folder.is_dir():
        raise BionerError(f"--data {folder}: there is no such folder")
    found = []
    for entry in sorted(folder.iterdir()):
        present = [split for split in SPLITS if (entry / f"{split}.tsv").is_file()]
        if len(present) == len(SPLITS):
            found.append(_complete(load_task(entry, None, warn=False, pos=None)))
        elif present:
            missing = ", ".join(split for split in SPLITS if split not in present)
            logger.info("%s is left out: it has no %s split", entry.name, missing)
    if not found:
        raise BionerError(f"--data {folder}: no folder in it has train.tsv, devel.tsv and test.tsv")
    return _one_per_text(found)


def _complete(task: Task) -> ExperimentCorpus:
    for split in SPLITS:
        corpus = getattr(task, split)
        if corpus is None or corpus.n_tokens == 0:
            raise BionerError(
                f"{task.folder}: experiments need a train, a devel and a test split; no {split}"
            )
    return ExperimentCorpus.of(task)


def _one_per_text(corpora: Sequence[ExperimentCorpus]) -> list[ExperimentCorpus]:
    by_text: dict[str, list[ExperimentCorpus]] = {}
    for corpus in corpora:
        text = corpus.splits["train"].tokens.packed().buffer.tobytes()
        by_text.setdefault(hashlib.sha256(text).hexdigest(), []).append(corpus)
    kept = []
    for same in by_text.values():
        same.sort(key=lambda corpus: (-len(types_of(corpus.splits["train"].tag_names)), corpus.name))
        kept.append(same[0])
        for other in same[1:]:
            logger.info(
                "%s is left out: its text is that of %s (name it with --corpora to have it)",
                other.name,
                same[0].name,
            )
    return sorted(kept, key=lambda corpus: corpus.name)
