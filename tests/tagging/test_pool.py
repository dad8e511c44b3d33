"""Heads that know the same type say together what an entity scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bioner_fast.models.bundle import TaskHead
from bioner_fast.tagging.pool import pool_heads
from bioner_fast.tagging.predict import Found
from bioner_fast.tagging.scores import span_scores
from tiny_bundle import iobes

NAMES = {"GGP": "gene", "GENE": "gene", "Protein": "gene", "Disease": "disease"}
OFFSETS = np.array([0, 6, 11, 12])


def made(
    name: str, types: tuple[str, ...], spans: list[tuple[int, int, int]], seed: int
) -> tuple[Found, torch.Tensor]:
    head = TaskHead(name, iobes(*types), "ner", "viterbi")
    generator = torch.Generator().manual_seed(seed)
    table = torch.log_softmax(3 * torch.randn(12, len(head.tagset.names), generator=generator), 1)
    start, end, kind = (np.array([span[k] for span in spans], np.int64) for k in range(3))
    score = span_scores(head, table, OFFSETS, start, end, kind)
    return Found(head, np.zeros(12, np.int64), start, end, kind, score), table


def single(found: Found, table: torch.Tensor, start: int, end: int, kind: int) -> float:
    spans = (np.array([value], np.int64) for value in (start, end, kind))
    return float(span_scores(found.head, table, OFFSETS, *spans)[0])


@pytest.mark.parametrize("seed", range(3))
def test_a_score_is_the_mean_of_all_heads_that_know_the_type(seed: int) -> None:
    heads = [
        made("a", ("GGP", "Disease"), [(0, 2, 0), (3, 5, 1), (7, 8, 0)], seed),
        made("b", ("GENE", "Protein"), [(1, 4, 1), (7, 8, 0)], seed + 10),
        made("c", ("Plant",), [(0, 3, 0)], seed + 20),
        made("d", ("Disease",), [], seed + 30),
    ]
    emissions = {found.head.name: table for found, table in heads}
    pooled = pool_heads([found for found, _ in heads], emissions, OFFSETS, NAMES, {})
    for (before, _), after in zip(heads, pooled, strict=True):
        assert after.start is before.start
        for i, (start, end, kind) in enumerate(zip(before.start, before.end, before.type_id, strict=True)):
            name = NAMES.get(before.head.tagset.types[kind], before.head.tagset.types[kind])
            said = []
            for other, table in heads:
                kinds = [k for k, own in enumerate(other.head.tagset.types) if NAMES.get(own, own) == name]
                if other is before:
                    said.append(before.score[i])
                elif kinds:
                    said.append(sum(single(other, table, int(start), int(end), k) for k in kinds))
            assert after.score[i] == pytest.approx(np.mean(said), rel=1e-6)
            assert len(said) == {"gene": 2, "disease": 2, "Plant": 1}[name]


def test_heads_of_parts_of_speech_and_no_entities_stay() -> None:
    found, table = made("a", ("GGP",), [], 0)
    assert pool_heads([found], {"a": table}, OFFSETS, NAMES, {})[0].score.size == 0
    assert pool_heads([], {}, OFFSETS, NAMES, {}) == []
