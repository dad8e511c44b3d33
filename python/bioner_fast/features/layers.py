"""Tokens for documents that bring none: what writing them as column files needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bioner_fast.data.document import Document, Passage
from bioner_fast.features.tokenize import Segmented, segment
from bioner_fast.formats.conll import TokenLayer


def without_mark(text: str) -> str:
    r"""The text with a leading byte-order mark as a space: it must be no token, but offsets must count it.

    Example:
        >>> without_mark("\ufeffIL-2")
        ' IL-2'
    """
    return " " + text[1:] if text.startswith("\ufeff") else text


def segment_passages(passages: Sequence[Passage], *, threads: int = 0) -> Segmented:
    """Tokens and sentences of passages, offsets from the start of each; sentences that a file marks are kept.

    What lies between marked sentences is split as other text is.

    Args:
        passages: any number.
        threads: as for :func:`segment`.

    Example:
        >>> from bioner_fast.data.document import Sentence
        >>> marked = Passage("in E. coli. (ATCC) grown", 0, sentences=[Sentence(0, 18), Sentence(19, 24)])
        >>> segment_passages([marked]).sentence_offsets.tolist()
        [0, 8, 9]
    """
    texts = [without_mark(passage.text) for passage in passages]
    if not any(passage.sentences for passage in passages):
        return segment(texts, threads=threads)
    pieces: list[str] = []
    marked: list[bool] = []
    shifts: list[int] = []
    counts: list[int] = []

    def add(text: str, start: int, stop: int, whole: bool) -> None:
        pieces.append(text[start:stop])
        marked.append(whole)
        shifts.append(start)

    for passage, text in zip(passages, texts, strict=True):
        before, position = len(pieces), 0
        for sentence in passage.sentences:
            start, stop = sentence.start - passage.offset, min(sentence.end - passage.offset, len(text))
            if position <= start < stop:
                add(text, position, start, False)
                add(text, start, stop, True)
                position = stop
        add(text, position, len(text), False)
        counts.append(len(pieces) - before)
    cut = segment(pieces, threads=threads)
    # Ends of sentences inside a marked one are none.
    piece_of_sentence = np.repeat(np.arange(len(pieces)), np.diff(cut.text_offsets))
    last = np.append(np.diff(piece_of_sentence) != 0, True)
    ends = ~np.array(marked, bool)[piece_of_sentence] | last
    sentence_offsets = np.concatenate([[0], cut.sentence_offsets[1:][ends]])
    shift = np.repeat(np.array(shifts, np.int64), np.diff(cut.token_offsets))
    tokens_of_passage = np.concatenate([[0], cut.token_offsets[np.cumsum(counts)]])
    text_offsets = np.searchsorted(sentence_offsets, tokens_of_passage)
    return Segmented(cut.tokens, cut.starts + shift, cut.ends + shift, sentence_offsets, text_offsets)


def token_layer(document: Document) -> TokenLayer:
    """The document's own tokens (column files), else those of the tokenizer, passage by passage."""
    if isinstance(document.native, TokenLayer):
        return document.native
    cut = segment_passages(document.passages)
    passage_of_sentence = np.repeat(np.arange(len(document.passages)), np.diff(cut.text_offsets))
    offsets = np.array([passage.offset for passage in document.passages], dtype=np.int64)
    shift = np.repeat(offsets[passage_of_sentence], np.diff(cut.sentence_offsets))
    return TokenLayer(cut.starts + shift, cut.ends + shift, cut.sentence_offsets)


def add_tokens(document: Document) -> Document:
    """The same document with a token layer as its ``native``, for writing it as a column file.

    Example:
        >>> add_tokens(Document.from_text("IL-2 binds.", id="1")).native.starts.tolist()
        [0, 2, 3, 5, 10]
    """
    return dataclasses.replace(document, native=token_layer(document))
