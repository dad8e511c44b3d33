"""BioC XML: documents with passages, sentences, annotations and relations, streamed both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from bioner_fast.data.document import Document
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Reporter, Source
from bioner_fast.formats.bioc import BiocError, BiocNative, Collection, Node, from_bioc, to_bioc
from bioner_fast.formats.xml import elements, legal, plain


def read(source: Source) -> Iterator[Document]:
    """Read documents one by one.

    Raises:
        FormatError: not well-formed, not BioC, cut off, or with entities of its own.
    """
    collection: Collection | None = None
    for element in elements(source, ("document",), frozenset({"collection"})):
        if collection is None:
            collection = _collection(source, element)
        line = element.sourceline
        identifier: str | None = None
        try:
            node = _document(source, element)
            identifier = node.get("id")
            document = from_bioc(node, collection, source)
        except BiocError as error:
            source.bad_document(identifier, str(error), line=line)
        except FormatError as error:
            source.bad_document(identifier, error.detail, line=error.line)
        else:
            yield document


def _collection(source: Source, first: etree._Element) -> Collection:
    collection = Collection()
    for element in first.itersiblings(preceding=True):
        if element.tag == "infon":
            collection.infons = {element.get("key", ""): plain(source, element), **collection.infons}
        elif element.tag in ("source", "date", "key"):
            setattr(collection, str(element.tag), plain(source, element))
    return collection


def _infons(source: Source, element: etree._Element) -> dict[str, str]:
    return {child.get("key", ""): plain(source, child) for child in element.iterchildren("infon")}


def _text(source: Source, element: etree._Element, tag: str) -> str | None:
    child = element.find(tag)
    return None if child is None else plain(source, child)


def _document(source: Source, element: etree._Element) -> Node:
    return {
        "id": (_text(source, element, "id") or "").strip(),
        "infons": _infons(source, element),
        "passages": [_part(source, child) for child in element.iterchildren("passage")],
        **_marks(source, element),
    }


def _part(source: Source, element: etree._Element) -> Node:
    """A passage or sentence."""
    return {
        "offset": _text(source, element, "offset"),
        "infons": _infons(source, element),
        "text": _text(source, element, "text"),
        "sentences": [_part(source, child) for child in element.iterchildren("sentence")],
        **_marks(source, element),
    }


def _marks(source: Source, element: etree._Element) -> Node:
    """Annotations and relations of a document, passage or sentence."""
    annotations = [
        {
            "id": child.get("id"),
            "infons": _infons(source, child),
            "text": _text(source, child, "text"),
            "locations": [dict(location.attrib) for location in child.iterchildren("location")],
        }
        for child in element.iterchildren("annotation")
    ]
    relations = [
        {
            "id": child.get("id"),
            "infons": _infons(source, child),
            "nodes": [dict(node.attrib) for node in child.iterchildren("node")],
        }
        for child in element.iterchildren("relation")
    ]
    return {"annotations": annotations, "relations": relations}


class Writer:
    """Writes a BioC collection; its source, date, key and infons are those of the first document's."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        self._stream = stream
        self._reporter = reporter
        self._started = False

    def write(self, document: Document) -> None:
        """Write one document; characters that XML cannot hold become U+FFFD and are reported."""
        if not self._started:
            self._start(document)
        node = to_bioc(document, self._reporter)
        if any(legal(passage.text) != passage.text for passage in document.passages):
            message = "control characters, which XML cannot hold, were replaced by U+FFFD"
            self._reporter.annotation(document.id, message, action="changed", kind="text")
        element = etree.Element("document")
        _leaf(element, "id", node["id"])
        _add_infons(element, node)
        for passage in node["passages"]:
            _add_part(element, "passage", passage)
        _add_marks(element, node)
        self._stream.write(etree.tostring(element, encoding="utf-8", pretty_print=True))

    def _start(self, document: Document | None) -> None:
        self._started = True
        native = document.native if document is not None else None
        collection = native.collection if isinstance(native, BiocNative) else Collection()
        header = etree.Element("header")
        _leaf(header, "source", collection.source)
        _leaf(header, "date", collection.date)
        _leaf(header, "key", collection.key)
        _add_infons(header, {"infons": collection.infons})
        parts = [etree.tostring(child, encoding="utf-8") + b"\n" for child in header]
        declaration = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM "BioC.dtd">\n'
        self._stream.write(declaration + b"<collection>\n" + b"".join(parts))

    def finish(self) -> None:
        """Close the collection; without documents it is an empty one."""
        if not self._started:
            self._start(None)
        self._stream.write(b"</collection>\n")


def _leaf(parent: etree._Element, tag: str, text: str | None) -> etree._Element:
    child = etree.SubElement(parent, tag)
    child.text = legal(text or "")
    return child


def _add_infons(element: etree._Element, node: Node) -> None:
    for key, value in node["infons"].items():
        _leaf(element, "infon", value).set("key", legal(key))


def _add_part(parent: etree._Element, tag: str, node: Node) -> None:
    element = etree.SubElement(parent, tag)
    _add_infons(element, node)
    _leaf(element, "offset", str(node["offset"]))
    sentences = node.get("sentences") or []
    if node["text"] or not sentences:
        _leaf(element, "text", node["text"])
    for sentence in sentences:
        _add_part(element, "sentence", sentence)
    _add_marks(element, node)


def _add_marks(element: etree._Element, node: Node) -> None:
    for item in node["annotations"]:
        child = etree.SubElement(element, "annotation")
        if item["id"] is not None:
            child.set("id", legal(item["id"]))
        _add_infons(child, item)
        for location in item["locations"]:
            etree.SubElement(child, "location", {key: str(value) for key, value in location.items()})
        if item["text"] is not None:
            _leaf(child, "text", item["text"])
    for item in node["relations"]:
        child = etree.SubElement(element, "relation")
        if item["id"] is not None:
            child.set("id", legal(item["id"]))
        _add_infons(child, item)
        for end in item["nodes"]:
            etree.SubElement(child, "node", {key: legal(value) for key, value in end.items()})
