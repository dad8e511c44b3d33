"""PubMed XML: titles, structured abstracts, flattened markup, books; entities refused; memory flat."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from format_strategies import texts
from hypothesis import given, settings

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import guess_format, read_documents


def read(data: str | bytes) -> list[Document]:
    raw = data if isinstance(data, bytes) else data.encode()
    return list(read_documents(io.BytesIO(raw), "pubmed-xml", name="in.xml"))


def article(title: str, abstract: str = "", more: str = "", pmid: str = "1") -> str:
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article>'
        f"<ArticleTitle>{title}</ArticleTitle>{abstract}</Article>{more}</MedlineCitation></PubmedArticle>"
    )


def one(title: str, abstract: str = "", more: str = "") -> Document:
    (document,) = read(f"<PubmedArticleSet>{article(title, abstract, more)}</PubmedArticleSet>")
    return document


def test_the_real_sample_against_another_parser(shared: Path) -> None:
    path = shared / "formats" / "pubmed-xml" / "pubmedsample18n0001.xml.gz"
    assert guess_format(path) == "pubmed-xml"
    documents = list(read_documents(path))
    with gzip.open(path) as stream:
        root = ElementTree.parse(stream).getroot()
    citations = root.findall("PubmedArticle/MedlineCitation")
    assert len(documents) == len(citations) == 177
    for document, citation in zip(documents, citations, strict=True):
        assert document.id == citation.findtext("PMID")
        found = {
            "title": citation.findall("Article/ArticleTitle"),
            "abstract": citation.findall("Article/Abstract/AbstractText"),
            "vernacular title": citation.findall("Article/VernacularTitle"),
            "other abstract": citation.findall("OtherAbstract/AbstractText"),
        }
        for section, elements in found.items():
            expected = [text for e in elements if (text := " ".join("".join(e.itertext()).split()))]
            passages = [p for p in document.passages if p.section == section]
            assert [" ".join(p.text.split()) for p in passages] == expected
            if section == "abstract":
                labels = [e.get("Label") for e in elements if "".join(e.itertext()).strip()]
                assert [p.infons.get("label") for p in passages] == labels
        assert document.infons.get("journal") == citation.findtext("Article/Journal/ISOAbbreviation")
    assert any(p.infons.get("label") for d in documents for p in d.passages)
    assert any(p.section == "vernacular title" for d in documents for p in d.passages)


@pytest.mark.filterwarnings("ignore")
def test_the_real_sample_against_pubmed_parser(shared: Path) -> None:
    peer = pytest.importorskip("pubmed_parser", reason="pubmed_parser, the peer, is not installed")
    path = shared / "formats" / "pubmed-xml" / "pubmedsample18n0001.xml.gz"
    records = list(peer.parse_medline_xml(str(path), year_info_only=True, nlm_category=False))
    documents = list(read_documents(path))
    assert len(records) == len(documents) == 177

    def words(document: Document, section: str) -> list[str]:
        passages = [p for p in document.passages if p.section == section]
        # The peer writes the labels of an abstract in several parts into its text.
        labels = [p.infons.get("label", "") if len(passages) > 1 else "" for p in passages]
        return " ".join(f"{label} {p.text}" for label, p in zip(labels, passages, strict=True)).split()

    for record, document in zip(records, documents, strict=True):
        assert document.id == record["pmid"]
        assert words(document, "title") == record["title"].split()
        assert words(document, "abstract") == record["abstract"].split()
        assert words(document, "vernacular title") == record["vernacular_title"].split()
        assert document.infons.get("year", "") == record["pubdate"]


def test_a_single_article(shared: Path) -> None:
    (document,) = read_documents(shared / "formats" / "pubmed-xml" / "pubmed-29768149.xml")
    assert document.id == "29768149"
    assert [p.infons.get("label") for p in document.passages] == [
        None,
        "BACKGROUND",
        "METHODS",
        "RESULTS",
        "CONCLUSIONS",
    ]
    assert document.infons["doi"] == "10.1056/NEJMoa1715274"
    assert document.text[65:].startswith("In patients with mild asthma")


def test_a_book_document(shared: Path) -> None:
    (document,) = read_documents(shared / "formats" / "pubmed-xml" / "bookdocument.xml")
    assert document.id == "32150360"
    title, abstract = document.passages
    assert title.text == "Features, Evaluation, and Treatment of Coronavirus"
    assert '"pneumonia of unknown etiology."' in abstract.text
    assert document.infons["bookaccession"] == "NBK554776"


def test_inline_markup_is_flattened() -> None:
    document = one(
        "<i>In vitro</i> Ca<sup>2+</sup> and H<sub>2</sub>O &lt; 5 &amp; &#945;-actin",
        "<Abstract><AbstractText><b>x</b> of <mml:math xmlns:mml='http://www.w3.org/1998/Math/MathML'>\n"
        "  <mml:mrow>\n"
        "    <mml:mi>k</mml:mi>\n    <mml:mo>=</mml:mo> <mml:mn>2</mml:mn></mml:mrow></mml:math>"
        " here.</AbstractText></Abstract>",
    )
    assert [p.text for p in document.passages] == ["In vitro Ca2+ and H2O < 5 & α-actin", "x of k=2 here."]
    assert [p.offset for p in document.passages] == [0, 36]


def test_sections_labels_and_empty_parts() -> None:
    document = one(
        " ",
        '<Abstract><AbstractText Label="AIM" NlmCategory="OBJECTIVE">a</AbstractText><AbstractText/>'
        "<AbstractText Label='B'>b</AbstractText></Abstract><VernacularTitle>Über</VernacularTitle>"
        "<Language>ger</Language>",
        '<OtherAbstract Type="Publisher" Language="spa"><AbstractText>c</AbstractText></OtherAbstract>',
    )
    assert [(p.section, p.text, p.offset) for p in document.passages] == [
        ("abstract", "a", 0),
        ("abstract", "b", 2),
        ("vernacular title", "Über", 4),
        ("other abstract", "c", 9),
    ]
    assert [p.infons for p in document.passages] == [
        {"label": "AIM", "nlm_category": "OBJECTIVE"},
        {"label": "B"},
        {"language": "ger"},
        {"language": "spa", "abstract_type": "Publisher"},
    ]


def test_deleted_citations_are_no_documents() -> None:
    deleted = "<DeleteCitation><PMID>9</PMID></DeleteCitation>"
    documents = read(f"<PubmedArticleSet>{article('a')}{article('b', pmid='2')}{deleted}</PubmedArticleSet>")
    assert [d.id for d in documents] == ["1", "2"]


def test_old_files_of_bare_citations() -> None:
    citation = (
        "<MedlineCitation><PMID>5</PMID><Article><ArticleTitle>t</ArticleTitle></Article></MedlineCitation>"
    )
    (document,) = read(f"<MedlineCitationSet>{citation}</MedlineCitationSet>")
    assert (document.id, document.text) == ("5", "t")


def test_an_empty_set_and_an_empty_article() -> None:
    assert read("<PubmedArticleSet></PubmedArticleSet>") == []
    assert one("").passages == []


@settings(deadline=None)
@given(texts("\u2028\x85"))
def test_text_comes_back_but_for_the_layout_of_the_file(text: str) -> None:
    document = one(escape(text, {"\r": "&#13;"}))
    expected = " ".join(
        piece.strip(" \t") for piece in text.replace("\t", "\n").replace("\r", "\n").split("\n")
    )
    assert " ".join(document.text.split()) == " ".join(expected.split())
    assert "\n" not in document.text
    assert "\r" not in document.text


BOMB = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
ENTITY = "<!DOCTYPE PubmedArticleSet [{}]><PubmedArticleSet>" + article("{}") + "</PubmedArticleSet>"
UNDEFINED = "<!DOCTYPE PubmedArticleSet SYSTEM 'x.dtd'><PubmedArticleSet>{}</PubmedArticleSet>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ENTITY.format('<!ENTITY l0 "lol">' + BOMB, "&l9;"), "declares XML entities"),
        (ENTITY.format('<!ENTITY x SYSTEM "file:///etc/passwd">', "&x;"), "declares XML entities"),
        (ENTITY.format('<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;', "a"), "declares XML entities"),
        (ENTITY.format("<!-- " + "x" * 70_000 + ' --><!ENTITY x "y">', "&x;"), "declares XML entities"),
        (UNDEFINED.format(article("a&nbsp;b")), "entity &nbsp; is not defined"),
        ("<PubmedArticleSet>" + article("a&nbsp;b") + "</PubmedArticleSet>", "not well-formed"),
    ],
)  # fmt: skip
def test_entities_are_refused(data: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("in.xml")


def test_a_bad_article_does_not_stop_the_others() -> None:
    problems: list[Problem] = []
    data = f"<PubmedArticleSet>{article('a', pmid=' ')}\n{article('b', pmid='2')}</PubmedArticleSet>".encode()
    (document,) = read_documents(io.BytesIO(data), "pubmed-xml", on_problem=problems.append)
    assert document.id == "2"
    assert [(p.kind, p.line, p.message) for p in problems] == [("document", 1, "PubmedArticle has no PMID")]


# VmHWM rather than getrusage, whose maximum a child inherits from the process that forked it.
MEASURE = """
import sys
from bioner_fast.formats.registry import read_documents
count = sum(1 for _ in read_documents(sys.argv[1]))
print(count, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to measure memory")
@pytest.mark.parametrize("format", ["pubmed-xml", "bioc-xml", "bioc-json"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    body = "TP53 binds MDM2 in vivo. " * 60
    peaks = []
    for copies in (2000, 20_000):
        path = tmp_path / f"{copies}.xml.gz"
        if format == "bioc-json":
            path = tmp_path / f"{copies}.json.gz"
        with gzip.open(path, "wt", compresslevel=1) as out:
            if format == "pubmed-xml":
                abstract = f"<Abstract><AbstractText>{body}</AbstractText></Abstract>"
                pieces = ("<PubmedArticleSet>", article("t", abstract) + "\n", "", "</PubmedArticleSet>")
            elif format == "bioc-xml":
                part = f"<passage><offset>0</offset><text>{body}</text></passage>"
                pieces = ("<collection>", f"<document><id>1</id>{part}</document>\n", "", "</collection>")
            else:
                one = f'{{"id": "1", "passages": [{{"offset": 0, "text": "{body}"}}]}}'
                pieces = ('{"documents": [', one + ",\n", one, "]}")
            out.write(pieces[0] + pieces[1] * copies + pieces[2] + pieces[3])
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
        )
        count, peak = map(int, done.stdout.split())
        assert count in (copies, copies + 1)
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0]


def test_alternatives_of_mathml_in_tex_are_no_text() -> None:
    math = (
        '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML" alttext="\\alpha"><mml:semantics><mml:mrow>'
        "<mml:mi>α</mml:mi> <mml:mo>=</mml:mo><mml:mn>5</mml:mn></mml:mrow>"
        '<mml:annotation encoding="application/x-tex">\\alpha = 5</mml:annotation>'
        "<mml:annotation-xml><mml:ci>a</mml:ci></mml:annotation-xml></mml:semantics></mml:math>"
    )
    title = f"<ArticleTitle>At {math} it grew</ArticleTitle>"
    article = f"<PubmedArticle><MedlineCitation><PMID>1</PMID><Article>{title}</Article></MedlineCitation>"
    data = f"<PubmedArticleSet>{article}</PubmedArticle></PubmedArticleSet>".encode()
    (document,) = read_documents(io.BytesIO(data), "pubmed-xml")
    assert document.text == "At α=5 it grew"


def test_versions_of_an_article_are_documents_of_their_own() -> None:
    articles = "".join(
        f'<PubmedArticle><MedlineCitation><PMID Version="{version}">7</PMID></MedlineCitation>'
        "</PubmedArticle>"
        for version in (1, 2)
    )
    problems: list[Problem] = []
    data = f"<PubmedArticleSet>{articles}</PubmedArticleSet>".encode()
    documents = list(read_documents(io.BytesIO(data), "pubmed-xml", on_problem=problems.append))
    assert [document.id for document in documents] == ["7", "7.2"]
    assert [(p.document, p.action) for p in problems] == [("7", "changed")]
