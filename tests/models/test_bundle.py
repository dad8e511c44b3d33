"""Bundles: what is saved is loaded; what is not whole, changed or newer is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.files import write_manifest
from bioner_fast.models.bundle import (
    FORMAT_VERSION,
    FeatureSchema,
    add_calibration,
    add_provenance,
    load_bundle,
    save_bundle,
)
from bioner_fast.models.tensor_files import load_tensors
from bioner_fast.models.word_rows import read_rows, rounded_rows, stored_rows
from bioner_fast.tagging import assemble, encoding, prepare
from bioner_fast.tagging.calibration import Calibration
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, heads, network, save_tiny

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bundle") / "model", decoders={"cells": "forward-argmax"})


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def _facts(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return loaded


def _rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change bundle.json and make the manifest agree, as somebody with an editor and time could."""
    facts = _facts(folder)
    change(facts)
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    write_manifest(folder)


def test_what_is_saved_is_loaded(saved: Path) -> None:
    bundle = load_bundle(saved)
    assert bundle.vocabulary.words.tolist() == WORDS
    assert bundle.schema == FeatureSchema()
    assert [head.name for head in bundle.tasks] == ["medical", "cells", "pos"]
    for loaded, made in zip(bundle.tasks, heads({"cells": "forward-argmax"}), strict=True):
        assert (loaded.tagset, loaded.kind, loaded.decoder) == (made.tagset, made.kind, made.decoder)
        assert loaded.tables.keys() == made.tables.keys()
        for name in loaded.tables:
            assert torch.equal(loaded.tables[name], made.tables[name])
    original = network(heads()).state_dict()
    for name, value in bundle.network.state_dict().items():
        expected = original[name]
        if name == bundle.network.word_table_key:
            expected = expected.half().float()
        assert torch.equal(value, expected), name
    assert not bundle.network.training
    assert not any(parameter.requires_grad for parameter in bundle.network.parameters())


def test_facts_that_the_contract_names(saved: Path) -> None:
    facts = _facts(saved)
    assert facts["format_version"] == FORMAT_VERSION
    assert facts["features"] == {
        "normalization": "default",
        "folding": True,
        "folding_version": 1,
        "words": len(WORDS),
        "dimensions": 8,
        "precision": "float16",
    }
    tasks = facts["tasks"]
    assert isinstance(tasks, list)
    assert tasks[0]["tags"][:5] == ["O", "B-Disease", "I-Disease", "E-Disease", "S-Disease"]
    assert set(tasks[0]["normal_types"]) == {"Disease", "Gene"}
    provenance = facts["provenance"]
    assert isinstance(provenance, dict)
    assert set(provenance) >= {"package_version", "command", "seed"}


def test_no_pickle_and_nothing_unnamed(saved: Path) -> None:
    names = {file.name for file in saved.iterdir()}
    tensors = {"weights.safetensors", "embeddings.safetensors", "vocabulary.safetensors"}
    assert names == {"bundle.json", "manifest.json"} | tensors
    manifest = json.loads((saved / "manifest.json").read_text())
    assert set(manifest["files"]) == {"bundle.json"} | tensors


def test_a_file_that_the_manifest_does_not_list_is_not_read(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["weights.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BionerError, match=r"manifest\.json does not list weights\.safetensors"):
        load_bundle(copy)


def test_float32_keeps_every_bit_and_float16_is_half_the_size(tmp_path: Path) -> None:
    exact = load_bundle(save_tiny(tmp_path / "exact", precision="float32"))
    key = exact.network.word_table_key
    assert torch.equal(exact.network.state_dict()[key], network(heads()).state_dict()[key])
    half = load_bundle(save_tiny(tmp_path / "half", precision="float16"))
    assert exact.size - half.size == pytest.approx(2 * 8 * (len(WORDS) + 2), abs=64)
    assert f"{half.size / 1e6:.1f} MB" in half.describe()


def test_a_table_that_is_not_the_network_s_own(tmp_path: Path) -> None:
    words = [*WORDS, "extra"]
    table = torch.rand(len(words) + 2, 8)
    tasks = heads()
    made = network(tasks)
    vocabulary = Vocabulary(StringColumn.from_list(words))
    with pytest.raises(ValueError, match="word_table"):
        save_bundle(tmp_path / "bad", made, vocabulary, tasks)
    save_bundle(tmp_path / "good", made, vocabulary, tasks, word_table=table)
    loaded = load_bundle(tmp_path / "good")
    assert torch.equal(loaded.network.state_dict()[made.word_table_key], table.half().float())


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tasks = heads()
    made = network(tasks)
    with torch.no_grad():
        made.get_parameter(made.word_table_key)[3, 0] = 1e6
    vocabulary = Vocabulary(StringColumn.from_list(WORDS))
    with pytest.raises(UsageError, match="float32"):
        save_bundle(tmp_path / "model", made, vocabulary, tasks)
    assert list(tmp_path.iterdir()) == []
    save_bundle(tmp_path / "model", made, vocabulary, tasks, precision="float32")
    with pytest.raises(UsageError, match="int3"):
        save_bundle(tmp_path / "other", made, vocabulary, tasks, precision="int3")


def test_existing_folders_stay_without_force(copy: Path) -> None:
    before = (copy / "manifest.json").read_bytes()
    with pytest.raises(BionerError, match="exists"):
        save_tiny(copy, precision="float32")
    assert (copy / "manifest.json").read_bytes() == before


def test_scores_are_added_without_touching_the_weights(copy: Path) -> None:
    before = (copy / "embeddings.safetensors").read_bytes()
    add_provenance(copy, {"scores": {"medical": {"f1": 50.0}}})
    bundle = load_bundle(copy)
    assert bundle.provenance["scores"] == {"medical": {"f1": 50.0}}
    assert bundle.provenance["seed"] == 0
    assert (copy / "embeddings.safetensors").read_bytes() == before
    assert [entry.name for entry in copy.parent.iterdir()] == ["model"]


def test_heads_by_name(saved: Path) -> None:
    bundle = load_bundle(saved)
    assert bundle.task("cells").name == "cells"
    with pytest.raises(UsageError, match="it has medical, cells, pos"):
        bundle.task("nothing")
    with pytest.raises(UsageError, match="choose one of medical, cells "):
        bundle.task()


@pytest.mark.parametrize("name", ["weights", "embeddings", "vocabulary"])
def test_missing_truncated_and_changed_tensors(copy: Path, name: str) -> None:
    file = copy / f"{name}.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(BionerError, match=rf"{name}\.safetensors is not whole: {len(data)} bytes expected"):
        load_bundle(copy)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BionerError, match=rf"{name}\.safetensors is damaged"):
        load_bundle(copy)
    file.write_bytes(b"")
    write_manifest(copy)
    with pytest.raises(FormatError, match="safetensors"):
        load_bundle(copy)
    file.unlink()
    with pytest.raises(BionerError, match=rf"{name}\.safetensors is missing"):
        load_bundle(copy)
    write_manifest(copy)
    with pytest.raises(BionerError, match=rf"{name}\.safetensors is missing"):
        load_bundle(copy)


def test_changed_facts_are_noticed(copy: Path) -> None:
    text = (copy / "bundle.json").read_text(encoding="utf-8")
    (copy / "bundle.json").write_text(text.replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    with pytest.raises(BionerError, match=r"bundle\.json is damaged"):
        load_bundle(copy)


def test_newer_formats_are_refused(copy: Path) -> None:
    _rewrite(copy, lambda facts: facts.update(format_version=FORMAT_VERSION + 1))
    with pytest.raises(FormatError, match=rf"format version {FORMAT_VERSION + 1}.*install a newer one"):
        load_bundle(copy)


def test_a_newer_folding_is_refused(copy: Path) -> None:
    def change(facts: dict[str, object]) -> None:
        assert isinstance(facts["features"], dict)
        facts["features"]["folding_version"] = 999

    _rewrite(copy, change)
    with pytest.raises(FormatError, match="folding has version 999"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("tasks"),
        lambda facts: facts.pop("features"),
        lambda facts: facts.update(network={}),
        lambda facts: facts.update(network=[]),
        lambda facts: facts.update(tasks=[3]),
        lambda facts: facts["network"].update(word_dim=9),
        lambda facts: facts["network"].update(rows=9),
        lambda facts: facts["network"].update(surprise=9),
        lambda facts: facts["network"].update(hidden=[1 << 45]),  # more than any machine has
        lambda facts: facts["tasks"][0].update(scheme="klingon"),
        lambda facts: facts["tasks"][0].update(tables=["transitions"]),
        lambda facts: facts["tasks"][0].update(tags=["O"]),
        lambda facts: facts["tasks"][0].update(name="other"),
        lambda facts: facts["tasks"][0].update(decoder="magic"),
    ],
)
def test_parts_that_do_not_fit_together(copy: Path, change: Callable[[dict[str, object]], object]) -> None:
    _rewrite(copy, change)
    with pytest.raises(FormatError, match=r"bundle\.json: ") as caught:
        load_bundle(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format_version": "1"}', '{"format_version": 0}', "[" * 9999]
)
def test_facts_that_are_no_facts(copy: Path, text: str) -> None:
    (copy / "bundle.json").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match="format_version"):
        load_bundle(copy)


def test_an_index_out_of_the_buffer_is_refused(copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    words = load_file(copy / "vocabulary.safetensors")
    words["offsets"] = words["offsets"] + np.int64(1)
    save_file(words, copy / "vocabulary.safetensors")
    write_manifest(copy)
    with pytest.raises(FormatError, match="ascending int64 offsets"):
        load_bundle(copy)


def test_folders_that_are_no_bundles(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BionerError, match="no such folder"):
        load_bundle(tmp_path / "nothing")
    with pytest.raises(BionerError, match="is not a model"):
        load_bundle(tmp_path)
    with pytest.raises(BionerError, match=r"did you mean .*model"):
        load_bundle(saved.parent)
    (tmp_path / "bundle.json").write_text('{"format_version": 1}', encoding="utf-8")
    with pytest.raises(BionerError, match=r"no manifest\.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_loads_for_good(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed bundle of every format version gives what it gave on the day it was made.

    The texts hold an emoji, which could still be part of an entity in version 1. Rules of where names end,
    which hold for any model, came later.
    """
    monkeypatch.setattr(prepare, "no_names", lambda text: [])
    monkeypatch.setattr(assemble, "whole", lambda text, start, end, *_: (start, end))
    if version == 1:
        monkeypatch.setattr(encoding, "pictographs", lambda tokens: np.zeros(len(tokens), bool))
    folder = FIXTURES / f"bundle_v{version}"
    assert json.loads((folder / "model" / "bundle.json").read_text())["format_version"] == version
    assert load_bundle(folder / "model").tasks[1].decoder == "forward-argmax"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    documents = Tagger.load(folder / "model", device="cpu").tag([entry["text"] for entry in expected])
    for document, entry in zip(documents, expected, strict=True):
        found = [
            {
                "start": e.start,
                "end": e.end,
                "type": e.type,
                "task": e.task,
                "score": pytest.approx(e.score, abs=1e-4),
            }
            for e in document.entities
        ]
        assert entry["entities"] == found
    assert sum(len(entry["entities"]) for entry in expected) > 5


def test_int8_rows_have_a_scale_and_round_to_themselves(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "model", precision="int8")
    bundle = load_bundle(path)
    table = bundle.network.embedding.words
    original = network(heads()).embedding.words
    step = original.abs().amax(1, keepdim=True) / 127
    assert bool(((table - original).abs() <= 0.51 * step).all())
    assert torch.equal(rounded_rows(table, "int8"), table)
    stored = load_tensors(path / "embeddings.safetensors")
    assert stored["weight"].dtype == torch.int8
    assert stored["scale"].shape == (len(table),)


def test_int8_rows_of_zeros_and_of_any_size() -> None:
    table = torch.tensor([[0.0, 0.0], [1e-30, -1e-31], [3e30, 1e30], [1.0, -1.0]])
    back = rounded_rows(table, "int8")
    assert bool(((back - table).abs() <= table.abs().amax(1, keepdim=True) / 253).all())
    assert torch.equal(rounded_rows(back, "int8"), back)
    with pytest.raises(UsageError, match="not finite"):
        rounded_rows(torch.tensor([[float("inf"), 1.0]]), "int8")


def test_scales_that_do_not_fit_their_rows_are_refused() -> None:
    rows = stored_rows(torch.ones(3, 2), "int8")
    with pytest.raises(ValueError, match="3 rows of int8, but scales"):
        read_rows({**rows, "scale": rows["scale"][:2]})


def test_calibration_changes_scores_alone(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "model")
    texts = ["Familial breast cancer and Crohn disease (BRCA1). Tumor cells."]
    before = Tagger.load(path, "cpu").tag(texts)[0].entities
    add_calibration(path, {"medical": {"Disease": (0.5, 0.25)}})
    after = Tagger.load(path, "cpu").tag(texts)[0].entities
    assert [(e.start, e.end, e.type) for e in before] == [(e.start, e.end, e.type) for e in after]
    assert any(e.type == "Disease" for e in before)
    for old, new in zip(before, after, strict=True):
        expected = old.score
        if old.type == "Disease":
            expected = float(Calibration(0.5, 0.25).apply(np.array([old.score]))[0])
        assert new.score == pytest.approx(expected)
