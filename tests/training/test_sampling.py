"""Batches: what an epoch holds, in which order, and that a slice is the published one."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.errors import UsageError
from bioner_fast.features.batch import Features
from bioner_fast.training.sampling import (
    SentenceBatches,
    SpanBatches,
    TokenBatches,
    TrainingText,
    draw_slice,
    slice_choices,
)


def text(lengths: list[int], bounds: tuple[int, ...] = ()) -> TrainingText:
    """Token i has word i + 2, so that a batch says where it comes from."""
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    n = int(offsets[-1])
    features = Features(torch.arange(n) + 2, torch.ones(n, dtype=torch.uint8), offsets)
    bounds = bounds or (0, n)
    return TrainingText(features, torch.arange(n), bounds, tuple(range(len(bounds) - 1)))


def test_slices_are_the_published_ones(shared: Path) -> None:
    lines = (shared / "golden" / "percent_keep.tsv").read_text().splitlines()[1:]
    assert lines
    for line in lines:
        n, fraction, starts, length, largest = line.split("\t")
        found = slice_choices(int(n), float(fraction))
        assert found == (int(starts), int(length)), line
        assert found[0] - 1 + found[1] == int(largest), line


def test_slices_are_drawn_from_all_starts() -> None:
    rng = np.random.default_rng(0)
    drawn = {draw_slice(10, 0.75, rng) for _ in range(200)}
    assert drawn == {(0, 7), (1, 8), (2, 9)}
    with pytest.raises(UsageError, match="--percent-keep"):
        draw_slice(10, 0.01, rng)


def test_token_batches_hold_every_token_once() -> None:
    batches = TokenBatches(text([5, 6, 7]), 4)
    plan = batches.plan(np.random.default_rng(0), 3, 16)
    seen = [batch.tokens.tolist() for batch in batches.batches(plan)]  # type: ignore[union-attr]
    assert sorted(chain.from_iterable(seen)) == list(range(3, 16))
    assert [len(part) for part in seen] == [4, 4, 4, 1]
    assert list(chain.from_iterable(seen)) != list(range(3, 16))
    rest = [batch.tokens.tolist() for batch in batches.batches(plan, 2)]  # type: ignore[union-attr]
    assert rest == seen[2:]


def test_sentence_batches_hold_whole_sentences_once() -> None:
    lengths = [5, 6, 7, 1, 1, 20, 2]
    batches = SentenceBatches(text(lengths), 8)
    plan = batches.plan(np.random.default_rng(0), 0, sum(lengths))
    seen: list[int] = []
    for batch in batches.batches(plan):
        assert isinstance(batch.tokens, slice)
        assert {batch.tokens.start, batch.tokens.stop} <= set(plan.features.offsets.tolist())
        ((_, rows, tags),) = batch.parts
        assert rows == slice(0, batch.size)
        assert (plan.features.word_ids[batch.tokens] - 2).tolist() == tags.tolist()
        seen += tags.tolist()
    assert sorted(seen) == list(range(sum(lengths)))
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    for start, length in zip(starts, lengths, strict=True):
        at = seen.index(start)
        assert seen[at : at + length] == list(range(start, start + length))


def test_sentence_batches_of_a_slice() -> None:
    batches = SentenceBatches(text([5, 6, 7]), 8)
    plan = batches.plan(np.random.default_rng(0), 3, 16)
    assert sorted(plan.tags.tolist()) == list(range(3, 16))


def test_span_batches_straddle_corpora_and_may_be_short() -> None:
    batches = SpanBatches(text([10, 10, 10], (0, 10, 30)), 8, steps=500, steps_per_epoch=300)
    assert batches.epochs == 2
    starts = set()
    plans = [batches.plan(np.random.default_rng(e), 0, 10, e) for e in range(2)]
    assert [len(plan) for plan in plans] == [300, 200]
    for batch in batches.batches(plans[0]):
        assert isinstance(batch.tokens, slice)
        start, stop = batch.tokens.start, batch.tokens.stop
        starts.add(start)
        assert stop == min(start + 8, 30)
        parts = {
            head: (start + rows.start, start + rows.stop, tags.tolist()) for head, rows, tags in batch.parts
        }
        expected = {}
        if start < 10:
            expected[0] = (start, min(stop, 10), list(range(start, min(stop, 10))))
        if stop > 10:
            expected[1] = (max(start, 10), stop, list(range(max(start, 10), stop)))
        assert parts == expected
    assert starts == set(range(30))


def test_span_batches_leave_out_what_the_slice_leaves_out() -> None:
    batches = SpanBatches(text([10, 10], (0, 10, 20)), 4, steps=400, steps_per_epoch=400)
    seen = set()
    for batch in batches.batches(batches.plan(np.random.default_rng(0), 2, 6)):
        for _, _, tags in batch.parts:
            seen |= set(tags.tolist())
    assert seen == {*range(2, 6), *range(10, 20)}
