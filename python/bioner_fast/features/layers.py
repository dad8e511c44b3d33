"""Tokens for documents that bring none: what writing them as column files needs."""

from __future__ import annotations

import dataclasses

import numpy as np

from bioner_fast.data.document import Document
from bioner_fast.features.tokenize import segment
from bioner_fast.formats.conll import TokenLayer


def without_mark(text: str) -> str:
    r"""The text with a leading byte-order mark as a space: it must be no token, but offsets must count it.

    Example:
        >>> without_mark("\ufeffIL-2")
        ' IL-2'
    """
    return " " + text[1:] if text.startswith("\ufeff") else text


def token_layer(document: Document) -> TokenLayer:
    """The document's own tokens (column files), else those of the tokenizer, passage by passage."""
    if isinstance(document.native, TokenLayer):
        return document.native
    cut = segment([without_mark(passage.text) for passage in document.passages])
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
