"""What happens to documents that cannot be tagged: they are collected, or the first one stops the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import atomic_write, to_json
from bioner_fast.formats.base import Problem
from bioner_fast.log import logger

# Smaller problems (an annotation of the input that is not where it says) that are told one by one.
_TOLD = 20


@dataclass(frozen=True, slots=True)
class BadDocument:
    """A line of an errors file.

    Attributes:
        file: the input.
        id: the document's identifier; None where it is not known, or where the whole input is meant.
        reason: one sentence.
        line: line number in the input from 1, where lines make sense.
    """

    file: str
    id: str | None
    reason: str
    line: int | None = None

    def to_json(self) -> dict[str, object]:
        """The line as a JSON object."""
        record: dict[str, object] = {"file": self.file, "id": self.id}
        if self.line is not None:
            record["line"] = self.line
        return {**record, "reason": self.reason}

    @classmethod
    def from_json(cls, record: dict[str, object]) -> BadDocument:
        """What :meth:`to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        file, id, reason, line = (record.get(key) for key in ("file", "id", "reason", "line"))
        if not isinstance(file, str) or not isinstance(reason, str):
            raise ValueError("file and reason: expected text")
        return cls(
            file, None if id is None else str(id), reason, int(line) if isinstance(line, int) else None
        )

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {'' if self.id is None else f'document {self.id}: '}{self.reason}"


class BrokenInputError(BionerError):
    """An input that cannot be read to its end; what was written of it is thrown away.

    Attributes:
        record: as it stands in the errors file.
    """

    def __init__(self, record: BadDocument) -> None:
        self.record = record
        super().__init__(str(record))

    def __reduce__(self) -> tuple[type[BrokenInputError], tuple[BadDocument]]:
        return BrokenInputError, (self.record,)


def broken_input(path: str, error: Exception) -> NoReturn:
    """Raise a :class:`BrokenInputError` for an error that reading ``path`` ended with."""
    if isinstance(error, FormatError):
        raise BrokenInputError(BadDocument(path, None, error.detail, error.line)) from error
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    raise BrokenInputError(BadDocument(path, None, reason.removeprefix(f"{path}: "))) from error


class Problems:
    """Receives the problems of readers and writers (their ``on_problem``).

    Args:
        strict: raise at the first bad document instead of collecting it.
        tell: is given every bad document as it is found.

    Attributes:
        bad: the bad documents, in the order they were found.
    """

    def __init__(self, *, strict: bool = False, tell: Callable[[BadDocument], None] | None = None) -> None:
        self.bad: list[BadDocument] = []
        self._strict = strict
        self._tell = tell
        self._small = 0

    def __call__(self, problem: Problem) -> None:
        """Take a problem.

        Raises:
            FormatError: a document is bad, and the run is strict.
        """
        if problem.kind == "document":
            self.add(BadDocument(problem.path, problem.document, problem.message, problem.line))
            return
        self._small += 1
        if self._small <= _TOLD:
            logger.warning("%s", problem)
        elif self._small == _TOLD + 1:
            logger.warning("%s: further annotations that do not fit are not told one by one", problem.path)

    def add(self, bad: BadDocument) -> None:
        """Take a bad document.

        Raises:
            FormatError: the run is strict.
        """
        if self._strict:
            name = "" if bad.id is None else f"document {bad.id}: "
            raise FormatError(bad.file, name + bad.reason, bad.line)
        self.bad.append(bad)
        if self._tell is not None:
            self._tell(bad)


def write_errors(path: str | os.PathLike[str], bad: list[BadDocument]) -> None:
    """Write an errors file, one JSON object a line, atomically."""
    with atomic_write(path) as out:
        for one in bad:
            out.write(to_json(one.to_json()) + "\n")
