"""Safe, streaming XML: one element at a time, no entities, no document type loading, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, cast

from lxml import etree

from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Source
from bioner_fast.formats.registry import xml_root

MATH = "{http://www.w3.org/1998/Math/MathML}"
_CHUNK = 1 << 16
_ELEMENT = 100
# What XML 1.0 cannot hold even escaped: most control characters, surrogates, U+FFFE and U+FFFF.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Runs of white space that hold more than spaces; each is looked at once, however long it is.
_LAYOUT = re.compile(r"(?<! ) *+[\t\r\n][ \t\r\n]*+")
_ENTITIES = "the file declares XML entities, which can hide bombs and foreign files; such files are refused"


def elements(source: Source, tags: tuple[str, ...], roots: frozenset[str]) -> Iterator[etree._Element]:
    """Yield each element called one of ``tags`` when it is whole; it is emptied afterwards.

    Memory holds one element, however long the file.

    Args:
        source: the file.
        tags: names of the elements wanted.
        roots: names the root element may have.

    Raises:
        FormatError: not XML, another root, cut off, or entities are declared.
    """
    head = source.stream.peek(65536)
    if not head:
        raise FormatError(source.path, "the file is empty; XML was expected")
    found = xml_root(head)
    if found is not None and found.decode("latin-1") not in roots:
        message = f"expected root element {' or '.join(sorted(roots))}, found {found.decode('latin-1')}"
        raise FormatError(source.path, message)
    if b"<!ENTITY" in head.split(b"<" + found, 1)[0] if found else False:
        raise FormatError(source.path, _ENTITIES)
    stream = _Bounded(source)
    context = etree.iterparse(
        cast(BinaryIO, stream),
        events=("end",),
        tag=tags,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        resolve_entities=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=False,
        recover=False,
    )
    checked = False
    try:
        for _, element in context:
            if not checked:
                _check_document(source, element, roots)
                checked = True
            parent = element.getparent()
            if parent is not None and parent.tag in tags:
                continue  # it comes again, whole, as part of its parent
            stream.taken = 0
            yield element
            _forget(element)
        if not checked and context.root is not None:
            _check_document(source, context.root, roots)
    except etree.XMLSyntaxError as error:
        raise FormatError(source.path, _sentence(error), error.lineno) from None


class _Bounded:
    """The stream as the parser reads it, up to so many bytes between one element and the next."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            FormatError: the element is larger than a document may be.
        """
        data = self._source.stream.read(size if 0 < size < _CHUNK else _CHUNK)
        # An element takes far more memory than its tags in the file.
        self.taken += len(data) + _ELEMENT * data.count(b"<")
        if self.taken > self._source.limit + _CHUNK:
            raise FormatError(self._source.path, self._source.too_large())
        return data


def _check_document(source: Source, element: etree._Element, roots: frozenset[str]) -> None:
    tree = element.getroottree()
    dtd = tree.docinfo.internalDTD
    if dtd is not None and next(iter(dtd.iterentities()), None) is not None:
        raise FormatError(source.path, _ENTITIES)
    root = tree.getroot()
    if root.tag not in roots:
        raise FormatError(
            source.path, f"expected root element {' or '.join(sorted(roots))}, found {root.tag!s}"
        )


def _forget(element: etree._Element) -> None:
    """Empty the element and drop what precedes it, or the root would keep a shell of every document."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def _sentence(error: etree.XMLSyntaxError) -> str:
    detail = re.sub(r", line \d+, column \d+.*", "", " ".join(str(error).split()))
    if "Premature end" in detail or "EndTag: '</' not found" in detail:
        return f"the XML ends early ({detail}); the file is truncated"
    return f"not well-formed XML: {detail}"


def plain(source: Source, element: etree._Element) -> str:
    """All text inside an element, markup flattened.

    Raises:
        FormatError: an entity reference that the file does not define.
    """
    if not len(element):
        return element.text or ""
    for child in element.iter(etree.Entity):
        message = f"entity {child.text or ''} is not defined in the file; write the character itself"
        raise FormatError(source.path, message, child.sourceline)
    return "".join(element.itertext())


def without_layout(text: str) -> str:
    """The text without the file's line breaks and indentation: spaces alone are the author's, and stay."""
    if "\n" in text or "\t" in text or "\r" in text:
        text = _LAYOUT.sub(" ", text)
    return text.strip()


def math_leaves(math: etree._Element) -> Iterator[etree._Element]:
    """The elements of MathML that hold its text; annotations (TeX and other alternatives) are left out."""
    for child in math.iterchildren("*"):
        if child.tag not in (MATH + "annotation", MATH + "annotation-xml"):
            if len(child):
                yield from math_leaves(child)
            else:
                yield child


def legal(text: str) -> str:
    """The text with characters that XML cannot hold replaced by U+FFFD; offsets stay."""
    return _ILLEGAL.sub("\ufffd", text)
