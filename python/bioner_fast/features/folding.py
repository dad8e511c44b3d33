"""Folding of lookup keys: what real abstracts write and word vectors spell out.

Corpora and vectors have ``alpha``, text has ``α``. After the normalisation chain found no row for a token,
the chain is tried on its folded form. Only the key changes: tokens and their offsets stay as they are.

Version 1 folds, with the tables of one pinned Unicode version:

- Greek letters (accents, variants, mathematical forms and the micro sign too) to their names: ``TNFα`` to
  ``TNFalpha``. A capital gets a capital name (``ΔF508`` to ``DeltaF508``); if that is unknown too, the
  small name is tried.
- typographic dashes, minus signs and the soft hyphen to ``-``; quotes and primes to ``'`` and ``"``;
- accents off (``Sjögren`` to ``Sjogren``); ``ß``, ``æ``, ``ø``, ``ł`` and their like to ASCII letters;
- ligatures, superscripts, subscripts, full-width and other compatibility forms to plain characters;
- ``±``, ``≥``, ``≤``, ``×``, ``→``, ``°``, ``·`` to what vectors have for them; zero-width characters to
  nothing.

A bundle records ``FOLDING_VERSION``: the same version gives the same rows for good.
"""

from __future__ import annotations

from bioner_fast import _text

FOLDING_VERSION = 1

UNICODE_VERSION: str = _text.UNICODE_VERSION


def fold(token: str, *, small_names: bool = False) -> str:
    """The folded form of a token, as lookup builds it.

    Args:
        small_names: name capital Greek letters in small letters too.

    Example:
        >>> fold("IL‐1β"), fold("ΔF508"), fold("Sjögren")
        ('IL-1beta', 'DeltaF508', 'Sjogren')
    """
    folded: str = _text.fold_key(token, small_names)
    return folded
