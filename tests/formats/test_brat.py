"""brat: folders, pairs and archives; discontinuous mentions; lines that only brat has."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.errors import BionerError
from bioner_fast.features.layers import token_layer
from bioner_fast.formats.base import Problem, Reporter
from bioner_fast.formats.brat import BratNative
from bioner_fast.formats.conll import encode_entities
from bioner_fast.formats.registry import open_writer, read_documents


def pair(folder: Path, name: str, text: str, annotations: str) -> None:
    (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes(annotations.encode())


def read(path: Path) -> tuple[list[Document], list[Problem]]:
    problems: list[Problem] = []
    return list(read_documents(path, "brat", on_problem=problems.append)), problems


def test_the_real_archive_and_its_folder_agree(shared: Path, tmp_path: Path) -> None:
    archive = shared / "formats" / "brat" / "jnlpba-train.tar.gz"
    packed, problems = read(archive)
    assert (len(packed), sum(len(d.entities) for d in packed), problems) == (2000, 51301, [])
    for document in packed:
        text = document.text
        assert all(text[e.start : e.end] == e.text for e in document.iter_entities())
    some = packed[:40]
    for target in (tmp_path / "folder", tmp_path / "again.tar.gz"):
        with open_writer(target, "brat") as out:
            for document in some:
                out.write(document)
        assert read(target)[0] == some
    with tarfile.open(archive) as original:
        for member in original.getmembers():
            if member.name.endswith((f"{some[0].id}.ann", f"{some[0].id}.txt")):
                stream = original.extractfile(member)
                assert stream is not None
                assert (tmp_path / "folder" / member.name).read_bytes() == stream.read()


def test_discontinuous_mentions_events_and_notes(tmp_path: Path) -> None:
    lines = [
        "T1\tDisease 0 6;17 23\tbreast cancer",
        "T2\tDisease 10 23\tovary\tcancer",
        "R1\tSame Arg1:T1 Arg2:T2\t",
        "E1\tBinding:T1 Theme:T2",
        "A1\tNegation E1",
        "N1\tReference T1 MESH:D001943\tbreast cancer",
        "*\tEquiv T1 T2",
        "#1\tAnnotatorNotes T1\tnot sure",
        '#2\tAnnotatorNotes T2\t{"identifier": "D1", "score": "0.25", "task": "d"}',
    ]
    lines[1] = "T2\tDisease 10 23\tovary  cancer"
    pair(tmp_path, "d", "breast or ovary  cancer", "\r\n".join(lines) + "\r\n\r\n")
    (document,), problems = read(tmp_path)
    assert not problems
    first, second = document.entities
    assert (first.spans, first.start, first.end, first.text) == (((0, 6), (17, 23)), 0, 23, "breast cancer")
    assert (second.infons, second.score, second.task) == ({"identifier": "D1"}, 0.25, "d")
    assert document.relations == [Relation((("T1", "Arg1"), ("T2", "Arg2")), "Same", "R1")]
    assert document.native == BratNative("", lines[3:8])
    with open_writer(tmp_path / "out", "brat") as out:
        out.write(document)
    assert read(tmp_path / "out") == ([document], [])
    lost: list[Problem] = []
    with open_writer(io.BytesIO(), "pubtator", on_problem=lost.append) as out:
        out.write(document)
    assert len([p for p in lost if "brat line" in p.message]) == 5


def test_one_file_names_the_pair(tmp_path: Path) -> None:
    pair(tmp_path, "a.b", "TP53", "T1\tGene 0 4\tTP53\n")
    pair(tmp_path, "other", "", "")
    for suffix in (".ann", ".txt"):
        (document,), _ = read(tmp_path / f"a.b{suffix}")
        assert (document.id, document.entities[0].text) == ("a.b", "TP53")


def test_shared_task_files(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("TP53 MDM2")
    (tmp_path / "d.a1").write_text("T1\tProtein 0 4\tTP53\n")
    (tmp_path / "d.a2").write_text("T2\tProtein 5 9\tMDM2\nE1\tBinding:T1 Theme:T2\n")
    (document,), _ = read(tmp_path)
    assert [e.id for e in document.entities] == ["T1", "T2"]


def test_folders_inside_the_folder_return(tmp_path: Path) -> None:
    (tmp_path / "in" / "train").mkdir(parents=True)
    pair(tmp_path / "in" / "train", "1", "a", "")
    pair(tmp_path / "in", "1", "b", "")
    documents, _ = read(tmp_path / "in")
    assert [(d.id, d.text) for d in documents] == [("1", "b"), ("1", "a")]
    with open_writer(tmp_path / "out", "brat") as out:
        for document in documents:
            out.write(document)
    assert (tmp_path / "out" / "train" / "1.txt").read_text() == "a"


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", ".hidden", "C:\\x", "nul\x00", "ü %41"])
def test_identifiers_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    with open_writer(tmp_path / "out" / "here", "brat") as out:
        out.write(Document.from_text("a", name))
        out.write(Document("x", [Passage("a")], native=BratNative("../up")))
    assert sorted(p.suffix for p in (tmp_path / "out" / "here").iterdir()) == [".ann", ".ann", ".txt", ".txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert {d.id for d in read(tmp_path / "out" / "here")[0]} == {name, "x"}


@pytest.mark.parametrize("target", ["out", "out.tar"])
def test_documents_of_one_name_are_all_there(tmp_path: Path, target: str) -> None:
    problems: list[Problem] = []
    names = ["1", "1-2", "1", "", "1", "x", "X"]
    with open_writer(tmp_path / target, "brat", on_problem=problems.append) as out:
        for text, name in zip("abcdefg", names, strict=True):
            out.write(Document.from_text(text, name))
    documents, _ = read(tmp_path / target)
    assert {(d.id, d.text) for d in documents} == {
        ("1", "a"), ("1-2", "b"), ("1-3", "c"), ("document-4", "d"), ("1-4", "e"), ("x", "f"), ("X-2", "g")
    }  # fmt: skip
    assert [(p.document, p.action) for p in problems] == [
        ("1", "changed"), ("document-4", "changed"), ("1", "changed"), ("X", "changed")
    ]  # fmt: skip


def test_hidden_files_are_passed_over_and_capitals_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for place in (folder, folder / "__MACOSX", folder / ".git"):
        place.mkdir()
        for name in ("._d1.txt", "._d1.ann", *(["d1.TXT", "d1.ANN"] if place == folder else [])):
            (place / name).write_bytes(b"TP53" if name == "d1.TXT" else b"T1\tGene 0 4\tTP53\n\xb0"[:-1])
        (place / "._d2.txt").write_bytes(b"\xb0")
    (document,), problems = read(folder)
    assert (document.id, [e.text for e in document.entities], problems) == ("d1", ["TP53"], [])
    assert read(folder / "d1.ANN")[0] == read(folder / "d1.TXT")[0] == [document]
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(folder, ".")
    assert read(tmp_path / "in.tar") == ([document], [])


def test_parts_at_a_line_break_are_one_mention_elsewhere(tmp_path: Path) -> None:
    text = "acute myeloid\nleukemia and estrogen\n  receptor"
    pair(
        tmp_path,
        "d",
        text,
        "T1\tD 0 13;14 22\tacute myeloid leukemia\nT2\tG 27 35;38 46\testrogen receptor\n",
    )
    (document,), _ = read(tmp_path)
    problems: list[Problem] = []
    out = io.BytesIO()
    with open_writer(out, "pubtator", on_problem=problems.append) as writer:
        writer.write(document)
    assert (
        "d\t0\t22\tacute myeloid leukemia\tD\nd\t27\t46\testrogen   receptor\tG\n" in out.getvalue().decode()
    )
    assert encode_entities(document, token_layer(document), Reporter("x", problems.append)) == [
        "B-D", "I-D", "I-D", "O", "B-G", "I-G"
    ]  # fmt: skip
    assert not problems


def test_identifiers_of_other_formats_become_brat_s(tmp_path: Path) -> None:
    entities = [
        Entity(0, 1, "Gene X", "a", id="7"),
        Entity(2, 3, "", "b", id="T1"),
        Entity(2, 2, "E", "", id="e"),
    ]
    relations = [
        Relation((("7", "Arg 1"), ("T1", "")), "is a", "r"),
        Relation((("7", ""), ("e", "")), "lost", "q"),
    ]
    problems: list[Problem] = []
    with open_writer(tmp_path / "out", "brat", on_problem=problems.append) as out:
        out.write(Document("1", [Passage("a b", entities=entities)], relations=relations))
    lines = (tmp_path / "out" / "1.ann").read_text()
    assert lines == "T2\tGene_X 0 1\ta\nT1\tEntity 2 3\tb\nR1\tis_a Arg_1:T2 Arg2:T1\n"
    assert [(p.kind, p.action) for p in problems] == [("annotation", "dropped"), ("relation", "dropped")]


def test_a_text_without_annotations_and_annotations_without_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no annotations")
    (tmp_path / "b.ann").write_text("T1\tGene 0 4\tTP53\n")
    (document,), (problem,) = read(tmp_path)
    assert (document.id, document.entities) == ("a", [])
    assert str(problem) == f"{tmp_path / 'b.ann'}: document b: b.txt, its text, is missing"
    with pytest.raises(BionerError, match=r"b\.txt does not exist"):
        read(tmp_path / "b.ann")


def test_partners_apart_in_the_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, data in [
            ("1.txt", b"TP53"),
            ("2.txt", b"b"),
            ("1.ann", b"T1\tG 0 4\tTP53\n"),
            ("note.md", b""),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    documents, problems = read(tmp_path / "x.tar")
    assert [(d.id, len(d.entities)) for d in documents] == [("1", 1), ("2", 0)]
    assert not problems
