"""Starting from the weights of a trained model."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.batch import Batch
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.learning.step import Step
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.loop import Trainer
from bioner_fast.training.train import train
from tiny_corpora import small, write_task

IDCNN: dict[str, Any] = {
    "arch": "idcnn", "decoder": "crf", "channels": 8, "char_filters": 4, "affix_dim": 2, "warmup": 9,
    "epochs": 4, "steps": None, "evaluate_every": None, "hidden": None, "min_count": 1,
}  # fmt: skip
STILL = {"learning_rate": 1e-30, "epochs": 1, "average": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, and a model of two of them."""
    made = tmp_path_factory.mktemp("initial")
    tasks = tuple(write_task(made / kind, kind) for kind in ("Chemical", "Disease"))
    train(small(tasks, made / "both", **IDCNN))
    write_task(made / "pos", "pos")
    return made


def tuning(folder: Path, tasks: tuple[str, ...], out: Path, **changes: Any) -> TrainConfig:
    start = str(folder / "both" / "model")
    values = {**IDCNN, "init_from": start, "test": False} | changes
    return small(tuple(folder / task for task in tasks), out, **values)


def test_every_weight_that_fits_is_taken(folder: Path, tmp_path: Path) -> None:
    result = train(tuning(folder, ("pos", "Disease"), tmp_path / "out", **STILL))
    old, new = load_bundle(folder / "both" / "model"), load_bundle(result.model)
    before, after = old.network.state_dict(), new.network.state_dict()
    for name, value in after.items():
        if name.startswith(("heads.0", "chains.0", "embedding.words")):  # of parts of speech: a new task
            continue
        # The second task is the second there, too.
        assert torch.equal(value, before[name]), name
    assert not torch.equal(after["heads.0.weight"][:2], before["heads.0.weight"][:2])
    # Fine-tuned vectors: of the words that both know.
    for word in ("gout", "severe"):
        rows = [bundle.vocabulary.find(word) + 2 for bundle in (old, new)]
        assert torch.equal(before["embedding.words"][rows[0]], after["embedding.words"][rows[1]])
    origin = new.provenance["init_from"]
    assert origin["tasks"] == ["Disease"]
    assert origin["selected_step"] == old.provenance["selected_step"]
    assert len(origin["model"]) == 64
    assert result.tasks["Disease"]["devel"] == old.provenance["scores"]["Disease"]["devel"]


def test_heads_are_found_by_name_in_any_order(folder: Path, tmp_path: Path) -> None:
    result = train(tuning(folder, ("Disease",), tmp_path / "out", **STILL))
    before = load_bundle(folder / "both" / "model").network.state_dict()
    after = load_bundle(result.model).network.state_dict()
    assert torch.equal(after["heads.0.weight"], before["heads.1.weight"])
    assert torch.equal(after["chains.0.transitions"], before["chains.1.transitions"])


def test_tuning_is_reproducible_and_changes_weights(folder: Path, tmp_path: Path) -> None:
    models = [train(tuning(folder, ("Disease",), tmp_path / out)).model for out in ("a", "b")]
    states = [load_bundle(model).network.state_dict() for model in models]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    before = load_bundle(folder / "both" / "model").network.state_dict()
    assert not torch.equal(states[0]["input.weight"], before["input.weight"])


def test_weights_that_training_does_not_better_are_kept(folder: Path, tmp_path: Path) -> None:
    result = train(
        tuning(folder, ("Disease",), tmp_path / "out", **{**STILL, "learning_rate": 0.5, "clip": 0.0})
    )
    assert result.selected_step == 0
    old = load_bundle(folder / "both" / "model")
    assert result.tasks["Disease"]["devel"] == old.provenance["scores"]["Disease"]["devel"]
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [(json.loads(line)["epoch"], json.loads(line)["step"] > 0) for line in lines] == [
        (0, False),
        (1, True),
    ]


def test_stopped_and_resumed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = (
        tuning(folder, ("Disease",), tmp_path / n, checkpoint_every="2") for n in ("whole", "parts")
    )
    train(whole)
    original, done = Step.__call__, 0

    def step(self: Step, batch: Batch) -> torch.Tensor:
        nonlocal done
        done += 1
        if done > 9:
            raise RuntimeError("power cut")
        return original(self, batch)

    monkeypatch.setattr(Step, "__call__", step)
    with pytest.raises(RuntimeError, match="power cut"):
        train(parts)
    monkeypatch.setattr(Step, "__call__", original)
    train(parts, resume=True)
    for name in ("model/weights.safetensors", "model/embeddings.safetensors", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"channels": 9},
            "its channels is 8, here it would be 9; give the --channels that it was trained with",
        ),
        ({"dilations": (1, 2)}, "its dilations is [1, 2, 4], here it would be [1, 2]; give the --dilations"),
        ({"char_filters": 0}, "its char_filters is 4, here it would be 0"),
        ({"vector_dim": 12}, "its word_dim is 10, here it would be 12; give the --vectors"),
        ({"folding": False}, "it looks words up by other rules"),
        ({"scheme": "iob2"}, "its task Disease has other tags (O, B-Disease"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        train(tuning(folder, ("Disease",), tmp_path / "out", **changes))
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Trainer.run

    def spoilt(self: Trainer) -> None:
        self.state.network.get_parameter("heads.0.bias").data[0] = torch.nan
        original(self)

    monkeypatch.setattr(Trainer, "run", spoilt)
    with pytest.raises(BionerError, match=r"--init-from .*model: heads\.0\.bias has a weight of nan, which"):
        train(tuning(folder, ("Disease",), tmp_path / "out", average=0.0))


def test_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    model = str(folder / "both" / "model")
    with pytest.raises(UsageError, match="it is a idcnn, and --arch asks for a window network"):
        train(small((folder / "Disease",), tmp_path / "out", init_from=model))
    with pytest.raises(UsageError, match="--init-from: a dependent network cannot start from another"):
        small((folder / "pos", folder / "Disease"), tmp_path / "out", init_from=model, sharing="dependent")
    with pytest.raises(BionerError, match="no such folder"):
        train(small((folder / "Disease",), tmp_path / "out", init_from=str(tmp_path / "nowhere")))


def test_a_window_network_starts_from_one(folder: Path, tmp_path: Path) -> None:
    first = train(small((folder / "Disease",), tmp_path / "first", min_count=1))
    again = small(
        (folder / "Disease",), tmp_path / "again", min_count=1, init_from=str(first.model), epochs=1,
        learning_rate=1e-30,
    )  # fmt: skip
    assert train(again).tasks["Disease"] == first.tasks["Disease"]


def test_fixed_vectors_have_to_be_the_same(folder: Path, tmp_path: Path) -> None:
    def vectors(seed: int, words: tuple[str, ...] = ("gout", "asthma", "the", "of")) -> str:
        generator = torch.Generator().manual_seed(seed)
        lines = [
            f"{word} " + " ".join(f"{value:.3f}" for value in torch.randn(6, generator=generator).tolist())
            for word in words
        ]
        path = tmp_path / f"{seed}-{len(words)}.vec"
        path.write_text(f"{len(words)} 6\n" + "\n".join(lines) + "\n")
        return str(path)

    fixed = {**IDCNN, "vectors": vectors(1), "vector_dim": 100}
    first = train(small((folder / "Disease",), tmp_path / "first", **fixed))
    more = {**fixed, **STILL, "init_from": str(first.model), "seed": 5}
    again = train(small((folder / "Disease",), tmp_path / "again", **more))
    assert again.tasks["Disease"] == first.tasks["Disease"]
    # The same vectors for more or fewer words do.
    for words in (("gout", "asthma", "the", "of", "zinc"), ("gout", "asthma")):
        other = train(
            small((folder / "Disease",), tmp_path / f"{len(words)}", **{**more, "vectors": vectors(1, words)})
        )
        rows = load_bundle(other.model).network.embedding.words
        assert torch.equal(rows[2:4], load_bundle(first.model).network.embedding.words[2:4])
    with pytest.raises(UsageError, match="its word vectors are not those of this run; give the --vectors"):
        train(small((folder / "Disease",), tmp_path / "other", **{**more, "vectors": vectors(2)}))


def test_tags_are_matched_by_name(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Types in another order of first appearance, and one that the model does not know."""
    lines = (folder / "Disease" / "train.tsv").read_text()
    other = lines.replace("-Disease", "-Chemical")
    models: dict[str, Path] = {}
    for run, first, second in (("start", lines, other), ("again", other, lines)):
        place = tmp_path / run / "both"
        place.mkdir(parents=True)
        extra = "zinc\tB-New\nzinc\tI-New\n\n" if run == "again" else ""
        for split in ("train", "devel"):
            (place / f"{split}.tsv").write_text(f"{extra}{first}\n\n{second}")
        start: dict[str, Any] = {} if run == "start" else {"init_from": str(models["start"]), **STILL}
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="bioner_fast"):
            models[run] = train(small((place,), tmp_path / f"{run}-run", **(IDCNN | start))).model
    assert "of task both these are new, with new rows: New" in caplog.text
    old, new = (load_bundle(models[run]) for run in ("start", "again"))
    before, after = old.network.state_dict(), new.network.state_dict()
    theirs, ours = old.tasks[0].tagset, new.tasks[0].tagset
    assert (theirs.types, ours.types) == (("Disease", "Chemical"), ("New", "Chemical", "Disease"))
    here = [ours.index[name] for name in theirs.names]
    assert torch.equal(after["heads.0.weight"][here], before["heads.0.weight"])
    assert torch.equal(after["heads.0.bias"][here], before["heads.0.bias"])
    assert torch.equal(after["chains.0.transitions"][here][:, here], before["chains.0.transitions"])
    assert torch.equal(after["chains.0.start"][here], before["chains.0.start"])
