"""The tagger: a bundle and text in, documents with entities out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast.data.document import Document, Entity
from bioner_fast.errors import UsageError
from bioner_fast.features.names import find_abbreviations
from bioner_fast.installation import MAX_THREADS
from bioner_fast.models.bundle import Bundle, load_bundle
from bioner_fast.models.device import choose_device
from bioner_fast.resources import DEFAULT_MODEL, find_model
from bioner_fast.tagging.assemble import (
    add_abbreviations,
    add_layers,
    place_entities,
    with_entities,
    young_tokens,
)
from bioner_fast.tagging.context import use_context
from bioner_fast.tagging.documents import Documents
from bioner_fast.tagging.pool import pool_heads
from bioner_fast.tagging.predict import Predictor
from bioner_fast.tagging.prepare import BATCH_TOKENS, PreparedBatch, as_documents, batches, prepare
from bioner_fast.tagging.resolve import Answer, chosen_types, resolve, to_normal_types, type_names

Ints = NDArray[np.int64]


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
        if not bundle.tasks:
            raise UsageError(
                f"{bundle.path}: it is an encoder without heads, which finds nothing; train from it with "
                "train --init-from"
            )
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
        return prepare(documents, self.predictor)

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
                known=young_tokens(prepared),
            )
        overlaps = answer.overlaps or self.bundle.answers.overlaps
        wanted = None if answer.types is None else chosen_types(answer.types, self.bundle.types)
        found, new = place_entities(found, prepared)
        order = {head.name: rank for rank, head in enumerate(self.bundle.tasks)}
        result, told = [], []
        for document, per_passage in zip(prepared.documents, new, strict=True):
            answers = [
                self._answer(entities, overlaps, wanted, answer.min_score, order) for entities in per_passage
            ]
            passages = list(map(with_entities, document.passages, answers))
            result.append(dataclasses.replace(document, passages=passages))
            if answer.abbreviations:
                result[-1].abbreviations = []
            told.append([entity for entities in answers for entity in entities])
        if answer.abbreviations:
            add_abbreviations(result, prepared, defined)
        if keep_tokens:
            merged = overlaps != "keep" or self.bundle.answers.task is not None
            add_layers(result, told, prepared, found, merged=merged)
        return result

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
