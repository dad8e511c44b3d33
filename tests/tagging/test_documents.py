"""What tagging returns is read by data frames and shown by notebooks."""

from __future__ import annotations

import pytest

import bioner_fast
import tiny_bundle
from bioner_fast.tagging.documents import Documents
from bioner_fast.tagging.tagger import Tagger

TEXTS = ["Familial breast cancer and Crohn disease 💊 in Sjögren syndrome", "", "BRCA1 mutated"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    model = tiny_bundle.save_tiny(tmp_path_factory.mktemp("documents") / "model")
    found = Tagger.load(model, "cpu").tag(TEXTS)
    assert any(document.entities for document in found)
    return found


def _expected(documents: Documents) -> list[tuple[str, int, int, str, str]]:
    return [(d.id, e.start, e.end, e.text, e.type) for d in documents for e in d.entities]


def test_arrow_stream(documents: Documents) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    table = pa.table(documents)
    assert table.equals(bioner_fast.to_arrow(documents))
    columns = [table.column(name).to_pylist() for name in ("id", "start", "end", "text", "type")]
    assert list(zip(*columns, strict=True)) == _expected(documents)


def test_data_frames(documents: Documents) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra arrow")
    polars = pytest.importorskip("polars", reason="needs the extra fulltest")
    pandas = pytest.importorskip("pandas", reason="needs the extra fulltest")
    duckdb = pytest.importorskip("duckdb", reason="needs the extra fulltest")
    expected = _expected(documents)
    assert polars.DataFrame(documents).select("id", "start", "end", "text", "type").rows() == expected
    frame = pandas.DataFrame.from_arrow(documents)[["id", "start", "end", "text", "type"]]
    assert list(frame.itertuples(index=False, name=None)) == expected
    entities = bioner_fast.to_arrow(documents)
    assert duckdb.sql("SELECT count(*) FROM entities").fetchall() == [(entities.num_rows,)]


def test_notebooks_show_the_first_documents(documents: Documents) -> None:
    page = Documents([*documents] * 10)._repr_html_()
    assert "and 10 more documents" in page
    assert page.count("<hr>") == 19
