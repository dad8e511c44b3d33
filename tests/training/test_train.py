"""Whole runs on tiny corpora: what they leave, what is selected, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import read_predictions
from bioner_fast.data.scoring import score
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.bundle import load_bundle
from bioner_fast.training import train as training
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.meters import LOSS_EVERY, LossMeter
from bioner_fast.training.train import train
from tiny_corpora import small, write_task


@pytest.fixture
def disease(tmp_path: Path) -> Path:
    return write_task(tmp_path / "corpora" / "dis", "Disease")


@pytest.fixture
def chemical(tmp_path: Path) -> Path:
    return write_task(tmp_path / "corpora" / "chem", "Chemical")


@pytest.fixture
def pos(tmp_path: Path) -> Path:
    return write_task(tmp_path / "corpora" / "words-pos", "pos")


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_a_run_learns_and_leaves_what_the_contract_says(tmp_path: Path, disease: Path, arch: str) -> None:
    out = tmp_path / "run"
    result = train(small((disease,), out, arch=arch, epochs=8))
    assert result.tasks["dis"]["test"]["f1"] > 80
    assert set(result.tasks["dis"]["devel"]) == {"precision", "recall", "f1", "accuracy"}
    assert {p.name for p in out.iterdir()} == {
        "model",
        "config.toml",
        "metrics.jsonl",
        "predictions",
        "result.json",
    }
    assert TrainConfig.load(out / "config.toml").threads == 1
    lines = metrics(out)
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    # Selected is the best on devel, the first where there are several.
    best = max(line["devel"]["dis"]["f1"] for line in lines)
    assert result.selected_step == next(line["step"] for line in lines if line["devel"]["dis"]["f1"] == best)
    # The files of predictions give the reported scores.
    for split in ("devel", "test"):
        gold, ids, names = read_predictions(out / "predictions" / f"dis.{split}.tsv")
        found = score(gold, ids, names)
        assert found.f1 == pytest.approx(result.tasks["dis"][split]["f1"])
        assert found.accuracy == pytest.approx(result.tasks["dis"][split]["accuracy"])
    assert (
        load_bundle(out / "model").provenance["scores"]["dis"]["test"]["f1"]
        == result.tasks["dis"]["test"]["f1"]
    )
    assert not list(out.rglob("*.p*kl"))


def test_same_seed_same_bits(tmp_path: Path, disease: Path) -> None:
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(small((disease,), tmp_path / name, seed=seed, epochs=2))
        weights.append(load_file(tmp_path / name / "model" / "weights.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_multi_output(tmp_path: Path, disease: Path, chemical: Path) -> None:
    result = train(small((disease, chemical), tmp_path / "run", steps=90, evaluate_every=40))
    assert [line["step"] for line in metrics(tmp_path / "run")] == [40, 80, 90]
    assert set(result.tasks) == {"dis", "chem"}
    assert min(result.tasks[task]["test"]["f1"] for task in result.tasks) > 60
    means = {
        line["step"]: sum(line["devel"][task]["f1"] for task in ("dis", "chem")) / 2
        for line in metrics(tmp_path / "run")
    }
    assert means[result.selected_step] == max(means.values())


def test_dependent(tmp_path: Path, pos: Path, disease: Path) -> None:
    result = train(small((pos, disease), tmp_path / "run", sharing="dependent", epochs=5))
    lines = metrics(tmp_path / "run")
    assert [(line["phase"], *line["devel"]) for line in lines] == [(1, "words-pos")] * 5 + [(2, "dis")] * 5
    assert result.selected_step > lines[4]["step"]
    assert result.tasks["dis"]["test"]["f1"] > 70
    assert set(result.tasks["words-pos"]["test"]) == {"accuracy", "tags"}
    assert {"IN", "NN", "B"} <= set(result.tasks["words-pos"]["test"]["tags"])


def test_patience_is_of_the_last_phase(tmp_path: Path, pos: Path, disease: Path) -> None:
    settings = {"sharing": "dependent", "epochs": 4, "patience": 2}
    result = train(small((pos, disease), tmp_path / "run", **settings))
    lines = metrics(tmp_path / "run")
    assert [line["phase"] for line in lines[:6]] == [1] * 4 + [2] * 2
    assert result.selected_step > lines[3]["step"]


def test_pos_alone_is_selected_on_accuracy(tmp_path: Path, pos: Path) -> None:
    result = train(small((pos,), tmp_path / "run", epochs=10))
    assert "accuracy of words-pos" in result.selection
    assert result.tasks["words-pos"]["test"]["accuracy"] > 90


@pytest.mark.parametrize("decoder", ["argmax", "forward-argmax"])
def test_other_decoders(tmp_path: Path, disease: Path, decoder: str) -> None:
    result = train(small((disease,), tmp_path / "run", decoder=decoder, epochs=10))
    assert result.tasks["dis"]["test"]["f1"] > 60
    tables = load_bundle(tmp_path / "run" / "model").task().tables
    assert set(tables) == ({"transitions", "start"} if decoder == "forward-argmax" else set())


def test_percent_keep_trains_on_a_part(tmp_path: Path, disease: Path) -> None:
    whole = train(small((disease,), tmp_path / "a", epochs=1)).train_tokens
    part = train(small((disease,), tmp_path / "b", epochs=1, percent_keep=0.25)).train_tokens
    assert part == whole // 4


def test_sentence_batches_train(tmp_path: Path, disease: Path) -> None:
    assert (
        train(small((disease,), tmp_path / "run", batches="sentences", epochs=8)).tasks["dis"]["test"]["f1"]
        > 80
    )


def test_without_devel_the_last_step_is_kept(tmp_path: Path) -> None:
    task = write_task(tmp_path / "bare", "Disease", splits=("train", "test"))
    result = train(small((task,), tmp_path / "run"))
    assert result.selection == "bare: no devel split, so the last step is kept"
    assert result.selected_step == metrics(tmp_path / "run")[-1]["step"]
    assert set(result.tasks["bare"]) == {"test"}


def test_selection_last(tmp_path: Path, disease: Path) -> None:
    result = train(small((disease,), tmp_path / "run", selection="last"))
    assert result.selected_step == metrics(tmp_path / "run")[-1]["step"]


def test_selection_never_sees_test(tmp_path: Path, disease: Path) -> None:
    """Other tags in test change nothing but the test scores."""
    result = train(small((disease,), tmp_path / "a"))
    test = disease / "test.tsv"
    swapped = (
        test.read_text().replace("\tO", "\tx").replace("\tB-Disease", "\tO").replace("\tI-Disease", "\tO")
    )
    test.write_text(swapped.replace("\tx", "\tB-Disease"))
    other = train(small((disease,), tmp_path / "b"))
    assert other.selected_step == result.selected_step
    assert other.tasks["dis"]["devel"] == result.tasks["dis"]["devel"]
    assert other.tasks["dis"]["test"] != result.tasks["dis"]["test"]
    files = [tmp_path / name / "model" / "weights.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_without_test_the_split_is_not_even_read(tmp_path: Path, disease: Path) -> None:
    scored = train(small((disease,), tmp_path / "a"))
    (disease / "test.tsv").write_text("this is no corpus\n")
    blind = train(small((disease,), tmp_path / "b", test=False))
    assert set(blind.tasks["dis"]) == {"devel"}
    assert blind.tasks["dis"]["devel"] == scored.tasks["dis"]["devel"]
    assert [file.name for file in (tmp_path / "b" / "predictions").iterdir()] == ["dis.devel.tsv"]
    files = [tmp_path / name / "model" / "weights.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_is_not_replaced_unasked(tmp_path: Path, disease: Path) -> None:
    out = tmp_path / "run"
    config = small((disease,), out, epochs=1)
    train(config)
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(BionerError, match="--force"):
        train(config)
    assert (out / "metrics.jsonl").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    train(small((disease,), out, epochs=2), force=True)
    assert len(metrics(out)) == 2
    assert (out / "notes.txt").read_text() == "mine"


def stop_before_scoring(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and be stopped when the model is saved and the result is not."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "score_saved", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config)


def test_a_run_that_was_stopped_after_training_can_be_resumed(
    tmp_path: Path, disease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small((disease,), tmp_path / "run", epochs=1)
    stop_before_scoring(config, monkeypatch)
    assert (tmp_path / "run" / "model").is_dir()
    with pytest.raises(BionerError, match="pass --resume to go on with it"):
        train(config)
    assert train(config, resume=True).tasks["dis"]["test"]


def test_resuming_a_run_that_is_complete_gives_its_result(tmp_path: Path, disease: Path) -> None:
    first = train(small((disease,), tmp_path / "run", epochs=1))
    assert train(TrainConfig(out=str(tmp_path / "run")), resume=True) == first


def test_resuming_with_other_settings_is_refused(
    tmp_path: Path, disease: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small((disease,), tmp_path / "run", epochs=1)
    train(config)
    with pytest.raises(UsageError, match="--epochs"):
        train(small((disease,), tmp_path / "run", epochs=2), resume=True)
    with pytest.raises(BionerError, match="no run to resume"):
        train(TrainConfig(out=str(tmp_path / "none")), resume=True)
    # A default counts where it was asked for.
    out = ["--out", str(tmp_path / "run")]
    assert run(["train", "--resume", *out, "--arch", "cnn"]) == 0
    capsys.readouterr()
    assert run(["train", "--resume", *out, "--arch", "cnn", "--batch-size", "50"]) == 2
    assert "--resume: --batch-size is 50 here and 32 in" in capsys.readouterr().err
    assert run(["train", "--resume", *out, "--seed", "1", "--dropout", "0.5"]) == 2


@pytest.mark.parametrize("what", ["dis/train", "vectors"])
def test_resuming_with_other_data_is_refused(
    tmp_path: Path, disease: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("2 2\nthe 1 2\ngout 1 2\n")
    config = small((disease,), tmp_path / "run", vectors=str(vectors), epochs=1)
    stop_before_scoring(config, monkeypatch)
    name = what
    if what == "vectors":
        name = str(vectors)
        vectors.write_text("2 2\nthe 1 2\ngout 1 3\n")
    else:
        file = disease / "train.tsv"
        file.write_text(file.read_text() + "new\tO\n\n")
    with pytest.raises(UsageError, match=f"--resume: {re.escape(name)} is not what the run began with"):
        train(config, resume=True)


def test_divergence_ends_in_a_sentence(tmp_path: Path, disease: Path) -> None:
    with pytest.raises(BionerError, match="--learning-rate"):
        train(small((disease,), tmp_path / "run", arch="mlp", learning_rate=1e30))


@pytest.mark.parametrize(
    ("precision", "rate", "what"),
    [("float16", 1e6, r"embedding\.words has a weight of 99\d+"), ("float32", 1e39, "of (inf|nan)")],
)
def test_weights_that_no_loss_shows_are_divergence_too(
    tmp_path: Path, disease: Path, precision: str, rate: float, what: str
) -> None:
    # One step, whose loss is of the weights before it.
    changes = {"batch_size": 10_000, "epochs": 1, "optimizer": "adam", "learning_rate": rate}
    with pytest.raises(BionerError, match=f"training diverged: .*{what} after step 1; try a smaller"):
        train(small((disease,), tmp_path / "run", arch="mlp", vector_precision=precision, **changes))
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("tune_vectors", [False, True])
def test_vectors_too_large_for_the_model_are_refused(
    tmp_path: Path, disease: Path, tune_vectors: bool
) -> None:
    file = tmp_path / "v.txt"
    file.write_text("2 2\na 70000 1\nb 1 2\n")
    changes: dict[str, Any] = {"vectors": str(file), "tune_vectors": tune_vectors}
    with pytest.raises(BionerError, match="do not fit float16; give --vector-precision float32"):
        train(small((disease,), tmp_path / "run", **changes))


def test_missing_data_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BionerError):
        train(small(("nothing-here",), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_missing_data_leaves_the_run_that_would_be_replaced(tmp_path: Path, disease: Path) -> None:
    out = tmp_path / "run"
    train(small((disease,), out, epochs=1))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(BionerError, match="word-vector file"):
        train(small((disease,), out, epochs=1, vectors="nothing-here.bin"), force=True)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_vectors_that_are_not_finite_are_refused(tmp_path: Path, disease: Path, precision: str) -> None:
    file = tmp_path / "v.txt"
    file.write_text("2 2\na nan 1\nb 1 2\n")
    with pytest.raises(BionerError, match=r"v\.txt: some vectors have an infinity or NaN"):
        train(small((disease,), tmp_path / "run", vectors=str(file), vector_precision=precision))


def test_settings_are_a_train_config() -> None:
    with pytest.raises(TypeError, match="config: expected a TrainConfig, got dict"):
        train({"tasks": ["sample-disease"]})  # type: ignore[arg-type]


def test_no_train_split(tmp_path: Path, disease: Path) -> None:
    (disease / "train.tsv").unlink()
    with pytest.raises(BionerError, match=r"dis has no train\.tsv"):
        train(small((disease,), tmp_path / "run"))


def test_no_cuda(tmp_path: Path, disease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device cuda"):
        train(small((disease,), tmp_path / "run", device="cuda"))
    assert not (tmp_path / "run").exists()


def test_training_leaves_the_random_state_and_threads_alone(tmp_path: Path, disease: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(small((disease,), tmp_path / "run", epochs=1, threads=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_loss_is_read_rarely(tmp_path: Path, disease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = LossMeter.read
    monkeypatch.setattr(LossMeter, "read", lambda self: (reads.append(len(self.pending)), original(self))[1])
    train(small((disease,), tmp_path / "run", batch_size=1, epochs=1))
    assert set(reads[:-1]) == {LOSS_EVERY}
