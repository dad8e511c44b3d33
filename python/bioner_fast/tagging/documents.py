"""What tagging returns: documents that data frames and notebooks read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import overload

from bioner_fast.data.document import Document
from bioner_fast.formats.arrow import to_arrow

# Documents that a notebook shows of many.
_SHOWN = 20


class Documents:
    """Documents in order, used like a list; compares equal to a list of the same documents.

    It exports an Arrow stream with a row for every entity, see :func:`bioner_fast.to_arrow`; this needs the
    extra ``arrow``. ``polars.DataFrame(documents)``, ``pyarrow.table(documents)`` and
    ``pandas.DataFrame.from_arrow(documents)`` read it. It is no ``list``: these read a list as rows.
    """

    __slots__ = ("_documents",)

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._documents = list(documents)

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> Documents: ...
    def __getitem__(self, index: int | slice) -> Document | Documents:
        if isinstance(index, slice):
            return Documents(self._documents[index])
        return self._documents[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Documents):
            return self._documents == other._documents
        return self._documents == other

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Iterable[Document]) -> Documents:
        return Documents([*self._documents, *other])

    def __iadd__(self, other: Iterable[Document]) -> Documents:
        self._documents += other
        return self

    def __repr__(self) -> str:
        return f"Documents({self._documents!r})"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The entities as an Arrow C stream, as the PyCapsule interface has it.

        Raises:
            UsageError: pyarrow is not installed.
        """
        return to_arrow(self).__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """The first documents with their entities in colours, as notebooks show them."""
        more = len(self) - _SHOWN
        rest = f"<p>and {more:,} more documents</p>" if more > 0 else ""
        return "<hr>".join(document._repr_html_() for document in self[:_SHOWN]) + rest
