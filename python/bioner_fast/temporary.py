"""What lies beside a file or folder while it is written, and what is left of it after a kill.

A temporary file or folder is called ``.NAME.xxxxxxxx.tmp`` and locked by the process that writes it, so the
next run can tell what nobody works on any more. Where names cannot be exchanged, a folder that is replaced is
called ``.NAME.xxxxxxxx.old`` for a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from bioner_fast.errors import BionerError

# A temporary name: of what it becomes (or its digest, if that is long), and eight characters of chance.
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(tmp|old)", re.DOTALL)
_LONGEST_STEM = 200  # bytes; file systems take 255 for a whole name
# A folder of more entries than this is looked through for leftovers only once by a process.
_CROWDED = 1000
_looked_through: set[tuple[int, str]] = set()
# Where a file system knows no locks, leftovers are told from files at work by their age.
_STALE_SECONDS = 24 * 3600
_DIGEST = re.compile("[0-9a-f]{32}")


def _stem(name: str) -> str:
    """The part of a temporary name that tells what it is for."""
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST_STEM else hashlib.sha256(raw).hexdigest()[:32]


def try_lock(fd: int) -> bool | None:
    """Lock an open file or folder against other processes, until it is closed or the process ends.

    Returns:
        Whether this process has it now; None where there are no locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


@contextlib.contextmanager
def hold(path: str | os.PathLike[str]) -> Iterator[bool | None]:
    """Lock a file or folder around the block, and yield what :func:`try_lock` says."""
    if os.name == "nt" or not (os.path.isfile(path) or os.path.isdir(path)) or os.path.islink(path):
        yield None
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        yield try_lock(fd)
    finally:
        os.close(fd)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_at(fd: int, path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` still means what is open here."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike[str], who: str) -> Iterator[None]:
    """Hold a folder, which is made if need be, against other processes of this package.

    The system lets go when the process ends, however it ends. Where there are no locks, nothing is held.

    Args:
        folder: the folder.
        who: who else may have it, for the message.

    Raises:
        BionerError: another process has it, or it cannot be made.

    Example:
        >>> with locked_folder("runs/mine", "training"):  # doctest: +SKIP
        ...     train()
    """
    while True:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            if sys.platform == "win32":
                yield
                return
            fd = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise BionerError(
                f"{os.fspath(folder)} cannot be made: {error.strerror}; choose another place"
            ) from None
        try:
            if try_lock(fd) is False:
                raise BionerError(f"{os.fspath(folder)} is being written by {who}; wait for it or stop it")
            # Its last holder may have removed it, after we opened it.
            if os.path.isdir(folder) and os.path.samestat(os.fstat(fd), os.stat(folder)):
                yield
                return
        finally:
            os.close(fd)


def make_temporary(target: Path, *, folder: bool) -> tuple[Path, int | None]:
    """A new file or folder beside ``target``, and what holds it against removal by others.

    Returns:
        Its path, and an open descriptor (for a folder, None where folders cannot be opened).
    """
    prefix, suffix = f".{_stem(target.name)}.", ".tmp"
    while True:
        if folder:
            path = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=target.parent))
            if os.name == "nt":
                return path, None
            try:
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # taken for a leftover
                continue
        else:
            fd, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
            path = Path(name)
        # Somebody may take it for a leftover before it is locked.
        if try_lock(fd) is not False and (os.name == "nt" or _is_at(fd, path)):
            return path, fd
        os.close(fd)


def remove_leftovers(folder: Path, names: Collection[str] | None = None) -> None:
    """Delete what killed processes left half-written in a folder.

    What a living process works on stays. An old folder that was moved aside goes back to its place if the new
    one did not get there.

    Args:
        folder: where to look; not below.
        names: of the files and folders whose leftovers these would be; None for all, in a folder of ours.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries]
    except OSError:
        return
    if len(found) > _CROWDED:
        _looked_through.add((os.getpid(), os.path.realpath(folder)))
    stems = None if names is None else {_stem(name): name for name in names}
    for name in sorted(found):
        match = _TEMPORARY.fullmatch(name)
        if match is None or (stems is not None and match[1] not in stems):
            continue
        # A digest does not tell the name that it stands for.
        known = stems[match[1]] if stems is not None else None if _DIGEST.fullmatch(match[1]) else match[1]
        target = None if known is None else folder / known
        with contextlib.suppress(OSError):
            _remove_leftover(folder / name, target, moved_aside=match[2] == "old")


def _remove_leftover(path: Path, target: Path | None, *, moved_aside: bool) -> None:
    status = os.lstat(path)
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return
    with hold(path) as held:
        if held is False or (held is None and time.time() - status.st_mtime < _STALE_SECONDS):
            return
        if not moved_aside or (target is not None and os.path.lexists(target)):
            delete(path)
        elif target is not None:
            os.rename(path, target)


def tidy_beside(target: Path) -> None:
    """Remove leftovers of ``target``, unless its folder is large and was looked through."""
    if (os.getpid(), os.path.realpath(target.parent)) not in _looked_through:
        remove_leftovers(target.parent, [target.name])


def name_aside(target: Path) -> Path:
    """A new name beside ``target`` for what lies there; :func:`remove_leftovers` knows it."""
    return target.parent / f".{_stem(target.name)}.{secrets.token_hex(4)}.old"


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    first, second = os.fsencode(one), os.fsencode(other)
    if libc is not None and hasattr(libc, "renameat2"):
        at_fdcwd, rename_exchange = -100, 2
        failed = libc.renameat2(at_fdcwd, first, at_fdcwd, second, rename_exchange)
    elif libc is not None and hasattr(libc, "renamex_np"):  # macOS
        rename_swap = 2
        failed = libc.renamex_np(first, second, rename_swap)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), os.fspath(one), None, os.fspath(other))
