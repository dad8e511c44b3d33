"""JATS, the full text of articles as PMC gives it (``.nxml``, ``.xml``, and tar archives of them): read only.

Passages are the title, the abstracts, the headings and paragraphs of the sections, and the captions of
figures and tables, one character apart; their infons are those of BioC-PMC (``section_type``, ``type``) and
``path``, the headings above them. ``jats-tables`` adds a passage for every cell of a table. References
and the marks that call them out are left out, with the brackets around them; line breaks and indentation
become one space.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from lxml import etree

from bioner_fast.data.document import Document, Passage
from bioner_fast.errors import FormatError
from bioner_fast.files import is_hidden
from bioner_fast.formats.articles import native_articles, passages_of
from bioner_fast.formats.base import Source, document_stem
from bioner_fast.formats.xml import MATH, elements, math_leaves, plain, without_layout

ROOTS = frozenset({"article", "pmc-articleset", "articles"})
# Bytes of an archive taken at a time.
_BLOCK = 1 << 18
# Stands for a mark that calls out a reference or a note, until its brackets are cut with it.
_CALL = "\ue000"
_CALLS = rf"{_CALL}(?:[\s,;–-]*{_CALL})*"
_LEAD = r"(?:(?:[Ss]ee|[Ss]ee also|e\.g\.|cf\.|[Rr]eviewed in),?\s+)?"
_BRACKETS = re.compile(
    rf"\s*(?:\[\s*{_CALLS}\s*[,;]?\s*\]|\(\s*{_LEAD}{_CALLS}\s*[,;]?\s*\)|[,;]?\s*{_CALLS})"
)
_CALLED = {"bibr", "fn", "table-fn", "aff", "corresp", "author-notes"}
# What holds no text of the article, or other forms of text that stands beside it.
_LEFT_OUT = {
    "tex-math",
    "graphic",
    "inline-graphic",
    "media",
    "object-id",
    "label",
    "ref-list",
    "fn-group",
    "fn",
}
_APART = {
    "fig",
    "fig-group",
    "table-wrap",
    "table-wrap-group",
    "boxed-text",
    "list",
    "disp-quote",
    "def-list",
}
_SECTIONS = (
    ("INTRO", "intro|background"),
    ("METHODS", "method|material|subjects|experimental"),
    ("RESULTS", "result|finding"),
    ("DISCUSS", "discussion"),
    ("CONCL", "conclu"),
    ("CASE", "case"),
    ("SUPPL", "supplement"),
    ("ABBR", "abbreviation"),
)


def read(source: Source) -> Iterator[Document]:
    """Read articles one by one.

    Raises:
        FormatError: not JATS, not well-formed, cut off, or with entities of its own.
    """
    return _read(source, cells=False)


def read_with_tables(source: Source) -> Iterator[Document]:
    """As :func:`read`, with the cells of tables as passages."""
    return _read(source, cells=True)


def _read(source: Source, *, cells: bool) -> Iterator[Document]:
    head = source.stream.peek(512)[:512]
    if head[257:262] == b"ustar" or head == bytes(512):
        yield from _archive(source, cells)
    else:
        yield from _articles(source, cells)


def _archive(source: Source, cells: bool) -> Iterator[Document]:
    """The articles of a tar archive, member by member; one that is no article is a bad document."""
    found = False
    try:
        with tarfile.open(fileobj=source.stream, mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                name = member.name
                wanted = member.isfile() and name.lower().endswith((".nxml", ".xml", ".nxml.gz", ".xml.gz"))
                if not wanted or any(map(is_hidden, name.split("/"))):
                    continue
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                found = True
                inner = Source(
                    cast(BinaryIO, stream),
                    f"{source.path}/{name}",
                    source.on_problem,
                    max_document_mb=source.max_document_mb,
                )
                try:
                    yield from _articles(inner, cells)
                except FormatError as error:
                    inner.bad_document(inner.stem, error.detail, line=error.line)
    except tarfile.TarError as error:
        detail = " ".join(str(error).split())
        raise FormatError(source.path, f"not a whole tar archive of articles ({detail})") from None
    if not found:
        raise FormatError(source.path, "the archive holds no .nxml or .xml files")


def _articles(source: Source, cells: bool) -> Iterator[Document]:
    articles = native_articles(source, "jats-tables" if cells else "jats")
    while True:
        try:
            _, _, _, name, _, passages, infons = next(articles)
        except StopIteration as end:
            if not end.value:
                yield from read_elements(source, cells)
            return
        yield Document(name or document_stem(source.path), passages_of(passages), infons)


def read_elements(source: Source, cells: bool = False) -> Iterator[Document]:
    """As :func:`read` of one file, and slower, with the words for whatever may be wrong with it."""
    for element in elements(source, ("article",), ROOTS):
        line = element.sourceline
        name = _name(element) or document_stem(source.path)
        try:
            document = _Article(source, name, cells).read(element)
        except FormatError as error:
            source.bad_document(name, error.detail, line=error.line or line)
        else:
            yield document


def _identifiers(article: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in article.iterfind("front//article-id"):
        value = (entry.text or "").strip()
        kind = {"pmc": "pmcid", "pmcaid": ""}.get(entry.get("pub-id-type", ""), entry.get("pub-id-type", ""))
        if value and kind:
            found.setdefault(kind, value)
    pmcid = found.get("pmcid")
    if pmcid is not None and pmcid.isdecimal():
        found["pmcid"] = f"PMC{pmcid}"
    return found


def _name(article: etree._Element) -> str | None:
    known = _identifiers(article)
    return known.get("pmcid") or known.get("pmid") or known.get("doi")


@dataclass(slots=True)
class _Article:
    """One article while it is read."""

    source: Source
    name: str
    cells: bool
    passages: list[Passage] = field(default_factory=list)

    def read(self, article: etree._Element) -> Document:
        front = article.find("front")
        if front is None:
            front = article.find("front-stub")
        infons = {}
        if front is not None:
            self._front(front)
            infons = self._infons(article, front)
        for part in ("body", "back", "floats-group"):
            holder = article.find(part)
            if holder is not None:
                for child in holder.iterchildren("*"):
                    if part != "back" or child.tag in ("app-group", "app", "sec", "ack"):
                        self._block(child, (), "")
        return Document(self.name, self.passages, infons=infons)

    def _infons(self, article: etree._Element, front: etree._Element) -> dict[str, str]:
        known = _identifiers(article)
        values = {key: known.get(key) for key in ("pmcid", "pmid", "doi")}
        values["journal"] = front.findtext(".//journal-title")
        values["year"] = front.findtext(".//pub-date/year")
        return {key: value.strip() for key, value in values.items() if value and value.strip()}

    def _front(self, front: etree._Element) -> None:
        title = front.find(".//title-group/article-title")
        self._add(title, "title", (), "TITLE", "title")
        for tag in ("abstract", "trans-abstract"):
            for abstract in front.iterfind(f".//{tag}"):
                for child in abstract.iterchildren("*"):
                    if not (child.tag == "title" and _is_abstract(child)):
                        self._block(child, (), "ABSTRACT")

    def _block(self, element: etree._Element, path: tuple[str, ...], kind: str) -> None:
        """A section, paragraph, list, figure or table."""
        tag = element.tag
        if tag in _LEFT_OUT or tag in ("sec-meta", "supplementary-material"):
            return
        if tag in ("sec", "app", "ack", "app-group", "boxed-text"):
            self._section(element, path, kind)
        elif tag in ("fig", "table-wrap"):
            self._float(element, path)
        elif tag == "title":
            self._add(element, None, path, kind, "title")
        elif tag in ("p", "disp-formula", "verse-line", "attrib", "term", "td", "th", "preformat"):
            self._paragraph(element, path, kind)
        else:
            for child in element.iterchildren("*"):
                self._block(child, path, kind)

    def _section(self, element: etree._Element, path: tuple[str, ...], kind: str) -> None:
        heading = element.find("title")
        name = "" if heading is None else self._text(heading)
        if not path and kind != "ABSTRACT":
            kind = _section_type(element.get("sec-type", ""), name) or kind or "SECTION"
        inner = (*path, name) if name else path
        for child in element.iterchildren("*"):
            self._block(child, inner if child is not heading else path, kind)

    def _paragraph(self, element: etree._Element, path: tuple[str, ...], kind: str) -> None:
        """A paragraph; figures, tables and lists within it become passages of their own, behind it."""
        apart = [child for child in element.iter("*") if child.tag in _APART and child is not element]
        outer = [child for child in apart if not any(up in apart for up in child.iterancestors())]
        self._add(element, None, path, kind, "paragraph")
        for child in outer:
            self._block(child, path, kind)

    def _float(self, element: etree._Element, path: tuple[str, ...]) -> None:
        kind = "FIG" if element.tag == "fig" else "TABLE"
        label = element.find("label")
        extra = {} if label is None else {"label": self._text(label)}
        caption = element.find("caption")
        for child in () if caption is None else caption.iterchildren("*"):
            self._add(child, None, path, kind, f"{kind.lower()}_caption", extra)
        if self.cells:
            for row_number, row in enumerate(element.iter("tr"), start=1):
                for number, cell in enumerate(row.iterchildren("td", "th"), start=1):
                    place = {**extra, "row": str(row_number), "column": str(number)}
                    self._add(cell, None, path, kind, "table_cell", place)

    def _add(
        self,
        element: etree._Element | None,
        section: str | None,
        path: tuple[str, ...],
        kind: str,
        role: str,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Add an element's text as a passage, one character after the last; an empty one is left out."""
        text = "" if element is None else self._text(element)
        if not text:
            return
        last = self.passages[-1] if self.passages else None
        offset = 0 if last is None else last.offset + len(last.text) + 1
        infons = {"section_type": kind or "SECTION", "type": role, **(extra or {})}
        if path:
            infons["path"] = " > ".join(path)
        section = section or ("abstract" if kind == "ABSTRACT" else infons["section_type"])
        self.passages.append(Passage(text, offset, section, infons=infons))

    def _text(self, element: etree._Element) -> str:
        parts: list[str] = []
        self._gather(element, parts)
        text = "".join(parts)
        if _CALL in text:
            text = _BRACKETS.sub("", text)
        return without_layout(text)

    def _gather(self, element: etree._Element, parts: list[str]) -> None:
        parts.append((element.text or "").replace(_CALL, "\ufffd"))
        for child in element:
            if isinstance(child, etree._Entity):
                plain(self.source, element)  # which says that it is not defined
            self._gather_child(child, parts)
            parts.append((child.tail or "").replace(_CALL, "\ufffd"))

    def _gather_child(self, child: etree._Element, parts: list[str]) -> None:
        tag = child.tag
        if tag == "xref" and child.get("ref-type") in _CALLED:
            parts.append(_CALL)
        elif tag == MATH + "math":
            parts.append("".join(plain(self.source, leaf).strip() for leaf in math_leaves(child)))
        elif tag == "break":
            parts.append(" ")
        elif tag == "alternatives":
            # Of several forms of one thing MathML, else the first that is text.
            forms = [one for one in child.iterchildren("*") if one.tag not in _LEFT_OUT | _APART]
            chosen = next((one for one in forms if one.tag == MATH + "math"), forms[0] if forms else None)
            if chosen is not None:
                self._gather_child(chosen, parts)
        elif tag == "disp-formula":
            parts.append("\n")
            self._gather(child, parts)
            parts.append("\n")
        elif isinstance(tag, str) and tag not in _LEFT_OUT and tag not in _APART:
            self._gather(child, parts)


def _is_abstract(title: etree._Element) -> bool:
    return "".join(title.itertext()).strip().casefold().rstrip(":.") in ("abstract", "summary")


def _section_type(declared: str, heading: str) -> str | None:
    for text in (declared, heading):
        for name, pattern in _SECTIONS:
            if re.search(pattern, text, re.IGNORECASE):
                return name
    return None
