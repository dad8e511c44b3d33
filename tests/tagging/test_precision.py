"""Precisions of tagging: chosen by measurement, stored in the bundle, independent of batching."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.cli.main import run
from bioner_fast.data.corpus import Corpus
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.formats.registry import read_documents
from bioner_fast.models.bundle import Inference, add_inference, add_provenance, load_bundle
from bioner_fast.models.engine import PRECISIONS
from bioner_fast.ops import infer
from bioner_fast.tagging import measure as module
from bioner_fast.tagging.blocks import BlockNetwork
from bioner_fast.tagging.evaluate import score_corpus
from bioner_fast.tagging.measure import measure_precisions
from bioner_fast.tagging.precision import choose, ranges_of
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny
from tiny_idcnn import TOKENS, save_idcnn

FIXTURE = Path(__file__).parents[1] / "fixtures" / "bundle_v1" / "model"


def prose(seed: int, length: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(TOKENS) for _ in range(length))


@pytest.fixture(scope="module")
def devel(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """What a float32 network says, so that its own F1 is 100."""
    folder = tmp_path_factory.mktemp("devel")
    tagger = Tagger.load(save_idcnn(folder / "model"), "cpu", precision="float32")
    words = prose(1, 800).split()
    lines = [word + "\tO" + ("\n" if i % 23 == 22 else "") for i, word in enumerate(words)]
    (folder / "plain.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    score_corpus(tagger, Corpus.read(folder / "plain.tsv"), tagger.bundle.task("medical")).write(
        folder / "said.tsv"
    )
    said = [line.split("\t") for line in (folder / "said.tsv").read_text(encoding="utf-8").split("\n")]
    (folder / "devel.tsv").write_text(
        "\n".join(f"{row[0]}\t{row[2]}" if len(row) == 3 else "" for row in said), encoding="utf-8"
    )
    return Corpus.read(folder / "devel.tsv")


def facts(documents) -> list[list[tuple[object, ...]]]:  # type: ignore[no-untyped-def]
    return [[(e.type, e.spans, e.text, e.task, e.score) for e in d.entities] for d in documents]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("save", [save_tiny, save_idcnn])
def test_results_do_not_depend_on_batches(tmp_path: Path, save, precision: str) -> None:  # type: ignore[no-untyped-def]
    """Sentences longer than a pass of the engine are among them."""
    tagger = Tagger.load(save(tmp_path / "model"), "cpu", 1, precision)
    assert tagger.predictor.precision == precision
    texts = [prose(seed, length) for seed, length in enumerate([3, 600, 0, 40, 1, 5000, 7, 515, 60])]
    expected = facts(tagger.tag(texts))
    assert sum(map(len, expected)) > 500
    for batch_tokens in (1, 513, 10**9):
        assert facts(tagger.tag(texts, batch_tokens=batch_tokens)) == expected
    for one, alone in zip(texts, expected, strict=True):
        assert facts(tagger.tag([one])) == [alone]


def test_what_is_measured_is_stored_and_chosen(
    tmp_path: Path, devel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_idcnn(tmp_path / "model")
    assert Tagger.load(path, "cpu").predictor.precision == "float32"  # nobody has measured
    found = measure_precisions(path, {"medical": devel})
    assert found is not None
    assert found.devel["medical"]["float32"] == 100.0
    assert all(
        (100.0 - found.devel["medical"][precision] <= 0.1) == (precision in found.allowed)
        for precision in PRECISIONS
    )
    loaded = load_bundle(path).inference
    assert loaded is not None
    assert (loaded.devel, loaded.allowed) == (found.devel, found.allowed)
    assert all(torch.equal(loaded.ranges[name], values) for name, values in found.ranges.items())
    # The figure is that of scoring the saved bundle.
    for precision in PRECISIONS:
        tagger = Tagger.load(path, "cpu", precision=precision)
        outcome = score_corpus(tagger, devel, tagger.bundle.task("medical"))
        assert round(outcome.score.f1, 4) == found.devel["medical"][precision]
    # Other facts can still be added.
    add_provenance(path, {"scores": {}})
    assert load_bundle(path).inference is not None


def test_a_precision_that_costs_more_is_not_taken(
    tmp_path: Path, devel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that are far too small ruin int8, and measuring sees it."""
    honest = module.observe
    monkeypatch.setattr(
        module, "observe", lambda *given: {name: v * 0.01 for name, v in honest(*given).items()}
    )
    path = save_idcnn(tmp_path / "model")
    found = measure_precisions(path, {"medical": devel})
    assert found is not None
    assert found.devel["medical"]["int8"] < 99.9
    assert "int8" not in found.allowed
    assert Tagger.load(path, "cpu").predictor.precision != "int8"


@pytest.mark.parametrize(
    ("native", "allowed", "chosen"),
    [
        (PRECISIONS, PRECISIONS, "int8"),
        (PRECISIONS, ("float32", "bfloat16"), "bfloat16"),
        (("float32", "int8"), ("float32", "bfloat16"), "float32"),
        (("float32",), PRECISIONS, "float32"),
    ],
)
def test_auto_takes_the_fastest_that_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, native: tuple[str, ...], allowed: tuple[str, ...], chosen: str
) -> None:
    monkeypatch.setattr(infer, "is_native", lambda name: name in native)
    bundle = dataclasses.replace(load_bundle(FIXTURE), inference=Inference({}, {}, allowed))
    assert choose(bundle, "auto", engine=True) == chosen
    assert choose(bundle, "auto", engine=False) == "float32"


def test_a_bundle_of_version_1_runs_at_every_precision() -> None:
    bundle = load_bundle(FIXTURE)
    assert bundle.inference is None
    assert ranges_of(bundle)  # from the package's sample text
    text = "Familial breast cancer and the BRCA1 gene . " * 3
    wanted = [len(d.entities) for d in Tagger(bundle, "cpu", precision="float32").tag([text])]
    for precision in ("bfloat16", "int8"):
        found = Tagger(bundle, "cpu", precision=precision).tag([text])
        assert [len(d.entities) for d in found] == wanted


def test_a_damaged_file_of_ranges_is_refused(tmp_path: Path) -> None:
    path = save_idcnn(tmp_path / "model")
    add_inference(path, Inference({"0": torch.ones(16)}, {}, ("float32",)))
    (path / "inference.safetensors").write_bytes(b"x" * (path / "inference.safetensors").stat().st_size)
    with pytest.raises(BionerError, match=r"inference\.safetensors is damaged"):
        load_bundle(path)


def test_a_network_without_an_engine_runs_in_blocks() -> None:
    """Torch's path, which GPUs take, agrees with the engine; in bfloat16 up to rounding."""
    tagger = Tagger(load_bundle(FIXTURE), "cpu", 1, "float32")
    encoded = tagger.prepare(list(map(_document, ["Familial breast cancer of the BRCA1 gene."]))).encoded
    wanted = tagger.predictor.emissions(encoded)
    from bioner_fast.models.engine import Tokens

    tokens = Tokens(encoded.word_ids, encoded.caps, encoded.forms)
    for precision, tolerance in (("float32", 1e-4), ("bfloat16", 0.5)):
        blocks = BlockNetwork(tagger.bundle.network, torch.device("cpu"), precision)
        found = blocks.log_probabilities(tokens, encoded.sentence_offsets)
        for name, values in wanted.items():
            torch.testing.assert_close(found[name], values, rtol=0.05, atol=tolerance)


def _document(text: str):  # type: ignore[no-untyped-def]
    from bioner_fast.data.document import Document

    return Document.from_text(text, id="1")


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(save_tiny(tmp_path / "model"))
    source = tmp_path / "in.txt"
    source.write_text(prose(3, 300), encoding="utf-8")
    for precision in ("auto", *PRECISIONS):
        out = tmp_path / f"{precision}.jsonl"
        assert run(["tag", "-m", model, str(source), "-o", str(out), "--precision", precision]) == 0
        (document,) = read_documents(out)
        entities = Tagger.load(model, "cpu", precision=precision).tag([source.read_text(encoding="utf-8")])
        assert [e.spans for e in document.iter_entities()] == [e.spans for e in entities[0].iter_entities()]
    corpus = tmp_path / "task"
    corpus.mkdir()
    (corpus / "test.tsv").write_text("cancer\tB-Disease\ncells\tO\n", encoding="utf-8")
    (corpus / "train.tsv").write_text("cancer\tB-Disease\ncells\tO\n", encoding="utf-8")
    capsys.readouterr()
    command = ["evaluate", "--model", model, "--task", str(corpus), "--head", "medical", "--json"]
    assert run([*command, "--precision", "int8"]) == 0
    assert json.loads(capsys.readouterr().out)["scheme"] == "conlleval"
    for wrong in (["tag", "-m", model, str(source)], command):
        assert run([*wrong, "--precision", "int4"]) == 2
        assert "precision must be one of auto, float32, bfloat16, int8, not 'int4'" in capsys.readouterr().err


def test_int8_needs_an_engine() -> None:
    bundle = load_bundle(FIXTURE)
    with pytest.raises(UsageError, match="int8 needs the CPU"):
        choose(bundle, "int8", engine=False)
    assert choose(bundle, "bfloat16", engine=False) == "bfloat16"


def test_saturation_is_not_wrapping(tmp_path: Path) -> None:
    """Values far beyond the ranges of calibration give finite probabilities that add up to one."""
    path = save_tiny(tmp_path / "model")
    watched = ranges_of(load_bundle(path))
    add_inference(path, Inference({name: v * 1e-3 for name, v in watched.items()}, {}, ("float32",)))
    tagger = Tagger.load(path, "cpu", precision="int8")
    encoded = tagger.prepare([_document(prose(4, 50))]).encoded
    for values in tagger.predictor.emissions(encoded).values():
        np.testing.assert_allclose(values.exp().sum(1), 1, rtol=1e-5)
