"""What is counted while steps run: losses and speed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Steps between looks at the loss: reading it makes a device wait.
LOSS_EVERY = 50


@dataclass(slots=True)
class Speed:
    """Seconds spent in steps, and the tokens of these steps."""

    seconds: float = 0.0
    tokens: int = 0

    @property
    def per_second(self) -> float:
        """Tokens a second; 0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0


class LossMeter:
    """Losses that wait on the device, to be read some at a time."""

    def __init__(self) -> None:
        self.pending: list[Tensor] = []
        self.tokens = 0

    def add(self, loss: Tensor, tokens: int) -> None:
        """Take the loss of a step of so many tokens."""
        self.pending.append(loss)
        self.tokens += tokens

    @property
    def full(self) -> bool:
        """Whether it is time to read them."""
        return len(self.pending) == LOSS_EVERY

    def read(self) -> tuple[list[float], int]:
        """The losses that were waiting, and their tokens."""
        losses, tokens = torch.stack(self.pending).tolist(), self.tokens
        self.pending, self.tokens = [], 0
        return losses, tokens
