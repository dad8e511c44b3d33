"""Replication of the published readout: the test split scored at every evaluation.

The published scripts keep the highest test F1 of all evaluations. That selects on test, so it is no result;
it is reported beside the results, under its name, to be compared with the paper's numbers. Nothing in
training sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bioner_fast.features.batch import featurize
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import TaskHead
from bioner_fast.training.data import Prepared, PreparedTask, Split
from bioner_fast.training.evaluation import score_devel


class TestScores:
    """Adds ``test``, scores by task as in ``devel``, to the record of every evaluation.

    An observer as :func:`bioner_fast.training.train.train` takes it.
    """

    def __init__(self) -> None:
        self._tasks: tuple[PreparedTask, ...] | None = None

    def __call__(
        self, record: dict[str, Any], network: Network, prepared: Prepared, heads: Sequence[TaskHead]
    ) -> None:
        """Score test with the network as it is."""
        if self._tasks is None:
            self._tasks = tuple(_with_test_as_devel(task, prepared, network) for task in prepared.tasks)
        names = list(record["devel"])
        wanted = [index for index, task in enumerate(self._tasks) if task.name in names]
        record["test"] = score_devel(network, self._tasks, heads, wanted)


def _with_test_as_devel(task: PreparedTask, prepared: Prepared, network: Network) -> PreparedTask:
    if task.test is None:
        return replace(task, devel=None)
    features = featurize(
        task.test.tokens,
        task.test.sentence_offsets,
        prepared.vocabulary,
        normalization=prepared.schema.normalization,
        folding=prepared.schema.folding,
        forms=task.train.features.forms is not None,
    )
    device = network.embedding.words.device
    tags = torch.from_numpy(np.asarray(task.tagset.encode(task.test), dtype=np.int64))
    return replace(task, devel=Split(task.test, features.to(device), tags.to(device)))
