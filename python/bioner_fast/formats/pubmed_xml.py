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
from bioner_fast.formats.base import Source
from bioner_fast.formats.xml import MATH, elements, math_leaves, plain

_ROOTS = frozenset(
    {"PubmedArticleSet", "PubmedArticle", "PubmedBookArticle", "PubmedBookArticleSet", "MedlineCitationSet"}
)
# DeleteCitation, which lists withdrawn PMIDs, is not among them. Old files have bare MedlineCitations.
_TAGS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation")
_SPACES = re.compile(r"[ \t\r\n]+")


def read(source: Source) -> Iterator[Document]:
    """Read articles and book documents one by one; the document's id is the PMID.

    Later versions of an article have theirs behind it: ``12345.2``.

    Raises:
        FormatError: not PubMed XML, not well-formed, cut off, or with entities of its own.
    """
    for element in elements(source, _TAGS, _ROOTS):
        citation: etree._Element | None = element
        if element.tag != "MedlineCitation":
            citation = element.find("MedlineCitation")
            if citation is None:
                citation = element.find("BookDocument")
        line = element.sourceline
        if citation is None:
            source.bad_document(None, f"{element.tag!s} holds neither citation nor book document", line=line)
            continue
        named = citation.find("PMID")
        pmid = "" if named is None else (named.text or "").strip()
        if named is None or not pmid:
            source.bad_document(None, f"{element.tag!s} has no PMID", line=line)
            continue
        version = named.get("Version", "1").strip()
        if version not in ("", "1"):
            message = f"version {version} of the article; the document is named {pmid}.{version}"
            source.annotation(pmid, message, kind="text", action="changed", line=line)
            pmid = f"{pmid}.{version}"
        try:
            document = _document(source, pmid, citation)
        except FormatError as error:
            source.bad_document(pmid, error.detail, line=error.line or line)
        else:
            yield document


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
    text = plain(source, element)
    if "\n" in text or "\t" in text or "\r" in text:
        # Spaces alone are the author's, a run with a line break or tab is the file's.
        text = _SPACES.sub(lambda run: " " if run.group().strip(" ") else run.group(), text)
    return text.strip()


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
