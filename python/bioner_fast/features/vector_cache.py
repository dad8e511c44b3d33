"""The memory-mapped form of a word-vector file: a folder that later loads open in milliseconds.

The folder is ``NAME.bioner-cache`` beside the file or, where that place cannot be written, in the user's
cache folder (``BIONER_CACHE`` names another one). It holds the words, their hash index and the matrix as
plain arrays, and ``meta.json``, which names the file's size and time of change: a file that changed is read
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bioner_fast import _text
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vector_files import VectorFile
from bioner_fast.files import atomic_directory, write_json
from bioner_fast.log import logger

CACHE_VERSION = 1
_SUFFIX = ".bioner-cache"
_STALE_SECONDS = 24 * 3600
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
    """

    words: StringColumn
    slots: npt.NDArray[np.uint64]
    matrix: npt.NDArray[np.float32]
    repeated: npt.NDArray[np.int64]
    statistics: VectorStatistics


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
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        status = os.stat(path)
        expected = {
            "cache_version": CACHE_VERSION,
            "hash_index_version": _text.HASH_INDEX_VERSION,
            "byteorder": sys.byteorder,
            "source_bytes": status.st_size,
            "source_mtime_ns": status.st_mtime_ns,
        }
        if any(meta.get(key) != value for key, value in expected.items()):
            return None
        if format is not None and meta["statistics"]["format"] != format:
            return None
        n, dim = int(meta["words"]), int(meta["dim"])
        arrays = {
            name: _map(folder / f"{name}.bin", dtype, int(meta["sizes"][name]))
            for name, dtype in _DTYPES.items()
        }
        if arrays["offsets"].size != n + 1 or arrays["matrix"].size != n * dim:
            return None
        return Arrays(
            StringColumn(arrays["text"], arrays["offsets"]),
            arrays["slots"],
            arrays["matrix"].reshape(n, dim),
            arrays["repeated"],
            VectorStatistics(**meta["statistics"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, half-deleted or from another version: it is made again


_DTYPES: dict[str, Any] = {
    "text": np.uint8,
    "offsets": np.int64,
    "slots": np.uint64,
    "matrix": np.float32,
    "repeated": np.int64,
}


def _map(path: Path, dtype: Any, size: int) -> npt.NDArray[Any]:
    """An array of ``size`` elements, memory-mapped; ValueError if the file has another size."""
    if path.stat().st_size != size * np.dtype(dtype).itemsize:
        raise ValueError(f"{path} has another size")
    if size == 0:
        return np.empty(0, dtype)
    # A plain array over the map: indexing a np.memmap makes a subclass instance each time, which is slow.
    return np.asarray(np.memmap(path, dtype, "r", shape=(size,)))


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
    _remove_stale(folder)
    with atomic_directory(folder, force=True, manifest=False) as temporary:
        with _synced(temporary / "matrix.bin") as out:
            arrays = read_arrays(file, None, threads, out)
        small: dict[str, npt.NDArray[Any]] = {
            "text": arrays.words.buffer,
            "offsets": arrays.words.offsets,
            "slots": arrays.slots,
            "repeated": arrays.repeated,
        }
        for name, array in small.items():
            with _synced(temporary / f"{name}.bin") as out:
                out.write(np.ascontiguousarray(array).data)
        n, dim = len(arrays.words), file.header.dim
        meta = {
            "cache_version": CACHE_VERSION,
            "hash_index_version": _text.HASH_INDEX_VERSION,
            "byteorder": sys.byteorder,
            "source": os.path.basename(file.path),
            "source_bytes": file.size,
            "source_mtime_ns": file.mtime_ns,
            "words": n,
            "dim": dim,
            "sizes": {**{name: int(array.size) for name, array in small.items()}, "matrix": n * dim},
            "statistics": asdict(arrays.statistics),
        }
        file.check_unchanged()
        write_json(temporary / "meta.json", meta)


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


def _remove_stale(folder: Path) -> None:
    """Delete what a killed process left half-built more than a day ago."""
    for pattern in (f".{folder.name}.*.tmp", f".{folder.name}.*.old"):
        for left in folder.parent.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    logger.info("removing %s, left by a run that was killed", left)
                    shutil.rmtree(left, ignore_errors=True)
