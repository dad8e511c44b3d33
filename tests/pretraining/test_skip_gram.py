"""Word vectors from text, and from models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_pretrain import config

from bioner_fast.cli.main import run as command
from bioner_fast.features.vectors import WordVectors
from bioner_fast.models.bundle import load_bundle
from bioner_fast.pretraining.leaks import Unwanted
from bioner_fast.pretraining.run import pretrain
from bioner_fast.pretraining.skip_gram import TokenStream, train_vectors
from bioner_fast.pretraining.text import find_texts


def test_words_that_occur_alike_lie_close(text: Path, tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="the extra vectors is not installed")
    files = find_texts([str(text / "a.txt"), str(text / "b.txt")])
    vectors = train_vectors(TokenStream(files, Unwanted(), 1), dim=16, epochs=40, sample=0.0, window=2)
    # Every sentence ends in a number of its own: they count as one word.
    assert {"0", "the", "proteinau", "Proteinau", "actsau"} <= set(vectors.words.tolist())
    assert "499" not in vectors

    def close(one: str, other: str) -> float:
        left, right = vectors[one], vectors[other]
        return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))

    pairs = [(close(f"protein{x}u", f"Protein{x}u"), close(f"protein{x}u", f"Protein{x}v")) for x in "abcdef"]
    assert np.mean([own - other for own, other in pairs]) > 0.02


def test_command(text: Path, tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="the extra vectors is not installed")
    out = tmp_path / "made.bin"
    arguments = ["vectors", "train", str(text / "b.txt"), "-o", str(out), "--threads", "1", "--epochs", "1"]
    assert command([*arguments, "--dim", "16"]) == 0
    assert WordVectors.load(out, cache=False).dim == 16
    assert command([*arguments, "--force", "--dim", "0"]) == 2
    assert command(arguments) == 1  # the file is there


def test_one_thread_repeats_itself_and_leaks_are_left_out(text: Path) -> None:
    pytest.importorskip("gensim", reason="the extra vectors is not installed")
    files = find_texts([str(text / "b.txt")])
    made = [
        train_vectors(TokenStream(files, Unwanted(), 1), dim=8, epochs=1, seed=3, threads=1) for _ in range(2)
    ]
    assert made[0].words == made[1].words
    assert np.array_equal(made[0].matrix, made[1].matrix)
    lines = text.joinpath("b.txt").read_text().split("\n\n")
    assert len(list(TokenStream(files, Unwanted([lines[:100]])))) <= 200


def test_vectors_of_a_model_are_exported(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = pretrain(config(text, run, tokens=200)).model
    out = tmp_path / "own.vec"
    assert command(["vectors", "export", str(run), "-o", str(out)]) == 0
    bundle, vectors = load_bundle(model), WordVectors.load(out, cache=False)
    assert vectors.words == bundle.vocabulary.words
    np.testing.assert_allclose(vectors.matrix, bundle.network.embedding.words[2:].numpy(), atol=1e-5)
    assert command(["vectors", "export", str(run), "-o", str(out)]) == 1
    assert command(["vectors", "export", str(run), "-o", str(tmp_path / "x.unknown")]) == 2
