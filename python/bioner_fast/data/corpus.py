"""A corpus in memory: packed columns of tokens and tags, with sentence and document boundaries."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.compression import GZIP, MAX_DOCUMENT_MB, decompressed
from bioner_fast.data.columns import Line, Lines, blank_tokens, column_names
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import atomic_write, packed
from bioner_fast.log import logger

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
# Bytes of a file that are searched for the names of its columns.
_HEAD = 1 << 16
_Bytes = TypeVar("_Bytes", bytes, npt.NDArray[np.uint8])
# Tags of every token: indices of any integer type, [N], and the names they stand for.
Labels = tuple[npt.NDArray[np.integer[Any]], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokens and tags of a corpus, immutable.

    Attributes:
        tokens: ``[N]`` strings.
        tag_ids: int32 ``[N]``, indices into ``tag_names``.
        tag_names: the different tags, by first appearance; ``("O",)`` for a corpus without tags.
        sentence_offsets: int64 ``[S + 1]``, token indices. No sentence of a file is empty.
        document_offsets: int64 ``[D + 1]``, sentence indices.
        document_ids: ``[D]`` ids, ``""`` where the file gives none.
        path: the file it came from, None for one made in memory.

    Example:
        >>> corpus = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")], [("It", "O")]])
        >>> corpus.n_tokens, corpus.sentence_offsets.tolist(), corpus.tag_names
        (3, [0, 2, 3], ('B-Gene', 'O'))
    """

    tokens: StringColumn
    tag_ids: Ids
    tag_names: tuple[str, ...]
    sentence_offsets: Offsets
    document_offsets: Offsets
    document_ids: tuple[str, ...]
    path: str | None = field(default=None)

    def __post_init__(self) -> None:
        n, sentences = len(self.tokens), self.sentence_offsets.size - 1
        if self.tag_ids.shape != (n,):
            raise ValueError(f"tag_ids: expected {n} values, one per token, got shape {self.tag_ids.shape}")
        _check_offsets("sentence_offsets", self.sentence_offsets, n)
        _check_offsets("document_offsets", self.document_offsets, sentences)
        if len(self.document_ids) != self.document_offsets.size - 1:
            raise ValueError(
                f"document_ids: expected {self.document_offsets.size - 1}, got {len(self.document_ids)}"
            )

    @classmethod
    def concatenate(cls, corpora: Sequence[Corpus]) -> Corpus:
        """Several corpora as one, in their order; tags are matched by name.

        Example:
            >>> one = Corpus.from_sentences([[("p53", "B-gene")]])
            >>> two = Corpus.from_sentences([[("is", "O"), ("p53", "B-gene")]])
            >>> Corpus.concatenate([one, two]).tags()
            ['B-gene', 'O', 'B-gene']
        """
        names: dict[str, int] = {}
        ids = []
        for corpus in corpora:
            codes = np.array([names.setdefault(name, len(names)) for name in corpus.tag_names], np.int32)
            ids.append(codes[corpus.tag_ids])
        return cls(
            StringColumn.concatenate(corpus.tokens for corpus in corpora),
            np.concatenate(ids),
            tuple(names),
            _joined_offsets([corpus.sentence_offsets for corpus in corpora]),
            _joined_offsets([corpus.document_offsets for corpus in corpora]),
            tuple(name for corpus in corpora for name in corpus.document_ids),
        )

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        token_column: int = 0,
        tag_column: int | None = -1,
        threads: int = 0,
        max_document_mb: int = MAX_DOCUMENT_MB,
    ) -> Corpus:
        """Read a column file: a token a line, blank lines between sentences.

        Where the first line with a token has a tab, tabs alone separate, so that a token may hold spaces;
        elsewhere tabs and spaces do. A token that is empty or blank is left out, with a warning. Lines like
        ``-DOCSTART-``, ``# doc_id = 12`` and ``###MEDLINE:12`` begin a document and name it (fillers such as
        ``O`` and ``-X-`` are no names). Other lines that begin with ``#`` are comments, unless they have the
        columns of a token. Line ends may be LF or CRLF; a byte-order mark is skipped. Gzip is recognised by
        content.

        Args:
            path: the file; ``-`` is standard input.
            token_column, tag_column: which fields to read, negative from the right; ``tag_column=None`` reads
                tokens alone.
            threads: 0 takes every core. The result does not depend on it.
            max_document_mb: how much may come out of a compressed file, or from standard input; a file proper
                is as large as it is.

        Raises:
            FormatError: the file is not UTF-8 text, a line has not as many columns as the first, or what is
                compressed is damaged.
            BionerError: the file cannot be read.
        """
        labels = [] if tag_column is None else [tag_column]
        return _read(
            path,
            token_column,
            labels,
            min_columns=len(labels) + 1,
            threads=threads,
            max_document_mb=max_document_mb,
        )[0]

    @classmethod
    def from_sentences(
        cls, sentences: list[list[tuple[str, str]]], document_ids: tuple[str, ...] | None = None
    ) -> Corpus:
        """A corpus of one document made of ``(token, tag)`` pairs; empty sentences vanish.

        Example:
            >>> Corpus.from_sentences([[("p53", "B-Gene")], []]).n_sentences
            1
        """
        kept = [sentence for sentence in sentences if sentence]
        codes: dict[str, int] = {}
        ids = [codes.setdefault(tag, len(codes)) for sentence in kept for _, tag in sentence]
        return cls(
            tokens=StringColumn.from_list(token for sentence in kept for token, _ in sentence),
            tag_ids=np.array(ids, dtype=np.int32),
            tag_names=tuple(codes) or ("O",),
            sentence_offsets=np.cumsum([0] + [len(sentence) for sentence in kept], dtype=np.int64),
            document_offsets=np.array([0, len(kept)] if kept else [0], dtype=np.int64),
            document_ids=(document_ids or ("",)) if kept else (),
        )

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)

    @property
    def n_sentences(self) -> int:
        return self.sentence_offsets.size - 1

    @property
    def n_documents(self) -> int:
        return self.document_offsets.size - 1

    def tags(self) -> list[str]:
        """The tag of every token as a Python string."""
        names = self.tag_names
        return [names[i] for i in self.tag_ids.tolist()]

    def with_tags(self, tag_ids: npt.NDArray[np.integer[Any]], tag_names: tuple[str, ...]) -> Corpus:
        """The same tokens and boundaries under other tags (``tag_ids`` ``[N]``, any integer type)."""
        return Corpus(
            self.tokens,
            np.ascontiguousarray(tag_ids, dtype=np.int32),
            tuple(tag_names),
            self.sentence_offsets,
            self.document_offsets,
            self.document_ids,
            self.path,
        )

    def slice_tokens(self, start: int, stop: int) -> Corpus:
        """Tokens ``start`` to ``stop`` (exclusive); the sentences and documents at the ends are cut there."""
        start, stop, _ = slice(start, stop).indices(self.n_tokens)
        stop = max(start, stop)
        clipped = np.clip(self.sentence_offsets, start, stop)
        keep = np.flatnonzero(np.diff(clipped) > 0)
        # A document stays if one of its sentences does.
        bounds = np.searchsorted(keep, self.document_offsets)
        documents = np.flatnonzero(np.diff(bounds) > 0)
        return Corpus(
            self.tokens[start:stop],
            self.tag_ids[start:stop],
            self.tag_names,
            np.append(clipped[keep], stop) - start,
            np.append(bounds[documents], keep.size),
            tuple(self.document_ids[i] for i in documents),
            self.path,
        )

    def write(self, path: str | os.PathLike[str], predicted: Labels | None = None) -> None:
        """Write ``token TAB tag`` lines, or ``token TAB gold TAB predicted`` with ``predicted`` (ids, names).

        Documents are written as ``-DOCSTART-`` lines unless there is but one, without an id. The file appears
        whole or not at all; a name in ``.gz`` is compressed.

        Raises:
            FormatError: a token is empty or holds white space but for inner spaces, or would be read as a
                comment or a document marker, so that it would not come back.
        """
        data = packed(self.to_bytes(predicted, path=os.fspath(path)), path)
        with atomic_write(path, "wb") as out:
            out.write(data)

    def to_bytes(
        self,
        predicted: Labels | None = None,
        *,
        documents: bool = True,
        path: str = "corpus",
    ) -> bytes:
        """What :meth:`write` writes; without ``-DOCSTART-`` lines if ``documents`` is false."""
        labels = [(np.ascontiguousarray(self.tag_ids, dtype=np.int32), list(self.tag_names))]
        if predicted is not None:
            labels.append((np.ascontiguousarray(predicted[0], dtype=np.int32), list(predicted[1])))
        if self.document_ids in ((), ("",)):
            documents = False
        data: bytes = _text.write_conll(
            self.tokens.buffer,
            np.ascontiguousarray(self.tokens.offsets),
            labels,
            np.ascontiguousarray(self.sentence_offsets),
            np.ascontiguousarray(self.document_offsets) if documents else np.zeros(1, dtype=np.int64),
            list(self.document_ids) if documents else [],
            _shown(path),
        )
        return data

    def digest(self) -> str:
        """SHA-256 of the normal form: ``token TAB tag`` lines, blank lines between sentences, no more."""
        return hashlib.sha256(self.to_bytes(documents=False)).hexdigest()

    def __repr__(self) -> str:
        return (
            f"Corpus({self.n_tokens} tokens, {self.n_sentences} sentences, {self.n_documents} documents, "
            f"{len(self.tag_names)} tags{'' if self.path is None else ', ' + self.path})"
        )


def read_predictions(
    path: str | os.PathLike[str], gold_column: int = -2, predicted_column: int = -1
) -> tuple[Corpus, Ids, tuple[str, ...]]:
    """Read a file (``-``: standard input) of ``token ... gold predicted`` lines.

    Args:
        gold_column, predicted_column: which fields hold the tags, from 0, negative from the right.

    Returns:
        The corpus with its gold tags, the predicted tags as int32 ids ``[N]``, and their names.

    Raises:
        FormatError: as :meth:`Corpus.read`; fewer than three columns.
    """
    corpus, labels = _read(path, 0, [gold_column, predicted_column], min_columns=3)
    return corpus, labels[1][0], labels[1][1]


def read_labels(
    path: str | os.PathLike[str], choose: Callable[[list[str] | None], list[int]]
) -> tuple[Corpus, list[tuple[Ids, tuple[str, ...]]]]:
    """Read the tokens of a file (``-``: standard input) and the columns that ``choose`` picks.

    Args:
        path: the file.
        choose: takes the names of the columns, where the file says them, else None; gives the columns to
        read,
            from 0, negative from the right.

    Returns:
        The corpus with the tags of the first column, and of every column the tags as int32 ids ``[N]`` and
        names.

    Raises:
        FormatError: as :meth:`Corpus.read`.
    """
    data = _contents(path, 0)
    columns = choose(column_names(bytes(data[:_HEAD])))
    return _read(path, 0, columns, min_columns=3 if min(columns) < 0 else 2, data=data)


def replace_last_column(data: bytes, tags: Sequence[str], column: int = -1) -> bytes:
    r"""A column file with other tags in one column; all else in it stays, but line ends become LF.

    Args:
        data: the file, as :meth:`Corpus.read` has read it.
        tags: one for each of its tokens.
        column: which, from 0, negative from the right.

    Raises:
        ValueError: there are more or fewer tags than tokens.

    Example:
        >>> replace_last_column(b"p53\tNN\tI-Gene\n\nis\tVB\tO\n", ["S-Gene", "O"])
        b'p53\tNN\tS-Gene\n\nis\tVB\tO\n'
    """
    lines = Lines()
    rest = iter(tags)
    out: list[str] = []

    def put(line: Line) -> None:
        text = line.text.rstrip(" \t")
        if line.kind == "token":
            start, end = line.spans[column]
            text = text[:start] + next(rest) + text[end:]
        out.append(text)

    try:
        for raw in data.removeprefix(b"\xef\xbb\xbf").decode().split("\n"):
            for line in lines.read(raw.removesuffix("\r")):
                put(line)
        for line in lines.finish():
            put(line)
    except StopIteration:
        raise ValueError("tags: expected one for each token, got fewer") from None
    if next(rest, None) is not None:
        raise ValueError("tags: expected one for each token, got more")
    if out[-1]:
        out.append("")
    return "\n".join(out).encode()


def load_bytes(path: str | os.PathLike[str], max_document_mb: int = MAX_DOCUMENT_MB) -> bytes:
    """The bytes of a file (``-``: of standard input), decompressed, or a BionerError that says why not."""
    if os.fspath(path) == "-":
        return _unpacked(_bounded(sys.stdin.buffer, "<stdin>", max_document_mb), "<stdin>", max_document_mb)
    try:
        with open(path, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            data = stream.read() if is_file else _bounded(stream, os.fspath(path), max_document_mb)
        return _unpacked(data, os.fspath(path), max_document_mb)
    except FileNotFoundError:
        raise BionerError(f"{os.fspath(path)}: there is no such file") from None
    except IsADirectoryError:
        raise BionerError(f"{os.fspath(path)}: expected a file, found a folder") from None
    except OSError as error:
        raise BionerError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None


def _bounded(stream: IO[bytes], path: str, max_document_mb: int) -> bytes:
    """What a stream of unknown length holds, if it is not too much."""
    data = stream.read((max_document_mb << 20) + 1)
    if len(data) > max_document_mb << 20:
        raise FormatError(path, f"it gives more than {max_document_mb} MB; give a file of plain text instead")
    return data


def _contents(
    path: str | os.PathLike[str], threads: int, max_document_mb: int = MAX_DOCUMENT_MB
) -> bytes | npt.NDArray[np.uint8]:
    """What :func:`load_bytes` gives; a file proper is read by several threads.

    Not memory-mapped: a file that somebody cuts short while it is read would end the process.
    """
    if os.fspath(path) != "-" and Path(path).is_file():  # no pipes: they can be opened once only
        with contextlib.suppress(OSError), open(path, "rb", buffering=0) as stream:
            data = _text.load_file(stream.fileno(), threads)
            if data is not None:
                return _unpacked(data, os.fspath(path), max_document_mb)
    return load_bytes(path, max_document_mb)


def _unpacked(data: _Bytes, path: str, max_document_mb: int) -> _Bytes | bytes:
    """``data``, decompressed if it is gzip; a megabyte of that may hold a gigabyte."""
    if bytes(data[:2]) != GZIP and len(data):
        return data
    return _bounded(decompressed(io.BytesIO(bytes(data)), path), path, max_document_mb)


def _read(
    path: str | os.PathLike[str],
    token_column: int,
    label_columns: list[int],
    *,
    min_columns: int,
    threads: int = 0,
    data: bytes | npt.NDArray[np.uint8] | None = None,
    max_document_mb: int = MAX_DOCUMENT_MB,
) -> tuple[Corpus, list[tuple[Ids, tuple[str, ...]]]]:
    name = "<stdin>" if os.fspath(path) == "-" else os.fspath(path)
    text, offsets, labels, sentences, documents, ids, skipped, first = _text.read_conll(
        _contents(path, threads, max_document_mb) if data is None else data,
        _shown(name),
        token_column,
        label_columns,
        min_columns,
        threads,
    )
    if skipped:
        logger.warning("%s:%d: %s", name, first, blank_tokens(skipped))
    if labels:
        tag_ids, tag_names = labels[0]
    else:
        tag_ids, tag_names = np.zeros(offsets.size - 1, dtype=np.int32), ()
    tokens = StringColumn(text, offsets)
    corpus = Corpus(tokens, tag_ids, tag_names or ("O",), sentences, documents, ids, name)
    return corpus, labels


def _shown(path: str) -> str:
    """A name for messages of the native library, which takes no name that is not UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _check_offsets(name: str, offsets: Offsets, end: int) -> None:
    if offsets.dtype != np.int64 or offsets.ndim != 1 or offsets.size == 0:
        raise TypeError(f"{name}: expected a one-dimensional int64 array with at least one offset")
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
        raise ValueError(f"{name}: expected ascending offsets from 0 to {end}")


def _joined_offsets(offsets: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    counts = np.concatenate([np.diff(part) for part in offsets])
    result: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return result
