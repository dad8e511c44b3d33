"""Train and run fast biomedical named-entity recognisers.

Everything public is imported on first use, so that ``import bioner_fast`` and the commands that need no
network (``evaluate``, ``convert``) do not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Public name -> module that defines it.
_EXPORTS = {
    "BionerError": "bioner_fast.errors",
    "Corpus": "bioner_fast.data.corpus",
    "Document": "bioner_fast.data.document",
    "Entity": "bioner_fast.data.document",
    "Passage": "bioner_fast.data.document",
    "Tagger": "bioner_fast.tagging.tagger",
    "TrainConfig": "bioner_fast.training.config",
    "TrainResult": "bioner_fast.training.train",
    "WordVectors": "bioner_fast.features.vectors",
    "to_arrow": "bioner_fast.formats.arrow",
    "load": "bioner_fast.tagging.tagger",
    "train": "bioner_fast.training.train",
}
_SUBMODULES = {"ops"}

__all__ = ["__version__", *sorted(_EXPORTS), "ops"]

if TYPE_CHECKING:
    from bioner_fast import ops as ops
    from bioner_fast.data.corpus import Corpus as Corpus
    from bioner_fast.data.document import Document as Document
    from bioner_fast.data.document import Entity as Entity
    from bioner_fast.data.document import Passage as Passage
    from bioner_fast.errors import BionerError as BionerError
    from bioner_fast.features.vectors import WordVectors as WordVectors
    from bioner_fast.formats.arrow import to_arrow as to_arrow
    from bioner_fast.tagging.tagger import Tagger as Tagger
    from bioner_fast.tagging.tagger import load as load
    from bioner_fast.training.config import TrainConfig as TrainConfig
    from bioner_fast.training.train import TrainResult as TrainResult
    from bioner_fast.training.train import train as train


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        value: object = getattr(importlib.import_module(_EXPORTS[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"bioner_fast.{name}")
    else:
        raise AttributeError(f"module 'bioner_fast' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_SUBMODULES})
