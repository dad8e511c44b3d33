"""Silver annotations: what models are sure of, and training on it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bioner_fast.cli.main import run as command
from bioner_fast.data.corpus import Corpus
from bioner_fast.data.tasks import load_task
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.bundle import load_bundle
from bioner_fast.pretraining.silver import make_silver
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from tiny_corpora import OTHERS, WORDS, small, write_task, write_vectors

IDCNN: dict[str, Any] = {
    "arch": "idcnn", "decoder": "crf", "channels": 8, "char_filters": 4, "affix_dim": 2, "warmup": 9,
    "average": 0.9, "patience": 0,
    "steps": None, "evaluate_every": None, "hidden": None, "filters": 100, "test": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two teachers of one task, and text."""
    made = tmp_path_factory.mktemp("silver")
    task = write_task(made / "Disease", "Disease")
    vectors = write_vectors(made / "words.txt")
    for seed in (1, 2):
        train(small((task,), made / f"teacher{seed}", **IDCNN, seed=seed, epochs=20, vectors=vectors))
    random = np.random.default_rng(5)
    words = [*WORDS["Disease"], *OTHERS[:-1], "unheard"]
    lines = [" ".join(random.choice(words, 7)) + " ." for _ in range(120)]
    (made / "text.txt").write_text("\n".join(lines) + "\n")
    return made


def silver(folder: Path, out: Path, *teachers: int, **changes: Any) -> tuple[Corpus, dict[str, Any]]:
    models = [folder / f"teacher{number}" / "model" for number in teachers]
    make_silver(models, [str(folder / "text.txt")], out, threads=1, precision="float32", **changes)
    facts = json.loads((out / "silver.json").read_text())
    return Corpus.read(out / "Disease" / "train.tsv"), facts


def sentences(corpus: Corpus) -> list[tuple[tuple[str, str], ...]]:
    pairs = list(zip(corpus.tokens.tolist(), corpus.tags(), strict=True))
    bounds = corpus.sentence_offsets.tolist()
    return [tuple(pairs[a:b]) for a, b in itertools.pairwise(bounds)]


def test_only_what_is_sure_is_kept(folder: Path, tmp_path: Path) -> None:
    everything, facts = silver(folder, tmp_path / "all", 1, min_score=0.0)
    assert everything.n_sentences == facts["tasks"]["Disease"]["seen"] == 120
    some, facts = silver(folder, tmp_path / "some", 1, min_score=0.9)
    assert 0 < some.n_sentences < 120
    assert facts["tasks"]["Disease"]["sentences"] == some.n_sentences
    assert set(sentences(some)) <= set(sentences(everything))
    tagger = Tagger.load(folder / "teacher1" / "model", threads=1, precision="float32")
    kept = {" ".join(token for token, _ in sentence) for sentence in sentences(some)}
    lines = (folder / "text.txt").read_text().splitlines()
    for line, document in zip(lines, tagger.tag(lines), strict=True):
        scores = [entity.score or 0.0 for entity in document.entities]
        if line in kept:
            assert min(scores, default=1.0) >= 0.9
        if min(scores, default=1.0) < 0.9:
            assert line not in kept


def test_teachers_have_to_agree(folder: Path, tmp_path: Path) -> None:
    parts = [sentences(silver(folder, tmp_path / str(n), n, min_score=0.6)[0]) for n in (1, 2)]
    both, facts = silver(folder, tmp_path / "both", 1, 2, min_score=0.6)
    assert set(sentences(both)) == set(parts[0]) & set(parts[1])
    assert len(facts["models"]) == 2
    assert all(len(digest) == 64 for digest in [*facts["models"].values(), *facts["text"].values()])


def test_limits_and_leaks(folder: Path, tmp_path: Path) -> None:
    few, _ = silver(folder, tmp_path / "few", 1, min_score=0.0, tokens=1)
    assert few.n_tokens
    corpus = tmp_path / "corpora" / "A"
    corpus.mkdir(parents=True)
    line = (folder / "text.txt").read_text().splitlines()[3]
    (corpus / "test.tsv").write_text("".join(f"{token}\tO\n" for token in line.split()) + "\n")
    less, _ = silver(folder, tmp_path / "less", 1, min_score=0.0, exclude=[str(tmp_path / "corpora")])
    texts = [" ".join(token for token, _ in sentence) for sentence in sentences(less)]
    assert line not in texts
    assert 110 < len(texts) < 120


def test_training_on_silver_first(folder: Path, tmp_path: Path) -> None:
    silver(folder, tmp_path / "silver", 1)
    vectors = str(folder / "words.txt")

    def config(out: str, **changes: Any) -> TrainConfig:
        values = {**IDCNN, "vectors": vectors, "epochs": 1} | changes
        return small((folder / "Disease",), tmp_path / out, **values)

    still = {"learning_rate": 1e-30, "average": 0.0}
    result = train(config("with", silver=str(tmp_path / "silver"), silver_epochs=3))
    assert load_task(str(tmp_path / "silver" / "Disease")).train is not None
    first = load_bundle(tmp_path / "with" / "silver" / "model")
    assert first.provenance["config"]["epochs"] == 3
    # The gold phase begins with these weights: judged before the first step, as --init-from is.
    lines = [json.loads(line) for line in (tmp_path / "with" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] > 0 for line in lines] == [False, True]
    assert lines[0]["devel"]["Disease"]["f1"] > 50
    assert load_bundle(result.model).provenance["init_from"]["tasks"] == ["Disease"]
    # Tags in another order in silver than in gold: by name, not by number.
    kept = train(config("still", silver=str(tmp_path / "silver"), silver_epochs=3, **still))
    old, new = (load_bundle(path) for path in (tmp_path / "still" / "silver" / "model", kept.model))
    theirs, ours = old.tasks[0].tagset.names, new.tasks[0].tagset.names
    order = [theirs.index(name) for name in ours]
    before, after = old.network.state_dict(), new.network.state_dict()
    assert torch.equal(after["input.weight"], before["input.weight"])
    assert torch.equal(after["heads.0.weight"], before["heads.0.weight"][order])
    assert torch.equal(after["chains.0.transitions"], before["chains.0.transitions"][order][:, order])


def test_bad_input_is_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, model = [str(folder / "text.txt")], folder / "teacher1" / "model"
    with pytest.raises(UsageError, match="--min-score"):
        make_silver([model], text, tmp_path / "a", min_score=2)
    with pytest.raises(UsageError, match="has no head 'Gene'; it has Disease"):
        make_silver([model], text, tmp_path / "a", heads=["Gene"])
    with pytest.raises(BionerError, match="no entity of Disease is sure enough"):
        make_silver([model], text, tmp_path / "a", min_score=1.0)
    assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError, match=r"it has no Disease/train\.tsv"):
        train(small((folder / "Disease",), tmp_path / "b", **IDCNN, silver=str(tmp_path), epochs=1))
    with pytest.raises(UsageError, match="--silver: take --arch idcnn"):
        small((folder / "Disease",), tmp_path / "b", silver=str(tmp_path), arch="cnn")
    arguments = ["silver", "--models", str(model), *text, "-o", str(tmp_path / "cli"), "--threads", "1"]
    assert command([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["Disease"]["sentences"] > 0
    assert command(arguments) == 1
