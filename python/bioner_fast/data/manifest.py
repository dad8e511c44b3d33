"""The public corpora: where their files are, how large they are, what their digests are; fetching them."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.files import atomic_directory, sha256
from bioner_fast.resources import data_folder

_TIMEOUT = 60.0  # seconds without a byte
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a corpus: its path below the base address, its size in bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str

    @property
    def corpus(self) -> str:
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        return self.path.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Known files.

    Attributes:
        base: the address the paths are relative to.
        licence: the terms, in words.
        corpora: the files of each corpus.
    """

    base: str
    licence: str
    corpora: dict[str, tuple[RemoteFile, ...]]


def load_manifest(path: Path | None = None) -> Manifest:
    """Read a manifest; by default the one that comes with the package.

    Lines are ``path TAB bytes TAB sha256``; ``# base: ...`` and ``# licence: ...`` give the rest.

    Raises:
        FormatError: a line is malformed.
        BionerError: the file is missing.
    """
    path = path or data_folder() / "corpora.tsv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BionerError(f"{path}: there is no such file") from None
    facts = {"base": "", "licence": ""}
    corpora: dict[str, list[RemoteFile]] = {}
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            key, colon, value = line[1:].partition(":")
            if colon and key.strip() in facts:
                facts[key.strip()] = value.strip()
            continue
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 3 or not fields[1].isdigit() or len(fields[2]) != 64:
            raise FormatError(
                path, f"expected path, bytes and SHA-256, separated by tabs, found {line!r}", number
            )
        file = RemoteFile(fields[0], int(fields[1]), fields[2].lower())
        # The path becomes a file name: it must stay below the folder it is fetched into.
        if file.path.count("/") != 1 or ".." in file.path.split("/") or not file.corpus or not file.name:
            raise FormatError(path, f"expected a path of the form corpus/file, found {file.path!r}", number)
        corpora.setdefault(file.corpus, []).append(file)
    return Manifest(facts["base"], facts["licence"], {name: tuple(files) for name, files in corpora.items()})


def select(manifest: Manifest, names: Iterable[str]) -> list[str]:
    """The corpora called so, ``-IOB`` may be left off; all of them for no names.

    Raises:
        UsageError: there is no such corpus.
    """
    chosen = []
    for name in names:
        known = next((known for known in (name, f"{name}-IOB") if known in manifest.corpora), None)
        if known is None:
            raise UsageError(f"there is no corpus {name} in the manifest; 'bioner-fast data list' shows them")
        chosen.append(known)
    return chosen or list(manifest.corpora)


def is_whole(folder: Path, files: Iterable[RemoteFile]) -> bool:
    """Whether every file is there with its size and digest."""
    return all(
        (path := folder / file.name).is_file()
        and path.stat().st_size == file.bytes
        and sha256(path) == file.sha256
        for file in files
    )


def fetch(
    manifest: Manifest,
    name: str,
    folder: Path,
    *,
    base: str | None = None,
    force: bool = False,
    on_file: Callable[[RemoteFile], None] | None = None,
) -> bool:
    """Fetch a corpus into ``folder/name``, which appears whole or not at all.

    Args:
        manifest: what is known.
        name: a corpus of it.
        folder: created if need be.
        base: another address (``https://``, ``file://``) or a local folder with the same paths below it.
        force: replace a folder that is there and has other content.
        on_file: called before each file.

    Returns:
        False if the corpus was there already, whole.

    Raises:
        BionerError: the folder is there and differs, a file cannot be fetched, or its digest is wrong.
    """
    files = manifest.corpora[name]
    target = folder / name
    if target.is_dir() and is_whole(target, files):
        return False
    address = _address(base or manifest.base)
    if target.exists() and not force:
        raise BionerError(f"{target} exists and is not the published corpus; --force replaces it")
    with atomic_directory(target, force=force, manifest=False) as temporary:
        for file in files:
            if on_file is not None:
                on_file(file)
            _download(address + urllib.parse.quote(file.path), file, temporary / file.name)
    return True


def _address(base: str) -> str:
    if "://" not in base:
        folder = Path(base)
        if not folder.is_dir():
            raise UsageError(f"--base {base}: expected an address (https://, file://) or a folder")
        base = folder.resolve().as_uri()
    if urllib.parse.urlsplit(base).scheme not in ("http", "https", "file"):
        raise UsageError(f"--base {base}: expected an address with http, https or file")
    return base if base.endswith("/") else base + "/"


def _download(address: str, file: RemoteFile, target: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            digest, size = _copy(address, file.bytes, target)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == _ATTEMPTS:
                raise BionerError(f"{address}: cannot be fetched: {error.code} {error.reason}") from None
        except OSError as error:  # URLError and time-outs are OSErrors
            reason = getattr(error, "reason", error)
            if address.startswith("file:") or attempt == _ATTEMPTS:
                raise BionerError(f"{address}: cannot be fetched: {reason}") from None
        time.sleep(2.0**attempt)
    if size != file.bytes:
        more = "more" if size > file.bytes else str(size)
        raise BionerError(f"{address}: expected {file.bytes} bytes, got {more}")
    if digest != file.sha256:
        raise BionerError(f"{address}: the SHA-256 is {digest}, the manifest says {file.sha256}")


def _copy(address: str, limit: int, target: Path) -> tuple[str, int]:
    """Copy at most a little more than ``limit`` bytes; SHA-256 and number of bytes."""
    digest = hashlib.sha256()
    size = 0
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as source, target.open("wb") as out:
        while size <= limit and (block := source.read(1 << 16)):
            digest.update(block)
            size += len(block)
            out.write(block)
    return digest.hexdigest(), size
