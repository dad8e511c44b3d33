"""The folder of a run: what lies where, and that nothing of an older run is lost unasked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bioner_fast.errors import BionerError
from bioner_fast.files import verify_directory
from bioner_fast.temporary import locked_folder, remove_leftovers
from bioner_fast.training.checkpoint import CheckpointFolder
from bioner_fast.training.config import TrainConfig


class RunFolder:
    """Paths inside ``--out``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model"
        self.config = self.path / "config.toml"
        self.metrics = self.path / "metrics.jsonl"
        self.predictions = self.path / "predictions"
        self.result = self.path / "result.json"
        self.silver = self.path / "silver"
        self.selection = self.path / "selection"
        self.checkpoints = CheckpointFolder(self.path / "checkpoint")

    def _parts(self) -> list[Path]:
        return [
            self.model, self.config, self.metrics, self.predictions, self.result, self.silver, self.selection,
            self.selection, self.checkpoints.path,
        ]  # fmt: skip

    @contextmanager
    def held(self, writes: bool) -> Iterator[None]:
        """Hold the folder against other trainings around the block.

        Args:
            writes: whether this process writes it; of several that train together one does.

        Raises:
            BionerError: another training has it, or the path is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise BionerError(f"{self.path} is a file; choose another --out")
        if not writes:
            yield
            return
        made = not self.path.exists()
        try:
            with locked_folder(self.path, "another training"):
                remove_leftovers(self.path)
                yield
        finally:
            if made:  # goes again if nothing came of it
                with suppress(OSError):
                    self.path.rmdir()

    @contextmanager
    def starting(self, config: TrainConfig, *, force: bool) -> Iterator[None]:
        """Make the folder of a new run around the block that reads its data and builds its model.

        If the block fails, nothing is left behind, and a run that ``force`` replaces is still there.

        Raises:
            BionerError: a run lies there and ``force`` is false.
        """
        found = [part for part in self._parts() if part.exists()]
        if found and not force:
            begun = self.config.exists() and (self.checkpoints.exists() or not self.model.exists())
            how = "pass --resume to go on with it, " if begun else ""
            raise BionerError(
                f"{self.path} holds a run already ({found[0].name}); {how}--force to replace it, "
                "or choose another --out"
            )
        if not found:  # at once, so that a run that is killed this early can be resumed
            config.save(self.config)
        try:
            yield
        except Exception:
            if not found:
                self.config.unlink(missing_ok=True)
            raise
        if found:
            self._clear()
            config.save(self.config)

    def _clear(self) -> None:
        """Delete a run."""
        for part in self._parts():
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)

    def finished(self) -> bool:
        """Whether the run here is complete."""
        if not self.result.is_file() or self.checkpoints.path.exists():
            return False
        verify_directory(self.model)
        return True

    def close(self) -> None:
        """Delete the checkpoint of a run that is complete."""
        shutil.rmtree(self.checkpoints.path, ignore_errors=True)
