"""Documents in batches, split into tokens and sentences: the part of the work before the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.document import Document
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import UsageError
from bioner_fast.features.layers import segment_passages, token_layer
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.tagging.borders import no_names
from bioner_fast.tagging.encoding import Encoded
from bioner_fast.tagging.predict import Predictor

Ints = NDArray[np.int64]

# Tokens that are worked on together; memory grows with it, results do not change.
BATCH_TOKENS = 16384
# Passage index of a piece that is a whole document.
WHOLE = -1
# Of running text, a little low so that batches come out smaller rather than larger.
_CHARACTERS_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Documents, split and encoded.

    Attributes:
        documents: as they came.
        tokens: [N].
        starts, ends: int64 [N], code-point offsets of the tokens into their document.
        encoded: what the network takes.
        piece_tokens: int64 [P+1], token indices; a piece is a passage, or a document that brought its tokens.
        pieces: (document, passage) index of every piece, passage ``WHOLE`` for a whole document.
        walls: by piece, the stretches of its text that can be no part of a name.
    """

    documents: Sequence[Document]
    tokens: StringColumn
    starts: Ints
    ends: Ints
    encoded: Encoded
    piece_tokens: Ints
    pieces: Sequence[tuple[int, int]]
    walls: Mapping[int, list[tuple[int, int]]]

    def document_offsets(self) -> Ints:
        """int64 [D'+1]: tokens at which the documents begin that have any pieces (they follow each other)."""
        number = np.array([i for i, _ in self.pieces], np.int64)
        first = np.flatnonzero(np.diff(number, prepend=-1))
        return np.concatenate([self.piece_tokens[first], self.piece_tokens[-1:]])


def prepare(documents: Sequence[Document], predictor: Predictor) -> PreparedBatch:
    """Tokens, sentences and features of documents; the part of the work before the network."""
    own = [i for i, document in enumerate(documents) if isinstance(document.native, TokenLayer)]
    skip = set(own)
    pieces = [(i, j) for i, d in enumerate(documents) if i not in skip for j in range(len(d.passages))]
    passages = [documents[i].passages[j] for i, j in pieces]
    cut = segment_passages(passages, threads=predictor.threads)
    columns = [cut.tokens]
    tokens_of_piece = np.diff(cut.token_offsets)
    shift = np.repeat(np.array([p.offset for p in passages], np.int64), tokens_of_piece)
    starts, ends = [cut.starts + shift], [cut.ends + shift]
    sentences = [np.diff(cut.sentence_offsets)]
    counts = [tokens_of_piece]
    for i in own:
        layer = token_layer(documents[i])
        text = documents[i].text
        spans = zip(layer.starts.tolist(), layer.ends.tolist(), strict=True)
        columns.append(StringColumn.from_list([text[a:b] for a, b in spans]))
        starts.append(layer.starts)
        ends.append(layer.ends)
        sentences.append(np.diff(layer.sentence_offsets))
        counts.append(np.array([len(layer.starts)], np.int64))
        pieces.append((i, WHOLE))
    tokens = StringColumn.concatenate(columns) if own else cut.tokens
    walls = {n: found for n, passage in enumerate(passages) if (found := no_names(passage.text))}
    outside = _outside(walls, cut.starts, cut.ends, cut.token_offsets, len(tokens))
    return PreparedBatch(
        documents,
        tokens,
        np.concatenate(starts),
        np.concatenate(ends),
        predictor.encode(tokens, _offsets(np.concatenate(sentences)), outside),
        _offsets(np.concatenate(counts)),
        pieces,
        walls,
    )


def _offsets(counts: Ints) -> Ints:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _outside(
    walls: Mapping[int, list[tuple[int, int]]], starts: Ints, ends: Ints, token_offsets: Ints, n: int
) -> NDArray[np.bool_] | None:
    """Which of ``n`` tokens, those of the passages first, can be in no entity; None: all can."""
    if not walls:
        return None
    outside = np.zeros(n, bool)
    for number, spans in walls.items():
        for start, end in spans:
            first, last = int(token_offsets[number]), int(token_offsets[number + 1])
            low = first + int(np.searchsorted(ends[first:last], start, "right"))
            high = first + int(np.searchsorted(starts[first:last], end))
            outside[low:high] = True
    return outside


def as_documents(texts: Iterable[str | Document]) -> Iterable[Document]:
    """Strings as documents whose ids are their numbers from 1."""
    for number, text in enumerate(texts, start=1):
        if isinstance(text, Document):
            yield text
        elif isinstance(text, str):
            yield Document.from_text(text, id=str(number))
        else:
            raise TypeError(
                f"texts: expected strings or documents, got {type(text).__name__} at {number - 1}"
            )


def batches(documents: Iterable[Document], batch_tokens: int) -> Iterable[list[Document]]:
    """Group documents to about so many tokens, estimated from their length; a long one is a batch alone."""
    if batch_tokens < 1:
        raise UsageError(f"batch tokens: expected at least 1, got {batch_tokens}")
    limit = batch_tokens * _CHARACTERS_PER_TOKEN
    batch: list[Document] = []
    size = 0
    for document in documents:
        # An empty document is not free either.
        length = _CHARACTERS_PER_TOKEN + sum(len(passage.text) for passage in document.passages)
        if batch and size + length > limit:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += length
    if batch:
        yield batch
