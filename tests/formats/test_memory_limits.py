"""What is larger than --max-document-mb is bad, whatever reads it."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import Corpus, load_bytes
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem, TableColumns
from bioner_fast.formats.registry import read_documents

MB = 1 << 20


def test_a_compressed_corpus_unpacks_to_so_much(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(gzip.compress(b"p53\tO\n" * MB))
    with pytest.raises(FormatError, match="it gives more than 5 MB; give a file of plain text instead"):
        Corpus.read(path, max_document_mb=5)
    with pytest.raises(FormatError, match="more than 5 MB"):
        load_bytes(path, 5)
    assert Corpus.read(path, max_document_mb=6).n_tokens == MB
    plain = tmp_path / "train.tsv"
    plain.write_bytes(b"p53\tO\n" * MB)
    assert Corpus.read(plain, max_document_mb=1).n_tokens == MB


def test_convert_hands_the_limit_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.iob2.gz"
    path.write_bytes(gzip.compress(b"p53\tO\n" * MB))
    command = ["convert", str(path), str(tmp_path / "out.tsv"), "--from", "iob2", "--to", "iobes"]
    assert run([*command, "--max-document-mb", "5"]) == 1
    assert "more than 5 MB" in capsys.readouterr().err
    assert run([*command, "--max-document-mb", "6"]) == 0


def test_a_row_of_csv_over_many_lines_is_bounded() -> None:
    row = b'"' + b'a\n","' * 300_000
    with pytest.raises(FormatError, match="the row is larger than 1 MB"):
        list(read_documents(io.BytesIO(b"text,b\n" + row + b'"\n'), "csv", max_document_mb=1))
    many = b"text,b\n" + b'"a\nb",c\n' * 300_000
    assert sum(1 for _ in read_documents(io.BytesIO(many), "csv", max_document_mb=1)) == 300_000


@pytest.mark.parametrize("large", [False, True])
def test_texts_of_parquet_are_bounded(large: bool, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    import pyarrow.parquet as pq

    big = "x" * (MB + 1)
    kind = pa.large_string() if large else pa.string()
    table = pa.table(
        {"text": pa.array(["a", None, big, "é" * 1000] * 500, kind), "id": ["1", "2", "3", "4"] * 500}
    )
    pq.write_table(table, tmp_path / "a.parquet", dictionary_pagesize_limit=1 << 30)
    problems: list[Problem] = []
    columns = TableColumns(id="id")
    documents = list(
        read_documents(tmp_path / "a.parquet", columns=columns, on_problem=problems.append, max_document_mb=1)
    )
    assert [(d.id, len(d.text)) for d in documents[:3]] == [("1", 1), ("2", 0), ("4", 1000)]
    assert len(documents) == 1500
    assert [(p.document, p.kind) for p in problems] == [("3", "document")] * 500
    assert "larger than 1 MB; raise --max-document-mb" in problems[0].message


def test_a_part_of_a_parquet_file_that_is_read_at_once_is_bounded(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    import pyarrow.parquet as pq

    table = pa.table({"text": ["x" * (3 * MB), "y" * (3 * MB), "z" * (3 * MB)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < MB
    with pytest.raises(FormatError, match="a row group holds more than 8 MB of one column"):
        list(read_documents(tmp_path / "a.parquet", max_document_mb=1))
    pq.write_table(table, tmp_path / "b.parquet", compression="zstd", row_group_size=1)
    problems: list[Problem] = []
    assert not list(read_documents(tmp_path / "b.parquet", on_problem=problems.append, max_document_mb=1))
    assert len(problems) == 3
