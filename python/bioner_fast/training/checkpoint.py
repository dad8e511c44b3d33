"""Checkpoints: safetensors and JSON, complete at every moment.

``state.json`` names the tensor files that belong to it and is replaced last, by one rename; files that no
state names any more are deleted after that. A run that is killed anywhere in between finds the previous state
whole.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import DAMAGED, atomic_write, read_json, write_json
from bioner_fast.models.tensor_files import load_tensors
from bioner_fast.training.config import parse_interval

STATE = "state.json"


class CheckpointTimer:
    """Says when a checkpoint is due; the interval counts on from one epoch to the next.

    Args:
        every: seconds (``60s``) or steps (``500``).
    """

    def __init__(self, every: str) -> None:
        self._unit, self._interval = parse_interval(every)
        self._saved: tuple[float, int] | None = None  # when, and at which step

    def start(self, step: int) -> None:
        """Training goes on, from this step."""
        if self._saved is None:
            self.restart(step)

    def restart(self, step: int) -> None:
        """A checkpoint was saved at this step."""
        self._saved = (time.monotonic(), step)

    def due(self, step: int) -> bool:
        """Whether this step should be saved."""
        assert self._saved is not None
        when, saved = self._saved
        since = time.monotonic() - when if self._unit == "seconds" else step - saved
        return since >= self._interval


class CheckpointFolder:
    """The ``checkpoint/`` folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a state has been saved."""
        return (self.path / STATE).is_file()

    def save(self, facts: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
        """Save a state.

        Args:
            facts: JSON-able; ``facts["step"]`` numbers the state.
            tensors: named groups; a group that is already saved under the same name is not written again.
        """
        from safetensors.torch import save

        self.path.mkdir(parents=True, exist_ok=True)
        for group, values in tensors.items():
            file = self.path / f"{group}.safetensors"
            if not file.exists():
                with atomic_write(file, "wb") as out:
                    out.write(
                        save({name: value.detach().cpu().contiguous() for name, value in values.items()})
                    )
        write_json(self.path / STATE, {**facts, "groups": sorted(tensors)})
        kept = {f"{group}.safetensors" for group in tensors} | {STATE}
        for file in self.path.iterdir():
            if file.name not in kept:
                file.unlink()

    def load(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """The facts and the tensors of the last state.

        Raises:
            BionerError: there is none, or it is damaged.
        """
        try:
            facts = read_json(self.path / STATE)
            groups = {
                str(group): load_tensors(self.path / f"{group}.safetensors") for group in facts["groups"]
            }
        except FileNotFoundError as error:
            raise BionerError(f"{self.path} is not whole: {error.filename} is missing") from None
        except (FormatError, *DAMAGED) as error:
            raise FormatError(
                self.path / STATE,
                f"the checkpoint is damaged ({str(error)[:200]}); begin again with --force",
            ) from None
        return facts, groups
