"""The memory-mapped copy: made once, whole or not at all, and never used for another file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vector_makers import ROWS, WORDS, binary, encoded, text, write

from bioner_fast.errors import BionerError
from bioner_fast.features import vector_cache, vectors
from bioner_fast.features.vector_files import VectorFile
from bioner_fast.features.vectors import WordVectors
from bioner_fast.temporary import hold


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIONER_CACHE", str(tmp_path / "user-cache"))
    folder = tmp_path / "vectors"
    folder.mkdir()
    return write(folder, "v.bin", binary(encoded(WORDS), ROWS))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Places at which a cache was built."""
    seen: list[str] = []
    build = vectors.build_cache

    def counted(folder: Path, file: VectorFile, threads: int) -> None:
        seen.append(folder.name)
        build(folder, file, threads)

    monkeypatch.setattr(vectors, "build_cache", counted)
    return seen


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return type(base).__name__ == "mmap"


def test_later_loads_are_mapped(source: Path, builds: list[str]) -> None:
    first, later = WordVectors.load(source), WordVectors.load(source)
    assert builds == ["v.bin.bioner-cache"]
    assert (source.parent / "v.bin.bioner-cache" / "meta.json").is_file()
    for loaded in (first, later):
        assert is_mapped(loaded.matrix)
        assert loaded.words.tolist() == WORDS
        assert np.array_equal(loaded.matrix, np.array(ROWS, np.float32))
        assert "p53" in loaded
        assert "p54" not in loaded
    assert later.statistics == first.statistics
    with pytest.raises(ValueError, match="read-only"):
        later.matrix[0, 0] = 1.0


def test_a_prefix_comes_from_the_same_copy(source: Path, builds: list[str]) -> None:
    WordVectors.load(source)
    part = WordVectors.load(source, max_rank=2)
    assert part.words.tolist() == WORDS[:2]
    assert len(part.vocabulary) == 2
    assert "the" in part
    assert "p53" not in part, "the index knows more words than the prefix has"
    assert len(builds) == 1


def test_duplicates_count_towards_the_rank_in_the_copy_too(source: Path) -> None:
    source.write_bytes(binary(encoded(["a", "a", "b", "b", "c", "d"]), ROWS))
    for cache in (False, True):
        for rank, expected in [(1, "a"), (2, "a"), (3, "ab"), (4, "ab"), (5, "abc"), (6, "abcd")]:
            found = WordVectors.load(source, max_rank=rank, cache=cache)
            assert found.words.tolist() == list(expected), (cache, rank)
            assert found["a"].tolist() == ROWS[0]


def test_a_changed_file_is_read_again(source: Path, builds: list[str]) -> None:
    WordVectors.load(source)
    status = source.stat()
    source.write_bytes(binary(encoded(WORDS[::-1]), ROWS))
    assert source.stat().st_size == status.st_size
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # the same size, a nanosecond later
    assert WordVectors.load(source).words.tolist() == WORDS[::-1]
    assert len(builds) == 2
    with open(source, "wb") as out:
        out.write(binary(encoded(WORDS[:2]), ROWS[:2]))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert WordVectors.load(source).words.tolist() == WORDS[:2]
    assert len(builds) == 3


@pytest.mark.parametrize("name", ["meta.json", "matrix.bin", "offsets.bin", "slots.bin", "text.bin"])
@pytest.mark.parametrize("damage", ["missing", "short", "long"])
def test_a_damaged_copy_is_made_again(source: Path, builds: list[str], name: str, damage: str) -> None:
    WordVectors.load(source)
    file = source.parent / "v.bin.bioner-cache" / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[:-3] if damage == "short" else content + b"x")
    assert WordVectors.load(source).words.tolist() == WORDS
    assert len(builds) == 2


@pytest.mark.parametrize(
    "key",
    [
        "cache_version",
        "hash_index_version",
        "byteorder",
        "source",
        "words",
        "dim",
        "sizes",
        "digests",
        "statistics",
    ],
)
@pytest.mark.parametrize("value", ["other", 10**400, [[]], None, -1, 7])
def test_another_version_is_made_again(source: Path, builds: list[str], key: str, value: object) -> None:
    WordVectors.load(source)
    meta = source.parent / "v.bin.bioner-cache" / "meta.json"
    values = json.loads(meta.read_text())
    values[key] = value
    meta.write_text(json.dumps(values))
    assert WordVectors.load(source).words.tolist() == WORDS
    assert len(builds) == 2


def test_a_read_only_folder_is_left_alone(source: Path, builds: list[str], tmp_path: Path) -> None:
    source.parent.chmod(0o555)
    try:
        assert WordVectors.load(source).words.tolist() == WORDS
        assert is_mapped(WordVectors.load(source).matrix)
        assert [path.name for path in source.parent.iterdir()] == ["v.bin"]
    finally:
        source.parent.chmod(0o755)
    assert len(builds) == 1
    assert list((tmp_path / "user-cache").glob("v.bin-*.bioner-cache"))


def test_a_folder_that_others_own_is_left_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode lets somebody write, but not this user."""
    make = tempfile.mkdtemp

    def mkdtemp(*arguments: Any, **options: Any) -> str:
        if options["dir"] == source.parent:
            raise PermissionError(13, "Permission denied")
        return make(*arguments, **options)

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    assert is_mapped(WordVectors.load(source).matrix)
    assert list((tmp_path / "user-cache").glob("v.bin-*.bioner-cache"))


@pytest.mark.skipif(os.name == "nt", reason="pipes with names are POSIX")
def test_a_pipe_is_no_word_vector_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BionerError, match="pipe is a pipe or a device"):
        WordVectors.load(tmp_path / "pipe")


def test_no_place_to_write_means_memory(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = write(tmp_path, "blocked", b"a file where a folder should be")
    monkeypatch.setenv("BIONER_CACHE", str(blocked / "below"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vectors, "build_cache", full)
    loaded = WordVectors.load(source)
    assert loaded.words.tolist() == WORDS
    assert not is_mapped(loaded.matrix)


def test_a_full_disk_leaves_nothing_behind(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vector_cache.os, "fsync", full)
    assert WordVectors.load(source).words.tolist() == WORDS
    assert [path.name for path in source.parent.iterdir()] == ["v.bin"]


def test_a_folder_can_be_named(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    WordVectors.load(source, cache_dir=folder)
    assert len(list(folder.iterdir())) == 1
    other = write(tmp_path, "v.bin", text(WORDS[:2], ROWS[:2], header=True))  # the same name
    assert len(WordVectors.load(other, cache_dir=folder)) == 2
    assert len(list(folder.iterdir())) == 2
    assert len(WordVectors.load(source, cache_dir=folder)) == 6


def test_cache_can_be_left_out(source: Path) -> None:
    assert not is_mapped(WordVectors.load(source, cache=False).matrix)
    assert [path.name for path in source.parent.iterdir()] == ["v.bin"]


def test_a_file_that_grows_while_it_is_read(source: Path, tmp_path: Path) -> None:
    with VectorFile(source) as file:
        with open(source, "ab") as out:
            out.write(b"\n")
        with pytest.raises(BionerError, match="changed while it was read"):
            vector_cache.build_cache(tmp_path / "c", file, 1)
    assert not (tmp_path / "c").exists()


def test_what_a_killed_run_left_is_removed(source: Path) -> None:
    left = source.parent / ".v.bin.bioner-cache.abcdefgh.tmp"
    at_work = source.parent / ".v.bin.bioner-cache.bcdefghi.tmp"
    for folder in (left, at_work):
        folder.mkdir()
        (folder / "matrix.bin").write_bytes(b"half")
    with hold(at_work):
        WordVectors.load(source)
    assert at_work.exists()
    assert not left.exists()


FOLDER = "v.bin.bioner-cache"


def test_a_changed_file_that_kept_its_size_and_time_is_read_again(source: Path, builds: list[str]) -> None:
    WordVectors.load(source)
    status = source.stat()
    source.write_bytes(binary(encoded(WORDS[::-1]), ROWS))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert WordVectors.load(source).words.tolist() == WORDS[::-1]
    other = write(source.parent, "other.bin", binary(encoded(WORDS), ROWS))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(source)
    assert WordVectors.load(source).words.tolist() == WORDS
    assert len(builds) == 3


@pytest.mark.parametrize("name", ["meta.json", "matrix.bin", "offsets.bin", "slots.bin", "text.bin"])
def test_a_flipped_bit_is_found(source: Path, builds: list[str], name: str) -> None:
    WordVectors.load(source)
    file = source.parent / FOLDER / name
    content = file.read_bytes()
    for place in {0, len(content) // 2, len(content) - 1 - (name == "meta.json")}:
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(bytes(damaged))
        builds.clear()
        loaded = WordVectors.load(source)
        assert loaded.words.tolist() == WORDS
        assert np.array_equal(loaded.matrix, np.array(ROWS, np.float32))
        assert loaded["p53"].tolist() == ROWS[WORDS.index("p53")]
        assert builds == [FOLDER], place
        content = file.read_bytes()  # meta.json has another inode in it now


def test_only_the_blocks_that_are_used_are_checked(
    source: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_cache, "_BLOCK", 8)
    WordVectors.load(source)
    file = source.parent / FOLDER / "matrix.bin"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    builds.clear()
    loaded = WordVectors.load(source)
    assert loaded[WORDS[0]].tolist() == ROWS[0]
    assert builds == []
    assert loaded[WORDS[-1]].tolist() == ROWS[-1]
    assert builds == [FOLDER]


@pytest.mark.parametrize("change", ["truncated", "written"])
def test_a_copy_that_is_changed_in_its_place_while_it_is_used(
    source: Path, builds: list[str], change: str
) -> None:
    loaded = WordVectors.load(source)
    assert loaded.matrix.sum() == np.array(ROWS, np.float32).sum()
    for name in ("matrix.bin", "offsets.bin", "text.bin", "slots.bin"):
        file = source.parent / FOLDER / name
        if change == "truncated":
            os.truncate(file, 0)
        else:
            with open(file, "r+b") as out:
                out.write(b"\xff" * file.stat().st_size)
            os.utime(file, ns=(1, 1))
    builds.clear()
    assert [loaded.vocabulary.find(word) for word in WORDS] == list(range(len(WORDS)))
    assert loaded["p53"].tolist() == ROWS[WORDS.index("p53")]
    assert np.array_equal(loaded.matrix, np.array(ROWS, np.float32))
    assert builds == [FOLDER]


def test_a_copy_that_cannot_be_made_again_from_the_same_file_is_a_sentence(source: Path) -> None:
    loaded = WordVectors.load(source)
    os.truncate(source.parent / FOLDER / "matrix.bin", 0)
    source.write_bytes(binary(encoded(WORDS[::-1]), ROWS))
    with pytest.raises(BionerError, match=r"v\.bin is not the file that was loaded any more; load it again"):
        loaded["p53"]


@pytest.mark.parametrize("cut", [0, 40])
def test_a_vector_file_that_is_cut_short_while_it_is_read(source: Path, cut: int) -> None:
    with VectorFile(source) as file:
        os.truncate(source, cut)
        with pytest.raises(BionerError, match="changed while it was read"):
            file.scan()
    source.write_bytes(binary(encoded(WORDS), ROWS))
    with VectorFile(source) as file:
        _, places, _ = file.scan()
        os.truncate(source, cut)
        with pytest.raises(BionerError, match="changed while it was read"):
            list(file.rows(places))


POSIX = pytest.mark.skipif(os.name == "nt", reason="owners and modes are POSIX")


@POSIX
@pytest.mark.parametrize("part", ["", "meta.json", "matrix.bin", "text.bin"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_a_copy_that_others_can_write_is_not_trusted(
    source: Path, builds: list[str], part: str, mode: int
) -> None:
    WordVectors.load(source)
    place = source.parent / FOLDER / part
    place.chmod(place.stat().st_mode | mode)
    assert WordVectors.load(source)["p53"].tolist() == ROWS[WORDS.index("p53")]
    assert len(builds) == 2


@POSIX
def test_a_copy_is_trusted_whatever_the_umask(source: Path, builds: list[str]) -> None:
    before = os.umask(0)
    try:
        WordVectors.load(source)
    finally:
        os.umask(before)
    WordVectors.load(source)
    assert len(builds) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_copy_of_another_user_is_not_trusted(source: Path, builds: list[str]) -> None:
    WordVectors.load(source)
    for part in (source.parent / FOLDER, *(source.parent / FOLDER).iterdir()):
        os.chown(part, 65534, 65534)
        assert len(WordVectors.load(source)) == len(WORDS)
    assert len(builds) > 1


def test_two_processes_at_once(source: Path) -> None:
    code = (
        "import sys\nfrom bioner_fast.features.vectors import WordVectors\n"
        "for _ in range(5):\n    assert len(WordVectors.load(sys.argv[1])) == 6\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(source)]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(path.name for path in source.parent.iterdir()) == ["v.bin", "v.bin.bioner-cache"]
