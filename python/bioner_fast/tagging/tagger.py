"""The tagger: a bundle and text in, documents with entities out."""

from __future__ import annotations

import bisect
import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import UsageError
from bioner_fast.features.layers import token_layer, without_mark
from bioner_fast.features.tokenize import segment
from bioner_fast.formats.conll import TokenLayer, encode_entities
from bioner_fast.installation import MAX_THREADS
from bioner_fast.models.bundle import Bundle, load_bundle
from bioner_fast.tagging.merge import merge_entities, to_normal_types
from bioner_fast.tagging.predict import Encoded, Found, Predictor

Ints = NDArray[np.int64]

# Tokens that are worked on together; memory grows with it, results do not change.
BATCH_TOKENS = 16384
# Passage index of a piece that is a whole document.
WHOLE = -1
# Of running text, a little low so that batches come out smaller rather than larger.
_CHARACTERS_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """Documents, split and encoded.

    Attributes:
        documents: as they came.
        starts, ends: int64 [N], code-point offsets of the tokens into their document.
        encoded: what the network takes.
        piece_tokens: int64 [P+1], token indices; a piece is a passage, or a document that brought its tokens.
        pieces: (document, passage) index of every piece, passage ``WHOLE`` for a whole document.
    """

    documents: Sequence[Document]
    starts: Ints
    ends: Ints
    encoded: Encoded
    piece_tokens: Ints
    pieces: Sequence[tuple[int, int]]


class Tagger:
    """Finds entities in text.

    Threads may share one tagger; the heavy parts release the GIL.

    Args:
        bundle: from :func:`load_bundle`.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
        threads: CPU threads, of this process as a whole as they are torch's; None leaves them as they are.
        precision: of the network: ``float32``, ``bfloat16``, ``int8``, or ``auto``, the fastest that this
            processor is made for and that cost at most 0.1 F1 on devel when the bundle was saved.

    Raises:
        UsageError: the device or the precision is unknown or not there.

    Example:
        >>> tagger = Tagger.load("runs/sample-disease-cnn/model")  # doctest: +SKIP
        >>> document = tagger.tag(["Familial breast cancer is rare."])[0]  # doctest: +SKIP
        >>> [(e.start, e.end, e.type, e.text) for e in document.entities]  # doctest: +SKIP
        [(0, 22, 'Disease', 'Familial breast cancer')]
    """

    def __init__(
        self, bundle: Bundle, device: str = "auto", threads: int | None = None, precision: str = "auto"
    ) -> None:
        if threads is not None:
            if not 1 <= threads <= MAX_THREADS:
                raise UsageError(f"threads: expected 1 to {MAX_THREADS}, got {threads}")
            torch.set_num_threads(threads)
        self.bundle = bundle
        self.predictor = Predictor(bundle, pick_device(device), threads or torch.get_num_threads(), precision)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
    ) -> Tagger:
        """Load a bundle, as ``train`` writes it to ``model/``; arguments as for the class.

        Raises:
            UsageError: the device or the precision is unknown or not there.
            BionerError: the folder is no bundle, not whole, or newer than this package.
        """
        return cls(load_bundle(path), device, threads, precision)

    def tag(
        self,
        texts: Iterable[str | Document],
        *,
        batch_tokens: int = BATCH_TOKENS,
        merge: bool = False,
        keep_tokens: bool = False,
    ) -> list[Document]:
        """Tag texts or documents; see :meth:`stream` in :mod:`bioner_fast.tagging.stream` for large inputs.

        Args:
            texts: strings (their ids are "1", "2", ...) or documents. Documents are not changed; the results
                are new ones, with what they had and the entities found.
            batch_tokens: tokens worked on together (at least one document). No effect on the results.
            merge: resolve overlaps between tasks, see :func:`merge_entities`. A bundle that was trained with
                --merge-types always does, under normal types, see :func:`to_normal_types`.
            keep_tokens: give every document its tokens and tags, as column files need them.

        Returns:
            A document for every text, in order. Entities have ``start``, ``end`` (code points of the
            document), ``type``, ``text``, ``task`` and ``score``, the probability of the span under the
            model.

        Raises:
            TypeError: ``texts`` is one string, or holds something else than strings and documents.
        """
        if isinstance(texts, (str, Document)):
            raise TypeError(
                f"texts: expected several texts, got one {type(texts).__name__}; put it in a list"
            )
        result: list[Document] = []
        for batch in batches(as_documents(texts), batch_tokens):
            result += self.finish(self.prepare(batch), merge=merge, keep_tokens=keep_tokens)
        return result

    def prepare(self, documents: Sequence[Document]) -> Prepared:
        """Tokens, sentences and features of documents; the part of the work before the network."""
        own = [i for i, document in enumerate(documents) if isinstance(document.native, TokenLayer)]
        skip = set(own)
        pieces = [(i, j) for i, d in enumerate(documents) if i not in skip for j in range(len(d.passages))]
        passages = [documents[i].passages[j] for i, j in pieces]
        cut = segment([without_mark(passage.text) for passage in passages], threads=self.predictor.threads)
        columns = [cut.tokens]
        tokens_of_piece = np.diff(cut.token_offsets)
        shift = np.repeat(np.array([p.offset for p in passages], np.int64), tokens_of_piece)
        starts, ends = [cut.starts + shift], [cut.ends + shift]
        sentences = [np.diff(cut.sentence_offsets)]
        counts = [tokens_of_piece]
        for i in own:
            layer = token_layer(documents[i])
            text = documents[i].text
            spans = zip(layer.starts.tolist(), layer.ends.tolist(), strict=True)
            columns.append(StringColumn.from_list([text[a:b] for a, b in spans]))
            starts.append(layer.starts)
            ends.append(layer.ends)
            sentences.append(np.diff(layer.sentence_offsets))
            counts.append(np.array([len(layer.starts)], np.int64))
            pieces.append((i, WHOLE))
        tokens = StringColumn.concatenate(columns) if own else cut.tokens
        return Prepared(
            documents,
            np.concatenate(starts),
            np.concatenate(ends),
            self.predictor.encode(tokens, _offsets(np.concatenate(sentences))),
            _offsets(np.concatenate(counts)),
            pieces,
        )

    def finish(self, prepared: Prepared, *, merge: bool = False, keep_tokens: bool = False) -> list[Document]:
        """The network, decoding, and entities back into the documents."""
        found = self.predictor.find(prepared.encoded)
        return self.assemble(prepared, found, merge=merge, keep_tokens=keep_tokens)

    def assemble(
        self, prepared: Prepared, found: list[Found], *, merge: bool = False, keep_tokens: bool = False
    ) -> list[Document]:
        """New documents with what was found in them; arguments as for :meth:`tag`."""
        new: list[list[list[Entity]]] = [[[] for _ in d.passages] for d in prepared.documents]
        normal = self.bundle.merge_types
        merge = merge or normal
        for one in found:
            name, types = one.head.name, one.head.tagset.types
            piece_of = np.searchsorted(prepared.piece_tokens, one.start, "right") - 1
            columns = (
                piece_of,
                prepared.starts[one.start],
                prepared.ends[one.end - 1],
                one.type_id,
                one.score,
            )
            for piece, start, end, kind, score in zip(*(c.tolist() for c in columns), strict=True):
                i, j = prepared.pieces[piece]
                passages = prepared.documents[i].passages
                if j == WHOLE:
                    j = bisect.bisect_right([p.offset for p in passages], start) - 1
                text = passages[j].text[start - passages[j].offset : end - passages[j].offset]
                new[i][j].append(Entity(start, end, types[kind], text, score=score, task=name))
        order = {head.name: rank for rank, head in enumerate(self.bundle.tasks)}
        result = []
        for document, per_passage in zip(prepared.documents, new, strict=True):
            if normal:
                names = self.bundle.normal_types
                per_passage = [to_normal_types(entities, names) for entities in per_passage]
            if merge:
                per_passage = [merge_entities(entities, order) for entities in per_passage]
            passages = list(map(_with_entities, document.passages, per_passage))
            result.append(dataclasses.replace(document, passages=passages))
        if keep_tokens:
            self._add_layers(result, prepared, found, merged=merge)
        return result

    def _add_layers(
        self, documents: list[Document], prepared: Prepared, found: list[Found], *, merged: bool
    ) -> None:
        """Give documents a token layer with a tag column per task; merged, one column for all entities."""
        tags = {one.head.name: _tag_column(one) for one in found if not (merged and one.head.kind == "ner")}
        pieces: list[list[int]] = [[] for _ in documents]
        for piece, (i, _) in enumerate(prepared.pieces):
            pieces[i].append(piece)
        sentence_offsets = prepared.encoded.sentence_offsets
        names = {head.name for head in self.bundle.tasks}
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
                layer.tags["entities"] = encode_entities(_found_only(document, names), layer)
            layer.tags.update({name: column[low:high] for name, column in tags.items()})
            document.native = layer


def _offsets(counts: Ints) -> Ints:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _with_entities(passage: Passage, entities: list[Entity]) -> Passage:
    together = sorted([*passage.entities, *entities], key=lambda entity: (entity.start, entity.end))
    return dataclasses.replace(passage, entities=together)


def _tag_column(one: Found) -> list[str]:
    """The tags of one head as strings: IOB2 for entities, as they are for parts of speech."""
    if one.head.kind != "ner":
        names = np.array(one.head.tagset.names, dtype=object)
        column: list[str] = names[one.tags].tolist()
        return column
    tags = ["O"] * len(one.tags)
    types = one.head.tagset.types
    for start, end, kind in zip(one.start.tolist(), one.end.tolist(), one.type_id.tolist(), strict=True):
        tags[start:end] = ["B-" + types[kind]] + ["I-" + types[kind]] * (end - start - 1)
    return tags


def _found_only(document: Document, tasks: set[str]) -> Document:
    entities = [entity for entity in document.iter_entities() if entity.task in tasks]
    return Document(document.id, [Passage("", entities=entities)])


def as_documents(texts: Iterable[str | Document]) -> Iterable[Document]:
    """Strings as documents whose ids are their numbers from 1."""
    for number, text in enumerate(texts, start=1):
        if isinstance(text, Document):
            yield text
        elif isinstance(text, str):
            yield Document.from_text(text, id=str(number))
        else:
            raise TypeError(
                f"texts: expected strings or documents, got {type(text).__name__} at {number - 1}"
            )


def batches(documents: Iterable[Document], batch_tokens: int) -> Iterable[list[Document]]:
    """Group documents to about so many tokens, estimated from their length; a long one is a batch alone."""
    if batch_tokens < 1:
        raise UsageError(f"batch tokens: expected at least 1, got {batch_tokens}")
    limit = batch_tokens * _CHARACTERS_PER_TOKEN
    batch: list[Document] = []
    size = 0
    for document in documents:
        # An empty document is not free either.
        length = _CHARACTERS_PER_TOKEN + sum(len(passage.text) for passage in document.passages)
        if batch and size + length > limit:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += length
    if batch:
        yield batch


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        UsageError: another name, or no GPU that torch can use.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, not {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("device cuda: torch finds no CUDA device; use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
