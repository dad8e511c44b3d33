"""Experiments from the command line, with real processes on tiny corpora."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import quick_options, write_corpora

from bioner_fast.cli.main import run
from bioner_fast.data.tasks import load_task
from bioner_fast.experiments.counts import unpack
from bioner_fast.experiments.plan import Run
from bioner_fast.experiments.store import Store
from bioner_fast.files import sha256
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with every study."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(["experiment", "all", *quick_options(data, out)], debug=True) == 0
    return out


Start = Callable[[list[str], Path], subprocess.Popen[str]]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a programme and waits until a run of it has saved a checkpoint; none outlives the test."""
    programmes = []

    def checkpoints(out: Path) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/work/checkpoint/state.json")}

    def start(command: list[str], out: Path) -> subprocess.Popen[str]:
        before = checkpoints(out)
        # In a process group of its own, as a terminal starts it.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        )
        programmes.append(process)
        deadline = time.monotonic() + 120
        while checkpoints(out) == before:
            assert process.poll() is None, "it ended at once"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield start
    for process in programmes:
        process.kill()
        process.communicate()


def test_all_studies_run(whole: Path) -> None:
    results = Store(whole).results()
    kinds = [(r["run"].model, r["run"].sharing, r["run"].percent) for r in results]
    assert len(results) == 4 + 2 + 2 + 12 + 5  # single, multi (and the pair), dependent, size, best
    assert kinds.count(("cnn", "multi-output", 1.0)) == 2
    assert not Store(whole).failures()
    assert "not run" not in (whole / "report.md").read_text()


def test_a_result_holds_what_is_needed_to_believe_it(whole: Path, data: Path) -> None:
    result = next(r for r in Store(whole).results() if r["run"].model == "best" and len(r["run"].tasks) == 2)
    assert result["config"]["channels"] == 16
    assert not {"out", "data"} & set(result["config"])
    assert str(data) not in json.dumps({key: value for key, value in result.items() if key != "run"})
    assert result["command"].split()[0] == "bioner-fast"  # the rest are the arguments of this process
    [command] = Store(whole).commands()
    assert command.startswith(f"cd {shlex.quote(os.getcwd())} && bioner-fast")
    assert command in (whole / "report.md").read_text()
    assert {"version", "commit", "torch", "processor"} <= set(result["software"])
    test = load_task("Aa-IOB", data).test
    assert test is not None
    assert result["corpora"]["Aa-IOB"]["test"] == test.digest()
    counts = unpack(result["counts_per_sentence"]["test"]["Aa-IOB"])
    assert len(counts) == test.n_sentences
    tp, fp, fn = counts.sum(axis=0).tolist()
    assert 200 * tp / (2 * tp + fp + fn) == pytest.approx(result["scores"]["Aa-IOB"]["test"]["f1"])
    folder = whole / "runs" / result["id"]
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "predictions", "result.json"]


def test_the_published_networks_are_scored_on_test_at_every_evaluation(whole: Path) -> None:
    for result in Store(whole).results():
        run, history = result["run"], result["history"]
        if run.model == "best":
            assert not any("test" in record for record in history)
            continue
        assert all(set(record["test"]) == set(record["devel"]) for record in history)
        # What is scored while training is what the saved bundle gives.
        at = next(record for record in history if record["step"] == result["selected_step"])
        for task, f1 in at["test"].items():
            assert f1 == pytest.approx(result["scores"][task]["test"]["f1"])


def test_a_run_is_the_training_that_train_does(whole: Path, data: Path, tmp_path: Path) -> None:
    result = next(r for r in Store(whole).results() if r["run"] == Run("best", ("Aa-IOB",)))
    config = TrainConfig(
        **{
            **result["config"],
            "tasks": result["run"].tasks,
            "data": str(data),
            "out": str(tmp_path / "again"),
        }
    )
    again = train(config)
    assert json.loads(json.dumps(again.tasks)) == result["scores"]
    name = f"{result['run'].tasks[0]}.test.tsv"
    ours, theirs = (tmp_path / "again", whole / "runs" / result["id"])
    assert sha256(ours / "predictions" / name) == sha256(theirs / "predictions" / name)


def test_tuned_runs_go_on_from_the_joint_model(
    whole: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    results = {result["run"]: result for result in Store(whole).results()}
    pair = ("Aa-IOB", "Bb-IOB")
    joint, tuned = results[Run("best", pair, "multi-output")], results[Run("best", pair[:1], base=pair)]
    assert tuned["config"]["init_from"] == joint["id"]
    # Neither the joint run's model nor those of others are left.
    assert not list(whole.glob("runs/*/model"))
    # A tuned run whose joint model is gone makes it anew, and ends in the same scores.
    shutil.copytree(whole, out)
    shutil.rmtree(out / "runs" / tuned["id"])
    options = quick_options(data, out, "--only", "tuned-Aa")
    capsys.readouterr()
    assert run(["experiment", "best", *options, "--dry-run", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["runs"]) == {joint["id"], tuned["id"]}
    assert run(["experiment", "best", *options]) == 0
    again = Store(out).result(tuned["id"])
    assert again is not None
    assert again["scores"] == tuned["scores"]
    assert again["history"] == tuned["history"]
    assert not list(out.glob("runs/*/model"))


def test_models_that_were_asked_for_stay(data: Path, tmp_path: Path) -> None:
    options = quick_options(data, tmp_path, "--only", "tuned")
    for more in (["--keep-models"], [], ["--seeds", "2"]):  # those of the second seed are not
        assert run(["experiment", "best", *options, *more]) == 0
        models = tmp_path.glob("runs/*/model")
        assert sorted(path.parent.name.partition("-s1-")[0] for path in models) == [
            "best-multi-output-Aa+Bb",
            "best-tuned-Aa",
            "best-tuned-Bb",
        ]


def test_a_run_fails_with_the_one_that_it_starts_from(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--only",
        "tuned-",
        "--train",
        "best.learning_rate=1e30",
        "--train",
        "tuned.learning_rate=0.01",
    ]
    assert run(["experiment", "best", *quick_options(data, out, *options)]) == 1
    reasons = Store(out).failures()
    assert len(reasons) == 3
    assert (
        sum("which it starts from, failed: training diverged" in reason for reason in reasons.values()) == 2
    )


def test_the_first_phase_of_dependent_runs_is_trained_once(data: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "words.vec"
    vectors.write_text("3 4\nthe 1 0 0 1\ngout 0 1 0 1\nzinc 0 0 1 1\n")
    more = ["--vectors", str(vectors), "--train", "cnn.dropout=0.5"]
    out = tmp_path / "out"
    assert run(["experiment", "dependent", *quick_options(data, out, *more, "--jobs", "2")]) == 0
    results = Store(out).results()
    assert sorted(result["resumed"] for result in results) == [False, True]
    assert not (out / "phases").exists()
    # One after the other, by a call for each: what the second needs is kept for it.
    apart = tmp_path / "apart"
    for number, result in enumerate(results):
        options = quick_options(data, apart, *more, "--only", result["id"])
        assert run(["experiment", "dependent", *options]) == 0
        other = quick_options(data, apart, *more, "--only", "cnn-single-Aa")
        assert run(["experiment", "single", *other]) == 0  # it knows nothing of dependent runs
        assert (apart / "phases").exists() == (number == 0)
    dependent = [again for again in Store(apart).results() if again["run"].sharing == "dependent"]
    assert sorted(again["resumed"] for again in dependent) == [False, True]
    # Each alone, in a folder of its own, gives the same.
    for result in results:
        alone = tmp_path / result["id"]
        assert (
            run(["experiment", "dependent", *quick_options(data, alone, *more, "--only", result["id"])]) == 0
        )
        [again] = Store(alone).results()
        assert not again["resumed"]
        assert again["scores"] == result["scores"]
        assert again["history"] == result["history"]


def test_what_is_done_is_not_done_again(whole: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/result.json")}
    assert run(["experiment", "all", *quick_options(data, whole)]) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/result.json")} == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--train", "epochs=3"), "--train: the runs in"),
        (("--exclude-seen",), "--exclude-seen: the runs in"),
    ],
)
def test_a_folder_holds_runs_of_one_kind(
    whole: Path, data: Path, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["experiment", "single", *quick_options(data, whole, *more)]) == 2
    assert message in capsys.readouterr().err


def test_results_without_anything_else_still_report(whole: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    for path in whole.glob("runs/*/result.json"):
        target = record / path.relative_to(whole)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    assert run(["experiment", "report", "--out", str(record)]) == 0
    old, new = ((folder / "report.md").read_text() for folder in (whole, record))
    end = "## Contamination"
    # What the command changed is told by its folder, not by the results.
    changed, _, _ = old.partition(" The command changed settings")[2].partition("\n")
    assert changed
    old = old.replace(f" The command changed settings{changed}", "")
    assert old.partition(end)[0] == new.partition(end)[0]


def test_dry_run_lists_runs_and_trains_nothing(
    whole: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--seeds", "2", "--only", "best-single-Aa", "--dry-run", "--json"]
    assert run(["experiment", "best", *quick_options(data, whole, *more)]) == 0
    listed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert listed["done"] == 1
    [(name, seconds)] = listed["runs"].items()
    assert name.startswith("best-single-Aa-s2-")
    assert seconds > 0
    assert not (whole / "runs" / name).exists()


def test_only_takes_several_patterns(data: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--only", "best-single-Aa", "--only", "mlp-single-Bb", "--dry-run", "--json"]
    assert run(["experiment", "all", *quick_options(data, whole, *both)]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert run(["experiment", "all", *quick_options(data, whole, "--only", "xyz", *both)]) == 2
    assert "--only xyz: no run is called so" in capsys.readouterr().err


def test_dry_run_measures_where_nothing_was_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["experiment", "dependent", *quick_options(data, tmp_path / "new", "--dry-run")]) == 0
    said = capsys.readouterr().out
    assert "a short training" in said
    assert "2 runs, 0 of them done" in said
    assert not (tmp_path / "new").exists()


def test_a_run_that_fails_is_recorded_and_the_rest_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = quick_options(data, out, "--only", "single-Aa", "--train", "mlp.learning_rate=1e30")
    assert run(["experiment", "single", *options]) == 1
    assert "1 of the runs failed, the first of them mlp-single-Aa" in capsys.readouterr().err
    assert [result["run"].model for result in Store(out).results()] == ["cnn"]
    [(name, reason)] = Store(out).failures().items()
    assert name.startswith("mlp-single-Aa-s1-")
    assert "training diverged" in reason
    assert reason in (out / "report.md").read_text()


def test_sentences_seen_elsewhere_are_left_out_of_joint_training(data: Path, tmp_path: Path) -> None:
    shared = tmp_path / "corpora"
    shutil.copytree(data, shared)
    seen = (shared / "Aa-IOB" / "test.tsv").read_text().split("\n\n")[0]
    train = shared / "Bb-IOB" / "train.tsv"
    stripped = "\n".join(line.split("\t")[0] + "\tO" for line in seen.splitlines())
    train.write_text(f"{stripped}\n\n" + train.read_text())
    out = tmp_path / "out"
    assert run(["experiment", "best", *quick_options(shared, out, "--exclude-seen")]) == 0
    left_out = {result["run"].tasks: result["left_out"] for result in Store(out).results()}
    assert left_out[("Aa-IOB",)] == left_out[("Bb-IOB",)] == {}
    assert left_out[("Aa-IOB", "Bb-IOB")]["Bb-IOB"] >= 1
    assert "left out of training" in (out / "report.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a matter of POSIX")
def test_a_killed_programme_goes_on_where_it_stood(data: Path, tmp_path: Path, started: Start) -> None:
    options = ["--only", "best-single", "--train", "best.epochs=12", "--train", "checkpoint_every=4"]
    out, calm = tmp_path / "out", tmp_path / "calm"
    command = [sys.executable, "-m", "bioner_fast", "experiment", "best", *quick_options(data, out, *options)]
    process = started(command, out)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    _wait_until_unlocked(out)
    assert len(Store(out).results()) < 2

    # With other threads, and files that lie elsewhere: it keeps the former, and finds the latter.
    moved = shutil.copytree(data, tmp_path / "moved")
    command = [*command[:5], *quick_options(moved, out, *options, "--threads", "2")]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    results = {result["run"].tasks: result for result in Store(out).results()}
    assert len(results) == 2
    assert any(result["resumed"] for result in results.values())
    assert not list(out.glob("runs/*/work"))
    # Bit for bit what an undisturbed programme gives.
    assert run(["experiment", "best", *quick_options(data, calm, *options)]) == 0
    for result in Store(calm).results():
        assert results[result["run"].tasks]["counts_per_sentence"] == result["counts_per_sentence"]
        assert results[result["run"].tasks]["scores"] == result["scores"]


@pytest.mark.skipif(os.name == "nt", reason="signals to a process are POSIX")
def test_ctrl_c_before_the_first_step_is_no_failure(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bioner_fast", "experiment", "best", *quick_options(data, tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    deadline = time.monotonic() + 120
    while not (tmp_path / "logs").is_dir():  # the worker starts
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not Store(tmp_path).failures()


@pytest.mark.skipif(sys.platform != "linux", reason="child processes are found in /proc")
def test_ctrl_c_and_the_death_of_a_worker(data: Path, tmp_path: Path, started: Start) -> None:
    out = tmp_path / "out"
    options = ["--only", "best-single", "--train", "best.epochs=500", "--train", "best.patience=0"]
    options += ["--train", "checkpoint_every=1"]
    command = [sys.executable, "-m", "bioner_fast", "experiment", "best", *quick_options(data, out, *options)]

    process = started(command, out)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "bioner-fast: interrupted"
    assert not Store(out).results()
    assert not Store(out).failures()
    assert "KeyboardInterrupt" not in (out / "logs" / "worker-1.log").read_text()  # it came to its checkpoint
    [state] = out.glob("runs/*/work/checkpoint/state.json")
    step = json.loads(state.read_text())["step"]

    process = started(command, out)
    # Children are listed by the thread that started them.
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    [worker] = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    os.kill(worker, signal.SIGKILL)
    # The run at work is lost for now; a new worker goes on with the other.
    deadline = time.monotonic() + 120
    while len(list(out.glob("runs/*/work/config.toml"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    [(name, reason)] = Store(out).failures().items()
    assert reason == "its process was killed by signal 9; memory may have run out"
    assert (
        json.loads((out / "runs" / name / "work" / "checkpoint" / "state.json").read_text())["step"] >= step
    )
    process.kill()
    _wait_until_unlocked(out)


def _wait_until_unlocked(out: Path) -> None:
    """Until the worker has ended too: its input ended with the programme."""
    from bioner_fast.experiments.store import locked

    for path in (out / "locks").iterdir():
        deadline = time.monotonic() + 60
        while True:
            with locked(path) as mine:
                if mine:
                    break
            assert time.monotonic() < deadline, "a worker outlives its programme"
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["single"], 2, "--data: name the folder of the corpora"),
        (["twice", "--corpora", "sample-disease"], 2, "there is no experiment twice"),
        (["single", "--corpora", "sample-disease", "--only", "xyz"], 2, "--only xyz: no run is called so"),
        (["dependent", "--corpora", "sample-disease"], 1, "the corpora at hand do not suffice"),
        (["single", "--corpora", "nowhere"], 1, "no task and no folder nowhere"),
        (["single", "--corpora", "sample-disease", "--train", "x=1"], 2, "--train x=1: expected KEY=VALUE"),
        (
            ["single", "--corpora", "sample-disease", "--train", "epochs=0"],
            2,
            "--epochs: expected at least 1",
        ),
        (["report"], 1, "holds no results"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["experiment", *arguments, "--out", str(tmp_path / "out")]) == status
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
