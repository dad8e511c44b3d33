"""The memory-mapped form of a word-vector file: a folder that later loads open in milliseconds.

The folder is ``NAME.bioner-cache`` beside the file or, where that place cannot be written, in the user's
cache folder (``BIONER_CACHE`` names another one). It holds the words, their hash index and the matrix as
plain arrays, and ``meta.json``, which says which file it was (size, times of change, inode) and has a digest
of every block of the arrays. A file that changed is read again, and so is one whose cache is damaged, belongs
to another user or could be written by one. Words and index are read and checked when the cache is opened; the
matrix is mapped, and its blocks are checked when they are first used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vector_files import VectorFile, file_state
from bioner_fast.files import DAMAGED, atomic_directory, parse_json, write_json

CACHE_VERSION = 2
_SUFFIX = ".bioner-cache"
# Bytes that have one digest.
_BLOCK = 1 << 20
# How often a large file that is being written is synced.
_SYNC_SECONDS = 0.02


@dataclass(frozen=True)
class VectorStatistics:
    """What reading a file met.

    Attributes:
        format: the file's format.
        duplicates: entries whose word had occurred before; the first one counts, the others are left out.
        invalid_utf8: words that were not UTF-8; their wrong bytes became U+FFFD.
        zero_rows, not_finite_rows: vectors of zeros only, and with an infinity or NaN (duplicates included).
    """

    format: str
    duplicates: int
    invalid_utf8: int
    zero_rows: int
    not_finite_rows: int


@dataclass(frozen=True)
class Arrays:
    """A whole file in memory or memory-mapped.

    Attributes:
        words: distinct words [V], in the order of the file.
        slots: their hash index, uint64.
        matrix: float32 [V, D].
        repeated: int64, positions in the file of the entries left out as duplicates.
        mapped: what checks the matrix where it is mapped.
    """

    words: StringColumn
    slots: npt.NDArray[np.uint64]
    matrix: npt.NDArray[np.float32]
    repeated: npt.NDArray[np.int64]
    statistics: VectorStatistics
    mapped: MappedMatrix | None = None


class DamagedCacheError(Exception):
    """A cache is not what was written; it is made again."""


class MappedMatrix:
    """A matrix in a file, mapped into memory, whose blocks are checked when they are first used.

    Args:
        path: the file; its owner may be this user or root, and nobody else may write it.
        rows, dim: its size.
        digests: uint64, of its blocks.

    Attributes:
        array: float32 [rows, dim], unchecked.
    """

    def __init__(self, path: Path, rows: int, dim: int, digests: npt.NDArray[np.uint64]) -> None:
        with _open_trusted(path) as stream:
            self._fd = os.dup(stream.fileno())
            weakref.finalize(self, os.close, self._fd)
            self._state = self._now()
            # A plain array over the map: indexing a np.memmap makes a subclass instance each time, which is
            # slow.
            mapped = np.memmap(stream, np.uint8, "r") if self._state[0] else np.empty(0, np.uint8)
            self._bytes = np.asarray(mapped)
        if self._state[0] != rows * dim * 4 or len(digests) != -(-self._state[0] // _BLOCK):
            raise DamagedCacheError(f"{path} has another size")
        self.array = self._bytes.view(np.float32).reshape(rows, dim)
        self._digests = digests
        self._checked = np.zeros(len(digests), bool)

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def check(self, first: int, last: int) -> None:
        """See that rows [first, last) are what was written.

        Raises:
            DamagedCacheError: they are not, or the file was changed in its place.
        """
        if self._now() != self._state:  # touching what was cut off would end the process
            raise DamagedCacheError("it was changed while it was in use")
        if first >= last or self._bytes.size == 0:
            return
        width = 4 * self.array.shape[1]
        low, high = first * width // _BLOCK, -(-last * width // _BLOCK)
        if self._checked[low:high].all():
            return
        found = _text.block_digests(self._bytes[low * _BLOCK : high * _BLOCK], _BLOCK, 0)
        if not np.array_equal(found, self._digests[low:high]):
            raise DamagedCacheError("its digests are not those that were written")
        self._checked[low:high] = True


def _trusted(status: os.stat_result) -> bool:
    """Whether nobody but this user and root can have written this."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _open_trusted(path: Path) -> IO[bytes]:
    stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")
    if not _trusted(os.fstat(stream.fileno())):
        stream.close()
        raise DamagedCacheError(f"{path} belongs to somebody else")
    return stream


def user_cache_folder() -> Path:
    """``BIONER_CACHE``, or the platform's folder for caches."""
    if override := os.environ.get("BIONER_CACHE"):
        return Path(override)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bioner-fast"


def cache_places(path: str, cache_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where the cache of a file may lie, the preferred place first."""
    source = Path(path)
    # Two files of one name must not share a folder elsewhere.
    digest = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    named = f"{source.name}-{digest}{_SUFFIX}"
    if cache_dir is not None:
        return [Path(cache_dir) / named]
    places = [user_cache_folder() / named]
    folder = source.resolve().parent
    # A folder marked read-only is left alone, even by a user whom the mark would not stop.
    if folder.stat().st_mode & 0o222:
        places.insert(0, folder / f"{source.name}{_SUFFIX}")
    return places


def open_cache(folder: Path, path: str, format: str | None) -> Arrays | None:
    """The arrays in ``folder`` if they belong to the file as it is now, else None."""
    try:
        if not _trusted(os.stat(folder)):
            return None
        with _open_trusted(folder / "meta.json") as stream:
            meta = parse_json(stream.read())
        expected = {
            "cache_version": CACHE_VERSION,
            "hash_index_version": _text.HASH_INDEX_VERSION,
            "byteorder": sys.byteorder,
            "source": file_state(os.stat(path)),
            "digest": _digest(meta),
        }
        if any(meta.get(key) != value for key, value in expected.items()):
            return None
        if format is not None and meta["statistics"]["format"] != format:
            return None
        n, dim = int(meta["words"]), int(meta["dim"])
        arrays = {
            name: _read(folder / f"{name}.bin", dtype, int(meta["sizes"][name]), meta["digests"][name])
            for name, dtype in _DTYPES.items()
        }
        if arrays["offsets"].size != n + 1:
            return None
        mapped = MappedMatrix(
            folder / "matrix.bin", n, dim, np.array(meta["digests"]["matrix"], dtype=np.uint64)
        )
        return Arrays(
            StringColumn(arrays["text"], arrays["offsets"]),
            arrays["slots"],
            mapped.array,
            arrays["repeated"],
            VectorStatistics(**meta["statistics"]),
            mapped,
        )
    except (OSError, DamagedCacheError, *DAMAGED):
        return None  # absent, half-deleted, damaged or from another version: it is made again


_DTYPES: dict[str, Any] = {
    "text": np.uint8,
    "offsets": np.int64,
    "slots": np.uint64,
    "repeated": np.int64,
}


def _digest(meta: dict[str, Any]) -> str:
    """SHA-256 of ``meta.json`` but for this digest."""
    rest = {key: value for key, value in meta.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read(path: Path, dtype: Any, size: int, digests: list[int]) -> npt.NDArray[Any]:
    """An array of ``size`` elements.

    Raises:
        DamagedCacheError: the file is not as it was written, or is not ours.
    """
    with _open_trusted(path) as stream:
        if os.fstat(stream.fileno()).st_size != size * np.dtype(dtype).itemsize:
            raise DamagedCacheError(f"{path} has another size")
        array = np.empty(size, dtype)
        if stream.readinto(array.view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
            raise DamagedCacheError(f"{path} is cut short")
    if _block_digests(array) != digests:
        raise DamagedCacheError(f"{path} is damaged")
    return array


def _block_digests(array: npt.NDArray[Any]) -> list[int]:
    found: list[int] = _text.block_digests(array.view(np.uint8).reshape(-1), _BLOCK, 0).tolist()
    return found


def read_arrays(file: VectorFile, max_rank: int | None, threads: int, out: IO[bytes] | None = None) -> Arrays:
    """Read a file; with ``out`` the matrix is written there instead of kept (``matrix`` has no rows then).

    Raises:
        FormatError: the file does not follow its format.
    """
    words, value_offsets, invalid = file.scan(max_rank, threads)
    # The rows are copied as if all words were distinct, while an index says whether they are.
    with ThreadPoolExecutor(1, "bioner-index") as pool:
        index = pool.submit(_text.build_index, words.buffer, words.offsets)
        copied = _copy_rows(file, value_offsets, threads, out)
        slots, repeated = index.result()
    if len(repeated):
        keep = np.delete(np.arange(len(words)), repeated)
        words, value_offsets = words.take(keep), value_offsets[keep]
        slots, _ = _text.build_index(words.buffer, words.offsets)
        copied = _copy_rows(file, value_offsets, threads, out)
    matrix, zero, not_finite = copied
    statistics = VectorStatistics(file.header.format, len(repeated), invalid, zero, not_finite)
    return Arrays(words, slots, matrix, repeated, statistics)


def _copy_rows(
    file: VectorFile, value_offsets: npt.NDArray[np.int64], threads: int, out: IO[bytes] | None
) -> tuple[npt.NDArray[np.float32], int, int]:
    """The matrix, or ``out`` filled with it from its beginning; rows of zeros and rows not finite."""
    matrix = np.empty((len(value_offsets) if out is None else 0, file.header.dim), np.float32)
    zero = not_finite = 0
    if out is not None:
        out.seek(0)
        out.truncate()
    for block, zeros, bad in file.rows(value_offsets, threads, matrix if out is None else None):
        zero, not_finite = zero + zeros, not_finite + bad
        if out is not None:
            out.write(block.data)
    return matrix, zero, not_finite


def build_cache(folder: Path, file: VectorFile, threads: int) -> None:
    """Read ``file`` and write its cache; ``folder`` appears whole or not at all.

    Raises:
        OSError, WriteError: the place cannot be written, or is full.
        FormatError: the file does not follow its format.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Nobody else may write what is trusted later, whatever the umask.
    with atomic_directory(folder, force=True, manifest=False, mode=0o755) as temporary:
        with _synced(temporary / "matrix.bin") as out:
            arrays = read_arrays(file, None, threads, out)
        n, dim = len(arrays.words), file.header.dim
        written = np.memmap(temporary / "matrix.bin", np.uint8, "r") if n else np.empty(0, np.uint8)
        small: dict[str, npt.NDArray[Any]] = {
            "text": arrays.words.buffer,
            "offsets": arrays.words.offsets,
            "slots": arrays.slots,
            "repeated": arrays.repeated,
        }
        digests = {name: _block_digests(np.ascontiguousarray(array)) for name, array in small.items()}
        for name, array in small.items():
            with _synced(temporary / f"{name}.bin") as out:
                out.write(np.ascontiguousarray(array).data)
        meta: dict[str, Any] = {
            "cache_version": CACHE_VERSION,
            "hash_index_version": _text.HASH_INDEX_VERSION,
            "byteorder": sys.byteorder,
            "source": file.state,
            "words": n,
            "dim": dim,
            "sizes": {name: int(array.size) for name, array in small.items()},
            "digests": {**digests, "matrix": _block_digests(np.asarray(written))},
            "statistics": asdict(arrays.statistics),
        }
        file.check_unchanged()
        write_json(temporary / "meta.json", {**meta, "digest": _digest(meta)})
        for part in temporary.iterdir():
            part.chmod(part.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[IO[bytes]]:
    """A file that is on the disk at the end; what is written goes there while the rest is made."""
    done = threading.Event()
    failed: list[OSError] = []

    def sync_early() -> None:
        while not done.wait(_SYNC_SECONDS):
            try:
                os.fdatasync(out.fileno())
            except OSError as error:  # told once: the last sync would not hear of it
                failed.append(error)
                return

    with open(path, "wb") as out:
        thread = threading.Thread(target=sync_early, name="bioner-sync", daemon=True)
        if hasattr(os, "fdatasync"):
            thread.start()
        try:
            yield out
        finally:
            done.set()
            if thread.ident is not None:
                thread.join()
        if failed:
            raise failed[0]
        out.flush()
        os.fsync(out.fileno())
