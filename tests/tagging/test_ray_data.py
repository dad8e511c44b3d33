"""The Ray Data stage: the same entities as the tagger, on a local cluster with two workers."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.errors import UsageError
from bioner_fast.tagging.ray_data import read_documents_of, tag_dataset, tag_table
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny

needs_arrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow, of the extra ray, is not installed"
)
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install '.[ray]')"
)
TEXTS = ["breast cancer gene α", "", "the BRCA1 protein 🙂 of a tumor cell", "Crohn disease"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model")


def _files(folder: Path) -> list[dict[str, str]]:
    (folder / "a.lines").write_text("\n".join(TEXTS * 20), encoding="utf-8")
    (folder / "b.pubtator").write_text(
        "7|t|BRCA1 gene\n7|a|breast cancer\n\n8|t|x\n8\t0\n\n", encoding="utf-8"
    )
    (folder / "c.lines.gz").write_bytes(gzip.compress(b"breast cancer\n" * 5000)[:-30])
    (folder / "d.jsonl").write_text(
        "".join(json.dumps({"id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(TEXTS))
    )
    names = ("a.lines", "b.pubtator", "d.jsonl", "c.lines.gz", "nowhere.txt", "e.unknown")
    return [{"path": str(folder / name)} for name in names]


def _expected(model: Path, rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What the tagger finds in the same documents, without Arrow and Ray."""
    from bioner_fast.formats.registry import read_documents

    tagger = Tagger.load(model, "cpu", 1)
    result = []
    for row in rows[:3]:
        documents = list(read_documents(row["path"], on_problem=lambda problem: None))
        for passage in (passage for document in documents for passage in document.passages):
            passage.entities = []
        for document in tagger.tag(documents):
            found = [
                {key: getattr(e, key) for key in ("start", "end", "type", "text", "score", "task")}
                for e in document.iter_entities()
            ]
            result.append({"file": row["path"], "id": document.id, "text": document.text, "entities": found})
    return result


def test_files_become_rows_and_what_is_bad_says_why(tmp_path: Path) -> None:
    rows = _files(tmp_path)
    good = list(read_documents_of(rows[0]))
    assert [row["text"] for row in good] == TEXTS * 20
    assert all(row["error"] is None for row in good)
    first, second = read_documents_of(rows[1])
    assert first["text"][first["passages"][1]["offset"] :] == "breast cancer"
    assert [part["section"] for part in first["passages"]] == ["title", "abstract"]
    assert (second["id"], second["text"]) == ("8", None)
    assert "expected 'id|t|text'" in second["error"]
    *_, last = read_documents_of(rows[3])
    assert (last["id"], last["text"]) == (None, None)
    assert "truncated" in last["error"]
    for row, message in ((rows[4], "no such file"), (rows[5], "cannot tell the format")):
        (only,) = read_documents_of(row)
        assert message in only["error"]


@needs_arrow
def test_a_table_gains_a_column(model: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    tagger = Tagger.load(model, "cpu", 1)
    rows = [row for file in _files(tmp_path)[:3] for row in read_documents_of(file)]
    tagged = tag_table(tagger, pa.Table.from_pylist(rows)).to_pylist()
    expected = _expected(model, _files(tmp_path))
    keys = ("file", "id", "text", "entities")
    assert [{key: row[key] for key in keys} for row in tagged if row["text"] is not None] == expected
    assert sum(len(row["entities"]) for row in tagged) > 0
    assert [row["entities"] for row in tagged if row["text"] is None] == [[]]
    with pytest.raises(UsageError, match="no column 'body'; it has"):
        tag_table(tagger, pa.Table.from_pylist(rows), text="body")
    assert tag_table(tagger, pa.Table.from_pylist(tagged)).to_pylist() == tagged


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(UsageError, match=r"bioner-fast\[ray\]"):
        tag_dataset(None, "model")  # type: ignore[arg-type]


PIPELINE = """
import json, sys
import ray
from bioner_fast.tagging.ray_data import read_documents_of, tag_dataset

rows, model, out = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
documents = ray.data.from_items(rows, override_num_blocks=len(rows)).flat_map(read_documents_of)
tag_dataset(documents, model, workers=2, batch_documents=16).write_parquet(out)
ray.shutdown()
"""


@needs_ray
def test_a_local_cluster_of_two_workers(model: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = _files(tmp_path)
    out = tmp_path / "tagged"
    # In a process of its own: Ray starts servers and warns about much.
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, json.dumps(rows), str(model), str(out)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tagged = [row for file in sorted(out.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    order = {row["path"]: rank for rank, row in enumerate(rows)}
    keys = ("file", "id", "text", "entities")
    kept = [{key: row[key] for key in keys} for row in tagged if row["text"] is not None]
    kept = [row for row in kept if not row["file"].endswith("c.lines.gz")]

    def place(row: dict[str, Any]) -> tuple[int, str]:
        return order[row["file"]], row["id"]

    assert sorted(kept, key=place) == sorted(_expected(model, rows), key=place)
    errors = {Path(row["file"]).name for row in tagged if row["error"] is not None}
    assert errors == {"b.pubtator", "c.lines.gz", "nowhere.txt", "e.unknown"}
