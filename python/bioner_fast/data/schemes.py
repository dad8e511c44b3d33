"""Tag schemes: recognising and converting IOB1, IOB2 and IOBES, tag sets with their constraints, spans.

Tags are those that :mod:`bioner_fast.data.tag_names` spells: ``O``, or B, I, E, S, a hyphen and a type.
Chunks begin and end by the lenient rules of conlleval, so every sequence of tags has chunks, legal or not;
conversion keeps them and yields a legal sequence. That is the published conversion, which :func:`convert`
reproduces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.corpus import Corpus
from bioner_fast.data.tag_names import (
    NO_TYPE,
    TagReading,
    read_tags,
    stray_message,
)
from bioner_fast.data.tag_names import (
    split_tag as split_tag,
)
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.log import logger

_PREFIXES = "OBIES"
_OTHER = 5  # the prefix code of tags that belong to no scheme


class Scheme(Enum):
    """How chunks are written as tags."""

    IOB1 = "iob1"  #: I for every token of a chunk, B where it touches one of the same type before it
    IOB2 = "iob2"  #: B for the first token, I for the others
    IOBES = "iobes"  #: B, I, E; S for a chunk of one token

    @property
    def code(self) -> int:
        """The number the native library knows it by."""
        return list(Scheme).index(self)

    @property
    def prefixes(self) -> str:
        """The prefixes of a type's tags, in the order tag sets list them."""
        return "BIES" if self is Scheme.IOBES else "BI"


def parse_scheme(name: str) -> Scheme:
    """The scheme called ``iob1``, ``iob2``, ``iob`` (written as IOB2) or ``iobes``.

    Raises:
        UsageError: there is no such scheme.
    """
    wanted = name.lower()
    if wanted == "iob":
        return Scheme.IOB2
    try:
        return Scheme(wanted)
    except ValueError:
        raise UsageError(f"unknown tag scheme {name!r}: expected iob1, iob2, iob or iobes") from None


def open_type(types: Iterable[str]) -> str:
    """The type of a token that a corpus does not label: O, or a part of an entity of one of these types.

    A corpus that labels some of several types says so token by token: ``B-?gene|species`` where its O means
    that there is no disease, but perhaps a gene or a species. Training then counts all of these.

    Example:
        >>> open_type(["gene", "species"]), open_types("?gene|species"), open_types("gene")
        ('?gene|species', ('gene', 'species'), None)
    """
    return "?" + "|".join(types)


def open_types(kind: str) -> tuple[str, ...] | None:
    """The types that an open type leaves open; None for any other type. See :func:`open_type`."""
    if not kind.startswith("?"):
        return None
    return tuple(part for part in kind[1:].split("|") if part)


def types_of(tag_names: Iterable[str]) -> tuple[str, ...]:
    """The entity types in ``tag_names``, by first appearance."""
    pairs = (split_tag(name) for name in tag_names)
    return tuple(dict.fromkeys(kind for prefix, kind in pairs if prefix not in ("", "O")))


def tag_table(
    tag_names: Iterable[str], types: tuple[str, ...]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Prefix codes and type indices (-1: none) of tags, as the native functions take them."""
    index = {kind: i for i, kind in enumerate(types)}
    prefixes, kinds = [], []
    for name in tag_names:
        prefix, kind = split_tag(name)
        known = prefix == "O" or (prefix != "" and kind in index)
        prefixes.append(_PREFIXES.index(prefix) if known else _OTHER)
        kinds.append(index[kind] if known and prefix != "O" else -1)
    return np.array(prefixes, dtype=np.uint8), np.array(kinds, dtype=np.int32)


def tag_counts(corpora: Iterable[Corpus]) -> dict[str, int]:
    """Tokens of each tag, by first appearance."""
    counts: dict[str, int] = {}
    for corpus in corpora:
        found = np.bincount(corpus.tag_ids, minlength=len(corpus.tag_names)).tolist()
        for name, count in zip(corpus.tag_names, found, strict=True):
            counts[name] = counts.get(name, 0) + count
    return counts


def respelled(corpus: Corpus, reading: TagReading) -> Corpus:
    """The corpus with its tags as ``reading`` has them; the corpus itself where they stand so already.

    Example:
        >>> corpus = Corpus.from_sentences([[("a", "U-X"), ("b", "?")]])
        >>> respelled(corpus, read_tags(tag_counts([corpus]))).tags()
        ['S-X', 'O']
    """
    names = [reading.spelled[name] for name in corpus.tag_names]
    if tuple(names) == corpus.tag_names:
        return corpus
    known = {name: i for i, name in enumerate(dict.fromkeys(names))}
    places = np.array([known[name] for name in names], dtype=np.int32)
    return corpus.with_tags(places[corpus.tag_ids], tuple(known))


def read_chunks(
    corpus: Corpus, type_name: str = NO_TYPE, *, source: str | None = None
) -> tuple[Corpus, TagReading] | None:
    """A corpus whose tags are spelled as those of chunks; None where they are none (parts of speech).

    Stray tags are read as ``O``, with a warning.

    Args:
        corpus: as it was read.
        type_name: the type of bare tags (B, I, O).
        source: what the warning calls it; by default its path.
    """
    counts = tag_counts([corpus])
    reading = read_tags(counts, type_name)
    if reading is None:
        return None
    warn_strays(corpus, reading, counts, source)
    return respelled(corpus, reading), reading


def warn_strays(
    corpus: Corpus, reading: TagReading, counts: dict[str, int] | None = None, source: str | None = None
) -> None:
    """Log a warning for the stray tags of a corpus as it was read, if it has any."""
    strays = [name for name in corpus.tag_names if name in reading.strays]
    if not strays:
        return
    first = int(np.flatnonzero(np.isin(corpus.tag_ids, [corpus.tag_names.index(tag) for tag in strays]))[0])
    logger.warning(
        "%s: %s, the first at token %r of sentence %d",
        source or corpus.path or "corpus",
        stray_message(counts or tag_counts([corpus]), strays),
        corpus.tokens[first],
        int(np.searchsorted(corpus.sentence_offsets, first, side="right")),
    )


def is_tag_scheme(tag_names: Iterable[str]) -> bool:
    """Whether these are tags of chunks (O, B-x, I-x, ...) and not, say, part-of-speech tags.

    A few strays among chunk tags do not make a set of chunk tags a part-of-speech set.
    """
    prefixes = [split_tag(name)[0] for name in tag_names]
    strays = prefixes.count("")
    chunks = sum(prefix in ("B", "I", "E", "S") for prefix in prefixes)
    return strays == 0 or ("O" in prefixes and chunks > strays)


def detect_scheme(tag_names: Iterable[str], corpus: Corpus | None = None) -> Scheme | None:
    """Which scheme a corpus is tagged in; None where the tags are of no scheme (part-of-speech tags).

    E or S make it IOBES. Otherwise it is IOB2, unless chunks begin with I and never needlessly with B: IOB1.
    Without ``corpus`` the two cannot be told apart, and IOB2 is assumed.

    Example:
        >>> detect_scheme(["O", "B-Gene", "E-Gene"]), detect_scheme(["NN", "IN"])
        (<Scheme.IOBES: 'iobes'>, None)
    """
    names = tuple(tag_names)
    if not is_tag_scheme(names):
        return None
    if any(split_tag(name)[0] in ("E", "S") for name in names):
        return Scheme.IOBES
    if corpus is None:
        return Scheme.IOB2
    _, _, with_begin, with_inside = _find_illegal(corpus, Scheme.IOB2)
    return Scheme.IOB1 if with_inside and not with_begin else Scheme.IOB2


@dataclass(frozen=True)
class IllegalTags:
    """Tags a scheme does not allow where they stand.

    Attributes:
        count: how many.
        first: token index of the first, -1 if there is none.
        strays: the tags that belong to no scheme at all.
    """

    count: int
    first: int
    strays: tuple[str, ...]


def find_illegal(corpus: Corpus, scheme: Scheme | None = None) -> IllegalTags:
    """Count the tags that ``scheme`` (default: the one recognised) does not allow where they stand."""
    scheme = scheme or detect_scheme(corpus.tag_names, corpus)
    if scheme is None:
        return IllegalTags(0, -1, ())
    count, first, _, _ = _find_illegal(corpus, scheme)
    return IllegalTags(count, first, tuple(name for name in corpus.tag_names if not split_tag(name)[0]))


def warn_illegal(corpus: Corpus, scheme: Scheme | None = None) -> None:
    """Log a warning for illegal sequences, and for tags of no scheme that are not read as O."""
    scheme = scheme or detect_scheme(corpus.tag_names, corpus)
    found = find_illegal(corpus, scheme)
    where = corpus.path or "corpus"
    if found.count and scheme is not None:
        sentence = int(np.searchsorted(corpus.sentence_offsets, found.first, side="right"))
        logger.warning(
            "%s: %d tags do not follow the %s scheme (the first at token %r of sentence %d); "
            "they are read by the rules of conlleval",
            where,
            found.count,
            scheme.name,
            corpus.tokens[found.first],
            sentence,
        )
    if found.strays:
        logger.warning("%s: kept tags that belong to no scheme: %s", where, ", ".join(found.strays[:10]))


def convert(corpus: Corpus, to: Scheme, *, warn: bool = False) -> Corpus:
    """The corpus with its chunks written in another scheme.

    Tags of no scheme are kept as they are. The result is legal in ``to``, whatever came.

    Args:
        corpus: in any scheme.
        to: the scheme of the result.
        warn: log a warning about illegal sequences and stray tags.

    Raises:
        BionerError: the tags are not chunk tags (part-of-speech tags are never converted).

    Example:
        >>> corpus = Corpus.from_sentences([[("a", "I-X"), ("b", "I-X"), ("c", "B-X")]])
        >>> convert(corpus, Scheme.IOBES).tags()
        ['B-X', 'E-X', 'S-X']
    """
    if not is_tag_scheme(corpus.tag_names):
        shown = ", ".join(corpus.tag_names[:5])
        raise BionerError(
            f"{corpus.path or 'corpus'}: cannot convert to {to.name}: "
            f"its tags ({shown}, ...) are not of the form O, B-type, I-type"
        )
    if warn:
        warn_illegal(corpus)
    types = types_of(corpus.tag_names)
    prefix, kind = tag_table(corpus.tag_names, types)
    ids, codes = _text.convert_tags(
        np.ascontiguousarray(corpus.tag_ids), corpus.sentence_offsets, prefix, kind, len(types), to.code
    )
    strays = 1 + 4 * (len(types) + 1)
    names = []
    for code in codes.tolist():
        if code == 0:
            names.append("O")
        elif code >= strays:
            names.append(corpus.tag_names[code - strays])
        else:
            names.append(f"{_PREFIXES[1 + (code - 1) % 4]}-{types[(code - 1) // 4]}")
    return corpus.with_tags(ids, tuple(names) or ("O",))


@dataclass(frozen=True)
class TagSet:
    """The tags a model knows, in the order of its outputs.

    Attributes:
        names: ``O``, then the scheme's prefixes per type; part-of-speech tags by first appearance.
        scheme: None for part-of-speech tags.
        types: entity types by first appearance; empty for part-of-speech tags.

    Example:
        >>> corpus = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")]])
        >>> TagSet.for_corpora([corpus], Scheme.IOBES).names
        ('O', 'B-Gene', 'I-Gene', 'E-Gene', 'S-Gene')
    """

    names: tuple[str, ...]
    scheme: Scheme | None
    types: tuple[str, ...]

    @classmethod
    def for_corpora(cls, corpora: Iterable[Corpus | None], scheme: Scheme | None) -> TagSet:
        """The tags of all splits, so that a type (or a tag) seen only in test is known."""
        union = tuple(
            dict.fromkeys(name for corpus in corpora if corpus is not None for name in corpus.tag_names)
        )
        if scheme is None:
            return cls(union, None, ())
        types = types_of(union)
        names = ["O", *(f"{prefix}-{kind}" for kind in types for prefix in scheme.prefixes)]
        strays = [name for name in union if not split_tag(name)[0]]
        return cls(tuple(names + strays), scheme, types)

    def closed(self) -> TagSet:
        """Without the open types (see :func:`open_type`), which are no output of a network."""
        kept = tuple(name for name in self.names if open_types(split_tag(name)[1]) is None)
        return TagSet(kept, self.scheme, tuple(kind for kind in self.types if open_types(kind) is None))

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each tag in ``names``."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def table(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """Prefix codes and type indices of ``names``; all of them of no scheme for part-of-speech tags."""
        return tag_table(self.names, self.types) if self.scheme is not None else _no_scheme(len(self.names))

    def encode(self, corpus: Corpus) -> npt.NDArray[np.int64]:
        """The tags of a corpus as indices into ``names``, int64 ``[N]``.

        Raises:
            BionerError: the corpus has a tag that is not in the set.
        """
        missing = [name for name in corpus.tag_names if name not in self.index]
        if missing:
            raise BionerError(
                f"{corpus.path or 'corpus'}: the tag {missing[0]} is not in the tag set "
                f"({', '.join(self.names[:9])}{', ...' if len(self.names) > 9 else ''})"
            )
        positions = np.array([self.index[name] for name in corpus.tag_names], dtype=np.int64)
        return positions[corpus.tag_ids]

    def constraints(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What the scheme allows, as log-scores: 0 allowed, ``-inf`` forbidden.

        Returns:
            transitions ``[K, K]`` (row = from, column = to), start ``[K]``, end ``[K]``, all float32; all
            zeros for part-of-speech tags.
        """
        K = len(self.names)
        allowed = np.ones((K, K), dtype=bool)
        start, end = np.ones(K, dtype=bool), np.ones(K, dtype=bool)
        if self.scheme is not None:
            codes, kinds = self.table
            prefix = np.where(codes == _OTHER, 0, codes)  # strays stand where O stands
            begins, inside, ends = prefix == 1, prefix == 2, prefix == 3
            same_type = (kinds[:, None] == kinds[None, :]) & (kinds >= 0)[:, None]
            if self.scheme is Scheme.IOB1:
                allowed, start = same_type | ~begins[None, :], ~begins
            elif self.scheme is Scheme.IOB2:
                allowed, start = same_type | ~inside[None, :], ~inside
            else:
                is_open, continues = begins | inside, inside | ends
                allowed = (is_open[:, None] == continues[None, :]) & (same_type | ~continues[None, :])
                start, end = ~continues, ~is_open
        return _log_scores(allowed), _log_scores(start), _log_scores(end)


@dataclass(frozen=True, eq=False)
class Spans:
    """Chunks of a corpus in reading order.

    Attributes:
        start, end: token indices int64 ``[E]``, end exclusive.
        type_id: int64 ``[E]``, indices into the types of the tag set.
    """

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    type_id: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.start.size


def decode_spans(
    tag_ids: npt.ArrayLike, sentence_offsets: npt.NDArray[np.int64], tagset: TagSet, *, strict: bool = False
) -> Spans:
    """The chunks that tags stand for.

    Args:
        tag_ids: ``[N]`` integers, indices into ``tagset.names``.
        sentence_offsets: int64 ``[S + 1]``; no chunk crosses a sentence.
        tagset: its tags; part-of-speech tags have no chunks.
        strict: leave out chunks that are not well-formed in the tag set's scheme.

    Raises:
        ValueError: an id or offset is out of range.
    """
    ids = np.ascontiguousarray(tag_ids, dtype=np.int32)
    prefix, kind = tagset.table
    scheme = (tagset.scheme or Scheme.IOB2).code
    return Spans(*_text.find_spans(ids, np.ascontiguousarray(sentence_offsets), prefix, kind, strict, scheme))


def _no_scheme(n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    return np.full(n, _OTHER, dtype=np.uint8), np.full(n, -1, dtype=np.int32)


def _log_scores(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.where(allowed, np.float32(0), np.float32(-np.inf))


def _find_illegal(corpus: Corpus, scheme: Scheme) -> tuple[int, int, int, int]:
    prefix, kind = tag_table(corpus.tag_names, types_of(corpus.tag_names))
    ids = np.ascontiguousarray(corpus.tag_ids)
    found: tuple[int, int, int, int] = _text.find_illegal_tags(
        ids, corpus.sentence_offsets, prefix, kind, scheme.code
    )
    return found
