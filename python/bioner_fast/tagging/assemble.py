"""What the heads found, back in the documents: entities, abbreviations and columns of tags."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bioner_fast.data.document import Abbreviation, Document, Entity, Passage
from bioner_fast.data.tasks import normal_type
from bioner_fast.formats.conll import TokenLayer, encode_entities
from bioner_fast.tagging.borders import whole
from bioner_fast.tagging.context import young_names
from bioner_fast.tagging.predict import Found
from bioner_fast.tagging.prepare import WHOLE, PreparedBatch

Ints = NDArray[np.int64]


def place_entities(
    found: Sequence[Found], prepared: PreparedBatch
) -> tuple[list[Found], list[list[list[Entity]]]]:
    """Entities of every head with their place in the text.

    Returns:
        What was found, without what has no visible place; by document and passage, the entities of all heads.
    """
    found = list(found)
    new: list[list[list[Entity]]] = [[[] for _ in d.passages] for d in prepared.documents]
    for number, one in enumerate(found):
        name, types = one.head.name, one.head.tagset.types
        unseen: list[int] = []
        piece_of = np.searchsorted(prepared.piece_tokens, one.start, "right") - 1
        starts, ends = prepared.starts[one.start], prepared.ends[one.end - 1]
        columns = (piece_of, starts, ends, one.type_id, one.score)
        normal = [normal_type(kind) for kind in types]
        rows = zip(*(c.tolist() for c in columns), strict=True)
        last, behind = -1, 0  # the piece and the end of the entity before
        for rank, (piece, start, end, kind, score) in enumerate(rows):
            i, j = prepared.pieces[piece]
            passages = prepared.documents[i].passages
            if j == WHOLE:
                j = bisect.bisect_right([p.offset for p in passages], start) - 1
                passage = passages[j]
            else:
                passage = passages[j]
                offset, size = passage.offset, len(passage.text)
                # Borders may move up to the neighbours, which the same head found.
                low = behind - offset if piece == last else 0
                more = rank + 1 < len(piece_of) and piece_of[rank + 1] == piece
                high = int(starts[rank + 1]) - offset if more else size
                for first, stop in prepared.walls.get(piece, ()):
                    low = max(low, stop) if stop <= start - offset else low
                    high = min(high, first) if first >= end - offset else high
                start, end = whole(passage.text, start - offset, end - offset, normal[kind], low, high)
                start, end = start + offset, end + offset
                if start >= end:
                    unseen.append(rank)
                    continue
            last, behind = piece, end
            text = passage.text[start - passage.offset : end - passage.offset]
            if is_invisible(text):
                unseen.append(rank)
                continue
            new[i][j].append(Entity(start, end, types[kind], text, score=score, task=name))
        if unseen:
            found[number] = one.without(unseen)
    return found, new


def add_abbreviations(documents: list[Document], prepared: PreparedBatch, defined: Ints) -> None:
    """Give documents the abbreviations that they define."""
    piece_of = np.searchsorted(prepared.piece_tokens, defined[:, 0], "right") - 1
    starts, ends = prepared.starts[defined[:, [0, 2]]], prepared.ends[defined[:, [1, 3]] - 1]
    for piece, (a, c), (b, d) in zip(piece_of.tolist(), starts.tolist(), ends.tolist(), strict=True):
        document = documents[prepared.pieces[piece][0]]
        text = document.text
        assert document.abbreviations is not None
        document.abbreviations.append(Abbreviation(text[a:b], text[c:d], a, b))


def add_layers(
    documents: list[Document],
    told: list[list[Entity]],
    prepared: PreparedBatch,
    found: list[Found],
    *,
    merged: bool,
) -> None:
    """Give documents a token layer with a tag column per task; merged, one column for all entities.

    Args:
        told: the entities of each document that were found in it.
    """
    pos = {one.head.name: _tag_names(one) for one in found if one.head.kind != "ner"}
    pieces: list[list[int]] = [[] for _ in documents]
    for piece, (i, _) in enumerate(prepared.pieces):
        pieces[i].append(piece)
    sentence_offsets = prepared.encoded.sentence_offsets
    for i, document in enumerate(documents):
        # Pieces of one document follow each other.
        low = int(prepared.piece_tokens[pieces[i][0]]) if pieces[i] else 0
        high = int(prepared.piece_tokens[pieces[i][-1] + 1]) if pieces[i] else 0
        first, last = np.searchsorted(sentence_offsets, [low, high])
        layer = TokenLayer(
            prepared.starts[low:high], prepared.ends[low:high], sentence_offsets[first : last + 1] - low
        )
        if isinstance(document.native, TokenLayer):
            layer = dataclasses.replace(document.native, tags={})
        if merged:
            layer.tags["entities"] = _tag_column(told[i], layer)
        for head in (one.head for one in found):
            if head.kind != "ner":
                layer.tags[head.name] = pos[head.name][low:high]
            elif not merged:
                layer.tags[head.name] = _tag_column([e for e in told[i] if e.task == head.name], layer)
        document.native = layer


def young_tokens(prepared: PreparedBatch) -> list[tuple[int, int, str]]:
    """Tokens and types of the names that are younger than the corpora."""
    found = []
    for piece, (i, j) in enumerate(prepared.pieces):
        if j == WHOLE:
            continue
        passage = prepared.documents[i].passages[j]
        for start, end, kind in young_names(passage.text):
            first, last = int(prepared.piece_tokens[piece]), int(prepared.piece_tokens[piece + 1])
            low = first + int(np.searchsorted(prepared.starts[first:last], start + passage.offset))
            high = first + int(np.searchsorted(prepared.ends[first:last], end + passage.offset)) + 1
            found.append((low, high, kind))
    return found


def with_entities(passage: Passage, entities: list[Entity]) -> Passage:
    """A passage with further entities, in order of their places."""
    together = sorted([*passage.entities, *entities], key=lambda entity: (entity.start, entity.end))
    return dataclasses.replace(passage, entities=together)


def _tag_names(one: Found) -> list[str]:
    """The tags of a head of parts of speech."""
    names = np.array(one.head.tagset.names, dtype=object)
    column: list[str] = names[one.tags].tolist()
    return column


def _tag_column(entities: list[Entity], layer: TokenLayer) -> list[str]:
    """Entities as IOB2 tags."""
    return encode_entities(Document("", [Passage("", entities=entities)]), layer)


# Soft hyphens, zero-width spaces and joiners, marks of direction and of byte order.
_INVISIBLE = re.compile("[\\s\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*")


def is_invisible(text: str) -> bool:
    r"""Whether a mention holds nothing that can be seen.

    Example:
        >>> is_invisible("\u200b\u200e"), is_invisible("p\u200b53")
        (True, False)
    """
    return not text[:1].isalnum() and _INVISIBLE.fullmatch(text) is not None
