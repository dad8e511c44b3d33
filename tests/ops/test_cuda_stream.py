"""Work on a GPU joins the caller's stream."""

from __future__ import annotations

import pytest
import torch

from bioner_fast import ops
from ops.windows import random


@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_cuda_work_joins_the_callers_stream(device) -> None:
    """Inputs come from work that is still under way on a side stream; nothing synchronises in between."""
    offsets = torch.arange(0, 40_001, 20, device=device)
    n, window = 40_000, 7
    source = random(n, 64, dtype=torch.float32).to(device)
    weight = random(50, 64, dtype=torch.float32).to(device)
    ids = torch.randint(0, 50, (n,), device=device)
    expected = ops.window_gather(source + 1, offsets, window)
    rows = ops.embedding_window(weight + 1, ids, offsets, window, 3)
    tags = ops.viterbi_decode(source[:, :25] + 1, source[:25, :25], offsets)[0]
    gold = torch.randint(0, 25, (n,), device=device)
    likelihood = ops.crf_log_likelihood(source[:, :25] + 1, gold, source[:25, :25], offsets)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        for _ in range(3):
            values, table = torch.zeros_like(source), torch.zeros_like(weight)
            torch.cuda._sleep(50_000_000)  # tens of milliseconds: an op on another stream would see the zeros
            values.copy_(source + 1)
            table.copy_(weight + 1)
            found = ops.window_gather(values, offsets, window)
            looked_up = ops.embedding_window(table, ids, offsets, window, 3)
            decoded = ops.viterbi_decode(values[:, :25], source[:25, :25], offsets)[0]
            scored = ops.crf_log_likelihood(values[:, :25], gold, source[:25, :25], offsets)
            assert not stream.query(), "the calls must return before the stream is done"
            values.zero_()
            table.zero_()
    stream.synchronize()
    assert torch.equal(found, expected)
    assert torch.equal(looked_up, rows)
    assert torch.equal(decoded, tags)
    assert torch.equal(scored, likelihood)
