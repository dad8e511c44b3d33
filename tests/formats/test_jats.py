# ruff: noqa: E501 - pieces of files
"""JATS and MEDLINE text: what is text, where it stands, and archives of articles."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem, Source
from bioner_fast.formats.jats import read_elements
from bioner_fast.formats.registry import guess_format, read_documents

ARTICLE = """<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS-archivearticle1.dtd">
<article xmlns:mml="http://www.w3.org/1998/Math/MathML"><front><journal-meta><journal-title-group>
<journal-title>J Test</journal-title></journal-title-group></journal-meta><article-meta>
<article-id pub-id-type="pmid">12</article-id><article-id pub-id-type="pmc">34</article-id>
<title-group><article-title>TP53 in <italic>cancer</italic><xref ref-type="fn">*</xref></article-title>
</title-group><pub-date><year>2020</year></pub-date><abstract><title>Abstract</title><sec><title>Aim</title>
<p>We saw it.</p></sec></abstract></article-meta></front><body><sec sec-type="intro"><title>Background</title>
<p>It was seen [<xref ref-type="bibr">1</xref>,<xref ref-type="bibr">2</xref>] and
 again<sup><xref ref-type="bibr">3</xref>–<xref ref-type="bibr">5</xref></sup>
 (<xref ref-type="fig">Fig. 1</xref>), not
 (see text).<fig><label>Figure 1</label><caption><title>A gel.</title><p>Lane 1.</p></caption></fig>
</p></sec>
<sec><title>Materials and methods</title><sec><title>Cells</title><p>At <inline-formula><alternatives>
<tex-math>\\alpha</tex-math><mml:math><mml:mi>α</mml:mi></mml:math></alternatives></inline-formula> they
grew.</p>
<list><list-item><p>HeLa</p></list-item><list-item><p>HEK293</p></list-item></list>
<table-wrap><label>Table 1</label><caption><p>Genes.</p></caption><table><tr><td>TP53</td><td>MDM2</td></tr>
</table></table-wrap></sec></sec></body><back><ref-list><ref><mixed-citation>Other</mixed-citation></ref></ref-list>
</back></article>"""
TEXTS = [
    ("title", "TP53 in cancer", ""),
    ("abstract", "Aim", ""),
    ("abstract", "We saw it.", "Aim"),
    ("INTRO", "Background", ""),
    ("INTRO", "It was seen and again (Fig. 1), not (see text).", "Background"),
    ("FIG", "A gel.", "Background"),
    ("FIG", "Lane 1.", "Background"),
    ("METHODS", "Materials and methods", ""),
    ("METHODS", "Cells", "Materials and methods"),
    ("METHODS", "At α they grew.", "Materials and methods > Cells"),
    ("METHODS", "HeLa", "Materials and methods > Cells"),
    ("METHODS", "HEK293", "Materials and methods > Cells"),
    ("TABLE", "Genes.", "Materials and methods > Cells"),
]


def test_an_article(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(ARTICLE, encoding="utf-8")
    assert guess_format(path) == "jats"
    (document,) = read_documents(path)
    assert [(p.section, p.text, p.infons.get("path", "")) for p in document.passages] == TEXTS
    assert (document.id, document.infons["pmid"], document.infons["journal"]) == ("PMC34", "12", "J Test")
    text = document.text
    assert all(text[p.offset :].startswith(p.text) for p in document.passages)
    (document,) = read_documents(path, "jats-tables")
    cells = [p for p in document.passages if p.infons["type"] == "table_cell"]
    assert [(p.text, p.infons["row"], p.infons["column"], p.infons["label"]) for p in cells] == [
        ("TP53", "1", "1", "Table 1"),
        ("MDM2", "1", "2", "Table 1"),
    ]


def test_an_archive_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        members = [("x/PMC1.nxml", ARTICLE), ("x/._P.nxml", "no"), ("bad.nxml", "<a/>"), ("l.txt", "")]
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data.encode())
            archive.addfile(member, io.BytesIO(data.encode()))
    assert guess_format(path) == "jats"
    problems: list[Problem] = []
    assert [d.id for d in read_documents(path, on_problem=problems.append)] == ["PMC34"]
    assert [p.path for p in problems] == [f"{path}/bad.nxml"]


def test_medline_text(tmp_path: Path) -> None:
    path = tmp_path / "a.nbib"
    path.write_text(
        "\nPMID- 12\nOWN - NLM\nTI  - TP53 in\n      cancer.\nLID - 10.1/x [doi]\nAB  - We saw it.\n"
        "DP  - 2020 Jan\n\n"
        "TI  - no number\n\nPMID- 13\nAB  - b\nwrong\nPMID- 14\nTI  - c\n",
        encoding="utf-8",
    )
    problems: list[Problem] = []
    documents = list(read_documents(path, on_problem=problems.append))
    assert [(d.id, [(p.section, p.text) for p in d.passages]) for d in documents] == [
        ("12", [("title", "TP53 in cancer."), ("abstract", "We saw it.")]),
        ("14", [("title", "c")]),
    ]
    assert documents[0].infons == {"doi": "10.1/x", "year": "2020"}
    assert [(p.document, p.line) for p in problems] == [(None, 10), ("13", 14)]


def texts_of(body: str) -> list[str]:
    article = (
        f"<article xmlns:mml='http://www.w3.org/1998/Math/MathML'><body><sec>{body}</sec></body></article>"
    )
    (document,) = read_documents(io.BytesIO(article.encode()), "jats")
    assert [document] == list(read_elements(Source(io.BytesIO(article.encode()), "<stream>")))
    text = document.text
    assert all(text[p.offset : p.offset + len(p.text)] == p.text for p in document.passages)
    return [passage.text for passage in document.passages]


CITED = "<xref ref-type='bibr' rid='B1'>{}</xref>"


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        # Marks of references, as publishers set them.
        (f"<p>It grew<sup>{CITED.format(1)},{CITED.format(2)}</sup>.</p>", ["It grew."]),
        (
            f"<p>It grew.<sup>{CITED.format('<sup>1</sup>')}–{CITED.format(4)}</sup> Then</p>",
            ["It grew. Then"],
        ),
        (f"<p>It grew ({CITED.format('Li, 2010')}; {CITED.format('Wu et al., 2011')}).</p>", ["It grew."]),
        (f"<p>It grew (see also {CITED.format('Li, 2010')}), or not.</p>", ["It grew, or not."]),
        (f"<p>It grew (e.g., {CITED.format('Li')}, {CITED.format('Wu')}).</p>", ["It grew."]),
        (f"<p>It grew (<xref ref-type='fig'>Fig. 1</xref>; {CITED.format(7)}).</p>", ["It grew (Fig. 1)."]),
        (
            f"<p>It grew [{CITED.format('1')}, {CITED.format('2')}–{CITED.format('5')}] well.</p>",
            ["It grew well."],
        ),
        # Formulas and other forms of one thing.
        (
            "<p>where<disp-formula id='E1'><label>(1)</label><alternatives><graphic/><tex-math>\\x</tex-math>"
            "<mml:math><mml:mi>x</mml:mi><mml:mo>=</mml:mo><mml:mn>2</mml:mn></mml:math></alternatives>"
            "</disp-formula>is given.</p>",
            ["where x=2 is given."],
        ),
        (
            "<p>At <inline-formula><alternatives><textual-form>alpha</textual-form><mml:math><mml:mi>α</mml:mi>"
            "</mml:math></alternatives></inline-formula> it grew.</p>",
            ["At α it grew."],
        ),
        # Boxes, groups, lists and tables inside text.
        (
            "<boxed-text><caption><title>Box 1</title></caption><p>Note.</p></boxed-text>",
            ["Box 1", "Note."],
        ),
        (
            "<p>Seen in<table-wrap><label>Table 1</label><caption><p>Genes.<xref ref-type='table-fn'>a</xref></p>"
            "</caption><alternatives><graphic/><table><tr><td>TP53</td></tr></table></alternatives>"
            "<table-wrap-foot><fn><p>a: note</p></fn></table-wrap-foot></table-wrap> mice.</p>",
            ["Seen in mice.", "Genes."],
        ),
        (
            "<p>Steps:<list><label>x</label><list-item><label>1.</label><p>Wash.<list><list-item><p>Twice.</p>"
            "</list-item></list></p></list-item></list></p>",
            ["Steps:", "Wash.", "Twice."],
        ),
        (
            "<fig-group><caption><title>All.</title></caption><fig><caption><p>One.</p></caption></fig></fig-group>",
            ["All.", "One."],
        ),
        ("<p>A<fn><p>foot</p></fn> word.</p><preformat>ACGT\nACGT</preformat>", ["A word.", "ACGT ACGT"]),
    ],
)
def test_text_as_articles_have_it(body: str, texts: list[str]) -> None:
    assert texts_of(body) == texts


def test_other_articles_inside_one_are_left_out() -> None:
    inner = "<front-stub><title-group><article-title>Letter</article-title></title-group></front-stub>"
    article = (
        "<article><front><article-meta><title-group><article-title>A</article-title></title-group></article-meta>"
        f"</front><body><p>b</p></body><sub-article>{inner}<body><p>c</p></body></sub-article>"
        f"<response>{inner}<body><p>d</p></body></response></article>"
    )
    (document,) = read_documents(io.BytesIO(article.encode()), "jats")
    assert [passage.text for passage in document.passages] == ["A", "b"]


@pytest.mark.parametrize(
    ("members", "ids", "message"),
    [
        ([], [], "the archive holds no .nxml or .xml files"),
        ([("read.me", b"x")], [], "the archive holds no .nxml or .xml files"),
        ([("a.nxml", b""), ("b.nxml", b"\0\1"), ("c.nxml", ARTICLE.encode())], ["PMC34"], ""),
        ([("a.xml.gz", gzip.compress(ARTICLE.encode())), ("b.xml.gz", b"\x1f\x8b\x08")], ["PMC34"], ""),
    ],
)
def test_archives_with_odd_members(members: list[tuple[str, bytes]], ids: list[str], message: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    problems: list[Problem] = []
    found = read_documents(io.BytesIO(out.getvalue()), "jats", on_problem=problems.append, name="in.tar")
    documents: list[str] = []
    if message:
        with pytest.raises(FormatError, match=message):
            documents.extend(document.id for document in found)
    else:
        documents.extend(document.id for document in found)
    assert documents == ids
    assert all(problem.kind == "document" for problem in problems)
