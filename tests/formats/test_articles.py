# ruff: noqa: E501 - pieces of files
"""The native reader of articles gives what the other one gives: documents, problems and errors."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast import _text
from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats import articles, jats, pubmed_xml
from bioner_fast.formats.base import Problem, Source

Read = Callable[[Source], Iterator[Document]]

MATH = (
    '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML">\n <mml:mi> α\u2003</mml:mi><mml:mo>=</mml:mo>'
    "<mml:annotation>x</mml:annotation><mml:mrow><mml:mn>2</mml:mn></mml:mrow></mml:math>"
)
PIECES = [
    "<PubmedArticleSet>", "</PubmedArticleSet>", "<PubmedArticle>", "</PubmedArticle>", "</PubmedArticle >",
    "<PubmedArticle/>", "<PubmedBookArticle>", "</PubmedBookArticle>", "<MedlineCitation>", "</MedlineCitation>",
    "<BookDocument>", "</BookDocument>", "<PMID>1</PMID>", "<PMID Version='2'> 3 </PMID>", "<PMID/>", "<Article>",
    "</Article>", "<ArticleTitle>", "</ArticleTitle>", "<Abstract>", "</Abstract>",
    "<AbstractText Label='A&amp;B'>", "<AbstractText NlmCategory=\"x\" Label=''>", "</AbstractText>", "<i>", "</i>",
    "<OtherAbstract Language='spa' Type='t'>", "</OtherAbstract>", "<VernacularTitle>Über</VernacularTitle>",
    "<Language>ger</Language>", "<AuthorList><Author>x</Author></AuthorList>", "<AuthorList>", "</AuthorList>",
    "<Journal><Title>T</Title><JournalIssue><PubDate><MedlineDate>in 1998-99</MedlineDate></PubDate></JournalIssue>"
    "</Journal>", "<ArticleIdList><ArticleId IdType='doi'>10.1/x</ArticleId></ArticleIdList>", "<PubmedData>",
    "</PubmedData>", MATH, "<!-- c </PubmedArticle> -->", "<![CDATA[a<b]]>", "<?p i?>", "&nbsp;", "&lt;", "&#8195;",
    "a", " ", "\n", "\t ", "\u00a0", "🔬 é", "]]>", "&", "<", "\x01",
]  # fmt: skip
ARTICLE = (
    "<PubmedArticle><MedlineCitation>\n<PMID>{}</PMID><Article><ArticleTitle>a <i>b</i>\n  c</ArticleTitle>"
    "<Abstract><AbstractText Label='X'>d</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle>\n"
)


JATS = [
    *(f"<{slash}{tag}>" for tag in (
        "front", "body", "back", "floats-group", "title-group", "article-title", "abstract", "title", "sec", "app",
        "boxed-text", "fig", "table-wrap", "list", "p", "p", "p", "disp-formula", "td", "tr", "caption", "sup",
        "alternatives", "label", "fn", "fn-group", "ref-list", "preformat", "disp-quote", "article", "sub-article",
    ) for slash in ("", "/")),
    "<sec sec-type='Methods'><title>Cells</title>", "</sec>", "<title>Results and <i>Discussion</i></title>",
    "<title>Abstract:</title>", "<article-id pub-id-type='pmc'>7</article-id>", "<journal-title>J</journal-title>",
    "<article-id pub-id-type='doi'>10.1/x</article-id>", "<article-id pub-id-type='pmcaid'>8</article-id>",
    "<pub-date><year>1999</year></pub-date>", "<xref ref-type='bibr'>1</xref>", "<xref ref-type='bibr'>2</xref>",
    "<xref ref-type='bibr'><sup>3</sup></xref>", "<xref ref-type='fig'>Fig. 1</xref>", "<xref>x</xref>", "[", "]",
    "(", ")", ", ", "; ", "–", "-", " (see ", "(see also", "(e.g., ", "see", "<break/>", "<tex-math>\\x</tex-math>",
    "<graphic/>", "\ue000", MATH, "<textual-form>y</textual-form>", "<label>Table 1</label>", " ", "\n", "  ", "a",
    "b.", "\u2003", "&lt;", "&nbsp;", "<!-- x -->", "🔬",
]  # fmt: skip
WHOLE = (
    "<article><front><article-meta><article-id pub-id-type='pmid'>5</article-id></article-meta></front>"
    "<body><sec><title>T</title><p>{}</p></sec></body></article>"
)


def everything(read: Read, data: bytes, limit: int = 256) -> tuple[list[Document], list[Problem], str]:
    problems: list[Problem] = []
    documents: list[Document] = []
    source = Source(io.BytesIO(data), "in", problems.append, max_document_mb=limit)
    try:
        documents.extend(read(source))
    except FormatError as error:
        return documents, problems, str(error)
    return documents, problems, ""


def both(
    data: bytes, limit: int = 256, first: Read = pubmed_xml.read, second: Read = pubmed_xml.read_elements
) -> tuple[list[Document], list[Problem], str]:
    found = everything(first, data, limit)
    assert found == everything(second, data, limit)
    return found


def both_of_jats(data: bytes) -> tuple[list[Document], list[Problem], str]:
    both(data, 256, jats.read, jats.read_elements)
    return both(data, 256, jats.read_with_tables, lambda source: jats.read_elements(source, cells=True))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.booleans(),
    st.sampled_from([1, 7, 64, 1 << 18]),
)
def test_any_pieces(pieces: list[str], whole: bool, chunk: int) -> None:
    body = "".join(pieces)
    if whole:
        body = f"<?xml version='1.0'?>\n<PubmedArticleSet>\n{ARTICLE.format(7)}{body}{ARTICLE.format(8)}</PubmedArticleSet>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(articles, "_CHUNK", chunk)
        both(body.encode())


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(JATS), max_size=30), st.sampled_from(["{}", "<article>{}</article>", WHOLE]))
def test_any_pieces_of_jats(pieces: list[str], around: str) -> None:
    both_of_jats(around.format("".join(pieces)).encode())


@settings(deadline=None, max_examples=400)
@given(st.recursive(
    st.lists(st.sampled_from([p for p in JATS if not p.startswith("<") or p.endswith(("/>", "ref>", "label>"))]),
             max_size=6).map("".join),
    lambda inner: st.tuples(
        st.sampled_from(["p", "sec", "sup", "fig", "caption", "list", "fn", "alternatives", "disp-formula", "title",
                         "boxed-text", "table-wrap", "tr", "td", "front", "abstract", "body", "preformat"]),
        st.lists(inner, max_size=4),
    ).map(lambda one: f"a<{one[0]}>{'b, '.join(one[1])}</{one[0]}>c"),
    max_leaves=12,
))  # fmt: skip
def test_any_tree_of_jats(tree: str) -> None:
    both_of_jats(WHOLE.format(tree).encode())
    both_of_jats(f"<article><body>{tree}</body><back><app>{tree}</app>{tree}</back></article>".encode())


@settings(deadline=None, max_examples=200)
@given(st.randoms(use_true_random=False), st.sampled_from([1, 3, 100]))
def test_damaged_bytes(chosen: random.Random, chunk: int) -> None:
    inner = "".join(ARTICLE.format(n) for n in range(4))
    raw = bytearray(f"<?xml version='1.0'?>\n<PubmedArticleSet>\n{inner}</PubmedArticleSet>".encode())
    for _ in range(chosen.randint(1, 2)):
        at = chosen.randrange(len(raw))
        kind = chosen.randrange(3)
        if kind == 0:
            raw[at] = chosen.randrange(256)
        elif kind == 1:
            del raw[at : at + chosen.randint(1, 30)]
        else:
            raw[at:at] = raw[: chosen.randint(1, 60)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(articles, "_CHUNK", chunk)
        both(bytes(raw))


def test_a_declaration_that_is_none_is_an_error_for_both() -> None:
    document = ARTICLE.format(1)
    for declaration in (
        "<?xml version='-.0'?>",
        "<?xml version='1.0' x?>",
        "<?xml?>",
        "<?xmlversion='1.0'?>",
    ):
        _, _, error = both(f"{declaration}\n<PubmedArticleSet>{document}</PubmedArticleSet>".encode())
        assert error
    for declaration in (
        "<?xml version='1.0'?>",
        '<?xml version = "1.1" encoding="UTF-8" standalone="yes" ?>',
    ):
        found, _, error = both(f"{declaration}\n<PubmedArticleSet>{document}</PubmedArticleSet>".encode())
        assert (len(found), error) == (1, "")


def test_real_files(shared: Path) -> None:
    for path in sorted((shared / "formats" / "pubmed-xml").iterdir()):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        documents, _, error = both(data)
        assert documents
        assert not error
        reader = _text.ArticleReader("pubmed-xml", 1 << 28)
        found, good = reader.feed(data)
        rest, well = reader.finish()
        assert good
        assert well
        assert len(found) + len(rest) == len(documents)


def test_where_it_declines_the_rest_is_a_file_with_the_same_lines() -> None:
    bad = "<PubmedArticle>\n\n<MedlineCitation></PubmedArticle>"
    text = f"<?xml version='1.0'?>\n<PubmedArticleSet a='b'>\n{ARTICLE.format(1)}{ARTICLE.format(2)}{bad}"
    documents, _, error = both(text.encode())
    assert [document.id for document in documents] == ["1", "2"]
    assert error.startswith("in:11: not well-formed XML")
    reader = _text.ArticleReader("pubmed-xml", 1 << 28)
    found, good = reader.feed(text.encode())
    assert (len(found), good) == (2, False)
    assert reader.rest().decode() == "<?xml version='1.0'?>\n<PubmedArticleSet a='b'>\n" + "\n" * 6 + bad


@pytest.mark.parametrize(
    "data",
    [
        "<?xml version='1.0' encoding='ISO-8859-1'?><PubmedArticleSet>".encode("latin-1")
        + ARTICLE.format(1).replace("d", "é").encode("latin-1")
        + b"</PubmedArticleSet>",
        f"<PubmedArticleSet>{ARTICLE.format(1)}</PubmedArticleSet>".encode("utf-16"),
        b"\xef\xbb\xbf" + f"<PubmedArticleSet>{ARTICLE.format(1)}</PubmedArticleSet>".encode(),
        ARTICLE.format(1).encode(),
        ARTICLE.format(1).encode() + b"<a/>",
        b"<MedlineCitationSet><PubmedData><ArticleIdList/></PubmedData><MedlineCitation><PMID>1</PMID>"
        b"</MedlineCitation></MedlineCitationSet>",
        f"<PubmedArticleSet>{'<a>' * 300}{'</a>' * 300}{ARTICLE.format(1)}</PubmedArticleSet>".encode(),
        f"<PubmedArticleSet>{ARTICLE.format(1)}<PubmedBookArticle><BookDocument><PMID>2</PMID></BookDocument>"
        f"</PubmedBookArticle>{ARTICLE.format(3)}</PubmedArticleSet>".encode(),
    ],
)
def test_files_of_other_kinds(data: bytes) -> None:
    both(data)


def test_a_document_that_is_too_large() -> None:
    body = ARTICLE.format(1) + "<PubmedArticle>" + "<a/>" * 20_000
    documents, _, error = both(f"<PubmedArticleSet>{body}".encode(), limit=1)
    assert [document.id for document in documents] == ["1"]
    assert "is larger than 1 MB" in error


def test_without_expat_it_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(articles, "_native_reader", lambda *_: None)
    assert [d.id for d in everything(pubmed_xml.read, ARTICLE.format(5).encode())[0]] == ["5"]
