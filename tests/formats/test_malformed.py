"""Malformed input of every kind ends in one sentence that names the file and the line or document."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import FORMATS, guess_format, open_writer, read_documents, xml_root

BIOC = (
    '<?xml version="1.0"?>\n<collection><document><id>7</id>\n<passage>{}</passage></document></collection>'
)
CASES = [
    ("pubtator", "no bars here\n", "in:1: expected 'id|t|text'"),
    ("pubtator", "1\t0\t4\tTP53\tGene\n", "in:1: an annotation comes before the text"),
    ("pubtator", "1|t|TP53\n2\t0\t4\tTP53\tGene\n", "in:2: document 1: the annotation of document '2'"),
    ("pubtator", "1|t|TP53\n1\t0\tx\tTP53\tGene\n", "in:2: document 1: expected id, start, end"),
    ("pubtator", "1|t|TP53\n1\t0\t4\tTP53\n", "in:2: document 1: expected id, start, end"),
    ("pubtator", "1|t|A\n1\t0\t1\tA\tX\n1|a|B\n", "in:3: document 1: text comes after the annotations"),
    ("pubtator", b"1|t|A\n1|a|caf\xe9\n", "in:2: byte 0xe9 is not UTF-8"),
    ("bioc-xml", "", "in: the file is empty"),
    ("bioc-xml", "no xml", "in:1: not well-formed XML"),
    ("bioc-xml", "<html></html>", "in: expected root element collection, found html"),
    ("bioc-xml", "<collection><document>\n<id>1</id>", "in:2: the XML ends early"),
    ("bioc-xml", "<collection>\n<document></passage></document></collection>", "in:2: not well-formed XML"),
    ("bioc-xml", BIOC.format("<text>a</text>"), "in:2: document 7: passage 1 has offset None"),
    ("bioc-xml", BIOC.format("<offset>one</offset>"), "in:2: document 7: passage 1 has offset 'one'"),
    (
        "bioc-xml",
        BIOC.format("<offset>99999999999</offset>"),
        "in:2: document 7: the text at offset 99999999999",
    ),
    (
        "bioc-xml",
        BIOC.format("<offset>0</offset><annotation id='A'><location offset='0'/></annotation>"),
        "in:2: document 7: annotation A has length None",
    ),
    ("bioc-xml", "<!DOCTYPE collection [<!ENTITY a 'b'>]>" + BIOC[22:], "declares XML entities"),
    ("bioc-json", "", "in: the file is empty"),
    ("bioc-json", "nothing", "in:1: not JSON: expected '{', found 'n'"),
    ("bioc-json", '{"documents": [\n{"id": "1"', "in:2: the JSON ends early"),
    ("bioc-json", '{"documents": [\n{"id": "1", "passages": []}', "in:2: the JSON ends early"),
    ("bioc-json", '{"documents": [\n{"id": 1 2}' + " " * 99, "in:2: not JSON: Expecting ',' delimiter"),
    ("bioc-json", '{"id": "1", "text": "a"}', "in:1: expected a BioC collection"),
    ("bioc-json", '{"documents": [\n\n7]}', "in:3: expected a document, found int"),
    (
        "bioc-json",
        '{"documents": [{"id": "1", "passages": 7}]}',
        "in:1: document 1: expected 'passages' to be a list",
    ),
    ("bioc-json", '{"documents": ' + "[" * 100_000, "in:1: not BioC JSON"),
    ("bioc-json", b'{"source": "caf\xe9"}', "in:1: not UTF-8"),
    ("pubmed-xml", "<collection></collection>", "in: expected root element MedlineCitationSet or"),
    ("pubmed-xml", "<PubmedArticleSet>\n<PubmedArticle>", "in:2: the XML ends early"),
    ("brat", "no tar", "in: not a whole tar archive"),
]


@pytest.mark.parametrize(("format", "data", "message"), CASES)
def test_one_sentence(format: str, data: str | bytes, message: str) -> None:
    raw = data if isinstance(data, bytes) else data.encode()
    with pytest.raises(FormatError) as caught:
        list(read_documents(io.BytesIO(raw), format, name="in"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T1 Gene 0 4\tTP53", "d.ann:2: document d: expected 'T1<tab>Type start end<tab>mention'"),
        ("T1\tGene 0 x\tTP53", "d.ann:2: document d: expected 'T1<tab>Type"),
        ("Gene\t0\t4", "d.ann:2: document d: expected a brat annotation, found 'Gene"),
    ],
)
def test_brat_lines(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "d.txt").write_text("TP53")
    (tmp_path / "d.ann").write_text("\n" + line + "\n")
    with pytest.raises(FormatError) as caught:
        list(read_documents(tmp_path, "brat"))
    assert message in str(caught.value)


SAMPLES = {
    "pubtator": "1|t|Aβ 🔬 TP53\n1|a|b c\n1\t5\t9\tTP53\tGene\t7157\n1\tCID\tD1\tD2\n\n".encode(),
    "bioc-xml": b"<collection><source>s</source><document><id>1</id><passage><offset>0</offset>"
    b"<text>TP53</text><annotation id='1'><infon key='type'>G</infon><location offset='0' length='4'/>"
    b"<text>TP53</text></annotation></passage></document></collection>",
    "bioc-json": json.dumps(
        {
            "source": "s",
            "documents": [
                {
                    "id": "1",
                    "passages": [
                        {
                            "offset": 0,
                            "text": "TP53",
                            "sentences": [],
                            "annotations": [
                                {
                                    "id": "1",
                                    "infons": {},
                                    "text": "TP",
                                    "locations": [{"offset": 0, "length": 2}],
                                }
                            ],
                            "relations": [{"id": "R", "infons": {}, "nodes": [{"refid": "1", "role": ""}]}],
                        }
                    ],
                }
            ],
        }
    ).encode(),
    "pubmed-xml": b"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article>"
    b"<ArticleTitle>a<i>b</i></ArticleTitle><Abstract><AbstractText Label='X'>c</AbstractText></Abstract>"
    b"</Article></MedlineCitation></PubmedArticle></PubmedArticleSet>",
}


@pytest.mark.parametrize("format", SAMPLES)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_documents_or_one_error(format: str, data: st.DataObject) -> None:
    raw = bytearray(SAMPLES[format])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(raw) - 1, 0)))
        kind = data.draw(st.sampled_from(["cut", "set", "delete", "double"]))
        if kind == "cut":
            del raw[at:]
        elif kind == "set":
            raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=2))
        elif kind == "delete":
            del raw[at : at + data.draw(st.integers(1, 9))]
        else:
            raw[at:at] = raw[at : at + data.draw(st.integers(1, 40))]
    for on_problem in (None, list[Problem]().append):
        try:
            documents = list(read_documents(io.BytesIO(bytes(raw)), format, name="in", on_problem=on_problem))
        except FormatError as error:
            message = str(error)
        else:
            message = "in"
        assert message.startswith("in")
        assert "\n" not in message
        if message != "in":
            continue
        for document in documents:
            text = document.text
            for entity in document.iter_entities():
                assert 0 <= entity.start <= entity.end <= len(text)
                assert entity.spans or entity.text == text[entity.start : entity.end]


@pytest.mark.parametrize("format", sorted({*SAMPLES, "jsonl", "lines", "text"}))
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_compression(tmp_path: Path, format: str, damage: str) -> None:
    sample = SAMPLES.get(format, b'{"text": "a"}')
    packed = bytearray(gzip.compress(sample))
    if damage == "cut":
        del packed[-12:]
    else:
        packed[-6] ^= 255  # the checksum
    path = tmp_path / "in.gz"
    path.write_bytes(packed)
    with pytest.raises(FormatError) as caught:
        list(read_documents(path, format))
    expected = "the compressed data ends early" if damage == "cut" else "the compressed data is damaged"
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("begin", "command"),
    [
        (lzma.compress(b"text"), "xz -dk"),
        (bz2.compress(b"text"), "bzip2 -dk"),
        (b"PK\x03\x04" + bytes(40), "unzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(40), "zstd -d"),
    ],
)
@pytest.mark.parametrize("format", ["csv", "jsonl", "jats", "pubmed-xml", "text"])
def test_other_compression_is_named(begin: bytes, command: str, format: str) -> None:
    with pytest.raises(FormatError, match=rf"in: the file is packed, and not by gzip.*\({command}\)"):
        list(read_documents(io.BytesIO(begin), format, name="in"))


def test_truncated_archive(tmp_path: Path) -> None:
    with open_writer(tmp_path / "whole.tar.gz", "brat") as out:
        for index in range(50):
            out.write(Document.from_text(f"text {index}", str(index)))
    path = tmp_path / "in.tar.gz"
    path.write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:-100])
    with pytest.raises(FormatError, match="ends early"):
        list(read_documents(path))


def test_a_truncated_file_leaves_no_output(tmp_path: Path) -> None:
    from bioner_fast.formats.convert import convert_documents

    (tmp_path / "in.xml.gz").write_bytes(gzip.compress(SAMPLES["pubmed-xml"])[:-30])
    with pytest.raises(FormatError, match="truncated"):
        convert_documents(tmp_path / "in.xml.gz", tmp_path / "out.jsonl", "pubmed-xml")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.xml.gz"]


def test_names_and_guesses(tmp_path: Path) -> None:
    guesses = {
        "a.txt": "text",
        "a.lines": "lines",
        "a.jsonl.gz": "jsonl",
        "a.tsv": "conll",
        "A.PubTator": "pubtator",
        "a.xml": "bioc-xml",
        "a.bioc.json": "bioc-json",
        "a.ann": "brat",
        "a.tar.gz": "brat",
        "a.TGZ": "brat",
    }
    assert {name: guess_format(tmp_path / name) for name in guesses} == guesses
    (tmp_path / "x.xml").write_bytes(b"<?xml version='1.0'?>\n<!-- c -->\n" + SAMPLES["pubmed-xml"])
    (tmp_path / "x.txt").write_bytes(SAMPLES["pubtator"])
    (tmp_path / "y.xml.gz").write_bytes(gzip.compress(SAMPLES["bioc-xml"]))
    assert [guess_format(tmp_path / n) for n in ("x.xml", "x.txt", "y.xml.gz")] == [
        "pubmed-xml",
        "pubtator",
        "bioc-xml",
    ]
    with pytest.raises(UsageError, match="cannot tell the format"):
        guess_format("a.docx")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: list(read_documents(p / "missing.jsonl")), "no such file or folder"),
        (lambda p: list(read_documents(p, "jsonl")), "is a folder"),
        (lambda p: list(read_documents(p, "brat")), r"holds no \.txt and \.ann"),
        (
            lambda p: list(read_documents(io.BytesIO(b""), "word")),
            "unknown document format 'word'; known are text",
        ),
        (lambda p: list(read_documents(io.BytesIO(b""))), "cannot tell the format of <stream>"),
        (lambda p: open_writer(p / "x.xml", "pubmed-xml"), "is read but not written"),
        (lambda p: open_writer(p / "x.txt", "brat"), "written to a folder"),
        (lambda p: open_writer(p, "jsonl"), "exists; choose another name or pass --force"),
    ],
)
def test_wrong_calls(tmp_path: Path, call: object, message: str) -> None:
    with pytest.raises(BionerError, match=message):
        call(tmp_path)  # type: ignore[operator]


READABLE = [
    n for n, e in FORMATS.items() if e.reader and e.writer and not e.table and n not in ("conll", "text")
]


@pytest.mark.parametrize("format", READABLE)
def test_lone_surrogates_are_written_as_replacement_characters(format: str) -> None:
    document = Document("1", [Passage("a\ud83d b", entities=[Entity(0, 2, "X", "a\ud83d")])])
    out = io.BytesIO()
    with open_writer(out, format, on_problem=list[Problem]().append) as writer:
        writer.write(document)
    (back,) = read_documents(io.BytesIO(out.getvalue()), format)
    assert back.text == "a\ufffd b"


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "html"])
def test_lone_surrogates_are_written_to_tables_and_pages(format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra arrow")
    document = Document("1", [Passage("a\ud83d b", entities=[Entity(0, 2, "X", "a\ud83d")])])
    for rows in ("entities", "documents"):
        out = io.BytesIO()
        with open_writer(out, format, rows=rows) as writer:
            writer.write(document)
        assert "a\ufffd".encode() in out.getvalue()


FULL_DISK = """
import resource, signal, sys
from bioner_fast.cli.main import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.dont_write_bytecode = True
sys.exit(run(["convert", sys.argv[1], sys.argv[2], "--to", sys.argv[3]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
@pytest.mark.parametrize(
    ("name", "format"), [("o.xml", "bioc-xml"), ("o.json.gz", "bioc-json"), ("o", "brat"), ("o.tgz", "brat")]
)
def test_a_disk_that_is_full(tmp_path: Path, name: str, format: str) -> None:
    source = tmp_path / "in.pubtator"
    letters = random.Random(1)
    with open(source, "w", encoding="utf-8") as out:
        for index in range(30 if format != "brat" or name != "o" else 2):
            text = "".join(letters.choices("abcdefghijklmnopqrstuvwxyzαβ", k=3000 if name != "o" else 30_000))
            out.write(f"{index}|t|{text}\n{index}|a|\n\n")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(source), str(tmp_path / name), format],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"bioner-fast: {tmp_path / name} cannot be written: File too large")
    assert done.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.pubtator"]


@pytest.mark.parametrize(
    ("head", "root"),
    [
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- <no> --><a:b x='1'>", b"a:b"),
        (b"<!DOCTYPE r PUBLIC '-//X' 'y.dtd'>\n<r>", b"r"),
        (b"<!DOCTYPE r [<!ELEMENT r (#PCDATA)> ]>\n<r>", b"r"),
        (b"<!-- <?a?> " * 9999, None),
        (b"<?a?>" * 9999, None),
        (b" " * 9999 + b"text", None),
        (b"", None),
    ],
)
def test_the_root_of_an_xml_file(head: bytes, root: bytes | None) -> None:
    assert xml_root(head) == root
