"""The corpora's token rule for spaCy: a run of letters and digits, or one other character.

A tokenizer of spaCy's own class with its cache; only the rules differ. Trained pipelines name it in their
configuration, so import this module before ``spacy.load``.
"""

from __future__ import annotations

import re

import spacy
from spacy.language import Language
from spacy.tokenizer import Tokenizer

_SINGLE = r"[\W_]"


@spacy.registry.tokenizers("corpus_tokenizer.v1")
def corpus_tokenizer():  # type: ignore[no-untyped-def]
    """What ``[nlp.tokenizer]`` of config.cfg asks for."""

    def make(nlp: Language) -> Tokenizer:
        return Tokenizer(
            nlp.vocab,
            prefix_search=re.compile("^" + _SINGLE).search,
            suffix_search=re.compile(_SINGLE + "$").search,
            infix_finditer=re.compile(_SINGLE).finditer,
        )

    return make
