"""A running average of the weights: what is evaluated and kept where --average is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """An exponential average of parameters; early on it forgets faster, so that the start weighs little.

    Args:
        parameters: by name.
        decay: share of the old average that a step keeps.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self._parameters = dict(parameters)
        self._values = {name: value.detach().clone() for name, value in self._parameters.items()}

    def update(self, step: int) -> None:
        """Take in the parameters as they are after step number ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._values.values()), list(self._parameters.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the parameters hold their averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._values[name] = self._values[name], parameter.data

    def state(self) -> dict[str, Tensor]:
        """The averages by name."""
        return dict(self._values)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        for name, value in self._values.items():
            value.copy_(tensors[name])
