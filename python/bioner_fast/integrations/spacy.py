"""A spaCy pipe (extra ``spacy``): ``nlp.add_pipe("bioner_fast", config={"model": "general"})``.

Entities are found in the text of a ``Doc``, whatever its tokenizer is, and put on the tokens they touch.
``doc.spans["bioner_fast"]`` holds all of them. ``doc.ents`` holds the best where they overlap; entities that
earlier pipes have set stay. ``span._.score`` is the probability of an entity, ``span._.mention`` its exact
(start, end) in characters. ``doc._.abbreviations`` lists the abbreviations that the text defines, as
(short, long, start, end).
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from bioner_fast.data.document import Document
from bioner_fast.errors import UsageError
from bioner_fast.files import atomic_directory
from bioner_fast.tagging.tagger import Tagger

# The group of spans, and the key of ``doc.user_data``.
KEY = "bioner_fast"
_ABBREVIATIONS = "bioner_fast_abbreviations"
_OVERLAPS = ("best", "longest", "keep")


@Language.factory(
    KEY,
    assigns=["doc.ents", "doc.spans", "span._.score", "doc._.abbreviations"],
    default_config={"model": "general", "types": None, "min_score": 0.0, "overlaps": None, "threads": None},
)
def make(
    nlp: Language,
    name: str,
    model: str,
    types: list[str] | None,
    min_score: float,
    overlaps: str | None,
    threads: int | None,
) -> BionerFast:
    """Called by ``nlp.add_pipe``; arguments as for :class:`BionerFast`."""
    return BionerFast(name, model, types, min_score, overlaps, threads)


class BionerFast:
    """The pipe.

    Args:
        name: of the pipe.
        model: the name of an installed model, or a folder.
        types: types that are wanted; None for all.
        min_score: the least score of an entity.
        overlaps: ``best``, ``longest`` or ``keep`` for ``doc.spans``; None: what the model does by default.
        threads: CPU threads of the process; None leaves them as they are.

    Raises:
        UsageError: an argument is out of range. The model is loaded when the first text comes.
    """

    def __init__(
        self,
        name: str = KEY,
        model: str = "general",
        types: list[str] | None = None,
        min_score: float = 0.0,
        overlaps: str | None = None,
        threads: int | None = None,
    ) -> None:
        if overlaps is not None and overlaps not in _OVERLAPS:
            raise UsageError(f"overlaps must be one of {', '.join(_OVERLAPS)}, not {overlaps!r}")
        if not 0.0 <= min_score <= 1.0:
            raise UsageError(f"min_score must lie between 0 and 1, not {min_score}")
        self.name = name
        self.model = model
        self.types = types
        self.min_score = min_score
        self.overlaps = overlaps
        self.threads = threads
        self._tagger: Tagger | None = None
        _add_extensions()

    @property
    def tagger(self) -> Tagger:
        """The tagger; loaded at the first use.

        Raises:
            BionerError: there is no such model, or it is not whole.
        """
        if self._tagger is None:
            self._tagger = Tagger.load(self.model, threads=self.threads)
        return self._tagger

    def __call__(self, doc: Doc) -> Doc:
        """Tag one document."""
        self._annotate([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 1000) -> Iterator[Doc]:
        """Tag documents as they come, ``batch_size`` together."""
        documents = iter(stream)
        while docs := list(itertools.islice(documents, batch_size)):
            self._annotate(docs)
            yield from docs

    def _annotate(self, docs: list[Doc]) -> None:
        tagged = self.tagger.tag(
            [doc.text for doc in docs],
            types=self.types,
            min_score=self.min_score,
            overlaps=self.overlaps,
            abbreviations=True,
        )
        for doc, document in zip(docs, tagged, strict=True):
            _set_entities(doc, document)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes: each loads the model itself."""
        return {**self.__dict__, "_tagger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _add_extensions()

    def to_disk(self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()) -> None:
        """Save the model with the pipeline, unless it is an installed one, which has a name."""
        if Path(self.model).is_dir():
            Path(path).mkdir(parents=True, exist_ok=True)
            with atomic_directory(Path(path) / "model", force=True, manifest=False) as folder:
                shutil.copytree(self.model, folder, dirs_exist_ok=True)

    def from_disk(self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()) -> BionerFast:
        """Take the model that was saved with the pipeline, if one was."""
        saved = Path(path) / "model"
        if saved.is_dir():
            self.model = str(saved)
            self._tagger = None
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Nothing: the model is named by the configuration."""
        return b""

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> BionerFast:
        """Nothing to take."""
        return self


def _set_entities(doc: Doc, document: Document) -> None:
    facts: dict[str, list[Any]] = {}
    spans: list[Span] = []
    for entity in document.iter_entities():
        span = doc.char_span(entity.start, entity.end, label=entity.type, alignment_mode="expand")
        if span is None or not len(span):
            continue
        key = _key(span)
        score = 1.0 if entity.score is None else entity.score
        if key in facts:  # two entities on one token of this tokenizer
            if score > facts[key][0]:
                facts[key] = [score, entity.start, entity.end]
            continue
        facts[key] = [score, entity.start, entity.end]
        spans.append(span)
    doc.user_data[KEY] = facts
    doc.user_data[_ABBREVIATIONS] = [
        [one.short, one.long, one.start, one.end] for one in document.abbreviations or ()
    ]
    doc.spans[KEY] = spans
    taken = [False] * len(doc)
    chosen = list(doc.ents)
    for one in chosen:
        taken[one.start : one.end] = [True] * len(one)
    for span in sorted(spans, key=lambda one: (-facts[_key(one)][0], one.start, -one.end)):
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = [True] * len(span)
            chosen.append(span)
    doc.set_ents(sorted(chosen, key=lambda one: one.start))


def _key(span: Span) -> str:
    # Scores are found by place and label: custom attributes of spaCy are shared by spans of one place.
    return f"{span.start_char}:{span.end_char}:{span.label_}"


def _facts(span: Span) -> list[Any] | None:
    found: list[Any] | None = span.doc.user_data.get(KEY, {}).get(_key(span))
    return found


def _score(span: Span) -> float | None:
    facts = _facts(span)
    return None if facts is None else float(facts[0])


def _mention(span: Span) -> tuple[int, int] | None:
    facts = _facts(span)
    return None if facts is None else (int(facts[1]), int(facts[2]))


def _abbreviations(doc: Doc) -> list[tuple[str, str, int, int]]:
    return [tuple(one) for one in doc.user_data.get(_ABBREVIATIONS, [])]


def _add_extensions() -> None:
    """Register the attributes; those of the same name that the user has set stay."""
    getters: list[tuple[type, str, Callable[[Any], object]]] = [
        (Span, "score", _score),
        (Span, "mention", _mention),
        (Doc, "abbreviations", _abbreviations),
    ]
    for kind, name, getter in getters:
        if not kind.has_extension(name):  # type: ignore[attr-defined]
            kind.set_extension(name, getter=getter)  # type: ignore[attr-defined]
