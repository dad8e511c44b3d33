"""What is told of the installed models; reads their facts only, and loads no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioner_fast.errors import FormatError
from bioner_fast.resources import MODEL_FACTS, installed_models


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """An installed model.

    Attributes:
        name: what ``--model`` takes.
        path: its folder.
        types: the entity types it finds; empty for an encoder or a tagger of parts of speech.
        size: bytes on disk.
        format_version: of the bundle.
        scores: F1 and the like by corpus and split, as its training measured them.
    """

    name: str
    path: Path
    types: tuple[str, ...]
    size: int
    format_version: int
    scores: Mapping[str, Any]

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "name": self.name,
            "path": str(self.path),
            "types": list(self.types),
            "size": self.size,
            "format_version": self.format_version,
            "scores": self.scores,
        }

    def scores_shown(self) -> list[str]:
        """F1 of each corpus on test, as in ``BioRED 88.1``; where no corpus has test scores, on devel."""
        by_corpus: dict[str, dict[str, object]] = {}
        for one, parts in self.scores.items():
            for two, score in parts.items() if isinstance(parts, Mapping) else ():
                corpus, split = (two, one) if one in ("devel", "test") else (one, two)
                by_corpus.setdefault(str(corpus), {})[str(split)] = score
        for split, remark in (("test", ""), ("devel", " (devel)")):
            found = {corpus: _f1(splits.get(split)) for corpus, splits in by_corpus.items()}
            if shown := [f"{corpus} {f1:.1f}{remark}" for corpus, f1 in found.items() if f1 is not None]:
                return shown
        return []


def _f1(score: object) -> float | None:
    """Of the scores of a corpus, which may be told by type."""
    if not isinstance(score, Mapping):
        return None
    if "f1" not in score and (len(score) == 1 or "overall" in score):
        return _f1(score.get("overall", next(iter(score.values()))))
    f1 = score.get("f1")
    return float(f1) if isinstance(f1, int | float) else None


def describe_models() -> list[ModelDescription]:
    """The installed models, by name.

    Raises:
        FormatError: the facts of one cannot be read.
    """
    return [_describe(name, path) for name, path in installed_models().items()]


def _describe(name: str, folder: Path) -> ModelDescription:
    path = folder / MODEL_FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        kinds: dict[str, None] = {}
        for task in facts.get("tasks", ()):
            for kind in task.get("types", ()) if task.get("kind") == "ner" else ():
                normal = task.get("normal_types", {}).get(kind, kind)
                kinds[str(normal if facts.get("merge_types") else kind)] = None
        scores = facts.get("provenance", {}).get("scores", {})
        version = int(facts["format_version"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError(path, "expected the facts of a model; install it again") from None
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ModelDescription(
        name, folder, tuple(kinds), size, version, scores if isinstance(scores, Mapping) else {}
    )
