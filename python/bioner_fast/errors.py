"""Errors that a user can act on. The command line prints their message as one line and exits."""

from __future__ import annotations

import os


class BionerError(Exception):
    """Something the user can mend: the message is one sentence that names the file, line or argument."""


class UsageError(BionerError):
    """The command or call was put together wrongly (exit status 2)."""


class WriteError(BionerError):
    """A place that nothing can be written to; another may do."""


class FormatError(BionerError):
    """A file does not follow its format.

    Args:
        path: the file.
        message: what was expected and what came.
        line: line number, counted from 1, or None where lines make no sense.
    """

    def __init__(self, path: str | os.PathLike[str], message: str, line: int | None = None) -> None:
        self.path = os.fspath(path)
        self.line = line
        self.detail = message
        where = self.path if line is None else f"{self.path}:{line}"
        super().__init__(f"{where}: {message}")

    def __reduce__(self) -> tuple[type[FormatError], tuple[str, str, int | None]]:
        return FormatError, (self.path, self.detail, self.line)


def describe_os_error(error: OSError) -> str:
    """An error of the system as a sentence, without its number.

    Example:
        >>> describe_os_error(FileNotFoundError(2, "No such file or directory", "out.json"))
        'out.json: No such file or directory'
    """
    if error.strerror is None:
        return str(error) or type(error).__name__
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
