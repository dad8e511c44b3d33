"""PubMed XML as the NLM ships it (``.xml``, ``.xml.gz``): read only, streamed.

Passages are the title, each part of the abstract (infons ``label`` and ``nlm_category``), then the vernacular
title and other abstracts (infon ``language``), one character apart. Inline markup and MathML are flattened;
line breaks and indentation of the file become one space, all other text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from bioner_fast.data.document import Document, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.articles import native_articles, passages_of
from bioner_fast.formats.base import Source
from bioner_fast.formats.xml import MATH, elements, math_leaves, plain, without_layout

_ROOTS = frozenset(
    {"PubmedArticleSet", "PubmedArticle", "PubmedBookArticle", "PubmedBookArticleSet", "MedlineCitationSet"}
)
# DeleteCitation, which lists withdrawn PMIDs, is not among them. Old files have bare MedlineCitations.
_TAGS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation")


def read(source: Source) -> Iterator[Document]:
    """Read articles and book documents one by one; the document's id is the PMID.

    Later versions of an article have theirs behind it: ``12345.2``.

    Raises:
        FormatError: not PubMed XML, not well-formed, cut off, or with entities of its own.
    """
    articles = native_articles(source, "pubmed-xml")
    while True:
        try:
            tag, line, is_article, pmid, version, passages, infons = next(articles)
        except StopIteration as end:
            if not end.value:
                yield from read_elements(source)
            return
        if not pmid:
            _unnamed(source, tag, line, is_article)
            continue
        yield Document(_version(source, pmid, version, line), passages_of(passages), infons)


def read_elements(source: Source) -> Iterator[Document]:
    """As :func:`read`, and slower, with the words for whatever may be wrong with a file."""
    for element in elements(source, _TAGS, _ROOTS):
        citation: etree._Element | None = element
        if element.tag != "MedlineCitation":
            citation = element.find("MedlineCitation")
            if citation is None:
                citation = element.find("BookDocument")
        line = element.sourceline
        named = None if citation is None else citation.find("PMID")
        pmid = "" if named is None else (named.text or "").strip()
        if citation is None or named is None or not pmid:
            _unnamed(source, str(element.tag), line, citation is not None)
            continue
        pmid = _version(source, pmid, named.get("Version", "1").strip(), line)
        try:
            document = _document(source, pmid, citation)
        except FormatError as error:
            source.bad_document(pmid, error.detail, line=error.line or line)
        else:
            yield document


def _unnamed(source: Source, tag: str, line: int | None, is_article: bool) -> None:
    missing = "has no PMID" if is_article else "holds neither citation nor book document"
    source.bad_document(None, f"{tag} {missing}", line=line)


def _version(source: Source, pmid: str, version: str, line: int | None) -> str:
    """The name of an article; that of a later version is reported."""
    if version in ("", "1"):
        return pmid
    message = f"version {version} of the article; the document is named {pmid}.{version}"
    source.annotation(pmid, message, kind="text", action="changed", line=line)
    return f"{pmid}.{version}"


def _document(source: Source, pmid: str, citation: etree._Element) -> Document:
    book = citation.tag == "BookDocument"
    article = citation if book else citation.find("Article")
    document = Document(pmid)
    if article is None:
        return document
    title = article.find("ArticleTitle")
    if title is None and book:
        title = article.find("Book/BookTitle")
    _add(source, document, title, "title", {})
    _abstract(source, document, article.find("Abstract"), {})
    vernacular = article.find("VernacularTitle")
    language = article.findtext("Language") or ""
    _add(source, document, vernacular, "vernacular title", {"language": language} if language else {})
    for other in citation.iterchildren("OtherAbstract"):
        infons = {"language": other.get("Language", ""), "abstract_type": other.get("Type", "")}
        _abstract(source, document, other, {key: value for key, value in infons.items() if value})
    document.infons = _infons(citation, article, language)
    return document


def _abstract(
    source: Source, document: Document, abstract: etree._Element | None, infons: dict[str, str]
) -> None:
    if abstract is None:
        return
    section = "abstract" if not infons else "other abstract"
    for part in abstract.iterchildren("AbstractText"):
        own = dict(infons)
        label, category = part.get("Label"), part.get("NlmCategory")
        if label:
            own["label"] = label
        if category:
            own["nlm_category"] = category
        _add(source, document, part, section, own)


def _add(
    source: Source, document: Document, element: etree._Element | None, section: str, infons: dict[str, str]
) -> None:
    """Add an element's text as a passage, one character after the last; an empty one is left out."""
    if element is None:
        return
    text = _flat(source, element)
    if not text:
        return
    last = document.passages[-1] if document.passages else None
    offset = 0 if last is None else last.offset + len(last.text) + 1
    document.passages.append(Passage(text, offset, section, infons=infons))


def _flat(source: Source, element: etree._Element) -> str:
    if len(element):
        for math in element.iter(MATH + "math"):
            # MathML is indented and its leaves stand apart: only what is in them is text, and not an
            # alternative in TeX that stands beside them.
            text = "".join(plain(source, leaf).strip() for leaf in math_leaves(math))
            tail = math.tail
            math.clear()
            math.text, math.tail = text, tail
    return without_layout(plain(source, element))


def _year(article: etree._Element) -> str | None:
    """The year of publication; old articles have it only inside a phrase (``1998 Dec-1999 Jan``)."""
    date = article.find("Journal/JournalIssue/PubDate")
    if date is None:
        date = article.find("Book/PubDate")
    if date is None:
        return None
    year = date.findtext("Year")
    found = None if year else re.search("[0-9]{4}", date.findtext("MedlineDate") or "")
    return found.group() if found else year


def _infons(citation: etree._Element, article: etree._Element, language: str) -> dict[str, str]:
    """Journal, year, language, DOI and PMC identifier, as far as they are there."""
    infons: dict[str, str | None] = {
        "journal": article.findtext("Journal/ISOAbbreviation") or article.findtext("Journal/Title"),
        "year": _year(article),
        "language": language,
    }
    parent = citation.getparent()
    lists = [
        citation.find("ArticleIdList"),
        None if parent is None else parent.find("PubmedData/ArticleIdList"),
    ]
    for entries in lists:
        for entry in () if entries is None else entries.iterchildren("ArticleId"):
            kind = entry.get("IdType")
            if kind in ("doi", "pmc", "bookaccession"):
                infons[kind] = entry.text
    return {key: value.strip() for key, value in infons.items() if value and value.strip()}
