"""Runs over many files: manifest, errors, resumption, workers; killed and resumed with real processes."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import BionerError
from bioner_fast.files import sha256, verify_directory
from bioner_fast.formats.registry import read_documents
from bioner_fast.models.bundle import Inference, add_inference, load_bundle
from bioner_fast.tagging.inputs import find_inputs
from bioner_fast.tagging.manifest import JOURNAL_NAME, OutputFolder, digest_input, run_identity
from bioner_fast.tagging.precision import observe
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny
from tiny_idcnn import save_idcnn

WORDS = "the BRCA1 protein of a breast cancer cell , TNF - alpha and Crohn disease in patients ."
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX matter")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of inputs of several formats, one of them below."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.lines").write_text("breast cancer\nBRCA1 gene\n", encoding="utf-8")
    (folder / "sub" / "a.txt").write_text("Crohn disease — α", encoding="utf-8")
    with gzip.open(folder / "b.jsonl.gz", "wt", encoding="utf-8") as out:
        out.write('{"id": "x", "text": "TNF cell"}\n')
    (folder / "c.PubTator").write_text("1|t|BRCA1\n1|a|tumor cell\n\n", encoding="utf-8")
    (folder / "notes.md").write_text("not for tagging", encoding="utf-8")
    (folder / ".hidden.txt").write_text("no", encoding="utf-8")
    return folder


def _tag(*arguments: object) -> int:
    return run(["tag", *map(str, arguments)])


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def _manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return content


def test_a_folder_becomes_a_folder_with_a_manifest(model: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _tag("-m", model, corpus, "-o", f"{out}/", "--output-format", "jsonl") == 0
    assert set(_tree(out)) == {"a.lines.jsonl", "b.jsonl", "c.jsonl", "sub/a.jsonl", "manifest.json"}
    content = _manifest(out)
    assert [entry["input"] for entry in content["inputs"]] == [
        str(corpus / name) for name in ("a.lines", "b.jsonl.gz", "c.PubTator", "sub/a.txt")
    ]
    first = content["inputs"][0]
    lines = (out / "a.lines.jsonl").read_text(encoding="utf-8").splitlines()
    assert (first["documents"], first["tokens"]) == (2, 4)
    assert first["entities"] == sum(len(json.loads(line)["entities"]) for line in lines) > 0
    assert first["input_sha256"] == sha256(corpus / "a.lines")
    assert first["input_bytes"] == (corpus / "a.lines").stat().st_size
    assert content["totals"]["documents"] == 5
    assert content["model"]["sha256"] == sha256(model / "manifest.json")
    verify_directory(out)
    (out / "b.jsonl").write_bytes(b"{}\n")
    with pytest.raises(BionerError, match=r"b\.jsonl is not whole"):
        verify_directory(out)


def test_workers_give_the_same_bytes(model: Path, corpus: Path, tmp_path: Path) -> None:
    assert _tag("-m", model, corpus, "-o", f"{tmp_path / 'one'}/", "--threads", 1) == 0
    assert _tag("-m", model, corpus, "-o", f"{tmp_path / 'two'}/", "--threads", 2, "--workers", 2) == 0
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


def test_resume_does_only_what_is_missing_damaged_or_changed(
    model: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    arguments = ("-m", model, corpus, "-o", f"{out}/")
    assert _tag(*arguments) == 0
    whole = _tree(out)
    stamps = {file: file.stat().st_mtime_ns for file in out.rglob("*.jsonl")}
    (out / "b.jsonl").write_bytes(whole["b.jsonl"][:-1])
    (out / "sub" / "a.jsonl").unlink()
    assert _tag(*arguments, "--resume") == 0
    assert _tree(out) == whole
    assert "b.jsonl.gz is tagged again: its output is not whole" in caplog.text
    assert "a.txt is tagged again: its output is missing" in caplog.text
    untouched = out / "a.lines.jsonl"
    assert untouched.stat().st_mtime_ns == stamps[untouched]
    (corpus / "a.lines").write_text("breast cancer\nBRCA2 gene\n", encoding="utf-8")
    assert _tag(*arguments, "--resume") == 0
    assert "a.lines is tagged again: it has changed" in caplog.text
    assert "BRCA2" in untouched.read_text(encoding="utf-8")
    (corpus / "sub" / "a.txt").write_text("Crohn disease\ncell\n", encoding="utf-8")
    (corpus / "sub" / "a.txt").rename(corpus / "z.txt")
    arguments = ("-m", model, corpus / "z.txt", "-o", f"{tmp_path / 'text'}/")
    assert _tag(*arguments) == 0
    assert _tag(*arguments, "--lines", "--resume") == 0
    assert "z.txt is tagged again: it was read as text" in caplog.text
    assert len((tmp_path / "text" / "z.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_resume_refuses_another_model_or_other_settings(
    model: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"{tmp_path / 'out'}/"
    assert _tag("-m", model, corpus, "-o", out) == 0
    before = _tree(tmp_path / "out")
    capsys.readouterr()
    other = save_tiny(tmp_path / "other", filters=(3, 5))
    for arguments, message in (
        (("-m", model, corpus, "-o", out), "an earlier run; go on with --resume"),
        (("-m", other, corpus, "-o", out, "--resume"), f"was begun with the model {model}, which is not"),
        (
            ("-m", model, corpus, "-o", out, "--resume", "--merge"),
            "with overlaps as the model says, not best",
        ),
    ):
        assert _tag(*arguments) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
        assert _tree(tmp_path / "out") == before
    assert _tag("-m", other, corpus, "-o", out, "--force") == 0
    assert _manifest(tmp_path / "out")["model"]["path"] == str(other)


def test_resume_knows_what_auto_came_to(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = save_idcnn(tmp_path / "model"), tmp_path / "out"
    arguments = ("-m", model, corpus, "-o", f"{out}/", "--device", "cpu", "--resume")
    monkeypatch.setattr("bioner_fast.ops.infer.is_native", lambda name: True)
    add_inference(
        model,
        Inference(
            observe(load_bundle(model), [Corpus.from_sentences([[("TNF", "O")]])]),
            {},
            ("float32", "bfloat16"),
        ),
    )
    assert _tag(*arguments) == 0
    settings = _manifest(out)["settings"]
    assert (settings["device"], settings["precision"]) == ("cpu", "bfloat16")
    assert Tagger.load(model, "cpu").predictor.precision == "bfloat16"
    assert _tag(*arguments) == 0
    assert _tag(*arguments, "--precision", "bfloat16") == 0
    monkeypatch.setattr("bioner_fast.ops.infer.is_native", lambda name: name == "float32")
    assert _tag(*arguments) == 1
    assert "was begun with precision bfloat16, not float32" in capsys.readouterr().err
    assert _tag(*arguments, "--precision", "bfloat16") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in.lines", "--resume"), "name a folder with -o"),
        (("in.lines", "--workers", "2", "-o", "out.jsonl"), "out.jsonl is no folder"),
        (("in.lines", "--resume", "-o", "out/", "--output-format", "brat"), "brat one folder for all"),
        (("-", "--resume", "-o", "out/"), "standard input (-) can be neither resumed"),
        (("in.lines", "--workers", "0", "-o", "out/"), "--workers"),
    ],
)
def test_what_cannot_be_resumed(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.lines").write_text("cancer\n", encoding="utf-8")
    assert _tag("-m", model, *arguments) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["in.lines"]


def test_bad_documents_and_broken_inputs_do_not_stop_a_run(
    model: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "bad.jsonl").write_text(
        '{"id": "g1", "text": "breast cancer"}\n{"id": "b1", "text": 3}\nno json\n{"id": "g2", "text": ""}\n',
        encoding="utf-8",
    )
    packed = gzip.compress(b"breast cancer\n" * 1000)
    (corpus / "cut.lines.gz").write_bytes(packed[:-20])
    out = tmp_path / "out"
    assert _tag("-m", model, corpus, "-o", f"{out}/") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("bioner-fast: 1 of 6 inputs could not be read")
    assert "cut.lines.gz: the compressed data ends early" in error
    errors = [json.loads(line) for line in (out / "errors.ndjson").read_text().splitlines()]
    assert [(Path(e["file"]).name, e["id"], e.get("line")) for e in errors] == [
        ("bad.jsonl", "b1", 2),
        ("bad.jsonl", None, 3),
        ("cut.lines.gz", None, None),
    ]
    assert errors[0]["reason"] == 'expected "text" to be a string, found a number'
    kept = [json.loads(line)["id"] for line in (out / "bad.jsonl").read_text().splitlines()]
    assert kept == ["g1", "g2"]
    assert not list(out.glob("cut*"))
    assert not list(out.rglob(".*"))
    verify_directory(out)
    # Mended, the run goes on where it was and the errors that are gone are listed no more.
    (corpus / "cut.lines.gz").write_bytes(packed)
    assert _tag("-m", model, corpus, "-o", f"{out}/", "--resume") == 0
    assert len((out / "errors.ndjson").read_text().splitlines()) == 2
    assert _manifest(out)["totals"] | {"entities": 0, "tokens": 0} == {
        "documents": 1007, "tokens": 0, "entities": 0, "errors": 2
    }  # fmt: skip
    assert len((out / "cut.lines.jsonl").read_text().splitlines()) == 1000


@pytest.mark.parametrize("workers", [1, 2])
def test_an_input_that_breaks_loses_its_old_output(
    model: Path, corpus: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    arguments = ("-m", model, corpus, "-o", f"{out}/", "--workers", workers)
    assert _tag(*arguments) == 0
    (corpus / "b.jsonl.gz").write_bytes((corpus / "b.jsonl.gz").read_bytes()[:-5])
    (corpus / "a.lines").write_bytes(b"\xff\n")
    assert _tag(*arguments, "--resume" if workers == 1 else "--force") == 1
    assert set(_tree(out)) == {"c.jsonl", "sub/a.jsonl", "manifest.json", "errors.ndjson"}
    verify_directory(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_stops_at_the_first_bad_document(
    model: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    (corpus / "bad.jsonl").write_text('{"id": "b1", "text": 3}\n', encoding="utf-8")
    out = tmp_path / "out"
    assert _tag("-m", model, corpus, "-o", f"{out}/", "--strict", "--workers", workers) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f'bioner-fast: {corpus / "bad.jsonl"}:1: document b1: expected "text" to be a string, found a number'
    )
    assert not (out / "manifest.json").exists()
    assert not (out / "bad.jsonl").exists()


def test_errors_of_a_single_output(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source, out, errors = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    source.write_text('{"text": 3}\n{"text": "breast cancer"}\n', encoding="utf-8")
    assert _tag("-m", model, source, "-o", out, "--errors", errors) == 0
    assert [json.loads(line) for line in errors.read_text().splitlines()] == [
        {
            "file": str(source),
            "id": "1",
            "line": 1,
            "reason": 'expected "text" to be a string, found a number',
        }
    ]
    assert len(out.read_text().splitlines()) == 1
    # Without a file for them they are told; a run that has nothing else fails.
    source.write_text('{"text": 3}\n', encoding="utf-8")
    assert _tag("-m", model, source, "-o", out, "--force") == 1
    assert "in.jsonl:1: document 1: expected" in capsys.readouterr().err
    assert "left out" in caplog.text
    assert len(out.read_text().splitlines()) == 1


def test_the_file_of_errors_is_of_the_last_run(model: Path, tmp_path: Path) -> None:
    source, out, errors = tmp_path / "in.jsonl", tmp_path / "out", tmp_path / "errors.jsonl"
    arguments = ("-m", model, source, "-o", f"{out}/", "--resume")
    source.write_text('{"text": 3}\n{"text": "breast cancer"}\n', encoding="utf-8")
    assert _tag(*arguments) == 0
    assert (out / "errors.ndjson").exists()
    assert _tag(*arguments, "--errors", errors) == 0
    assert len(errors.read_text().splitlines()) == 1
    assert not (out / "errors.ndjson").exists()  # nobody would write it anew
    source.write_text('{"text": "breast cancer"}\n', encoding="utf-8")
    assert _tag(*arguments, "--errors", errors) == 0
    assert errors.read_bytes() == b""
    errors.write_text("old")
    assert _tag("-m", model, source, "-o", tmp_path / "out.jsonl", "--errors", errors) == 0
    assert errors.read_bytes() == b""


def test_a_document_that_the_output_cannot_hold(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a|b", "text": "TNF"}\n{"id": "c", "text": "TNF"}\n')
    out = tmp_path / "out"
    assert _tag("-m", model, tmp_path / "in.jsonl", "-o", f"{out}/", "--output-format", "pubtator") == 0
    (error,) = [json.loads(line) for line in (out / "errors.ndjson").read_text().splitlines()]
    assert (error["file"], error["id"]) == (str(tmp_path / "in.jsonl"), "a|b")
    assert _manifest(out)["totals"]["documents"] == 1
    assert (out / "in.pubtator").read_text().startswith("c|t|TNF")


def test_two_runs_do_not_share_a_folder(model: Path, tmp_path: Path) -> None:
    identity = run_identity(model, {})
    with (
        OutputFolder(tmp_path / "out", identity),
        pytest.raises(BionerError, match="written by another run"),
    ):
        OutputFolder(tmp_path / "out", identity)
    with OutputFolder(tmp_path / "out", identity) as folder:
        assert not folder.resuming


def test_a_damaged_journal_is_one_sentence(model: Path, tmp_path: Path) -> None:
    (tmp_path / JOURNAL_NAME).write_text("{}\n[]\n", encoding="utf-8")
    with pytest.raises(BionerError, match="expected the journal of a run"):
        OutputFolder(tmp_path, run_identity(model, {}), resume=True)
    (tmp_path / JOURNAL_NAME).unlink()
    (tmp_path / "manifest.json").write_text('{"files": {}}', encoding="utf-8")
    with pytest.raises(BionerError, match="expected the manifest of a tagging run"):
        OutputFolder(tmp_path, run_identity(model, {}), resume=True)


def test_folders_of_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    with pytest.raises(BionerError, match="holds no files of a known format"):
        find_inputs([str(tmp_path)])
    assert [one.format for one in find_inputs([str(tmp_path)], "text")] == ["text"]


def test_outputs_below_the_inputs_are_no_inputs(
    model: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    for _ in range(2):
        assert _tag("-m", model, ".", "-o", "out/", "--resume") == 0
        assert len(_manifest(corpus / "out")["inputs"]) == 4
    # Nor does a brat folder of outputs make the inputs one.
    (corpus / "sub" / "brat").mkdir()
    (corpus / "sub" / "brat" / "a.ann").write_text("")
    assert [one.format for one in find_inputs([str(corpus)])] == ["brat"]
    found = find_inputs([str(corpus)], output="sub/brat/")
    assert {one.format for one in found} == {"lines", "jsonl", "pubtator", "text"}


@POSIX
def test_symbolic_links_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, other in ((one, two), (two, one)):
        folder.mkdir()
        (folder / f"{folder.name}.txt").write_text("TNF")
        (folder / "to").symlink_to(other)
        (folder / "self").symlink_to(".")
    assert [found.name for found in find_inputs([str(one)])] == ["one", "to/two"]
    (two / "two.ann").write_text("")
    assert [found.format for found in find_inputs([str(one)])] == ["brat"]
    before = digest_input(str(one))
    assert [document.id for document in read_documents(one)] == ["one", "two"]
    (two / "two.txt").write_text("BRCA1")
    assert digest_input(str(one)) != before


def test_a_folder_that_cannot_be_read_is_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if os.path.basename(path) == "sub":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BionerError, match=r"sub: cannot be read: Permission denied"):
        find_inputs([str(corpus)])
    with pytest.raises(BionerError, match=r"sub: cannot be read: Permission denied"):
        list(read_documents(corpus, "brat"))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that root cannot read either")
def test_a_file_that_cannot_be_read_does_not_stop_a_run(
    model: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    source = corpus / "sub" / "a.txt"
    assert _tag("-m", model, corpus, "-o", f"{out}/") == 0
    source.unlink()
    source.symlink_to("/proc/self/mem")
    assert _tag("-m", model, corpus, "-o", f"{out}/", "--resume") == 1
    assert f"{source} is tagged again: it cannot be read" in caplog.text
    (error,) = [json.loads(line) for line in (out / "errors.ndjson").read_text().splitlines()]
    assert error == {"file": str(source), "id": None, "reason": "Input/output error"}
    assert _manifest(out)["totals"]["documents"] == 4


@POSIX
@pytest.mark.parametrize("format", ["jsonl", "conll", "pubtator", "bioc-xml", "bioc-json"])
def test_names_that_are_not_utf8(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    names = [os.fsdecode(name) for name in (b"caf\xe9.txt", b"x-caf\xe9.jsonl")]
    try:
        (folder / names[0]).write_text("breast cancer — α", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such names")
    (folder / names[1]).write_text('{"id": "é", "text": 3}\n{"text": "TNF"}\n', encoding="utf-8")
    arguments = ("-m", model, folder, "-o", f"{out}/", "--output-format", format, "--resume", "--json")
    assert _tag(*arguments) == 0
    capsys.readouterr()
    before = _tree(out)
    assert _tag(*arguments) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["resumed"], done["documents"], len(done["outputs"])) == (2, 2, 2)
    assert _tree(out) == before
    assert [entry["input"] for entry in _manifest(out)["inputs"]] == [
        str(folder / names[0]), str(folder / names[1])
    ]  # fmt: skip
    (error,) = (out / "errors.ndjson").read_text(encoding="utf-8").splitlines()
    assert json.loads(error)["file"] == str(folder / names[1])
    assert '"é"' in error  # what is Unicode stays readable
    verify_directory(out)


@POSIX
def test_standoff_under_a_name_that_is_not_utf8(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for ending in (b".txt", b".ann"):
        try:
            (folder / os.fsdecode(b"caf\xe9" + ending)).write_text("" if ending == b".ann" else "TNF")
        except OSError:
            pytest.skip("this file system takes no such names")
    for _ in range(2):
        assert _tag("-m", model, folder, "-o", f"{out}/", "--resume") == 0
    assert _manifest(out)["totals"]["documents"] == 1


# Real processes from here on.


def _many(folder: Path, files: int, documents: int) -> None:
    folder.mkdir()
    for index in range(files):
        (folder / f"{index:02}.lines").write_text(
            "".join(f"{number} {WORDS * 3}\n" for number in range(documents)), encoding="utf-8"
        )


def _start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bioner_fast", "tag", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _wait_for(condition: Any, process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if condition() or process.poll() is not None:
            break
        time.sleep(0.01)
    assert condition(), process.stderr.read() if process.stderr else b""


def _gone(pids: list[int]) -> bool:
    def alive(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        return state not in "ZX"

    for _ in range(1000):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.01)
    return False


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


@POSIX
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_gives_the_same_bytes(model: Path, tmp_path: Path, workers: int) -> None:
    _many(tmp_path / "in", 12, 60)
    common = ("-m", model, tmp_path / "in", "--threads", workers, "--workers", workers)
    process = _start(*common, "-o", f"{tmp_path / 'killed'}/")
    out = tmp_path / "killed"
    _wait_for(lambda: len(list(out.glob("*.jsonl"))) >= 3, process)
    children = _children(process.pid)
    process.kill()
    process.communicate()
    assert _gone(children)  # workers end with their parent
    done = len(list(out.glob("*.jsonl")))
    assert 3 <= done < 12
    assert (out / JOURNAL_NAME).exists()
    assert not (out / "manifest.json").exists()
    with open(out / JOURNAL_NAME, "a") as journal:  # as if the kill had come while a line was written
        journal.write('{"input": "in/9')
    (out / ".11.lines.jsonl.abcdefgh.tmp").write_text("half")
    assert _tag(*common, "-o", f"{out}/", "--resume") == 0
    assert _tag(*common, "-o", f"{tmp_path / 'whole'}/") == 0
    assert _tree(out) == _tree(tmp_path / "whole")
    assert len(_tree(out)) == 13


@POSIX
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_one_line_and_can_be_resumed(model: Path, tmp_path: Path, workers: int) -> None:
    _many(tmp_path / "in", 12, 60)
    out = tmp_path / "out"
    arguments = ("-m", model, tmp_path / "in", "-o", f"{out}/", "--threads", workers, "--workers", workers)
    process = _start(*arguments)
    _wait_for(lambda: len(list(out.glob("*.jsonl"))) >= 2, process)
    children = _children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.decode().splitlines()[-1] == "bioner-fast: interrupted"
    assert b"Traceback" not in error
    assert _gone(children)
    assert not list(out.glob("*.tmp"))
    assert not list(out.glob(".*.tmp"))
    assert _tag(*arguments, "--resume") == 0
    assert len(_manifest(out)["inputs"]) == 12


@POSIX
def test_a_worker_that_is_killed_ends_the_run_in_a_sentence(model: Path, tmp_path: Path) -> None:
    _many(tmp_path / "in", 12, 60)
    out = tmp_path / "out"
    process = _start("-m", model, tmp_path / "in", "-o", f"{out}/", "--threads", 2, "--workers", 2)
    _wait_for(lambda: len(list(out.glob("*.jsonl"))) >= 2, process)
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in _children(process.pid)}
    os.kill(next(child for child, command in commands.items() if b"spawn_main" in command), signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by signal 9" in error.decode().splitlines()[-1]
    assert "--resume" in error.decode().splitlines()[-1]


def test_a_folder_goes_into_a_folder_without_a_slash(model: Path, corpus: Path, tmp_path: Path) -> None:
    assert _tag("--model", model, corpus, "-o", tmp_path / "new") == 0
    assert _tag("--model", model, corpus, "-o", f"{tmp_path / 'old'}/") == 0
    assert _tree(tmp_path / "new").keys() == _tree(tmp_path / "old").keys()
    assert (tmp_path / "new" / "sub" / "a.jsonl").is_file()
