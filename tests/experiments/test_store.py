from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import write_corpora

from bioner_fast.errors import UsageError
from bioner_fast.experiments.corpora import find_corpora
from bioner_fast.experiments.plan import Settings
from bioner_fast.experiments.store import Store, locked

VECTORS = {"name": "v.bin", "bytes": 3, "sha256": "abc"}


def test_the_recipe_counts_from_the_first_run_of_best(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.bind([], VECTORS, Settings(), has_best=False)
    store.bind([], VECTORS, Settings({"epochs": 4}))
    store.bind([], VECTORS, Settings(), has_best=False)
    assert store.read()["settings"]["recipe"] == {"epochs": 4}
    with pytest.raises(UsageError, match=r"--config: the runs in .* have .*4.*, not .*5"):
        store.bind([], VECTORS, Settings({"epochs": 5}))


def test_other_vectors_and_corpora_are_refused(tmp_path: Path) -> None:
    data = write_corpora(tmp_path / "data")
    store = Store(tmp_path / "out")
    store.bind(find_corpora(data, ["Aa"]), VECTORS, Settings())
    store.bind(find_corpora(data, ["Bb"]), VECTORS, Settings())
    assert set(store.read()["corpora"]) == {"Aa-IOB", "Bb-IOB"}
    with pytest.raises(UsageError, match=r"--vectors v\.bin: the runs in .* \(or another version\)"):
        store.bind([], {**VECTORS, "sha256": "def"}, Settings())
    train = data / "Aa-IOB" / "train.tsv"
    train.write_text(train.read_text() + "\nnew\tO\n")
    with pytest.raises(UsageError, match="--data: corpus Aa-IOB is not the one of the runs"):
        store.bind(find_corpora(data, ["Aa"]), VECTORS, Settings())


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "run"
    code = (
        "import sys; from pathlib import Path; from bioner_fast.experiments.store import locked\n"
        f"with locked(Path({os.fspath(path)!r})) as mine: print(mine, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "True"
        with locked(path) as mine:
            assert not mine
        other.kill()
        other.wait()
    with locked(path) as mine:
        assert mine
