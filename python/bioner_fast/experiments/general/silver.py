"""Raw text under the labels of a first model: more words and contexts than the annotated abstracts have.

Entities that the first model is sure of are labels; where it is not, the tokens stay open (see
``data.schemes.open_type``). Sentences that are held back for judging are left out.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.schemes import open_type
from bioner_fast.errors import BionerError
from bioner_fast.experiments.contamination import without
from bioner_fast.experiments.general.documents import as_corpus
from bioner_fast.experiments.general.leaks import HeldBack
from bioner_fast.log import logger
from bioner_fast.tagging.tagger import Tagger

# Scores from which on an entity is taken for a label, and below which it is taken for nothing.
SURE, DOUBTFUL = 0.8, 0.2
# Few abstracts hold a variant or a cell line, and few annotated ones too: documents with one always count.
RARE = frozenset({"variant", "cell_line"})
_BATCH = 256


def documents_of(paths: Sequence[Path]) -> Iterator[Document]:
    """Documents of text files (``.txt``, or ``.txt.xz``), an empty line between two, a passage a line.

    Raises:
        BionerError: a file is not there.
    """
    for path in paths:
        if not path.is_file():
            raise BionerError(f"{path}: there is no such file")
        opened: Callable[..., Any] = lzma.open if path.suffix == ".xz" else Path.open
        with io.TextIOWrapper(opened(path, mode="rb"), encoding="utf-8") as stream:
            lines: list[str] = []
            for number, line in enumerate(stream):
                if line.strip():
                    lines.append(line.rstrip("\n"))
                elif lines:
                    yield _document(f"{path.stem}:{number}", lines)
                    lines = []
            if lines:
                yield _document(path.stem, lines)


def _document(name: str, lines: Sequence[str]) -> Document:
    passages, offset = [], 0
    for line in lines:
        passages.append(Passage(line, offset))
        offset += len(line) + 1
    return Document(name, passages)


def silver(
    tagger: Tagger,
    head: str,
    types: Sequence[str],
    texts: Sequence[Path],
    tokens: int,
    held: HeldBack,
    seed: int,
    others: float = 1.0,
) -> Corpus:
    """About so many tokens of sentences under the labels of one head.

    Args:
        tagger: of the first model.
        head: whose labels.
        types: of that head.
        texts: see :func:`documents_of`; read from the start.
        tokens: where to stop.
        held: sentences that must not train.
        seed: of the choice among sentences without entities, of which half are left out, and of
        others: the share that is used of the documents without a type of ``RARE``.

    Returns:
        A corpus of IOB2 tags, with open ones.
    """
    rng = np.random.default_rng([seed, 7])
    kept: list[Document] = []
    total = 0
    batch: list[Document] = []
    everything = open_type(types)

    def tag() -> Iterator[Document]:
        for document in tagger.tag(batch):
            passages = []
            for passage in document.passages:
                found = [e for e in passage.entities if e.task == head and (e.score or 0.0) >= DOUBTFUL]
                labels = [e if (e.score or 0.0) >= SURE else _opened(e, everything) for e in found]
                passages.append(Passage(passage.text, passage.offset, entities=labels))
            made = Document(document.id, passages)
            if any(entity.type in RARE for entity in made.entities) or rng.random() < others:
                yield made

    for document in documents_of(texts):
        if held.document(document):
            continue
        batch.append(document)
        if len(batch) < _BATCH:
            continue
        new = list(tag())
        kept += new
        total += sum(len(d.text) for d in new) * 2 // 11
        batch = []
        if total >= tokens:
            break
    if batch:
        kept += tag()
    corpus = as_corpus(kept)
    lengths = np.diff(corpus.sentence_offsets)
    sentence = np.repeat(np.arange(corpus.n_sentences), lengths)
    outside = np.array([name == "O" for name in corpus.tag_names])[corpus.tag_ids]
    entities = np.bincount(sentence[~outside], minlength=corpus.n_sentences)
    drop = (entities == 0) & (rng.random(corpus.n_sentences) < 0.5)
    drop |= held.sentences(corpus) | (lengths > 200) | (lengths < 4)
    result = _each_open(without(corpus, drop), everything)
    logger.info("silver: %s tokens of %s documents", f"{result.n_tokens:,}", f"{len(kept):,}")
    return result


def _opened(entity: Entity, kind: str) -> Entity:
    return Entity(entity.start, entity.end, kind, entity.text)


def _each_open(corpus: Corpus, kind: str) -> Corpus:
    """Open entities token by token: what is not sure may begin and end anywhere."""
    inner, first = f"I-{kind}", f"B-{kind}"
    names = tuple(dict.fromkeys(first if name == inner else name for name in corpus.tag_names))
    place = {name: i for i, name in enumerate(names)}
    codes = np.array([place[first if name == inner else name] for name in corpus.tag_names], np.int32)
    return corpus.with_tags(codes[corpus.tag_ids], names)
