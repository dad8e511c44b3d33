"""JATS and MEDLINE text: what is text, where it stands, and archives of articles."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from bioner_fast.formats.base import Problem
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
