"""From a configuration to tensors: tasks, tag sets, vocabulary, word table, features and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import Scheme, TagSet, convert, open_types, split_tag
from bioner_fast.data.tasks import SPLITS, load_task
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.batch import Features, featurize
from bioner_fast.features.table import embedding_matrix
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.log import logger
from bioner_fast.models.bundle import FeatureSchema, bundle_folder, load_bundle, read_outline
from bioner_fast.models.registry import with_crf
from bioner_fast.models.word_rows import rounded_rows
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.sampling import TrainingText


@dataclass(frozen=True, slots=True)
class Split:
    """A split as the network sees it.

    Attributes:
        corpus: in the scheme of training.
        features: of its N tokens.
        tags: int64 [N], indices into the task's tag set; from its end on, rows of the task's ``open`` table.
    """

    corpus: Corpus
    features: Features
    tags: Tensor


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """A task ready for training. Its test split is left alone but for the names of its tags.

    Attributes:
        name: as in the bundle.
        kind: ``ner`` or ``pos``.
        tagset: tags of the output layer.
        train, devel: splits; devel may be missing.
        test: the corpus as read, for scoring the saved bundle; missing where it was not to be read.
        open: bool [J, K], the tags that each of J open tags leaves possible (see ``data.schemes.open_type``).
    """

    name: str
    kind: str
    tagset: TagSet
    train: Split
    devel: Split | None
    test: Corpus | None
    open: Tensor


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run trains on.

    Attributes:
        tasks: in order.
        vocabulary: words of the table.
        table: float32 [2 + V, D].
        schema: how tokens are looked up.
        digests: SHA-256 of every corpus in use, by ``task/split``.
    """

    tasks: tuple[PreparedTask, ...]
    vocabulary: Vocabulary
    table: Tensor
    schema: FeatureSchema
    digests: dict[str, str]


def prepare(config: TrainConfig, device: torch.device) -> Prepared:
    """Read and encode everything a resolved configuration names.

    Raises:
        BionerError: a corpus or the vectors cannot be read or used.
    """
    scheme = Scheme(config.scheme)
    corpora: list[tuple[str, str, TagSet, dict[str, Corpus]]] = []
    digests: dict[str, str] = {}
    for name in config.tasks:
        wanted_splits = SPLITS if config.test else SPLITS[:2]
        task = load_task(
            name,
            None if config.data is None else Path(config.data),
            splits=wanted_splits,
            tag_column=config.tag_column,
            pos=config.pos,
        )
        found = {split: corpus for split, corpus in task.splits().items() if corpus.n_tokens}
        if "train" not in found:
            what = "has no train.tsv" if task.train is None else "has an empty train split"
            raise BionerError(f"task {task.name} has no training data: {task.folder} {what}")
        wanted = scheme if task.kind == "ner" else None
        if wanted is not None:
            found = {split: convert(corpus, wanted) for split, corpus in found.items()}
        digests.update({f"{task.name}/{split}": corpus.digest() for split, corpus in found.items()})
        if config.fit == "train+devel":
            if "devel" not in found:
                raise BionerError(f"--fit train+devel: task {task.name} has no devel split")
            found["train"] = Corpus.concatenate([found["train"], found.pop("devel")])
        corpora.append((task.name, task.kind, TagSet.for_corpora(list(found.values()), wanted), found))
    # The table comes from a generator of its own, so that resuming makes the same one.
    rng = np.random.default_rng([config.seed, 1])
    vocabulary, table = _word_table(config, [found["train"] for *_, found in corpora], rng)
    schema = FeatureSchema(normalization=config.normalization, folding=config.folding)

    def split(corpus: Corpus | None, tagset: TagSet, places: NDArray[np.int64]) -> Split | None:
        if corpus is None:
            return None
        features = featurize(
            corpus.tokens,
            corpus.sentence_offsets,
            vocabulary,
            normalization=config.normalization,
            folding=config.folding,
            forms=config.architecture.network.uses_forms,
            threads=config.threads or 0,
        )
        tags = torch.from_numpy(places[tagset.encode(corpus)])
        return Split(corpus, features.to(device), tags.to(device))

    tasks = []
    for name, kind, tagset, found in corpora:
        closed, places, table_of_open = _without_open(tagset)
        if len(table_of_open) and config.decoder != "crf":
            raise UsageError(
                f"task {name} has open tags ({_open_tag(tagset)}), which only a CRF can learn from; "
                f"take --arch {with_crf()}"
            )
        train = split(found["train"], tagset, places)
        assert train is not None
        devel = split(found.get("devel"), tagset, places)
        if devel is not None and int(devel.tags.max()) >= len(closed.names):
            raise BionerError(
                f"task {name}: its devel split has open tags ({_open_tag(tagset)}), so nobody can be judged "
                "by it; open tags are for training"
            )
        tasks.append(
            PreparedTask(name, kind, closed, train, devel, found.get("test"), table_of_open.to(device))
        )
        missing = float((train.features.word_ids == 1).float().mean())
        logger.info(
            "%s: %s training tokens, %d tags, %.1f %% of the tokens without a vector",
            name,
            f"{len(train.tags):,}",
            len(closed.names),
            100 * missing,
        )
    return Prepared(tuple(tasks), vocabulary, table, schema, digests)


def _open_tag(tagset: TagSet) -> str:
    return next(name for name in tagset.names if open_types(split_tag(name)[1]) is not None)


def _without_open(tagset: TagSet) -> tuple[TagSet, NDArray[np.int64], Tensor]:
    """A tag set without its open types, the code of each of its tags, and what open ones leave possible."""
    closed = tagset.closed()
    sets: dict[tuple[str, ...], int] = {}
    places = []
    for name in tagset.names:
        types = open_types(split_tag(name)[1])
        places.append(
            closed.index[name] if types is None else len(closed.names) + sets.setdefault(types, len(sets))
        )
    allowed = [[name == "O" or split_tag(name)[1] in types for name in closed.names] for types in sets]
    table = torch.tensor(allowed, dtype=torch.bool).view(len(sets), len(closed.names))
    return closed, np.array(places, np.int64), table


def _word_table(
    config: TrainConfig, train: Sequence[Corpus], rng: np.random.Generator
) -> tuple[Vocabulary, Tensor]:
    if config.vectors is None and config.init_from is not None and config.tune_vectors is False:
        vocabulary, table = own_vectors(config.init_from)
        # As below: train on what the bundle will hold.
        return vocabulary, rounded_rows(table, config.vector_precision)
    if config.vectors is None:
        vocabulary = Vocabulary.from_corpora(train, min_count=config.min_count)
        if config.max_vocab is not None and len(vocabulary) > config.max_vocab:
            vocabulary = Vocabulary(vocabulary.words[: config.max_vocab])
        values = rng.uniform(-0.05, 0.05, (len(vocabulary) + 2, config.vector_dim))
        return vocabulary, torch.from_numpy(values.astype(np.float32))
    vectors = WordVectors.load(config.vectors, max_rank=config.max_rank, threads=config.threads or 0)
    vocabulary, matrix = embedding_matrix(vectors, config.max_vocab, rng)
    table = torch.from_numpy(matrix)
    if not bool(torch.isfinite(table).all()):
        raise BionerError(
            f"{config.vectors}: some vectors have an infinity or NaN in them, which training would spread; "
            "train on another file"
        )
    if config.vector_precision != "float32":
        try:
            rounded = rounded_rows(table, config.vector_precision)
        except UsageError:
            raise UsageError(
                f"--vector-precision: these vectors do not fit {config.vector_precision}; "
                "give --vector-precision float32"
            ) from None
        if not config.tune_vectors:
            # Train on what the bundle will hold: the saved model then gives the very scores seen in training.
            table = rounded
    return vocabulary, table


def brings_vectors(path: str) -> bool:
    """Whether a bundle has word vectors that its training left as they were.

    Raises:
        BionerError: there is no bundle.
    """
    network, _ = read_outline(bundle_folder(path))
    return not network.embedding.tune_words


def own_vectors(path: str) -> tuple[Vocabulary, Tensor]:
    """The words of a bundle and its word table, float32 [2 + V, D]."""
    bundle = load_bundle(bundle_folder(path))
    return bundle.vocabulary, bundle.network.embedding.words.detach().clone()


def training_text(tasks: Sequence[PreparedTask], heads: Sequence[int]) -> TrainingText:
    """The training corpora of some heads, laid end to end."""
    parts = [tasks[head].train for head in heads]
    sizes = np.cumsum([0, *(len(part.tags) for part in parts)]).tolist()
    features = Features.joined([part.features for part in parts])
    return TrainingText(features, torch.cat([part.tags for part in parts]), tuple(sizes), tuple(heads))
