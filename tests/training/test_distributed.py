"""Several processes: shares of batches, and that two of them are one with the doubled batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bioner_fast.errors import UsageError
from bioner_fast.features.batch import Features, Forms
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.sampling import SpanBatches, TokenBatches, TrainingText
from bioner_fast.training.sentences import MixedSentenceBatches
from bioner_fast.training.train import train
from tiny_corpora import small, write_task

pytestmark = pytest.mark.serial


def text(seed: int = 0) -> TrainingText:
    lengths = np.random.default_rng(seed).integers(1, 9, 80)
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    n = int(offsets[-1])
    forms = Forms(
        torch.arange(n), torch.zeros(n, 16, dtype=torch.uint8), torch.zeros(n, 5, dtype=torch.int32)
    )
    bound = int(offsets[50])
    features = Features(torch.arange(n), torch.ones(n, dtype=torch.uint8), offsets, forms)
    return TrainingText(features, torch.arange(n), (0, bound, n), (0, 1))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["tokens", "spans", "sentences"])
def test_shares_make_up_the_batch(kind: str, size: int) -> None:
    whole = text()
    made: Any = {
        "tokens": TokenBatches(whole, 32),
        "spans": SpanBatches(whole, 32, 30, 30),
        "sentences": MixedSentenceBatches(whole, 32),
    }[kind]
    plan = made.plan(np.random.default_rng(0), 0, whole.bounds[1])
    for batch in made.batches(plan):
        shares = [Processes(rank, size).share(batch) for rank in range(size)]
        assert sum(share.size for share in shares) == batch.size
        expected = {(head, tag) for head, _, tags in batch.parts for tag in tags.tolist()}
        found = [(head, tag) for share in shares for head, _, tags in share.parts for tag in tags.tolist()]
        assert len(found) == len(expected)
        assert set(found) == expected
        for share in shares:
            assert share.total == (sum(len(o) - 1 for o in batch.offsets) or batch.size)
            words = share.features.word_ids[share.tokens]
            for number, (_, rows, tags) in enumerate(share.parts):
                assert words[rows].tolist() == tags.tolist()
                if kind == "sentences":
                    assert int(share.offsets[number][-1]) == len(tags)
        if kind == "sentences":
            ends = {int(o) for o in batch.features.offsets}
            for share in shares:
                if share.size:
                    assert {share.tokens.start, share.tokens.stop} <= ends  # type: ignore[union-attr]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def start(arguments: list[str], rank: int, size: int, port: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def together(arguments: list[str], size: int = 2) -> list[str]:
    """What processes print that are started as ``torchrun`` starts them."""
    port = free_port()
    started = [start(arguments, rank, size, port) for rank in range(size)]
    printed = []
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        printed.append(out)
    return printed


# In float64, which no setting offers: 25 steps of a network through the very loop of a run.
FLOAT64 = """
import sys
import torch
from safetensors.torch import save_file
from bioner_fast.training import train as module
from bioner_fast.training.config import TrainConfig
original = module._network
module._network = lambda config, prepared: original(config, prepared).double()
# The bundle would round to float32: what counts is the network itself.
def keep(path, network, *rest, **more):
    save_file(network.state_dict(), sys.argv[2])
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    raise SystemExit(0)
module.save_bundle = keep
module._read_result = lambda folder: None
torch.set_num_threads(1)
module.train(TrainConfig.load(sys.argv[1]))
"""

RUNS: dict[str, dict[str, Any]] = {
    "cnn": {"batch_size": 16},
    "sentences": {"batch_size": 16, "batches": "sentences"},
    "mlp": {"arch": "mlp", "batch_size": 8},
    "multi-output": {"steps": 25, "evaluate_every": 10, "batch_size": 20, "optimizer": "adamw", "clip": 0.5},
    "idcnn": {
        "arch": "idcnn", "decoder": "crf", "channels": 8, "char_filters": 4, "affix_dim": 2, "batch_size": 24,
        "input_dropout": 0.0, "word_dropout": 0.0, "hidden": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_are_one_with_the_doubled_batch(tmp_path: Path, name: str) -> None:
    kinds = ("Disease", "Chemical") if name == "multi-output" else ("Disease",)
    tasks = tuple(write_task(tmp_path / kind, kind) for kind in kinds)
    states = []
    for processes in (1, 2):
        epochs = {} if name == "multi-output" else {"epochs": 3}
        config = small(tasks, tmp_path / f"run{processes}", **{"dropout": 0.0, **epochs, **RUNS[name]})
        assert config.batch_size is not None
        config = TrainConfig(**{**vars(config), "batch_size": config.batch_size * (3 - processes)})
        config.save(tmp_path / f"{processes}.toml")
        kept = tmp_path / f"{processes}.safetensors"
        together(["-c", FLOAT64, str(tmp_path / f"{processes}.toml"), str(kept)], processes)
        states.append(load_file(kept))
    assert states[0]["heads.0.weight"].dtype == torch.float64
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=0, atol=1e-10, msg=key)


def test_a_run_of_two_processes_leaves_one_folder(tmp_path: Path) -> None:
    """With dropout; only the first prints and writes; a checkpoint belongs to its number of processes."""
    task = write_task(tmp_path / "Disease", "Disease")
    config = small((task,), tmp_path / "run", epochs=8, batch_size=16, checkpoint_every="3")
    config.save(tmp_path / "c.toml")
    printed = together(["-m", "bioner_fast", "train", "--config", str(tmp_path / "c.toml"), "--json"])
    result = json.loads(printed[0])
    assert printed[1] == ""
    assert result["tasks"]["Disease"]["test"]["f1"] > 60
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"model", "config.toml", "metrics.jsonl", "predictions", "result.json"}
    other = small((task,), tmp_path / "again", epochs=8, batch_size=16, checkpoint_every="3")
    other.save(tmp_path / "again.toml")
    together(["-m", "bioner_fast", "train", "--config", str(tmp_path / "again.toml"), "--json"])
    weights = [load_file(tmp_path / run / "model" / "weights.safetensors") for run in ("run", "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_checkpoint_belongs_to_its_number_of_processes(tmp_path: Path) -> None:
    task = write_task(tmp_path / "Disease", "Disease")
    config = small((task,), tmp_path / "run", epochs=2, checkpoint_every="1")
    config.save(tmp_path / "c.toml")
    stopped = """
import sys
from bioner_fast.training.checkpoint import CheckpointFolder
save = CheckpointFolder.save
def once(self, facts, tensors):
    save(self, {**facts, "processes": 2}, tensors)
    raise SystemExit(0)
CheckpointFolder.save = once
from bioner_fast.cli import main
sys.exit(main())
"""
    arguments = [sys.executable, "-c", stopped, "train", "--config", str(tmp_path / "c.toml")]
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    with pytest.raises(UsageError, match="started with 2 processes"):
        train(TrainConfig(out=str(tmp_path / "run")), resume=True)


def test_one_process_is_itself(tmp_path: Path) -> None:
    whole = text()
    batches = TokenBatches(whole, 32)
    for batch in batches.batches(batches.plan(np.random.default_rng(0), 0, 100)):
        assert Processes().share(batch) is batch
    assert all(a < b for a, b in pairwise(whole.bounds))
