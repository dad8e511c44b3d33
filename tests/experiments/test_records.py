"""The archive of records: whole, the same bytes every time, and readable by what reads results."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from bioner_fast.experiments.store import Store


@pytest.fixture(scope="module")
def records(repository: Path) -> ModuleType:
    path = repository / "tools" / "records.py"
    if not path.exists():
        pytest.skip("no source tree around these tests")
    spec = importlib.util.spec_from_file_location("records", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_report_has_its_records_and_they_can_be_read(records: ModuleType, tmp_path: Path) -> None:
    folders = records.unpack(records.RESULTS, tmp_path / "runs")
    assert {folder.name for folder in folders} == {
        path.parent.name for path in records.RESULTS.glob("*/report.md")
    }
    for folder in folders:
        store = Store(folder)
        assert store.read()["corpora"]
        assert store.results()
    with pytest.raises(SystemExit, match="exists; choose another folder"):
        records.unpack(records.RESULTS, tmp_path / "runs")


def test_packing_what_was_unpacked_gives_the_same_bytes(records: ModuleType, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(records.RESULTS / records.ARCHIVE, results)
    shutil.copy(records.RESULTS / f"{records.ARCHIVE}.sha256", results)
    folders = records.unpack(results, tmp_path / "runs")
    before = (results / records.ARCHIVE).read_bytes()
    records.pack(results, folders[:2])
    assert (results / records.ARCHIVE).read_bytes() == before
    shutil.rmtree(folders[0] / "runs")
    records.pack(results, folders[:1])
    assert len(records.contents(results)) < len(records.contents(records.RESULTS))


def test_a_damaged_archive_is_a_sentence(records: ModuleType, tmp_path: Path) -> None:
    data = bytearray((records.RESULTS / records.ARCHIVE).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / records.ARCHIVE).write_bytes(bytes(data))
    shutil.copy(records.RESULTS / f"{records.ARCHIVE}.sha256", tmp_path)
    with pytest.raises(SystemExit, match=r"records\.tar\.xz is damaged"):
        records.unpack(tmp_path, tmp_path / "runs")
