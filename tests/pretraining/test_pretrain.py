"""Pre-training: it learns, goes on where it stopped, and gives an encoder that training starts from."""

from __future__ import annotations

import gzip
import json
import lzma
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bioner_fast.cli.main import run as command
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.features.batch import featurize
from bioner_fast.features.tokenize import segment
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.idcnn.network import IdcnnConfig, IdcnnNetwork
from bioner_fast.pretraining.leaks import Unwanted, judged_texts
from bioner_fast.pretraining.masked_words import MaskedWords, Rates, Targets, mask
from bioner_fast.pretraining.run import PretrainConfig, _Run, pretrain
from bioner_fast.pretraining.text import find_texts, in_turn, pools
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.stopping import TrainingInterrupted
from bioner_fast.training.train import train
from tiny_corpora import write_task

SMALL: dict[str, Any] = {
    "channels": 16, "char_filters": 4, "affix_dim": 2, "batch_size": 150, "pool_characters": 9000,
    "threads": 1, "evaluate_every": 2000, "learning_rate": 0.01, "weight_decay": 0.01,
}  # fmt: skip


def config(text: Path, out: Path, **changes: Any) -> PretrainConfig:
    files = (str(text / "a.txt"), str(text / "b.txt"))
    return PretrainConfig(
        **{"texts": files, "vectors": str(text / "vectors.bin"), "out": str(out), **SMALL, **changes}
    )


def test_what_is_hidden_is_found_again(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioner_fast.pretraining.run.HELD_OUT", 16)
    result = pretrain(config(text, tmp_path / "run", tokens=12_000))
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["held_out"] < history[0]["held_out"] - 1
    assert result.perplexity == pytest.approx(np.exp(history[-1]["held_out"]))
    assert result.tokens >= 12_000
    assert not (tmp_path / "run" / "checkpoint").exists()
    bundle = load_bundle(result.model)
    assert bundle.tasks == ()
    assert bundle.provenance["kind"] == "encoder"
    assert set(bundle.provenance["text"]) == {"a.txt", "b.txt"}


def test_without_a_budget_it_is_one_pass(text: Path, tmp_path: Path) -> None:
    result = pretrain(config(text, tmp_path / "run", texts=(str(text / "b.txt"),)))
    tokens = len(segment(text.joinpath("b.txt").read_text().split("\n")).tokens)
    held = load_bundle(result.model).provenance["tokens"]
    assert result.epochs == 1
    assert 0.9 * tokens <= held <= tokens


def test_the_learning_rate_falls_to_the_end_of_a_pass(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[float] = []

    def step(run: _Run, *_: object) -> float:
        done.append(run._done())
        return 1.0

    monkeypatch.setattr(_Run, "_step", step)
    pretrain(config(text, tmp_path / "run", pool_characters=2_000))
    steps = np.diff(done)
    assert done[0] == 0.0
    assert (steps > 0).all()
    assert steps.max() < 0.5
    assert done[-1] > 0.5


@pytest.mark.parametrize("budget", [{"tokens": 2_000}, {}])
def test_stopped_and_resumed_bit_for_bit(text: Path, tmp_path: Path, budget: dict[str, Any]) -> None:
    """Within a pool, and after several."""
    short = {"pool_characters": 2_000, "evaluate_every": 500, **budget}
    whole = pretrain(config(text, tmp_path / "whole", **short))
    parts = config(text, tmp_path / "parts", **short)
    with pytest.raises(TrainingInterrupted, match="--resume"):
        pretrain(parts, stop_after=2)
    with pytest.raises(BionerError, match="not empty; pass --resume"):
        pretrain(parts)
    with pytest.raises(TrainingInterrupted):
        pretrain(parts, resume=True, stop_after=10)
    result = pretrain(parts, resume=True)
    assert result.tokens == whole.tokens
    for name in ("model/weights.safetensors", "model/embeddings.safetensors", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_resumed_run_keeps_its_settings(text: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        pretrain(config(text, tmp_path / "run", tokens=9_000), stop_after=2)
    with pytest.raises(UsageError, match="--resume: channels is 8 here and 16 in"):
        pretrain(config(text, tmp_path / "run", tokens=9_000, channels=8), resume=True)


def test_training_starts_from_it_with_its_vectors(text: Path, tmp_path: Path) -> None:
    encoder = pretrain(config(text, tmp_path / "run", tokens=2_000))
    task = str(write_task(tmp_path / "Disease", "Disease"))
    shape: dict[str, Any] = {"arch": "idcnn", "channels": 16, "char_filters": 4, "affix_dim": 2, "epochs": 1}
    result = train(
        TrainConfig(
            tasks=(task,), out=str(tmp_path / "out"), init_from=str(tmp_path / "run"), threads=1, test=False,
            learning_rate=1e-30, average=0.0, **shape,
        )
    )  # fmt: skip
    old, new = load_bundle(encoder.model).network.state_dict(), load_bundle(result.model)
    assert new.vocabulary.words == load_bundle(encoder.model).vocabulary.words
    state = new.network.state_dict()
    for name, value in old.items():
        assert torch.equal(state[name], value), name
    assert new.provenance["config"]["tune_vectors"] is False


def test_the_word_that_is_asked_for_does_not_show() -> None:
    """Two sentences that differ in hidden words only are the same to the encoder."""
    torch.manual_seed(1)
    vocabulary = Vocabulary(StringColumn.from_list(["p53", "binds", "zinc", "dna"]))
    texts = ["p53 binds dna zinc", "zinc binds dna p53"]
    parts = []
    for text in texts:
        made = segment([text])
        parts.append(featurize(made.tokens, made.sentence_offsets, vocabulary, folding=True, forms=True))
    targets = Targets.most_frequent(np.array([0, 0, 4, 3, 2, 1]), 10)
    network = IdcnnNetwork(IdcnnConfig((), rows=6, word_dim=5, channels=8, char_filters=3, affix_dim=2))
    network.reset()
    model = MaskedWords(network, targets).eval()
    everything = Rates(words=1.0, common=1.0, spelt=0.0, kept=0.0, swapped=0.0)
    masks = [mask(part, targets, everything) for part in parts]
    assert all(made.hidden.all() for made in masks)
    assert masks[0].answers.tolist() != masks[1].answers.tolist()
    torch.testing.assert_close(*(model.encode(made) for made in masks))
    shown = Rates(words=1.0, common=1.0, spelt=1.0, kept=0.0, swapped=0.0)
    spelt = [mask(part, targets, shown) for part in parts]
    assert not torch.allclose(*(model.encode(made) for made in spelt))


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4)])
def test_the_encoder_is_the_one_that_tags(dilations: tuple[int, ...]) -> None:
    """What is computed for some tokens only is what the network gives for all."""
    torch.manual_seed(2)
    words = [f"w{i}" for i in range(40)]
    vocabulary = Vocabulary(StringColumn.from_list(words))
    made = segment([" ".join(words[i : i + 20]) for i in range(0, 20, 2)])
    features = featurize(made.tokens, made.sentence_offsets, vocabulary, folding=True, forms=True)
    targets = Targets.most_frequent(np.arange(42), 40)
    network = IdcnnNetwork(IdcnnConfig((), rows=42, word_dim=5, channels=8, dilations=dilations, affix_dim=2))
    network.reset()
    model = MaskedWords(network, targets).eval()
    kept = mask(
        features, targets, Rates(words=0.05, common=0.05, spelt=0.0, kept=1.0, swapped=0.0), others=features
    )
    assert 0 < len(kept.at) < len(features) // 2
    whole = network._encode(features, 0, len(features))
    torch.testing.assert_close(model.encode(kept), whole[kept.at], rtol=1e-5, atol=1e-5)


def test_the_sampled_loss_is_the_full_one_on_average() -> None:
    torch.manual_seed(3)
    count = 400
    vocabulary = Vocabulary(StringColumn.from_list([f"w{i}" for i in range(count)]))
    made = segment([" ".join(f"w{i}" for i in range(j, j + 20)) for j in range(0, count, 20)])
    features = featurize(made.tokens, made.sentence_offsets, vocabulary, folding=True, forms=True)
    targets = Targets.most_frequent(np.arange(count + 2)[::-1].copy(), count)
    network = IdcnnNetwork(IdcnnConfig((), rows=count + 2, word_dim=9, channels=8, affix_dim=2))
    network.reset()
    hidden = mask(features, targets, Rates(words=0.1, common=0.1, kept=0.0, spelt=0.0, swapped=0.0))
    one = replace(hidden, at=hidden.at[:1], answers=hidden.answers[:1])
    full, sampled = MaskedWords(network, targets, sampled=count), MaskedWords(network, targets, 10, 60)
    sampled.load_state_dict(full.state_dict())
    exact = float(full.eval().loss(one).detach())
    assert exact == pytest.approx(full.judge([one])[0], rel=1e-5)
    # The sum over all words that the loss is the logarithm of.
    drawn = [math.exp(float(sampled.eval().loss(one).detach())) for _ in range(300)]
    assert np.std(drawn) > 0
    assert np.mean(drawn) == pytest.approx(math.exp(exact), abs=5 * np.std(drawn) / 300**0.5)


def test_sentences_of_devel_and_test_are_left_out(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpora" / "Some"
    folder.mkdir(parents=True)
    leak = "Aspirin inhibits the growth of tumour cells in mice and men after two weeks ."
    (folder / "test.tsv").write_text("\n".join(f"{token}\tO" for token in leak.split()) + "\n\n")
    (folder / "devel.tsv").write_text("Zinc\tO\nbinds\tO\np53\tO\nhere\tO\n.\tO\n\n")
    (folder / "train.tsv").write_text("Insulin\tO\nlowers\tO\nblood\tO\nsugar\tO\n.\tO\n\n")
    found = list(judged_texts([str(tmp_path / "corpora")]))
    assert [Path(name).name for name, _ in found] == ["devel.tsv", "test.tsv"]
    unwanted = Unwanted([part for _, part in found])
    lines = [
        "We saw that aspirin INHIBITS the growth of tumour cells in mice and men after 3 weeks.",
        "Zinc binds p53 here.",
        "Here zinc binds p53 here.",
        "Insulin lowers blood sugar.",
        "Aspirin inhibits the growth of cells.",
    ]
    assert unwanted.mask(segment(lines)).tolist() == [True, True, False, False, False]
    with pytest.raises(BionerError, match=r"holds no devel\.tsv or test\.tsv"):
        list(judged_texts([str(text)]))


def test_excluded_text_is_not_trained_on(text: Path, tmp_path: Path) -> None:
    lines = (text / "a.txt").read_text().splitlines()
    leak = tmp_path / "leak.txt"
    leak.write_text("\n".join(lines[: len(lines) // 2]))
    whole = pretrain(config(text, tmp_path / "whole", texts=(str(text / "a.txt"),)))
    less = pretrain(config(text, tmp_path / "less", texts=(str(text / "a.txt"),), exclude=(str(leak),)))
    assert less.tokens == pytest.approx(whole.tokens / 2, rel=0.1)


def test_files_are_read_in_turn_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioner_fast.pretraining.text.TURN", 4)
    (tmp_path / "a.txt").write_text("aaaa\n\nbbbb\ncccc\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as out:
        out.write('{"id": "1", "text": "dddd"}\n{"id": "2", "text": "eeee"}\n')
    with lzma.open(tmp_path / "c.txt.xz", "wt") as out:
        out.write("ffff\n")
    (tmp_path / "unknown.pdf").write_bytes(b"%PDF")
    files = find_texts([str(tmp_path)])
    assert [format for _, format in files] == ["lines", "jsonl", "lines"]
    assert list(in_turn(files)) == ["aaaa", "dddd", "ffff", "bbbb", "eeee", "cccc"]
    assert [len(pool) for pool in pools(files, 8)] == [2, 2, 2]


def test_bad_input_is_one_sentence(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "cut.txt.xz"
    broken.write_bytes(lzma.compress(b"some text\n" * 99)[:-20])
    with pytest.raises(FormatError, match="damaged or cut off"):
        list(in_turn(find_texts([str(broken)])))
    latin = tmp_path / "latin.txt"
    latin.write_bytes("fine\nna\xefve\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"latin\.txt:2: .*UTF-8"):
        list(in_turn(find_texts([str(latin)])))
    for names, message in [
        ([], "TEXT: name at least one"), ([str(tmp_path / "no.txt")], "no such file"),
        ([str(text / "a.txt")] * 2, "comes twice"), ([str(text / "vectors.bin")], "cannot tell the format"),
    ]:  # fmt: skip
        with pytest.raises(BionerError, match=message):
            find_texts(names)
    with pytest.raises(UsageError, match="--tokens: expected a positive number"):
        config(text, tmp_path, tokens=0)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    with pytest.raises(BionerError, match="no word that has a vector"):
        pretrain(config(text, tmp_path / "none", texts=(str(empty),)))
    out = ["--out", str(tmp_path / "cli"), "--vectors", str(text / "vectors.bin")]
    assert command(["pretrain", str(text / "a.txt"), *out, "--dilations", "x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "pretrain", str(text / "a.txt"), "--vectors", str(text / "vectors.bin"),
        "--out", str(tmp_path / "run"), "--tokens", "600", "--channels", "8", "--char-filters", "0",
        "--threads", "1", "--json",
    ]  # fmt: skip
    assert command(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["model"]).is_dir()
    assert facts["tokens"] >= 600
