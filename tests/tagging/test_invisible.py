"""Zero-width marks and marks of direction alone are no entity, in documents and in columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioner_fast.data.document import Document
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.tagging.assemble import is_invisible
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny


@pytest.mark.parametrize("text", ["\u200b", "\u200e \u200f", "\xad", "\ufeff\u2060", "\u202a\u202c"])
def test_marks_are_invisible(text: str) -> None:
    assert is_invisible(text)
    assert not is_invisible(f"p{text}53")
    assert not is_invisible(f"{text}β")


def test_no_entity_of_them_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = Tagger.load(save_tiny(tmp_path / "model"), device="cpu")
    prepared = tagger.prepare([Document.from_text("\u200b p53 \u200e binds", "1")])
    found = tagger.predictor.find(prepared.encoded)
    one = next(one for one in found if one.head.kind == "ner")
    start = np.array([0, 1, 2])
    claimed = replace(one, start=start, end=start + 1, type_id=start * 0, score=start * 0.1)
    others = [other.without(range(len(other.start))) for other in found if other is not one]
    monkeypatch.setattr(tagger.predictor, "decode", lambda *_: [claimed, *others])
    (document,) = tagger.finish(prepared, keep_tokens=True)
    assert [entity.text for entity in document.iter_entities()] == ["p53"]
    assert isinstance(document.native, TokenLayer)
    assert [tag[0] for tag in document.native.tags[one.head.name]] == ["O", "B", "O", "O"]
