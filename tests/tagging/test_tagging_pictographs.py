"""Emoji are in no entity, whatever the network makes of unknown words, and change nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.data.strings import StringColumn
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.formats.registry import read_documents
from bioner_fast.tagging.encoding import Encoded
from bioner_fast.tagging.evaluate import score_corpus
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import heads, save_tiny
from tiny_idcnn import save_idcnn

PICTURES = ["😷", "❤️", "👩\u200d👩\u200d👧", "👍🏿", "🇨🇭", "🧑🏽\u200d⚕️"]
WORDS = ["breast", "cancer", "of", "the", "BRCA1", "gene", "in", "patients", "with", "Crohn", "disease"]


@pytest.fixture(scope="module", params=["crf", "viterbi", "argmax", "forward-argmax"])
def tagger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    if request.param == "crf":
        return Tagger.load(save_idcnn(tmp_path_factory.mktemp("bundle") / "model"), "cpu")
    decoders = dict.fromkeys(("medical", "cells"), request.param)
    return Tagger.load(save_tiny(tmp_path_factory.mktemp("bundle") / "model", decoders=decoders), "cpu")


def held(document: Document) -> str:
    """The texts of all entities."""
    return " ".join(entity.text for entity in document.iter_entities())


@pytest.mark.parametrize("picture", PICTURES)
def test_no_entity_holds_a_picture(tagger: Tagger, picture: str) -> None:
    """Between words, glued to them, in the middle of mentions, alone."""
    around = f"{picture} {' '.join(WORDS)}{picture}"
    texts = [f" {picture} ".join(WORDS), picture.join(WORDS), around, picture]
    found = tagger.tag(texts)
    assert any(list(document.iter_entities()) for document in found)
    assert not any(character in held(document) for document in found for character in picture)
    for document in found:
        for entity in document.iter_entities():
            assert document.text[entity.start : entity.end] == entity.text
            assert entity.score is not None
            assert 0.0 <= entity.score <= 1.0


def test_only_pictures_without_a_vector(tagger: Tagger) -> None:
    tokens = ["gene", "😷", "α", "°", "xyzzy", "\u200d"]
    encode = tagger.predictor.encode

    def outside(encoded: Encoded) -> list[int]:
        return encoded.outside.tolist()

    offsets = np.array([0, len(tokens)])
    assert outside(encode(StringColumn.from_list(tokens), offsets)) == [1]
    assert outside(encode(StringColumn.from_list(["a", "b"]), np.array([0, 2]))) == []


def test_the_other_tokens_keep_their_probabilities(tagger: Tagger) -> None:
    tokens = StringColumn.from_list(["breast", "😷", "cancer"])
    encoded = tagger.predictor.encode(tokens, np.array([0, 3]))
    with_rule = tagger.predictor.emissions(encoded)
    without = tagger.predictor.emissions(replace(encoded, outside=np.zeros(0, np.int64)))
    for head in tagger.bundle.tasks:
        assert torch.equal(with_rule[head.name][[0, 2]], without[head.name][[0, 2]])
        same = torch.equal(with_rule[head.name][1], without[head.name][1])
        assert same == (head.kind == "pos")


def test_evaluate_and_tag_say_the_same(tagger: Tagger, tmp_path: Path) -> None:
    """As columns: what is scored is what is written."""
    words = [token for picture in PICTURES for token in (*WORDS, picture)]
    path = tmp_path / "test.tsv"
    path.write_text("".join(f"{word}\tO\n" for word in words) + "\n", encoding="utf-8")
    (document,) = tagger.tag(read_documents(path), keep_tokens=True)
    assert isinstance(document.native, TokenLayer)
    for head in heads():
        if head.kind == "ner":
            own = tagger.bundle.task(head.name)
            predicted = score_corpus(tagger, Corpus.read(path), own).predicted
            written = [tag != "O" for tag in document.native.tags[head.name]]
            assert [own.tagset.names[tag] != "O" for tag in predicted.tolist()] == written
            assert any(written)
            assert not any(inside for inside, word in zip(written, words, strict=True) if word in PICTURES)
