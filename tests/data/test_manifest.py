from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bioner_fast.data.manifest import Manifest, RemoteFile, fetch, is_whole, load_manifest, select
from bioner_fast.errors import BionerError, FormatError, UsageError


@pytest.fixture
def published(tmp_path: Path) -> tuple[Manifest, Path]:
    """A corpus of two files and a manifest that knows it."""
    base = tmp_path / "published"
    files = []
    for name, data in (("train.tsv", b"a\tO\n"), ("test.tsv", b"b\tO\n" * 50_000)):
        path = base / "x-IOB" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        files.append(RemoteFile(f"x-IOB/{name}", len(data), hashlib.sha256(data).hexdigest()))
    return Manifest(base.as_uri(), "none", {"x-IOB": tuple(files)}), base


def test_the_manifest_of_the_package() -> None:
    manifest = load_manifest()
    assert manifest.base.startswith("https://")
    assert manifest.licence
    assert {file.name for file in manifest.corpora["NCBI-disease-IOB"]} == {
        "train.tsv",
        "devel.tsv",
        "test.tsv",
    }


def test_the_manifest_describes_the_corpora_at_hand(shared: Path) -> None:
    manifest = load_manifest()
    for name in ("NCBI-disease-IOB", "GENIA-pos"):
        assert is_whole(shared / "corpora" / name, manifest.corpora[name])


def test_fetching(published: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, base = published
    seen: list[str] = []
    assert fetch(manifest, "x-IOB", tmp_path / "data", on_file=lambda file: seen.append(file.path))
    assert seen == ["x-IOB/train.tsv", "x-IOB/test.tsv"]
    for file in manifest.corpora["x-IOB"]:
        assert (tmp_path / "data" / file.path).read_bytes() == (base / file.path).read_bytes()
    assert not fetch(
        manifest, "x-IOB", tmp_path / "data", base="https://example.invalid/"
    )  # whole: not fetched
    assert fetch(manifest, "x-IOB", tmp_path / "other", base=str(base))


def test_a_folder_with_other_content_is_kept_without_force(
    published: tuple[Manifest, Path], tmp_path: Path
) -> None:
    manifest, _ = published
    mine = tmp_path / "x-IOB" / "train.tsv"
    mine.parent.mkdir()
    mine.write_text("mine\tO\n")
    with pytest.raises(BionerError, match="is not the published corpus; --force replaces it"):
        fetch(manifest, "x-IOB", tmp_path)
    assert mine.read_text() == "mine\tO\n"
    assert fetch(manifest, "x-IOB", tmp_path, force=True)
    assert mine.read_text() == "a\tO\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"c\tO\n" * 50_000, "the manifest says"),
        (b"b\tO\n", "expected 200000 bytes, got 4"),
        (b"b\tO\n" * 100_000, "expected 200000 bytes, got more"),
        (None, "cannot be fetched"),
    ],
)
def test_wrong_files_leave_nothing(
    published: tuple[Manifest, Path], tmp_path: Path, data: bytes | None, message: str
) -> None:
    manifest, base = published
    (base / "x-IOB/test.tsv").unlink()
    if data is not None:
        (base / "x-IOB/test.tsv").write_bytes(data)
    target = tmp_path / "data"
    with pytest.raises(BionerError, match=message):
        fetch(manifest, "x-IOB", target)
    assert list(target.iterdir()) == []


def test_base_must_be_an_address_or_a_folder(published: tuple[Manifest, Path], tmp_path: Path) -> None:
    for base in ("nowhere", "ftp://example.invalid/"):
        with pytest.raises(UsageError, match="--base"):
            fetch(published[0], "x-IOB", tmp_path / "data", base=base)


def test_selection(published: tuple[Manifest, Path]) -> None:
    assert select(published[0], ["x"]) == select(published[0], []) == ["x-IOB"]
    with pytest.raises(UsageError, match="there is no corpus y in the manifest"):
        select(published[0], ["y"])


@pytest.mark.parametrize(
    "line", ["x/y.tsv\t3", "x/y.tsv\tmany\t" + "0" * 64, "x/y.tsv\t3\tabc", "../y.tsv\t3\t" + "0" * 64]
)
def test_malformed_manifests(tmp_path: Path, line: str) -> None:
    path = tmp_path / "corpora.tsv"
    path.write_text(f"# base: https://example.invalid/\n{line}\n")
    with pytest.raises(FormatError, match=r"corpora\.tsv:2: expected"):
        load_manifest(path)
