"""Damaged leftovers of earlier runs, names that belong to the run, empty inputs, and workers left alone."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioner_fast import lifeline
from bioner_fast.cli.main import run
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.tagging.inputs import Input, output_names
from bioner_fast.tagging.manifest import JOURNAL_NAME, OutputFolder, ShardRecord
from bioner_fast.tagging.problems import BadDocument
from tiny_bundle import save_tiny

VALUES = [
    "null",
    "1e400",
    "-1",
    "1e308",
    '"x"',
    "[]",
    "{}",
    "true",
    "1" + "0" * 5000,
    "[" * 50_000,
    '"\\ud800"',
]
IDENTITY = {
    "run_version": 1,
    "package_version": "0.1.0",
    "model": {"path": "m", "sha256": "0" * 64},
    "settings": {"merge": False, "device": "cpu"},
}
RECORD = ShardRecord(
    "in/a.txt", "text", 3, "1" * 64, "a.jsonl", 4, "2" * 64, 1, 2, 3, (BadDocument("a", "1", "no"),)
)


def damage(value: object, rng: random.Random) -> str:
    """JSON of ``value`` with one of its parts exchanged."""
    places: list[tuple[object, object]] = []

    def walk(part: object) -> None:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, inner in items:
            places.append((part, key))
            walk(inner)

    content = json.loads(json.dumps(value))
    walk(content)
    parent, key = rng.choice(places)
    parent[key] = "@@"  # type: ignore[index]
    return json.dumps(content).replace('"@@"', rng.choice(VALUES))


@pytest.mark.parametrize("name", [JOURNAL_NAME, "manifest.json"])
@pytest.mark.parametrize("seed", range(int(os.environ.get("BIONER_FUZZ_SEEDS", "2"))))
def test_what_a_run_left_damaged_is_a_sentence_or_harmless(tmp_path: Path, name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    refused: list[str] = []
    for _ in range(150):
        if name == JOURNAL_NAME:
            lines = [IDENTITY, RECORD.to_json()]
            at = rng.randrange(2)
            text = "".join(
                (damage(line, rng) if i == at else json.dumps(line)) + "\n" for i, line in enumerate(lines)
            )
        else:
            text = damage({**IDENTITY, "inputs": [RECORD.to_json()], "files": {}}, rng)
        (tmp_path / name).write_text(text, encoding="utf-8")
        try:
            with OutputFolder(tmp_path, IDENTITY, resume=True):
                pass
        except BionerError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize(
    ("name", "refused"),
    [(".journal", True), (".JOURNAL", True), ("journal", False), ("manifest", False), (".journal.x", False)],
)
def test_inputs_named_like_what_the_run_writes_itself(name: str, refused: bool) -> None:
    inputs = [Input(f"in/{name}.txt", "text", name)]
    if refused:
        with pytest.raises(UsageError, match="which is the run's own; rename it"):
            output_names(inputs, "jsonl")
    else:
        assert output_names(inputs, "jsonl") == [f"{name}.jsonl"]


def test_an_empty_file_called_gz_is_no_empty_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny(tmp_path / "model")
    for name, content in (("a.txt.gz", b""), ("b.txt.gz", gzip.compress(b"")), ("c.tsv.gz", b"")):
        (tmp_path / name).write_bytes(content)
    assert run(["tag", "-m", str(model), str(tmp_path / "a.txt.gz"), "-o", str(tmp_path / "a.jsonl")]) == 1
    assert "a.txt.gz: the file is empty, not even compressed" in capsys.readouterr().err
    assert run(["tag", "-m", str(model), str(tmp_path / "b.txt.gz"), "-o", str(tmp_path / "b.jsonl")]) == 0
    assert run(["evaluate", str(tmp_path / "c.tsv.gz")]) == 1
    assert "c.tsv.gz: the file is empty, not even compressed" in capsys.readouterr().err


SLOW = "import time\ntime.sleep(60)\n"
PARENT = """
import multiprocessing, os, sys, time
from bioner_fast import lifeline
if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=lifeline.start, args=(os.getpid(), "slow_to_import", "main"))
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
def test_a_worker_that_still_imports_ends_with_its_parent(tmp_path: Path) -> None:
    mark = tmp_path / "importing"
    (tmp_path / "slow_to_import.py").write_text(f"open({str(mark)!r}, 'w').close()\n{SLOW}")
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while not mark.exists():
        assert parent.poll() is None
        time.sleep(0.01)
    assert _alive(child)
    parent.kill()
    parent.communicate()
    for _ in range(3000):  # of 10 ms: it sleeps twice as long
        if not _alive(child):
            break
        time.sleep(0.01)
    assert not _alive(child)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the call is Linux's")
def test_a_process_whose_parent_is_gone_already_ends(tmp_path: Path) -> None:
    code = "import sys; from bioner_fast.lifeline import tie; tie(int(sys.argv[1])); print('goes on')"
    arguments = [sys.executable, "-c", code]
    done = subprocess.run([*arguments, str(os.getpid())], capture_output=True, text=True)
    assert done.stdout == "goes on\n"
    done = subprocess.run([*arguments, "1"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert lifeline.untie() is None
