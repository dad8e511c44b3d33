"""Damaged bundles are refused in a sentence, or harmless; and files that change under a live tagger."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import write_manifest
from bioner_fast.models.bundle import Inference, add_inference, load_bundle
from bioner_fast.tagging.precision import observe
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny

# JSON in the place of a value.
VALUES = [
    "null", "0", "-1", "1", "2147483648", "9223372036854775808", "1" + "0" * 40, "1e308", "1e400", "-1e400",
    "NaN", "Infinity", '""', '"x"', '"../../../../etc/passwd"', '"/etc/passwd"', "[]", "{}", "[[]]", "true",
    "false", "[1,2]", '{"a":1}', '"\\ud800"', '"a\\u0000b"', '"O"', '"B-Disease"', "3", "65536", "0.5",
    "1" + "0" * 5000, "[" * 100_000 + "]" * 100_000, '"argmax"', '"forward-argmax"', '"iob2"', '"mlp"',
    '"pos"',
]  # fmt: skip


CHANGES: list[Callable[[torch.Tensor], torch.Tensor]] = [
    lambda v: v[..., :-1].contiguous() if v.dim() else v,
    lambda v: v.to(torch.float64 if v.is_floating_point() else torch.int32),
    lambda v: torch.full_like(v, float("nan") if v.is_floating_point() else 1),
    lambda v: torch.full_like(v, float("inf") if v.is_floating_point() else 200),
    lambda v: v.flatten(),
    lambda v: torch.zeros(0, dtype=v.dtype),
    lambda v: v.unsqueeze(0),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = save_tiny(tmp_path_factory.mktemp("bundle") / "model", decoders={"cells": "forward-argmax"})
    bundle = load_bundle(path)
    devel = {head.name: {"float32": 80.0, "int8": 80.0} for head in bundle.tasks}
    ranges = observe(bundle, [Corpus.from_sentences([[("breast", "O"), ("cancer", "O"), ("TNF", "O")]])])
    add_inference(path, Inference(ranges, devel, ("float32", "int8")))
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path and path[0] != "provenance" else []
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        found += places(inner, (*path, key))
    return found


def damage(original: str, rng: random.Random) -> str:
    """JSON text with one or two values exchanged or taken away."""
    content = json.loads(original)
    for _ in range(rng.choice([1, 1, 1, 2])):
        *way, last = rng.choice(places(content))
        parent = content
        try:
            for key in way:
                parent = parent[key]
            if rng.random() < 0.1:
                del parent[last]
            else:
                parent[last] = f"@@{rng.randrange(len(VALUES))}@@"
        except (KeyError, TypeError, IndexError):
            continue
    text = json.dumps(content)
    for number, value in enumerate(VALUES):
        text = text.replace(f'"@@{number}@@"', value)
    return text


@pytest.mark.parametrize("name", ["bundle.json", "manifest.json"])
@pytest.mark.parametrize("seed", range(int(os.environ.get("BIONER_FUZZ_SEEDS", "2"))))
def test_damaged_json_is_a_sentence_or_harmless(copy: Path, name: str, seed: int) -> None:
    rng, original = random.Random(f"{name} {seed}"), (copy / name).read_text(encoding="utf-8")
    refused: list[str] = []
    for _ in range(60):
        (copy / name).write_text(damage(original, rng), encoding="utf-8")
        if name != "manifest.json":
            write_manifest(copy)
        try:
            tagger = Tagger.load(copy, "cpu", 1, rng.choice(["auto", "float32", "int8"]))
            list(tagger.tag(["breast cancer", "", "β x"]))
        except BionerError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize("seed", range(int(os.environ.get("BIONER_FUZZ_SEEDS", "2"))))
def test_damaged_tensors_are_a_sentence_or_harmless(copy: Path, seed: int) -> None:
    rng = random.Random(seed)
    files = sorted(copy.glob("*.safetensors"))
    refused: list[str] = []
    for _ in range(30):
        file = rng.choice(files)
        good = file.read_bytes()
        tensors = load_file(file)
        name = rng.choice(sorted(tensors))
        value = tensors[name]
        tensors[name] = rng.choice(CHANGES)(value)
        if rng.random() < 0.1:
            del tensors[name]
        save_file(tensors, file)
        write_manifest(copy)
        try:
            tagger = Tagger.load(copy, "cpu", 1, rng.choice(["auto", "float32", "int8"]))
            list(tagger.tag(["breast cancer of BRCA1 patients", "", "β x"]))
        except BionerError as error:
            refused.append(str(error))
        file.write_bytes(good)
    assert refused
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize("file", ["weights", "embeddings", "inference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(copy: Path, file: str, value: float) -> None:
    path = copy / f"{file}.safetensors"
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if not name.startswith("decoder."))
    tensors[name].view(-1)[-1] = value
    save_file(tensors, path)
    write_manifest(copy)
    with pytest.raises(FormatError, match=rf"{file}\.safetensors: .* not finite"):
        load_bundle(copy)


LIVE = """
import os, shutil, sys
from bioner_fast import Tagger
for precision in ("float32", "int8"):
    shutil.copytree(sys.argv[1], precision)
    tagger = Tagger.load(precision, "cpu", 1, precision)
    texts = ["breast cancer of BRCA1 patients, TNF - alpha", "Crohn disease in familial tumor cell"]
    spans = lambda: [[(e.start, e.end, e.score) for e in d.entities] for d in tagger.tag(texts)]
    before = spans()
    for name in os.listdir(precision):
        os.truncate(os.path.join(precision, name), 0)
    assert before == spans() and any(before)
"""


def test_a_model_that_is_cut_short_does_not_end_its_tagger(saved: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIVE, str(saved)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
