"""Files that come with the package: sample corpora and the manifest of public corpora."""

from __future__ import annotations

from pathlib import Path


def data_folder() -> Path:
    """The installed data folder; in a source checkout, the repository's ``data``."""
    installed = Path(__file__).parent / "_data"
    if installed.is_dir():
        return installed
    return Path(__file__).parents[2] / "data"
