"""Corpora as the model ``general`` learns them: its types alone, and nothing that is held back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.data.schemes import Scheme, convert, open_type
from bioner_fast.data.tasks import load_task
from bioner_fast.errors import BionerError
from bioner_fast.experiments.contamination import without
from bioner_fast.experiments.general.documents import as_corpus, sentence_documents
from bioner_fast.experiments.general.leaks import HeldBack
from bioner_fast.experiments.general.sources import SOURCES, CorpusSource
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import read_documents
from bioner_fast.log import logger

# Of the cut of devel documents; fixed, so that every version of the model is judged on the same ones.
CUT_SEED = 20


@dataclass(frozen=True, slots=True)
class Part:
    """A source, read.

    Attributes:
        source: the source.
        train: tokens and IOB2 tags of the model's types, without what is held back.
        devel, test: documents with entities of the model's types; those of column files are one a sentence.
        dropped: documents and sentences of ``train`` that were held back.
        more: of the documents that were cut off for development, what no other split to judge on holds.
    """

    source: CorpusSource
    train: Corpus
    devel: tuple[Document, ...]
    test: tuple[Document, ...]
    dropped: tuple[int, int]
    more: Corpus | None = None


def read_parts(
    data: Path, pubtator: Path, sources: Sequence[CorpusSource] = SOURCES, *, held: HeldBack | None = None
) -> tuple[list[Part], HeldBack]:
    """Read all sources and hold back, from all that trains, what is judged on.

    Args:
        data: folder of folders of column files.
        pubtator: folder of PubTator files.
        sources: what to read; those whose files are not there are an error.
        held: more that must not train.

    Returns:
        The parts, and all that is held back (for silver data, which is checked later).

    Raises:
        BionerError: a file is missing.
    """
    held = HeldBack() if held is None else held
    for_good = HeldBack()
    read = []
    for source in sources:
        train = _read(source.train, source, data, pubtator)
        devel = _read(source.devel, source, data, pubtator)
        test = _read(source.test, source, data, pubtator)
        if source.cut:
            train, devel = cut(train, source.cut, source.group)
        held.add(devel)
        held.add(test)
        for_good.add(test)
        if not (source.cut and source.returns):
            for_good.add(devel)
        read.append((source, train, devel, test))
    parts = []
    for source, documents, devel, test in read:
        kept = [document for document in documents if not held.document(document)]
        whole = len(kept)
        kept = _sample(kept, source)
        corpus = as_corpus(kept)
        mask = held.sentences(corpus)
        trains = without(corpus, mask)
        dropped = (len(documents) - whole, int(mask.sum()))
        logger.info(
            "%s: %s training tokens; %d devel and %d test documents; %d sentences held back",
            source.name, f"{trains.n_tokens:,}", len(devel), len(test), dropped[1],
        )  # fmt: skip
        more = None
        if source.cut and source.returns:
            back = as_corpus(document for document in devel if not for_good.document(document))
            more = without(back, for_good.sentences(back))
        parts.append(Part(source, trains, tuple(devel), tuple(test), dropped, more))
    return parts, held


def joined(parts: Sequence[Part], types: Sequence[str]) -> Corpus:
    """The training corpora of one head, one after another; what one of them does not label is open.

    Example:
        >>> gene = CorpusSource("A", "general", {"Gene": "gene"}, ("a",))
        >>> corpus = Corpus.from_sentences([[("p53", "B-gene"), ("in", "O")]])
        >>> joined([Part(gene, corpus, (), (), (0, 0))], ["gene", "species"]).tags()
        ['B-gene', 'B-?species']
    """
    trains = []
    for part in parts:
        left = [kind for kind in types if kind not in part.source.types.values()]
        outside = f"B-{open_type(left)}" if left else "O"
        names = tuple(outside if name == "O" else name for name in part.train.tag_names)
        trains.append(part.train.with_tags(part.train.tag_ids, names))
    return Corpus.concatenate(trains)


def with_cut(part: Part) -> Part:
    """The part with the documents that were cut off for development back in training."""
    if part.more is None:
        return part
    return dataclasses.replace(part, train=Corpus.concatenate([part.train, part.more]))


def weighted(corpus: Corpus, weight: float, seed: int) -> Corpus:
    """Every sentence so many times; of what is left of the weight, that share of the sentences.

    Example:
        >>> corpus = Corpus.from_sentences([[("a", "O")], [("b", "O")]])
        >>> len(weighted(corpus, 2.5, 1).tokens)
        5
    """
    rng = np.random.default_rng([seed, 8])
    left = np.ones(corpus.n_sentences, np.bool_)
    left[rng.permutation(corpus.n_sentences)[: round((weight % 1) * corpus.n_sentences)]] = False
    return Corpus.concatenate([*[corpus] * int(weight), without(corpus, left)])


def _sample(documents: list[Document], source: CorpusSource) -> list[Document]:
    """The documents that are used, in order."""
    rng = np.random.default_rng(CUT_SEED)
    named = [i for i, document in enumerate(documents) if document.entities]
    bare = [i for i, document in enumerate(documents) if not document.entities]
    chosen = rng.permutation(named)[: source.keep].tolist()
    chosen += rng.permutation(bare)[: round(source.bare * len(bare))].tolist()
    return [documents[i] for i in sorted(chosen)]


def cut(documents: Sequence[Document], n: int, group: int | None) -> tuple[list[Document], list[Document]]:
    """Cut off about ``n`` documents, those of one article together; the same ones always.

    Example:
        >>> documents = [Document.from_text("x", id=str(i)) for i in range(10)]
        >>> [len(part) for part in cut(documents, 3, None)]
        [7, 3]
    """
    keys = sorted({document.id[:group] for document in documents})
    size = dict.fromkeys(keys, 0)
    for document in documents:
        size[document.id[:group]] += 1
    chosen: set[str] = set()
    total = 0
    for i in np.random.default_rng(CUT_SEED).permutation(len(keys)).tolist():
        if total >= n:
            break
        chosen.add(keys[i])
        total += size[keys[i]]
    rest = [document for document in documents if document.id[:group] not in chosen]
    return rest, [document for document in documents if document.id[:group] in chosen]


def _read(names: Sequence[str], source: CorpusSource, data: Path, pubtator: Path) -> list[Document]:
    found: list[Document] = []
    for name in names:
        if "/" in name:
            folder, _, split = name.partition("/")
            corpus = getattr(load_task(folder, data, splits=(split,)), split)
            found += sentence_documents(convert(corpus, Scheme.IOB2))
        else:
            path = pubtator / name
            if not path.is_file():
                raise BionerError(f"{path}: there is no such file; the corpus {source.name} needs it")
            problems: list[Problem] = []
            found += read_documents(path, "pubtator", on_problem=problems.append)
            if problems:
                logger.info("%s: %d problems, the first: %s", path.name, len(problems), problems[0])
    return [_typed(document, source) for document in found]


def _typed(document: Document, source: CorpusSource) -> Document:
    """The document with entities of the model's types alone."""
    passages = [
        dataclasses.replace(
            passage,
            entities=[
                dataclasses.replace(entity, type=source.types[entity.type])
                for entity in passage.entities
                if entity.type in source.types
            ],
        )
        for passage in document.passages
    ]
    return dataclasses.replace(document, passages=passages)
