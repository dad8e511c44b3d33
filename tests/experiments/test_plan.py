from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import Known, write_corpora

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.corpora import find_corpora
from bioner_fast.experiments.plan import TUNING, Run, Settings, load_recipe, parse_overrides, run_id
from bioner_fast.experiments.programme import Programme
from bioner_fast.experiments.studies import STUDIES, chosen
from bioner_fast.training.config import TrainConfig

CORPORA = [Known(f"C{i}", train_tokens=1000 * (15 - i)) for i in range(15)] + [Known("GENIA-pos", "pos")]


def test_the_published_programme_has_its_size() -> None:
    counts = {name: (len(make(CORPORA).runs), len(make(CORPORA).required)) for name, make in STUDIES.items()}
    assert counts == {
        "single": (30, 30),
        "multi": (2, 2),
        "dependent": (15, 15),
        "pairs": (105, 3),
        # 15 corpora x 4 sizes x 2 kinds of training; uncut, the 15 joint runs are one.
        "size": (15 * 4 + 15 * 3 + 1, 0),
        "best": (31, 31),
    }


def test_required_pairs_are_those_of_the_smallest_corpora() -> None:
    pairs = STUDIES["pairs"](CORPORA)
    assert {task for run in pairs.required for task in run.tasks} == {"C12", "C13", "C14"}
    assert pairs.runs[:3] == pairs.required


def test_studies_share_runs() -> None:
    size, single, multi = (set(STUDIES[name](CORPORA).runs) for name in ("size", "single", "multi"))
    assert len(size & single) == 15
    assert len(size & multi) == 1


def test_a_study_that_the_corpora_do_not_allow_is_refused_by_name_and_left_out_of_all() -> None:
    one = [Known("A")]
    with pytest.raises(BionerError, match="experiment dependent: the corpora at hand do not suffice"):
        chosen(["dependent"], one)
    assert [study.name for study in chosen(["all"], one)] == ["single", "size", "best"]
    with pytest.raises(UsageError, match="there is no experiment tripel: expected single, multi"):
        chosen(["tripel"], one)


def test_a_shared_first_phase_is_planned_once_for_each_seed(tmp_path: Path) -> None:
    corpora = find_corpora(write_corpora(tmp_path), None)
    sizes = {corpus.name: corpus.train_tokens for corpus in corpora}

    def planned(vectors: str | None) -> list[int]:
        settings = Settings(overrides=parse_overrides(["epochs=2"]))
        known = {corpus.name: corpus for corpus in corpora}
        programme = Programme(chosen(["dependent"], corpora), known, settings, 2, vectors, None)
        return list(programme.planned_tokens(programme.runs()).values())

    pos, first, second = (2 * sizes[name] for name in ("GENIA-pos", "Aa-IOB", "Bb-IOB"))
    assert planned("vectors.bin") == [pos + first, second] * 2
    # The words of a pair make its vocabulary, so that nothing is shared.
    assert planned(None) == [pos + first, pos + second] * 2


@pytest.mark.parametrize("run", [run for make in STUDIES.values() for run in make(CORPORA[-3:]).runs])
def test_every_run_is_a_valid_training(run: Run) -> None:
    overrides = parse_overrides(
        ["epochs=3", "steps=10", "hidden=7", "filter_widths=3", "patience=1", "decoder=viterbi"]
    )
    values = Settings(overrides=overrides).of(run)
    config = TrainConfig(**values).resolved()
    assert config.arch == ("idcnn" if run.model == "best" else run.model)
    assert config.percent_keep == run.percent
    assert (config.epochs == 3) == (config.steps is None)
    assert config.steps in (None, 10)


def test_published_networks_decode_by_viterbi_unless_told_otherwise() -> None:
    run = Run("cnn", ("A",))
    assert Settings().of(run)["decoder"] == "viterbi"
    overrides = parse_overrides(["cnn.decoder=forward-argmax"])
    assert Settings(overrides=overrides).of(run)["decoder"] == "forward-argmax"
    assert Settings(overrides=overrides).of(Run("mlp", ("A",)))["decoder"] == "viterbi"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("epochs", "expected KEY=VALUE"),
        ("epoch=3", "expected KEY=VALUE with a setting of train"),
        ("rnn.epochs=3", "expected KEY=VALUE"),
        ("epochs=three", "expected int as value, found 'three'"),
        ("folding=maybe", "expected bool as value"),
        ("seed=3", "an experiment sets seed itself"),
        ("best.out=x", "an experiment sets out itself"),
    ],
)
def test_wrong_overrides_are_refused(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_overrides([pair])


def test_settings_survive_json() -> None:
    settings = Settings({"arch": "idcnn"}, parse_overrides(["epochs=2", "cnn.batch_size=9"]), True)
    assert Settings.from_json(settings.to_json()) == settings


def test_run_ids_tell_apart_whatever_may_change_the_outcome() -> None:
    run = Run("cnn", ("A-IOB",))
    base = run_id(run, {"epochs": 2}, {"vectors": "x"})
    others = [
        run_id(Run("cnn", ("A-IOB",), seed=2), {"epochs": 2}, {"vectors": "x"}),
        run_id(run, {"epochs": 3}, {"vectors": "x"}),
        run_id(run, {"epochs": 2}, {"vectors": "y"}),
        run_id(Run("cnn", ("A-IOB",), percent=0.5), {"epochs": 2}, {"vectors": "x"}),
    ]
    assert len({base, *others}) == 5
    assert base.startswith("cnn-single-A-s1-")
    assert others[-1].startswith("cnn-single-A-p50-s1-")


def test_tuned_runs_start_from_the_joint_run_of_their_seed_with_settings_of_their_own() -> None:
    joint, *rest = STUDIES["best"](CORPORA).runs
    tuned = next(run for run in rest if run.base)
    assert replace(tuned, seed=2).origin() == replace(joint, seed=2)
    assert joint.origin() is None
    overrides = parse_overrides(["tuned.epochs=2", "epochs=9", "best.channels=32"])
    ours, theirs = (Settings(overrides=overrides).of(run) for run in (tuned, joint))
    assert (ours["epochs"], theirs["epochs"]) == (2, 9)
    assert ours["channels"] == theirs["channels"] == 32
    assert Settings().of(tuned)["epochs"] == TUNING["epochs"]


def test_runs_from_before_there_was_a_base_keep_their_names() -> None:
    assert run_id(Run("best", ("A-IOB",)), {"epochs": 2}, {"vectors": "x"}) == "best-single-A-s1-31e642c3"


def test_a_recipe_holds_settings_but_no_tasks(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('arch = "idcnn"\nepochs = 4\n')
    assert load_recipe(recipe) == {"arch": "idcnn", "epochs": 4}
    recipe.write_text('arch = "idcnn"\nseed = 4\n')
    with pytest.raises(UsageError, match=r"recipe\.toml: an experiment sets seed itself"):
        load_recipe(recipe)


def test_planning_and_reporting_do_not_load_torch() -> None:
    modules = (
        "bioner_fast.experiments.programme, bioner_fast.experiments.report.build, bioner_fast.cli.experiment"
    )
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
