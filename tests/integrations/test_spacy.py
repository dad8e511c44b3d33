"""The spaCy pipe: entities at the offsets of the text under any tokenizer; saved, loaded, in workers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import tiny_bundle

spacy = pytest.importorskip("spacy", reason="needs the extra spacy")

from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, DocBin

import bioner_fast.integrations.spacy  # noqa: F401  (where the package is not installed; see the last test)
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.tagging.tagger import Tagger

TEXTS = [
    "Familial breast cancer and Crohn disease 💊 in Sjögren syndrome, BRCA1 mutated.",
    "",
    "  BRCA1-mutated  cancer\n(TNF-alpha) ",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.save_tiny(tmp_path_factory.mktemp("spacy") / "model")


def _pipeline(model: Path, **config: Any) -> Any:
    nlp = spacy.blank("en")
    nlp.add_pipe("bioner_fast", config={"model": str(model), **config})
    return nlp


def _found(doc: Doc) -> list[tuple[int, int, str, float]]:
    return sorted((*s._.mention, s.label_, round(s._.score, 4)) for s in doc.spans["bioner_fast"])


def _expected(model: Path, text: str, **options: Any) -> list[tuple[int, int, str, float]]:
    (document,) = Tagger.load(model, "cpu").tag([text], **options)
    return sorted((e.start, e.end, e.type, round(e.score or 0.0, 4)) for e in document.entities)


def test_entities_are_the_taggers(model: Path) -> None:
    nlp = _pipeline(model, overlaps="best")
    docs = list(nlp.pipe(TEXTS))
    assert [doc.text for doc in docs] == TEXTS
    assert any(doc.ents for doc in docs)
    for doc in docs:
        expected = _expected(model, doc.text, overlaps="best")
        # Where spaCy's token holds two entities only the better one can stand.
        assert set(_found(doc)) <= set(expected)
        for span in doc.spans["bioner_fast"]:
            start, end = span._.mention
            assert span.start_char <= start < end <= span.end_char


def test_any_tokenizer(model: Path) -> None:
    nlp = _pipeline(model)
    nlp.tokenizer = Tokenizer(nlp.vocab)  # white space alone
    doc = nlp(TEXTS[0])
    tokens = {token.idx for token in doc}
    assert all(span.start_char in tokens for span in doc.spans["bioner_fast"])
    assert doc.spans["bioner_fast"]


def test_entities_do_not_overlap_and_those_of_others_stay(model: Path) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "MINE", "pattern": "breast cancer"}])
    nlp.add_pipe("bioner_fast", config={"model": str(model)})
    doc = nlp(TEXTS[0])
    assert ("breast cancer", "MINE") in [(e.text, e.label_) for e in doc.ents]
    places = [token.i for span in doc.ents for token in span]
    assert len(places) == len(set(places))
    assert doc.ents[0]._.score is None or doc.ents[0].label_ != "MINE"


def test_settings(model: Path) -> None:
    kind = _expected(model, TEXTS[0])[0][2]
    doc = _pipeline(model, types=[kind], min_score=0.5, overlaps="longest")(TEXTS[0])
    assert set(_found(doc)) <= set(
        _expected(model, TEXTS[0], types=[kind], min_score=0.5, overlaps="longest")
    )
    with pytest.raises(UsageError, match="overlaps must be one of"):
        _pipeline(model, overlaps="some")
    with pytest.raises(UsageError, match="min_score must lie between 0 and 1"):
        _pipeline(model, min_score=2.0)
    with pytest.raises(BionerError, match="nowhere"):
        _pipeline(Path("nowhere"))("text")


def test_saved_and_loaded(model: Path, tmp_path: Path) -> None:
    nlp = _pipeline(model, min_score=0.1)
    before = _found(nlp(TEXTS[0]))
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert _found(again(TEXTS[0])) == before
    assert again.config["components"]["bioner_fast"]["min_score"] == 0.1
    assert str(tmp_path) in again.get_pipe("bioner_fast").model
    from_config = spacy.util.load_model_from_config(nlp.config, auto_fill=True)
    assert _found(from_config(TEXTS[0])) == before


def test_worker_processes_and_saved_documents(model: Path) -> None:
    nlp = _pipeline(model)
    alone = [_found(doc) for doc in nlp.pipe(TEXTS * 3)]
    assert [_found(doc) for doc in nlp.pipe(TEXTS * 3, n_process=2, batch_size=3)] == alone
    kept = DocBin(store_user_data=True, docs=[nlp(TEXTS[0])])
    (doc,) = DocBin().from_bytes(kept.to_bytes()).get_docs(nlp.vocab)
    assert _found(doc) == alone[0]


def test_displacy_shows_the_entities(model: Path) -> None:
    doc = _pipeline(model)(TEXTS[0])
    assert spacy.displacy.render(doc, style="ent", jupyter=False).count("<mark") == len(doc.ents)
    shown = spacy.displacy.render(doc, style="span", jupyter=False, options={"spans_key": "bioner_fast"})
    assert doc.spans["bioner_fast"][0].label_ in shown


def test_spacy_finds_the_pipe_by_its_name() -> None:
    if not entry_points(group="spacy_factories", name="bioner_fast"):
        pytest.skip("the package is not installed, so it has no entry points")
    code = "import spacy; print(spacy.blank('en').add_pipe('bioner_fast').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "bioner_fast\n"
