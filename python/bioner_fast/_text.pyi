"""Types of the native text library. Functions without a signature here are typed where they are wrapped."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

_U8 = npt.NDArray[np.uint8]
_I32 = npt.NDArray[np.int32]
_I64 = npt.NDArray[np.int64]

def read_conll(
    data: bytes | _U8,
    path: str,
    token_column: int,
    label_columns: Sequence[int],
    min_columns: int,
    threads: int,
) -> tuple[_U8, _I64, list[tuple[_I32, tuple[str, ...]]], _I64, _I64, tuple[str, ...], int, int]: ...
def conll_mark(
    line: str, has_columns: bool
) -> tuple[Literal["start", "name", "end", "comment"], str] | None: ...
def may_begin_columns(line: str) -> bool: ...
def load_file(descriptor: int, threads: int) -> _U8 | None: ...
def write_conll(
    text: _U8,
    offsets: _I64,
    labels: Sequence[tuple[_I32, Sequence[str]]],
    sentence_offsets: _I64,
    document_offsets: _I64,
    document_ids: Sequence[str],
    path: str,
) -> bytes: ...
def find_illegal_tags(
    tag_ids: _I32, sentence_offsets: _I64, prefix: _U8, type: _I32, scheme: int
) -> tuple[int, int, int, int]: ...
def convert_tags(
    tag_ids: _I32, sentence_offsets: _I64, prefix: _U8, type: _I32, n_types: int, scheme: int
) -> tuple[_I32, _I32]: ...
def find_spans(
    tag_ids: _I32, sentence_offsets: _I64, prefix: _U8, type: _I32, strict: bool, scheme: int
) -> tuple[_I64, _I64, _I64]: ...
def score_tags(
    gold: tuple[Any, ...],
    predicted: tuple[Any, ...],
    sentence_offsets: _I64,
    n_types: int,
    rule: str,
    scheme: int,
    n_rows: int,
) -> tuple[_I64, int]: ...

_Article = tuple[str, int, bool, str, str, list[tuple[str, int, str, dict[str, str]]], dict[str, str]]

class ArticleReader:
    def __init__(self, format: str, limit: int) -> None: ...
    def feed(self, data: bytes) -> tuple[list[_Article], bool]: ...
    def finish(self) -> tuple[list[_Article], bool]: ...
    def rest(self) -> bytes: ...

class RowIndex:
    def __init__(self, key_size: int) -> None: ...
    def find(self, keys: _U8) -> _I32: ...
    def insert(self, keys: _U8, which: _I64, first: int) -> None: ...
    def rows(self) -> _I32: ...
    def kept(self, place: _I32) -> RowIndex: ...

def __getattr__(name: str) -> Any: ...
