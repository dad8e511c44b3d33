"""Evaluation beside training: devel is scored in a thread of its own, on a copy of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

from bioner_fast.models.base import Network

T = TypeVar("T")


class Evaluator(Generic[T]):
    """Evaluates a network as it was, while training goes on with it.

    What comes out is what would come out at once: an evaluation reads its own copy of everything that
    training changes. Where training cannot go on beside it (on a GPU, among several processes) an evaluation
    is done at once, on the network itself.

    Args:
        network: that is trained.
        beside: whether to evaluate in a thread.

    Example:
        >>> evaluator = Evaluator(network, beside=True)  # doctest: +SKIP
        >>> evaluator.begin(weights, lambda network: score(network))  # doctest: +SKIP
        >>> scores = evaluator.end()  # doctest: +SKIP
    """

    def __init__(self, network: Network, beside: bool) -> None:
        self.network = network
        self._copy: Network | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._pending: Future[T] | None = None
        self._done: T | None = None
        if beside:
            words = network.embedding.words
            self._copy = copy.deepcopy(network, {id(words): words})
            # A new thread would take as many threads as there are cores.
            self._threads = ThreadPoolExecutor(
                1, "evaluator", torch.set_num_threads, (torch.get_num_threads(),)
            )

    def begin(self, weights: dict[str, Tensor], evaluate: Callable[[Network], T]) -> None:
        """Start an evaluation, or do it.

        Args:
            weights: of the network as it shall be evaluated, a word table that is trained among them. They
                must not change before :meth:`end`, and the copy holds them until the next :meth:`begin`.
            evaluate: called once with a network that has them, its result is that of :meth:`end`.
        """
        assert not self.busy
        if self._copy is None or self._threads is None:
            self._done = evaluate(self.network)
            return
        # Assigned, not copied: the copy starts out sharing the word table, and copying would write into the
        # one that is being trained.
        self._copy.load_state_dict(weights, strict=False, assign=True)
        self._pending = self._threads.submit(evaluate, self._copy)

    @property
    def busy(self) -> bool:
        """Whether an evaluation was begun and not ended."""
        return self._pending is not None or self._done is not None

    def end(self) -> T:
        """Wait for the evaluation that was begun. What it raised is raised here."""
        pending, done, self._pending, self._done = self._pending, self._done, None, None
        if pending is not None:
            return pending.result()
        assert done is not None
        return done

    def close(self) -> None:
        """Let the thread go, an evaluation that was begun included."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
