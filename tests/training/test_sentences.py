"""Batches of whole sentences over several tasks, averaged weights, the schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.batch import Features, Forms
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.optimizer import Optimizer, linear_decay
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.sampling import TrainingText
from bioner_fast.training.sentences import MixedSentenceBatches
from bioner_fast.training.train import train
from tiny_corpora import small, write_task


def text(lengths: list[int], bounds: tuple[int, ...]) -> TrainingText:
    """Token i has word and tag i."""
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    n = int(offsets[-1])
    forms = Forms(
        torch.arange(n), torch.zeros(n, 16, dtype=torch.uint8), torch.zeros(n, 5, dtype=torch.int32)
    )
    features = Features(torch.arange(n), torch.ones(n, dtype=torch.uint8), offsets, forms)
    return TrainingText(features, torch.arange(n), bounds, tuple(range(len(bounds) - 1)))


def test_every_sentence_comes_once_whole_and_under_its_own_head() -> None:
    rng = np.random.default_rng(3)
    lengths = [*rng.integers(0, 9, 60).tolist(), *rng.integers(1, 30, 40).tolist()]
    bound = int(np.sum(lengths[:60]))
    batches = MixedSentenceBatches(text(lengths, (0, bound, sum(lengths))), 50)
    plan = batches.plan(np.random.default_rng(0), 0, bound)
    starts = {int(s): n for s, n in zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True) if n}
    seen: list[int] = []
    mixed = 0
    for batch in batches.batches(plan):
        assert isinstance(batch.tokens, slice)
        assert batch.size == batch.tokens.stop - batch.tokens.start == sum(len(t) for *_, t in batch.parts)
        assert batch.size < 50 + 30
        mixed += len(batch.parts) == 2
        assert len(batch.offsets) == len(batch.parts) == len({head for head, *_ in batch.parts})
        for (head, rows, tags), offsets in zip(batch.parts, batch.offsets, strict=True):
            assert rows.stop - rows.start == len(tags) == int(offsets[-1])
            assert batch.features.word_ids[batch.tokens][rows].tolist() == tags.tolist()
            assert batch.features.forms is not None
            assert batch.features.forms.ids[batch.tokens][rows].tolist() == tags.tolist()
            for low, high in zip(offsets.tolist(), offsets.tolist()[1:], strict=False):
                first = int(tags[low])
                assert head == int(first >= bound)
                assert tags[low:high].tolist() == list(range(first, first + starts[first]))
                seen.append(first)
    assert sorted(seen) == sorted(starts)
    assert mixed > 2
    again = [batch.tokens for batch in batches.batches(batches.plan(np.random.default_rng(0), 0, bound), 4)]
    assert again == [batch.tokens for batch in batches.batches(plan)][4:]


def test_a_slice_keeps_whole_sentences_of_the_first_task_only() -> None:
    batches = MixedSentenceBatches(text([5, 5, 5, 5, 7], (0, 20, 27)), 100)
    plan = batches.plan(np.random.default_rng(0), 3, 16)
    assert sorted(plan.tags.tolist()) == [*range(5, 15), *range(20, 27)]
    with pytest.raises(UsageError, match="--percent-keep"):
        batches.plan(np.random.default_rng(0), 6, 9)


def test_steps_are_about_what_a_run_takes() -> None:
    batches = MixedSentenceBatches(text([7] * 300, (0, 2100)), 100)
    assert batches.steps_of(3, 1.0) == 63
    assert len(batches.plan(np.random.default_rng(0), 0, 2100).batches) == 21


def test_an_average_by_hand() -> None:
    parameter = torch.zeros(1)
    average = Average({"p": parameter}, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 4.0, 2.0], 1):
        parameter.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert parameter.item() == pytest.approx(expected)
    assert parameter.item() == 2.0


def test_the_schedule_rises_and_falls() -> None:
    factor = linear_decay(1000, 10)
    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == pytest.approx(1 - 9 / 1000)
    assert factor(500) == pytest.approx(0.5)
    assert factor(999) == factor(5000) == 0.02


def test_clipping_adamw_and_schedule_equal_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(4, dtype=torch.float64)) for _ in range(2))
    optimizer = Optimizer(
        "adamw", {"p": ours}, 0.1, weight_decay=0.01, clip=0.5, schedule=linear_decay(20, 5)
    )
    peer = torch.optim.AdamW([theirs], 0.1, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(20):
        gradient = torch.randn(4, dtype=torch.float64)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        torch.nn.utils.clip_grad_norm_([theirs], 0.5)
        peer.param_groups[0]["lr"] = 0.1 * linear_decay(20, 5)(step)
        peer.step()
        optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def tiny(tasks: tuple[Path, ...], out: Path, **changes: object) -> TrainConfig:
    values = {
        "arch": "idcnn", "channels": 12, "char_filters": 6, "affix_dim": 2, "decoder": "crf", "epochs": 6,
        "steps": None, "evaluate_every": None, "hidden": None, "warmup": 5, "average": 0.9,
    }  # fmt: skip
    return small(tasks, out, **(values | changes))


def test_two_tasks_learn_together_and_the_bundle_scores_the_same(tmp_path: Path) -> None:
    tasks = (write_task(tmp_path / "Disease", "Disease"), write_task(tmp_path / "pos", "pos"))
    result = train(tiny(tasks, tmp_path / "run", epochs=10, patience=0))
    assert result.tasks["Disease"]["devel"]["f1"] > 65  # neighbouring mentions look like one
    assert result.tasks["pos"]["devel"]["accuracy"] > 95
    bundle = load_bundle(result.model)
    assert bundle.provenance["devel"]["Disease"]["f1"] == pytest.approx(
        result.tasks["Disease"]["devel"]["f1"]
    )
    assert [head.decoder for head in bundle.tasks] == ["crf", "crf"]
    assert all(bool(head.tables["transitions"].any()) for head in bundle.tasks)


def test_patience_stops_early(tmp_path: Path) -> None:
    task = write_task(tmp_path / "Disease", "Disease")
    train(tiny((task,), tmp_path / "run", epochs=40, patience=2, learning_rate=0.02))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) < 40


def test_tags_that_a_crf_cannot_learn_are_named(tmp_path: Path) -> None:
    task = write_task(tmp_path / "Disease", "Disease")
    config = tiny((task,), tmp_path / "run")
    from bioner_fast.training import checks

    found = checks.first_illegal
    checks.first_illegal = lambda *_: 6  # type: ignore[assignment]
    try:
        with pytest.raises(BionerError, match=r"training sentence 7 .*--decoder viterbi"):
            train(config)
    finally:
        checks.first_illegal = found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"arch": "cnn", "decoder": "crf"}, "--decoder crf"),
        ({"arch": "idcnn", "hidden": (5,)}, "--hidden"),
        ({"arch": "idcnn", "batches": "tokens"}, "--batches"),
        ({"arch": "idcnn", "steps": 5}, "--epochs"),
        ({"arch": "idcnn", "dropout_mask": "batch"}, "--dropout-mask"),
        ({"arch": "idcnn", "dilations": ()}, "--dilations"),
        ({"arch": "idcnn", "dilations": (65,)}, "--dilations"),
        ({"arch": "idcnn", "tasks": ("A", "B"), "sharing": "dependent"}, "--sharing dependent"),
        ({"average": 1.0}, "--average"),
        ({"clip": -1.0}, "--clip"),
        ({"schedule": "cosine"}, "--schedule"),
        ({"patience": -1}, "--patience"),
    ],
)
def test_mistakes_name_the_flag(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig(**values)  # type: ignore[arg-type]
    assert said in str(caught.value)
