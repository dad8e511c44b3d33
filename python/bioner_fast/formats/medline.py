"""MEDLINE text as PubMed saves it (``.nbib``): read only, streamed.

A record is lines ``TAG - value``, with further lines of a value indented by six spaces, up to a blank line or
the next ``PMID``. Passages are the title (``TI``), the abstract (``AB``), the vernacular title (``TT``) and
other abstracts (``OAB``), one character apart; the lines of a value are joined by one space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bioner_fast.data.document import Document, Passage
from bioner_fast.errors import FormatError
from bioner_fast.formats.base import Source

_FIELD = re.compile(r"([A-Z][A-Z0-9]{0,3}) *- ?(.*)", re.DOTALL)
_PASSAGES = {
    "TI": "title",
    "BTI": "title",
    "AB": "abstract",
    "TT": "vernacular title",
    "OAB": "other abstract",
}
_INFONS = {"TA": "journal", "DP": "year", "LA": "language", "PMC": "pmc"}


def read(source: Source) -> Iterator[Document]:
    """Read records one by one; a document's id is its PMID.

    Raises:
        FormatError: a line is neither a field nor goes on with one.
    """
    fields: list[tuple[str, str]] = []
    first, size = 1, 0
    damage: FormatError | None = None
    for number, line in source.lines(salvage=True):
        match = _FIELD.fullmatch(line)
        blank = not line.strip()
        if fields and (blank or (match is not None and match.group(1) == "PMID")):
            yield from _record(fields, source, first, damage)
            fields, damage, size = [], None, 0
        if blank:
            continue
        size += len(line)
        damage = damage or source.damage
        if not fields:
            first = number
        if size > source.limit:
            damage = damage or FormatError(source.path, source.too_large(), number)
        elif match is not None:
            fields.append((match.group(1), match.group(2).strip()))
        elif fields and line.startswith("      "):
            tag, value = fields[-1]
            fields[-1] = (tag, f"{value} {line.strip()}")
        else:
            message = f"expected 'TAG - value' or a line indented by six spaces, found {line[:60]!r}"
            damage = damage or FormatError(source.path, message, number)
            if not fields and source.on_problem is None:
                raise damage
            fields = fields or [("", "")]
    if fields:
        yield from _record(fields, source, first, damage)


def _record(
    fields: list[tuple[str, str]], source: Source, line: int, damage: FormatError | None
) -> Iterator[Document]:
    """The document of a record, or none if it is bad."""
    pmid = next((value for tag, value in fields if tag == "PMID" and value), None)
    if damage is not None:
        source.bad_document(pmid, damage.detail, line=damage.line)
        return
    if pmid is None:
        source.bad_document(None, "the record has no PMID", line=line)
        return
    document = Document(pmid)
    for section in dict.fromkeys(_PASSAGES.values()):
        for tag, value in fields:
            if _PASSAGES.get(tag) == section and value:
                last = document.passages[-1] if document.passages else None
                offset = 0 if last is None else last.offset + len(last.text) + 1
                document.passages.append(Passage(value, offset, section))
    for tag, value in fields:
        if tag in _INFONS and value:
            found = re.search("[0-9]{4}", value) if tag == "DP" else None
            document.infons.setdefault(_INFONS[tag], found.group() if found else value)
        elif tag in ("AID", "LID") and value.endswith("[doi]"):
            document.infons.setdefault("doi", value.removesuffix("[doi]").strip())
    yield document
