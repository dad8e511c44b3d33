"""Files and folders that appear whole or not at all, and manifests of digests that prove them whole."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from bioner_fast.errors import BionerError, FormatError, WriteError, describe_os_error
from bioner_fast.temporary import (
    delete,
    exchange,
    hold,
    make_temporary,
    name_aside,
    remove_leftovers,
    tidy_beside,
)

MANIFEST_NAME = "manifest.json"
# What reading JSON that somebody damaged may raise, from the text to the values taken out of it.
DAMAGED = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)
# Paths that mean what this process has open already, whatever that is.
_OPENED = re.compile(r"/dev/(?:stdout|stderr|fd/([0-9]+))")
# What Python makes of bytes in file names that are not UTF-8; it has no UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")


def _fsync_directory(path: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there; the rename itself is durable enough
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Errors of the system name ``target``, which the user knows, and not a temporary file beside it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or describe_os_error(error)
        raise WriteError(f"cannot write {target}: {reason}; choose another place") from error


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a device, a pipe or the like: written to as it stands, never replaced."""
    if _OPENED.fullmatch(os.fspath(path)):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def refuse_existing(path: str | os.PathLike[str], *, force: bool) -> None:
    """See that an output may be written.

    Raises:
        BionerError: ``path`` exists, ``force`` is false, and writing would replace what is there.
    """
    if os.path.exists(path) and not force and not is_stream(path):
        raise BionerError(f"{os.fspath(path)} exists; choose another name or pass --force to replace it")


def _open_stream(path: Path) -> int:
    opened = _OPENED.fullmatch(str(path))
    if opened is None:
        return os.open(path, os.O_WRONLY)
    # Opened anew, a file that a shell has redirected to would be written from its start.
    return os.dup(int(opened[1] or (1 if path.name == "stdout" else 2)))


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it there when the block ends without an error.

    Text is UTF-8 with ``\\n`` line ends. A failed or killed block leaves ``path`` as it was, and what a
    killed one left beside it is removed by the next. A symbolic link stays one, the file it leads to is
    replaced. Devices and pipes are written to directly.

    Raises:
        BionerError: nothing can be written beside ``path``.

    Example:
        >>> with atomic_write("scores.json") as out:  # doctest: +SKIP
        ...     out.write("{}")
    """
    target = Path(path)
    text = "b" not in mode
    how: dict[str, Any] = {"mode": mode, **({"encoding": "utf-8", "newline": "\n"} if text else {})}
    if is_stream(target):
        with _naming(target):
            fd = _open_stream(target)
        with os.fdopen(fd, **how) as stream:
            yield stream
        return
    with _naming(target):
        if target.is_symlink():
            target = Path(os.path.realpath(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        tidy_beside(target)
        temporary, held = make_temporary(target, folder=False)
        assert held is not None
    try:
        with os.fdopen(held, **how) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            # mkstemp makes files private; give the result the mode that open() would have given it.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            if os.name != "nt":  # still locked: nobody takes it for a leftover
                os.replace(temporary, target)
        if os.name == "nt":
            os.replace(temporary, target)
        _fsync_directory(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def packed(data: bytes, path: str | os.PathLike[str]) -> bytes:
    """``data`` as it is written to ``path``: compressed, without a time, if that ends in ``.gz``."""
    if not os.fspath(path).lower().endswith(".gz"):
        return data
    return gzip.compress(data, compresslevel=6, mtime=0)


def to_json(value: object, indent: int | None = None) -> str:
    """``value`` as readable JSON; only what UTF-8 cannot hold is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_write(path) as out:
        out.write(to_json(value, indent=2) + "\n")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: ``.git``, ``._NAME`` and ``__MACOSX`` of a Mac.

    Example:
        >>> is_hidden("._d1.txt"), is_hidden("d1.txt")
        (True, False)
    """
    return (name.startswith(".") and name.strip(".") != "") or name == "__MACOSX"


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:20]} is out of range")
    return value


def parse_json(text: str | bytes) -> Any:
    """The value of JSON text; what comes out of it is not checked.

    Raises:
        ValueError: it is no JSON, not UTF-8, nested too deeply, or a number in it is out of range.

    Example:
        >>> parse_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
    """
    try:
        return json.loads(text, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """As :func:`parse_json`, of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: as there.
    """
    return parse_json(Path(path).read_bytes())


def walk(
    folder: str | os.PathLike[str], skip: str | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As :func:`os.walk`, into symbolic links too, but into no folder that the path leads through already.

    Args:
        folder: where to begin.
        skip: real path of a folder to pass by.

    Raises:
        BionerError: a folder cannot be read.
    """

    def unreadable(error: OSError) -> NoReturn:
        raise BionerError(f"{error.filename}: cannot be read: {error.strerror}") from error

    above = {os.fspath(folder): {os.path.realpath(folder)}}
    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        here = above.pop(place)
        for name in list(folders):
            path = os.path.join(place, name)
            real = os.path.realpath(path)
            if real == skip or real in here:
                folders.remove(name)
            else:
                above[path] = {*here, real}
        yield place, folders, files


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike[str], *, force: bool = False, manifest: bool = True, mode: int = 0o777
) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that becomes ``path`` by one rename when the block ends well.

    With ``manifest`` a ``manifest.json`` of the size and SHA-256 of every file is added, which
    :func:`verify_directory` checks. ``mode`` says who may do what with the folder, less the umask.

    Raises:
        BionerError: ``path`` exists and ``force`` is false, or nothing can be written beside it.
    """
    target = Path(path)
    if is_stream(target):
        raise BionerError(
            f"{target} is a device or a pipe, and a folder is to be written; choose another name"
        )
    recover(target)
    refuse_existing(target, force=force)
    with _naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        tidy_beside(target)
        temporary, held = make_temporary(target, folder=True)
    try:
        yield temporary
        if manifest:
            write_manifest(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, mode & ~umask)
        replace_directory(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if held is not None:
            os.close(held)


def replace_directory(source: Path, target: Path) -> None:
    """Rename folder ``source`` to ``target``; an old ``target`` is deleted.

    Where the system can exchange two names, ``target`` is the old folder or the new one at every moment.
    Elsewhere the old one is moved aside first, and :func:`recover` puts it back after a kill in between.
    """
    if not os.path.lexists(target):
        os.replace(source, target)
        _fsync_directory(target.parent)
        return
    aside = source
    if not exchange(source, target):
        aside = name_aside(target)
        with hold(target):  # nobody puts it back meanwhile
            os.replace(target, aside)
            os.replace(source, target)
    _fsync_directory(target.parent)
    delete(aside)


def recover(path: str | os.PathLike[str]) -> None:
    """Put a folder back that a killed process had moved aside and not yet replaced.

    Only where names cannot be exchanged (see :func:`replace_directory`) can that have happened.
    """
    target = Path(path)
    if not os.path.lexists(target) and target.name:
        remove_leftovers(target.parent, [target.name])


def write_manifest(folder: Path) -> None:
    """Write ``manifest.json``: size and SHA-256 of every file under ``folder``."""
    files = {
        entry.relative_to(folder).as_posix(): {"bytes": entry.stat().st_size, "sha256": sha256(entry)}
        for entry in sorted(folder.rglob("*"))
        if entry.is_file() and entry.name != MANIFEST_NAME
    }
    write_json(folder / MANIFEST_NAME, {"files": files})


def verify_directory(path: str | os.PathLike[str], required: Iterable[str] = ()) -> None:
    """Check a folder against its manifest.

    Args:
        path: the folder.
        required: names of files that the manifest has to list.

    Raises:
        BionerError: there is no manifest, or a file is missing or not listed, has another size or another
            digest.
    """
    folder = Path(path)
    manifest = folder / MANIFEST_NAME
    recover(folder)
    if not folder.is_dir():
        raise BionerError(f"{folder} is not a folder")
    if not manifest.is_file():
        raise BionerError(
            f"{folder} has no {MANIFEST_NAME}: it is not a folder written by bioner-fast, or not whole"
        )
    try:
        files = read_json(manifest)["files"]
        entries = [(str(name), int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()]
    except DAMAGED:
        raise FormatError(manifest, "expected JSON with the size and SHA-256 of every file") from None
    for name in sorted(set(required) - {name for name, _, _ in entries}):
        if not (folder / name).is_file():
            raise BionerError(f"{folder} is not whole: {name} is missing")
        raise BionerError(f"{folder} is not whole: {MANIFEST_NAME} does not list {name}")
    for name, size, digest in entries:
        file = folder / name
        if not file.is_file():
            raise BionerError(f"{folder} is not whole: {name} is missing")
        if file.stat().st_size != size:
            raise BionerError(f"{file} is not whole: {size} bytes expected, {file.stat().st_size} found")
        if sha256(file) != digest:
            raise BionerError(f"{file} is damaged: its SHA-256 is not the one in {MANIFEST_NAME}")
