"""Word vectors: read once in any of the usual formats, memory-mapped from then on."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError, WriteError
from bioner_fast.features.vector_cache import (
    Arrays,
    DamagedCacheError,
    MappedMatrix,
    VectorStatistics,
    build_cache,
    cache_places,
    open_cache,
    read_arrays,
)
from bioner_fast.features.vector_files import FORMATS, VectorFile, write_vectors
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.log import logger

__all__ = ["FORMATS", "WordVectors"]


class WordVectors:
    """Words and their vectors, most frequent first where the file has them so.

    Attributes:
        words: distinct words [V].
        path: the file they come from, None if they were made.
        statistics: what reading the file met (of the whole file), None if they were made.

    Example:
        >>> vectors = WordVectors.load("vectors.bin")  # doctest: +SKIP
        >>> vectors["protein"].shape  # doctest: +SKIP
        (200,)
    """

    def __init__(
        self,
        words: StringColumn,
        matrix: npt.NDArray[np.float32],
        *,
        path: str | None = None,
        statistics: VectorStatistics | None = None,
        slots: npt.NDArray[np.uint64] | None = None,
        mapped: MappedMatrix | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Put words [V] and a float32 matrix [V, D] together.

        ``slots`` is an index of these words; ``mapped`` and ``cache_dir`` are of a matrix that is mapped.
        """
        if matrix.ndim != 2 or len(matrix) != len(words):
            raise ValueError(
                f"matrix: expected {len(words)} rows of two dimensions, got shape {matrix.shape}"
            )
        self.words = words
        self._matrix = matrix
        self._mapped = mapped
        self._cache_dir = cache_dir
        self.path = path
        self.statistics = statistics
        self._index: tuple[StringColumn, npt.NDArray[np.uint64]] | None = (
            None if slots is None else (words, slots)
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        max_rank: int | None = None,
        format: str | None = None,
        cache: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        threads: int = 0,
    ) -> WordVectors:
        """Load a word-vector file.

        Args:
            path: word2vec binary or text, GloVe, or fastText ``.vec``.
            max_rank: only the first so many entries of the file; None takes all.
            format: one of ``FORMATS``; None finds it out.
            cache: keep a memory-mapped copy beside the file (in the user's cache folder or ``BIONER_CACHE``
                where that cannot be written), which the next load opens in milliseconds. False reads into
                memory.
            cache_dir: a folder for the copy.
            threads: 0 takes every core.

        Raises:
            BionerError: there is no such file, or it changed while it was read.
            FormatError: it is cut off, malformed or in no known format; the message names the line or entry.
            UsageError: an argument is out of range.
        """
        if max_rank is not None and max_rank < 1:
            raise UsageError(f"max_rank: expected at least 1, got {max_rank}")
        name = os.fspath(path)
        arrays = _open_or_build(name, format, cache_dir, threads) if cache else None
        if arrays is None:
            with VectorFile(name, format) as file:
                arrays = read_arrays(file, max_rank, threads)
        return cls._prefix(arrays, name, max_rank, cache_dir)

    @classmethod
    def _prefix(
        cls,
        arrays: Arrays,
        path: str,
        max_rank: int | None,
        cache_dir: str | os.PathLike[str] | None,
    ) -> WordVectors:
        """The first ``max_rank`` entries of a file, less the duplicates among them."""
        if bad := arrays.statistics.not_finite_rows:
            logger.warning(
                "%s: %d vectors have an infinity or NaN in them; see 'bioner-fast vectors check'", path, bad
            )
        n = len(arrays.words)
        if max_rank is not None:
            n = min(n, max_rank - int(np.searchsorted(arrays.repeated, max_rank)))
        vectors = cls(
            arrays.words[:n],
            arrays.matrix[:n],
            path=path,
            statistics=arrays.statistics,
            mapped=arrays.mapped,
            cache_dir=cache_dir,
        )
        vectors._index = (arrays.words, arrays.slots)
        return vectors

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._matrix.shape[1])

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """The vectors, float32 [V, D], read-only where they are memory-mapped.

        Raises:
            BionerError: the mapped copy was damaged, and the file that it can be made from has changed too.
        """
        return self._checked(0, len(self._matrix))

    def _checked(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """The matrix, of which rows [first, last) are as they were written."""
        if self._mapped is not None:
            try:
                self._mapped.check(first, last)
            except DamagedCacheError as error:
                self._renew(str(error))
        return self._matrix

    def _renew(self, why: str) -> None:
        """Make the mapped copy anew; what its pages held is not looked at any more."""
        assert self.path is not None
        logger.warning("the copy of %s is made again: %s", self.path, why)
        arrays = _open_or_build(self.path, None, self._cache_dir, 0, renew=True)
        if arrays is None:
            with VectorFile(self.path) as file:
                arrays = read_arrays(file, None, 0)
        n = len(self.words)
        if arrays.matrix.shape[1] != self.dim or arrays.words[:n].tolist() != self.words.tolist():
            raise BionerError(f"{self.path} is not the file that was loaded any more; load it again")
        self._matrix, self._mapped = arrays.matrix[:n], arrays.mapped

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words with an index; row i belongs to ``matrix[i]``."""
        if self._index is None:
            return Vocabulary(self.words)
        words, slots = self._index
        return Vocabulary(words, slots=slots, limit=len(self.words))

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word in self.vocabulary

    def __getitem__(self, word: str) -> npt.NDArray[np.float32]:
        """The vector of exactly this word, float32 [D]; KeyError if there is none."""
        row = self.vocabulary.find(word)
        if row < 0:
            raise KeyError(word)
        vector: npt.NDArray[np.float32] = self._checked(row, row + 1)[row]
        return vector

    def save(self, path: str | os.PathLike[str], format: str = "word2vec-binary") -> None:
        """Write the vectors in one of ``FORMATS``, atomically.

        Raises:
            UsageError: the format is unknown.
            BionerError: a word cannot be written in it (a space within, in the binary format).
        """
        write_vectors(path, self.words, self.matrix, format)


def _open_or_build(
    path: str,
    format: str | None,
    cache_dir: str | os.PathLike[str] | None,
    threads: int,
    *,
    renew: bool = False,
) -> Arrays | None:
    """The arrays from the cache, which is built where there is none; None where no place can be written.

    With ``renew`` it is built whatever there is.
    """
    places = cache_places(path, cache_dir) if Path(path).is_file() else []
    for place in () if renew else places:
        if (arrays := open_cache(place, path, format)) is not None:
            return arrays
    for place in places:
        try:
            with VectorFile(path, format) as file:
                build_cache(place, file, threads)
        except (OSError, WriteError) as error:
            # Another process may have put its own there in the meantime.
            if (arrays := open_cache(place, path, format)) is not None:
                return arrays
            logger.info("cannot keep a memory-mapped copy of %s at %s: %s", path, place, error)
            continue
        if (arrays := open_cache(place, path, None)) is not None:
            return arrays
    return None
