"""Conversion: the published corpus from its annotations, reports, and the command."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.convert import convert_documents
from bioner_fast.formats.registry import open_writer, read_documents

Rows = list[tuple[str, str]]
PUBTATOR = "1|t|TP53 in cancer\n1|a|\n1\t0\t4\tTP53\tGene\t7157\n1\tCID\tD1\tD2\n\n"


def column_documents(data: str) -> list[Rows]:
    documents: list[Rows] = [[]]
    for line in data.split("\n"):
        if line.startswith("-DOCSTART-"):
            documents.append([])
        elif line:
            token, tag = line.split("\t")
            documents[-1].append((token, tag))
    return [rows for rows in documents if rows]


def test_the_published_corpus_from_its_annotations(shared: Path) -> None:
    """124,750 tokens in 500 documents are those of the published file, which orders the documents otherwise.

    Five mentions end inside a token. Fourteen tokens, in four documents, are tagged in the published file and
    have no annotation in the PubTator file; no other tag differs.
    """
    from bioner_fast.features.layers import add_tokens

    source = shared / "formats" / "pubtator" / "BC5CDR_Test.PubTator"
    out = io.BytesIO()
    problems: list[Problem] = []
    report = convert_documents(
        source, out, to_format="conll", add_tokens=add_tokens, on_problem=problems.append
    )
    assert (report.documents, report.entities, report.actions) == (500, 9796, {"moved": 5})
    assert sum("'Ca'" in problem.message for problem in problems) == 4
    ours = column_documents(out.getvalue().decode())
    published = (shared / "corpora" / "BC5CDR-IOB" / "test.tsv").read_text(encoding="utf-8")
    (expected,) = column_documents(published)
    assert sum(map(len, ours)) == len(expected) == 124_750
    by_start = {tuple(token for token, _ in rows[:12]): rows for rows in ours}
    different: list[tuple[int, str]] = []
    position = 0
    for _ in ours:
        rows = by_start.pop(tuple(token for token, _ in expected[position : position + 12]))
        theirs = expected[position : position + len(rows)]
        assert [token for token, _ in rows] == [token for token, _ in theirs]
        for (token, tag), (_, published_tag) in zip(rows, theirs, strict=True):
            if tag != published_tag:
                assert tag == "O"
                different.append((position, token))
        position += len(rows)
    assert position == len(expected)
    assert len(different) == 14
    assert len({start for start, _ in different}) == 4
    assert {token for _, token in different} == {
        "dihydropyrimidine", "Metallothionein", "metallothionein", "MT", "protamine", "sulfate", "PS", "TCA",
    }  # fmt: skip


@pytest.mark.parametrize("middle", ["bioc-xml", "bioc-json", "jsonl", "brat"])
def test_a_corpus_through_another_format_and_back(shared: Path, tmp_path: Path, middle: str) -> None:
    source = shared / "formats" / "pubtator" / "NCBIdisease_TrainDev.PubTator"
    unique = tmp_path / "in.pubtator"
    seen: set[str] = set()
    with open_writer(unique) as out:
        for document in read_documents(source, on_problem=lambda problem: None):
            if document.id not in seen:  # the file has one document twice, which files of a folder cannot be
                out.write(document)
            seen.add(document.id)
    first = convert_documents(unique, tmp_path / "middle", to_format=middle)
    back = convert_documents(tmp_path / "middle", tmp_path / "out.pubtator", from_format=middle)
    assert (first.documents, first.entities, first.actions) == (692, 5921, {})
    assert (back.documents, back.entities) == (first.documents, first.entities)

    def mentions(path: Path) -> list[tuple[str, list[tuple[int, int, str, str]]]]:
        return sorted(
            (d.id, sorted((e.start, e.end, e.type, e.infons["identifier"]) for e in d.iter_entities()))
            for d in read_documents(path, on_problem=lambda problem: None)
        )

    assert mentions(tmp_path / "out.pubtator") == mentions(unique)


def test_relations_and_what_only_one_format_holds_are_reported() -> None:
    problems: list[Problem] = []
    report = convert_documents(
        io.BytesIO(PUBTATOR.encode()), io.BytesIO(), "pubtator", "jsonl", on_problem=problems.append
    )
    assert [(p.kind, p.action, p.message) for p in problems] == [
        ("relation", "dropped", "relation CID cannot be written as jsonl")
    ]
    assert (report.relations, report.actions["dropped"]) == (1, 1)


def test_relations_go_between_bioc_and_brat(tmp_path: Path) -> None:
    entities = [Entity(0, 4, "Gene", "TP53", id="a"), Entity(8, 14, "Disease", "cancer", id="b")]
    relation = Relation((("a", "Arg1"), ("b", "Arg2")), "causes", "r1")
    with open_writer(tmp_path / "a.bioc.json") as out:
        out.write(Document("1", [Passage("TP53 in cancer", entities=entities)], relations=[relation]))
    convert_documents(tmp_path / "a.bioc.json", tmp_path / "brat", to_format="brat")
    convert_documents(tmp_path / "brat", tmp_path / "b.bioc.xml")
    (document,) = read_documents(tmp_path / "b.bioc.xml")
    assert document.relations == [Relation((("T1", "Arg1"), ("T2", "Arg2")), "causes", "R1")]


def test_one_bad_document(tmp_path: Path) -> None:
    source = tmp_path / "in.pubtator"
    source.write_text("1|t|A\n1\tx\n\n2|t|B\n")
    with pytest.raises(FormatError, match=r"in\.pubtator:2: document 1: expected"):
        convert_documents(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    report = convert_documents(source, tmp_path / "out.jsonl", skip_bad=True, report_file=tmp_path / "report")
    assert (report.documents, report.skipped) == (1, 1)
    (line,) = (tmp_path / "report").read_text().splitlines()
    assert {k: json.loads(line)[k] for k in ("kind", "action", "document", "line")} == {
        "kind": "document",
        "action": "skipped",
        "document": "1",
        "line": 2,
    }


def test_wrong_calls(tmp_path: Path) -> None:
    source = tmp_path / "in.pubtator"
    source.write_text(PUBTATOR)
    with pytest.raises(UsageError, match="onto itself"):
        convert_documents(source, source, force=True)
    with pytest.raises(UsageError, match="needs tokens"):
        convert_documents(source, tmp_path / "out.tsv")
    with pytest.raises(BionerError, match="exists"):
        convert_documents(source, tmp_path, to_format="brat")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.pubtator", tmp_path / "out.bioc.xml"
    source.write_text(PUBTATOR)
    assert run(["convert", str(source), str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entities"] == 1
    assert run(["convert", str(source), str(target)]) == 1
    assert "pass --force" in capsys.readouterr().err
    assert run(["convert", str(source), str(target), "--force"]) == 0
    assert run(["convert", str(source), str(tmp_path / "out.jsonl"), "--report", str(tmp_path / "r")]) == 0
    assert "cannot be written" not in capsys.readouterr().err
    assert json.loads((tmp_path / "r").read_text())["action"] == "dropped"
    for arguments, status in [
        (["convert", "nowhere.pubtator", "x.jsonl"], 1),
        (["convert", str(source), str(tmp_path / "x.docx")], 2),
        (["convert", str(source), "x", "--to", "word"], 2),
        (["convert", str(source), "x", "--to", "pubmed-xml"], 2),
        (["convert", "-", "x.jsonl"], 2),
        (["convert", str(source), "-", "--json", "--to", "jsonl"], 2),
    ]:
        assert run(arguments) == status
        message = capsys.readouterr().err
        assert message.startswith("bioner-fast: ")
        assert message.count("\n") == 1


def test_streams(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bioner_fast",
        "convert",
        "-",
        "-",
        "--from",
        "lines",
        "--to",
        "bioc-json",
    ]
    done = subprocess.run(command, input="TP53 βeta 🔬\n".encode(), capture_output=True, check=True)
    (document,) = json.loads(done.stdout)["documents"]
    assert document["passages"][0]["text"] == "TP53 βeta 🔬"
    assert done.stderr == b"1 documents with 0 annotations converted\n"


def test_documents_to_a_tag_scheme_and_back(tmp_path: Path) -> None:
    source, tokens = tmp_path / "in.pubtator", tmp_path / "tokens.tsv"
    source.write_text("1|t|TP53 and breast cancer\n1\t0\t4\tTP53\tGene\n1\t9\t22\tbreast cancer\tDisease\n")
    assert run(["convert", str(source), str(tokens), "--to", "iobes"]) == 0
    lines = ["-DOCSTART-\t1", "", "TP53\tS-Gene", "and\tO", "breast\tB-Disease", "cancer\tE-Disease", ""]
    assert tokens.read_text().split("\n") == lines
    assert run(["convert", str(tokens), str(tmp_path / "out.pubtator"), "--from", "iobes"]) == 0
    (document,) = read_documents(tmp_path / "out.pubtator")
    assert [(e.start, e.end, e.type) for e in document.entities] == [(0, 4, "Gene"), (9, 22, "Disease")]


def test_the_example_of_the_help_works(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "--help"]) == 0
    text = " ".join(capfd.readouterr().out.split())
    example = text.split("Example: ")[1].split(" Between tag schemes")[0]
    _, command = example.split(" | ")
    words = command.split()
    assert words[0] == "bioner-fast"
    done = subprocess.run(
        [sys.executable, "-m", "bioner_fast", *words[1:]],
        input=b"TP53 in cancer\n",
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["documents"][0]["passages"][0]["text"] == "TP53 in cancer"


def test_other_columns_stay_between_tag_schemes(tmp_path: Path) -> None:
    from bioner_fast.cli.main import run

    head = "-DOCSTART- -X- O O\n\n"
    source = head + "p53 NN I-NP I-Gene\nis VB O O\n\n\n-DOCSTART- x\na\tNN\tO\tI-Gene\r\nb\tNN\tO\tI-Gene"
    wanted = head + "p53 NN I-NP S-Gene\nis VB O O\n\n\n-DOCSTART- x\na\tNN\tO\tB-Gene\nb\tNN\tO\tE-Gene\n"
    (tmp_path / "in.tsv").write_bytes(source.encode())
    out = tmp_path / "out.tsv"
    assert run(["convert", str(tmp_path / "in.tsv"), str(out), "--to", "iobes"]) == 0
    assert out.read_bytes() == wanted.encode()
    assert run(["convert", str(out), str(tmp_path / "back.tsv"), "--to", "iob1"]) == 0
    assert (tmp_path / "back.tsv").read_bytes() == source.encode().replace(b"\r", b"") + b"\n"


@pytest.mark.parametrize(("tags", "message"), [(["O"], "fewer"), (["O"] * 3, "more")])
def test_tags_for_a_column_are_counted(tags: list[str], message: str) -> None:
    from bioner_fast.data.corpus import replace_last_column

    with pytest.raises(ValueError, match=message):
        replace_last_column(b"a\tO\nb\tO\n", tags)


@pytest.mark.skipif(sys.platform == "win32", reason="names there are Unicode")
def test_a_report_on_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    source, report = tmp_path / os.fsdecode(b"caf\xe9.jsonl"), tmp_path / "report"
    try:
        source.write_text('{"text": 3}\n{"text": "TNF"}\n')
    except OSError:
        pytest.skip("this file system takes no such names")
    arguments = [str(source), str(tmp_path / "out.pubtator"), "--skip-bad", "--report", str(report)]
    assert run(["convert", *arguments]) == 0
    assert json.loads(report.read_text())["path"] == str(source)


def test_gzip_between_tag_schemes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, packed, back = tmp_path / "in.pubtator", tmp_path / "a.tsv.gz", tmp_path / "b.tsv.gz"
    source.write_text(PUBTATOR)
    assert run(["convert", str(source), str(packed), "--to", "iobes"]) == 0
    lines = gzip.decompress(packed.read_bytes()).split(b"\n")
    assert lines[2:] == [b"TP53\tS-Gene", b"in\tO", b"cancer\tO", b""]
    assert run(["convert", str(packed), str(back), "--to", "iob2"]) == 0
    assert gzip.decompress(back.read_bytes()).split(b"\n")[2] == b"TP53\tB-Gene"
    first = back.read_bytes()
    assert run(["convert", str(packed), str(back), "--to", "iob2", "--force"]) == 0
    assert back.read_bytes() == first  # no time is in it
    assert run(["evaluate", str(_packed(tmp_path / "p.tsv", b"p53\tB-Gene\tB-Gene\n")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["overall"]["tp"] == 1
    packed.write_bytes(packed.read_bytes()[:-9])
    assert run(["convert", str(packed), str(back), "--to", "iob2", "--force"]) == 1
    assert f"{packed}: the compressed data ends early; the file is truncated" in capsys.readouterr().err
    assert back.read_bytes() == first


def _packed(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


def test_a_corpus_is_written_compressed_where_its_name_says_so(tmp_path: Path) -> None:
    corpus = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")]])
    corpus.write(tmp_path / "a.tsv.gz")
    assert gzip.decompress((tmp_path / "a.tsv.gz").read_bytes()) == corpus.to_bytes()
    assert Corpus.read(tmp_path / "a.tsv.gz").tags() == ["B-Gene", "O"]
