"""Documents as corpora of tags, and sentences of corpora as documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document, Passage
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.layers import token_layer
from bioner_fast.formats.conll import TokenLayer, decode_tags, encode_entities


def as_corpus(documents: Iterable[Document]) -> Corpus:
    """Tokens, sentences and IOB2 tags of documents; sentences that would cut an entity in two are joined."""
    tokens: list[str] = []
    tags: list[str] = []
    sentences, bounds, ids = [0], [0], []
    for document in documents:
        layer = token_layer(document)
        text = document.text
        column = encode_entities(document, layer)
        starts, ends = layer.starts.tolist(), layer.ends.tolist()
        for offset in layer.sentence_offsets.tolist()[1:]:
            if offset < len(starts) and column[offset].startswith("I-"):
                continue
            if len(tokens) + offset > sentences[-1]:
                sentences.append(len(tokens) + offset)
        tokens += [text[low:high] for low, high in zip(starts, ends, strict=True)]
        tags += column
        if len(sentences) - 1 > bounds[-1]:
            bounds.append(len(sentences) - 1)
            ids.append(document.id)
    names = {tag: i for i, tag in enumerate(dict.fromkeys(tags))}
    return Corpus(
        StringColumn.from_list(tokens),
        np.array([names[tag] for tag in tags], np.int32),
        tuple(names) or ("O",),
        np.array(sentences, np.int64),
        np.array(bounds, np.int64),
        tuple(ids),
    )


def sentence_documents(corpus: Corpus) -> list[Document]:
    """A document for every sentence of a corpus, with its tokens and entities."""
    tokens, tags = corpus.tokens.tolist(), corpus.tags()
    documents = []
    bounds = corpus.sentence_offsets.tolist()
    for low, high in itertools.pairwise(bounds):
        ends = np.cumsum([len(token) + 1 for token in tokens[low:high]]) - 1
        starts = ends - [len(token) for token in tokens[low:high]]
        layer = TokenLayer(
            starts.astype(np.int64), ends.astype(np.int64), np.array([0, high - low], np.int64)
        )
        text = " ".join(tokens[low:high])
        documents.append(
            Document("", [Passage(text, entities=decode_tags(tags[low:high], layer, text))], native=layer)
        )
    return documents
