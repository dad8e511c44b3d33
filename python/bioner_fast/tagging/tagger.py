"""The tagger: a bundle and text in, documents with entities out."""

from __future__ import annotations

import bisect
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.document import Abbreviation, Document, Entity, Passage
from bioner_fast.data.strings import StringColumn
from bioner_fast.data.tasks import normal_type
from bioner_fast.errors import UsageError
from bioner_fast.features.layers import segment_passages, token_layer
from bioner_fast.features.names import find_abbreviations
from bioner_fast.formats.conll import TokenLayer, encode_entities
from bioner_fast.installation import MAX_THREADS
from bioner_fast.models.bundle import Bundle, load_bundle
from bioner_fast.models.device import choose_device
from bioner_fast.resources import DEFAULT_MODEL, find_model
from bioner_fast.tagging.borders import no_names, whole
from bioner_fast.tagging.context import use_context, young_names
from bioner_fast.tagging.documents import Documents
from bioner_fast.tagging.encoding import Encoded
from bioner_fast.tagging.pool import pool_heads
from bioner_fast.tagging.predict import Found, Predictor
from bioner_fast.tagging.resolve import Answer, chosen_types, resolve, to_normal_types, type_names

Ints = NDArray[np.int64]

# Tokens that are worked on together; memory grows with it, results do not change.
BATCH_TOKENS = 16384
# Passage index of a piece that is a whole document.
WHOLE = -1
# Of running text, a little low so that batches come out smaller rather than larger.
_CHARACTERS_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Documents, split and encoded.

    Attributes:
        documents: as they came.
        tokens: [N].
        starts, ends: int64 [N], code-point offsets of the tokens into their document.
        encoded: what the network takes.
        piece_tokens: int64 [P+1], token indices; a piece is a passage, or a document that brought its tokens.
        pieces: (document, passage) index of every piece, passage ``WHOLE`` for a whole document.
        walls: by piece, the stretches of its text that can be no part of a name.
    """

    documents: Sequence[Document]
    tokens: StringColumn
    starts: Ints
    ends: Ints
    encoded: Encoded
    piece_tokens: Ints
    pieces: Sequence[tuple[int, int]]
    walls: Mapping[int, list[tuple[int, int]]]

    def document_offsets(self) -> Ints:
        """int64 [D'+1]: tokens at which the documents begin that have any pieces (they follow each other)."""
        number = np.array([i for i, _ in self.pieces], np.int64)
        first = np.flatnonzero(np.diff(number, prepend=-1))
        return np.concatenate([self.piece_tokens[first], self.piece_tokens[-1:]])


class Tagger:
    """Finds entities in text.

    Threads may share one tagger; the heavy parts release the GIL. Processes get it by pickle, which takes its
    path along, not its weights.

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
        self._how = (device, threads, precision)
        self.predictor = Predictor(
            bundle, choose_device(device), threads or torch.get_num_threads(), precision
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
    ) -> Tagger:
        """Load a model; arguments as for the class.

        Args:
            path: a bundle, as ``train`` writes it to ``model/``, or the name of an installed model; None
                stands for ``general``.
            device, threads, precision: as for the class.

        Raises:
            UsageError: the device or the precision is unknown or not there.
            BionerError: there is no such model, the folder is no bundle, not whole, or newer than this
                package.
        """
        return cls(load_bundle(find_model(path)), device, threads, precision)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, one head each."""
        return tuple(head.name for head in self.bundle.tasks)

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that its answers have."""
        return self.bundle.types

    def __repr__(self) -> str:
        device, _, precision = self._how
        return (
            f"Tagger({os.fspath(self.bundle.path)!r}, tasks={list(self.tasks)}, types={list(self.types)}, "
            f"device={device!r}, precision={precision!r})"
        )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # By path: whoever unpickles it loads the bundle, which must be there.
        return Tagger.load, (os.fspath(self.bundle.path.resolve()), *self._how)

    def tag(
        self,
        texts: Iterable[str | Document],
        *,
        batch_tokens: int = BATCH_TOKENS,
        overlaps: str | None = None,
        merge: bool = False,
        types: str | Iterable[str] | None = None,
        min_score: float = 0.0,
        document_context: str = "auto",
        abbreviations: bool = False,
        keep_tokens: bool = False,
    ) -> Documents:
        """Tag texts or documents; for large inputs see :func:`bioner_fast.tagging.stream.tag_stream`.

        Args:
            texts: strings (their ids are "1", "2", ...) or documents. Documents are not changed; the results
                are new ones, with what they had and the entities found.
            batch_tokens: tokens worked on together (at least one document). No effect on the results.
            overlaps: ``best``, ``longest`` or ``keep``, see :func:`resolve`; None: what the bundle says
                (``best`` for ``general`` and what was trained with --merge-types), else ``keep``.
            merge: the same as ``overlaps="best"``.
            types: only entities of these types, a list of names or one string (``"gene,disease"``).
            min_score: only entities of at least this score.
            document_context: ``auto``: the rest of the document is evidence, where the bundle is made for
                that; ``none``: every sentence is tagged for itself.
            abbreviations: find the abbreviations that the documents define.
            keep_tokens: give every document its tokens and tags, as column files need them.

        Returns:
            A document for every text, in order, used like a list; data frames read it. Entities have
            ``start``, ``end`` (code points of the document), ``type``, ``text``, ``task`` and ``score``, the
            probability of the span under the model.

        Raises:
            TypeError: ``texts`` is one string, or holds something else than strings and documents.
            UsageError: an argument has no such value, or the model finds no such type.
        """
        if isinstance(texts, (str, Document)):
            raise TypeError(
                f"texts: expected several texts, got one {type(texts).__name__}; put it in a list"
            )
        answer = Answer(
            "best" if merge else overlaps, type_names(types), min_score, document_context, abbreviations
        )
        result = Documents()
        for batch in batches(as_documents(texts), batch_tokens):
            result += self.finish(self.prepare(batch), answer, keep_tokens=keep_tokens)
        return result

    def prepare(self, documents: Sequence[Document]) -> PreparedBatch:
        """Tokens, sentences and features of documents; the part of the work before the network."""
        own = [i for i, document in enumerate(documents) if isinstance(document.native, TokenLayer)]
        skip = set(own)
        pieces = [(i, j) for i, d in enumerate(documents) if i not in skip for j in range(len(d.passages))]
        passages = [documents[i].passages[j] for i, j in pieces]
        cut = segment_passages(passages, threads=self.predictor.threads)
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
        walls = {n: found for n, passage in enumerate(passages) if (found := no_names(passage.text))}
        outside = _outside(walls, cut.starts, cut.ends, cut.token_offsets, len(tokens))
        return PreparedBatch(
            documents,
            tokens,
            np.concatenate(starts),
            np.concatenate(ends),
            self.predictor.encode(tokens, _offsets(np.concatenate(sentences)), outside),
            _offsets(np.concatenate(counts)),
            pieces,
            walls,
        )

    def finish(
        self, prepared: PreparedBatch, answer: Answer | None = None, *, keep_tokens: bool = False
    ) -> list[Document]:
        """The network, decoding, and entities back into the documents."""
        emissions = self.predictor.emissions(prepared.encoded)
        return self.assemble(prepared, emissions, answer, keep_tokens=keep_tokens)

    def assemble(
        self,
        prepared: PreparedBatch,
        emissions: dict[str, Tensor],
        answer: Answer | None = None,
        *,
        keep_tokens: bool = False,
    ) -> list[Document]:
        """New documents with what the network's output, from :meth:`Predictor.emissions`, says of them.

        Raises:
            UsageError: the model finds no type that is asked for.
        """
        answer = Answer() if answer is None else answer
        sentence_offsets = prepared.encoded.sentence_offsets
        found = self.predictor.decode(emissions, sentence_offsets)
        if self.bundle.merge_types:
            names, calibration = self.bundle.normal_types, self.bundle.calibration
            found = pool_heads(found, emissions, sentence_offsets, names, calibration)
        context = answer.document_context == "auto" and self.bundle.answers.document_context
        defined = np.zeros((0, 4), np.int64)
        if context or answer.abbreviations:
            defined = find_abbreviations(prepared.tokens, prepared.starts, prepared.ends, sentence_offsets)
        if context:
            found = use_context(
                found,
                emissions,
                prepared.tokens,
                sentence_offsets,
                prepared.document_offsets(),
                defined,
                self.bundle.calibration,
                ranked=self.bundle.answers.ranked,
                known=_young(prepared),
            )
        overlaps = answer.overlaps or self.bundle.answers.overlaps
        wanted = None if answer.types is None else chosen_types(answer.types, self.bundle.types)
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
        order = {head.name: rank for rank, head in enumerate(self.bundle.tasks)}
        result, told = [], []
        for document, per_passage in zip(prepared.documents, new, strict=True):
            answers = [
                self._answer(entities, overlaps, wanted, answer.min_score, order) for entities in per_passage
            ]
            passages = list(map(_with_entities, document.passages, answers))
            result.append(dataclasses.replace(document, passages=passages))
            if answer.abbreviations:
                result[-1].abbreviations = []
            told.append([entity for entities in answers for entity in entities])
        if answer.abbreviations:
            self._add_abbreviations(result, prepared, defined)
        if keep_tokens:
            merged = overlaps != "keep" or self.bundle.answers.task is not None
            self._add_layers(result, told, prepared, found, merged=merged)
        return result

    def _add_abbreviations(self, documents: list[Document], prepared: PreparedBatch, defined: Ints) -> None:
        """Give documents the abbreviations that they define."""
        piece_of = np.searchsorted(prepared.piece_tokens, defined[:, 0], "right") - 1
        starts, ends = prepared.starts[defined[:, [0, 2]]], prepared.ends[defined[:, [1, 3]] - 1]
        for piece, (a, c), (b, d) in zip(piece_of.tolist(), starts.tolist(), ends.tolist(), strict=True):
            document = documents[prepared.pieces[piece][0]]
            text = document.text
            assert document.abbreviations is not None
            document.abbreviations.append(Abbreviation(text[a:b], text[c:d], a, b))

    def _answer(
        self,
        entities: list[Entity],
        overlaps: str,
        wanted: frozenset[str] | None,
        min_score: float,
        order: dict[str, int],
    ) -> list[Entity]:
        """What is told of the entities that were found in one passage."""
        if self.bundle.merge_types:
            entities = to_normal_types(entities, self.bundle.normal_types)
        entities = resolve(entities, overlaps, order, ranked=self.bundle.answers.ranked)
        if wanted is not None or min_score > 0.0:
            entities = [
                e
                for e in entities
                if (wanted is None or e.type in wanted) and (e.score is None or e.score >= min_score)
            ]
        if self.bundle.answers.task is not None:
            for entity in entities:
                entity.task = self.bundle.answers.task
        return entities

    def _add_layers(
        self,
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
            for head in self.bundle.tasks:
                if head.kind != "ner":
                    layer.tags[head.name] = pos[head.name][low:high]
                elif not merged:
                    layer.tags[head.name] = _tag_column([e for e in told[i] if e.task == head.name], layer)
            document.native = layer


def _offsets(counts: Ints) -> Ints:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _outside(
    walls: Mapping[int, list[tuple[int, int]]], starts: Ints, ends: Ints, token_offsets: Ints, n: int
) -> NDArray[np.bool_] | None:
    """Which of ``n`` tokens, those of the passages first, can be in no entity; None: all can."""
    if not walls:
        return None
    outside = np.zeros(n, bool)
    for number, spans in walls.items():
        for start, end in spans:
            first, last = int(token_offsets[number]), int(token_offsets[number + 1])
            low = first + int(np.searchsorted(ends[first:last], start, "right"))
            high = first + int(np.searchsorted(starts[first:last], end))
            outside[low:high] = True
    return outside


def _young(prepared: PreparedBatch) -> list[tuple[int, int, str]]:
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


def _with_entities(passage: Passage, entities: list[Entity]) -> Passage:
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


def load(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
) -> Tagger:
    """The tagger of an installed model (or of a folder), as :meth:`Tagger.load`.

    Example:
        >>> tagger = bioner_fast.load("general")  # doctest: +SKIP
        >>> [(e.type, e.text) for e in tagger.tag(["Aspirin for gout."])[0].entities]  # doctest: +SKIP
        [('chemical', 'Aspirin'), ('disease', 'gout')]
    """
    return Tagger.load(name, device, threads, precision)


# Soft hyphens, zero-width spaces and joiners, marks of direction and of byte order.
_INVISIBLE = re.compile("[\\s\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*")


def is_invisible(text: str) -> bool:
    r"""Whether a mention holds nothing that can be seen.

    Example:
        >>> is_invisible("\u200b\u200e"), is_invisible("p\u200b53")
        (True, False)
    """
    return not text[:1].isalnum() and _INVISIBLE.fullmatch(text) is not None


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
