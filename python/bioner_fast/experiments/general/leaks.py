"""What stands in a devel or test split does not train, teach or list names.

Two texts are the same if their letters and digits are: lower case, without accents, Greek letters spelt out.
Corpora cut sentences differently, so a sentence is also found inside a longer one, by its first letters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.experiments.general.documents import as_corpus
from bioner_fast.features.folding import fold

# Letters and digits that tell a sentence from all others.
RUN = 60
_OTHER = re.compile(r"[\W_]+")


def reduced(text: str) -> str:
    """Letters and digits alone.

    Example:
        >>> reduced("TNF-α (10 µg) in Sjögren's syndrome")
        'tnfalpha10uginsjogrenssyndrome'
    """
    return _OTHER.sub("", fold(text).lower())


class HeldBack:
    """Texts that must not train.

    Example:
        >>> held = HeldBack()
        >>> held.add([Document.from_text("IL-2 binds. So does p53.", id="7")])
        >>> held.document(Document.from_text("Another text", id="7"))
        True
    """

    def __init__(self) -> None:
        self._sentences: set[str] = set()
        self._runs: set[int] = set()
        self._ids: set[str] = set()
        self._titles: set[str] = set()

    def add(self, documents: Iterable[Document]) -> None:
        """Hold back documents: their ids (if these are numbers of PubMed), titles and sentences."""
        found = list(documents)
        for document in found:
            if document.id:
                self._ids.add(document.id)
            if document.passages and (title := reduced(document.passages[0].text)):
                self._titles.add(title)
        self.add_corpus(as_corpus(found))

    def add_corpus(self, corpus: Corpus) -> None:
        """Hold back the sentences of a corpus."""
        for words in _sentences(corpus):
            text = "".join(words)
            self._sentences.add(text)
            self._runs.update(_runs(words, RUN))

    def document(self, document: Document) -> bool:
        """Whether a document is held back as a whole, by id or title."""
        title = reduced(document.passages[0].text) if document.passages else ""
        return document.id in self._ids or title in self._titles

    def sentences(self, corpus: Corpus) -> NDArray[np.bool_]:
        """Which sentences are held back, bool ``[S]``."""
        return np.array([self._held(words) for words in _sentences(corpus)], dtype=np.bool_)

    def _held(self, words: list[str]) -> bool:
        text = "".join(words)
        if not text:
            return False
        if text in self._sentences or text in self._titles:
            return True
        at = 0
        for word in words:
            if at + RUN > len(text):
                return False
            if hash(text[at : at + RUN]) in self._runs:
                return True
            at += len(word)
        return False


def _runs(words: list[str], step: int) -> Iterable[int]:
    """The run at the start, and at the first word behind every further ``step`` letters."""
    text = "".join(words)
    at, next_ = 0, 0
    for word in words:
        if at + RUN > len(text):
            return
        if at >= next_:
            yield hash(text[at : at + RUN])
            next_ = at + step
        at += len(word)


def _sentences(corpus: Corpus) -> Iterable[list[str]]:
    """The reduced words of every sentence."""
    tokens = corpus.tokens.tolist()
    known: dict[str, str] = {}
    words = []
    for token in tokens:
        if token not in known:
            known[token] = reduced(token)
        words.append(known[token])
    bounds = corpus.sentence_offsets.tolist()
    for low, high in itertools.pairwise(bounds):
        yield [word for word in words[low:high] if word]
