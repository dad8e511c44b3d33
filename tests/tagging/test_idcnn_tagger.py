"""An idcnn through the tagger: nothing depends on what text comes together."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.data.strings import StringColumn
from bioner_fast.tagging.tagger import Tagger
from tiny_idcnn import TOKENS, idcnn, save_idcnn, text


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return Tagger.load(save_idcnn(tmp_path_factory.mktemp("idcnn") / "model"), device="cpu")


def prose(seed: int, length: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(TOKENS) for _ in range(length))


def facts(documents) -> list[list[tuple[object, ...]]]:  # type: ignore[no-untyped-def]
    return [[(e.type, e.spans, e.text, e.task, e.score) for e in d.entities] for d in documents]


def test_results_do_not_depend_on_batches(tagger: Tagger) -> None:
    texts = [prose(seed, length) for seed, length in enumerate([3, 600, 0, 40, 1, 1100, 7, 515, 60])]
    expected = facts(tagger.tag(texts))
    assert sum(map(len, expected)) > 300
    for batch_tokens in (1, 100, 513, 10**9):
        assert facts(tagger.tag(texts, batch_tokens=batch_tokens)) == expected
    for one, alone in zip(texts, expected, strict=True):
        assert facts(tagger.tag([one])) == [alone]


def test_blocks_agree_with_one_pass_over_everything(tagger: Tagger) -> None:
    rng = random.Random(1)
    words = [rng.choice(TOKENS) for _ in range(1600)]
    for cuts in (
        [0, 1600],
        [0, 1, 2, 700, 1600],
        sorted({0, 1600, *(rng.randrange(1600) for _ in range(200))}),
    ):
        encoded = tagger.predictor.encode(StringColumn.from_list(words), np.array(cuts, np.int64))
        emissions = tagger.predictor.emissions(encoded)
        sentences = [words[a:b] for a, b in itertools.pairwise(cuts)]
        network = idcnn()
        network.embedding.words.data = network.embedding.words.half().float()
        whole = network.log_probabilities(text(sentences))
        for name, values in emissions.items():
            torch.testing.assert_close(values, whole[name], rtol=1e-4, atol=1e-4)


def test_scores_are_probabilities_under_the_chain(tagger: Tagger) -> None:
    for entity in tagger.tag([prose(9, 300)])[0].entities:
        assert 0 < entity.score <= 1


def test_a_newer_version_of_word_forms_is_refused(tmp_path: Path) -> None:
    import json

    from bioner_fast.errors import FormatError
    from bioner_fast.models.bundle import load_bundle

    path = save_idcnn(tmp_path / "model")
    facts_file = path / "bundle.json"
    content = json.loads(facts_file.read_text(encoding="utf-8"))
    assert content["features"]["word_forms_version"] == 1
    content["features"]["word_forms_version"] = 99
    facts_file.write_text(json.dumps(content), encoding="utf-8")
    (path / "manifest.json").unlink()
    from bioner_fast.files import atomic_directory

    with atomic_directory(tmp_path / "newer") as folder:
        for file in path.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(FormatError, match="word forms have version 99"):
        load_bundle(tmp_path / "newer")
