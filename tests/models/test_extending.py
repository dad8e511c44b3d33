"""The example of docs/extending.md: trained, saved, loaded and tagged with."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models import registry
from bioner_fast.models.architecture import Architecture
from bioner_fast.models.bundle import load_bundle
from bioner_fast.tagging.tagger import Tagger
from tiny_corpora import write_task

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"
SETTINGS = [
    "--channels", "12", "--vector-dim", "10", "--batch-size", "40", "--epochs", "12", "--threads", "1",
    "--learning-rate", "0.02", "--device", "cpu", "--min-count", "1", "--dropout", "0.1",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds nothing but the example's file and a task."""
    if not DOCUMENT.exists():
        pytest.skip("docs/ is not here")
    text = DOCUMENT.read_text(encoding="utf-8")
    code = text[text.index("```python\n") + len("```python\n") :]
    (tmp_path / "bilstm.py").write_text(code[: code.index("\n```\n") + 1], encoding="utf-8")
    write_task(tmp_path / "Disease", "Disease")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bioner_fast", *arguments],
        cwd=folder, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_example_is_trained_saved_loaded_and_tagged_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(folder, "train", "--arch", "bilstm:BILSTM", "--tasks", "Disease", "--out", "run", *SETTINGS)
    assert made.returncode == 0, made.stderr
    assert "Disease" in made.stdout

    # Nothing is imported because a bundle says so.
    monkeypatch.setattr(registry, "_given", {})
    with pytest.raises(BionerError, match=r"'bilstm' is not known here.*BIONER_ARCHITECTURES=module:Name"):
        load_bundle(folder / "run" / "model")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("BIONER_ARCHITECTURES", "bilstm:BILSTM")
    tagger = Tagger.load(folder / "run" / "model", "cpu", 1)
    assert type(tagger.bundle.network).__module__ == "bilstm"
    (found,) = tagger.tag(["the patients had severe gout ."])
    assert [entity.text for entity in found.iter_entities()] == ["gout"]
    texts = ["a dose of zinc .", "asthma in patients ."] * 9
    whole = [[e.text for e in document.iter_entities()] for document in tagger.tag(texts)]
    alone = [[e.text for e in d.iter_entities()] for text in texts for d in tagger.tag([text])]
    assert whole == alone
    sys.modules.pop("bilstm", None)


def test_an_entry_point_makes_it_known_by_name(folder: Path) -> None:
    facts = folder / "bilstm-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: bilstm\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[bioner_fast.architectures]\nbilstm = bilstm:BILSTM\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    made = run(
        folder, "train", "--arch", "bilstm", "--tasks", "Disease", "--out", "run", *SETTINGS, PYTHONPATH=path
    )
    assert made.returncode == 0, made.stderr
    (folder / "text.txt").write_text("the patients had severe gout .\n")
    tagged = run(folder, "tag", "-m", "run/model", "text.txt", PYTHONPATH=path)
    assert tagged.returncode == 0, tagged.stderr
    assert "gout" in tagged.stdout


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("lstm", "--arch: expected one of cnn, mlp, idcnn.*found 'lstm'"),
        ("no_such_module:X", r"--arch no_such_module:X: cannot be imported \(No module named"),
        ("json:JSONDecoder", "--arch json:JSONDecoder: expected an Architecture, found type"),
        ("json:nothing", "--arch json:nothing: cannot be imported"),
    ],
)
def test_a_wrong_name_is_refused(arch: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.find(arch)


def test_the_packages_own_names_cannot_be_taken() -> None:
    idcnn = registry.find("idcnn")
    taken = Architecture(name="idcnn", network=idcnn.network, build=idcnn.build)
    with pytest.raises(UsageError, match="the package has an architecture called idcnn already"):
        registry.register(taken)


def test_each_architecture_is_one_line_and_one_folder() -> None:
    for name, place in registry._OWN.items():
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert found.name == name
        assert registry.find(name) is found
        assert found.network.__module__.startswith(module.rpartition(".")[0])
