"""Files that come with the package: sample corpora, the manifest of public corpora, and trained models."""

from __future__ import annotations

import os
from pathlib import Path

from bioner_fast.errors import BionerError

# The model that is used where none is named.
DEFAULT_MODEL = "general"
# What makes a folder a model.
MODEL_FACTS = "bundle.json"


def data_folder() -> Path:
    """The installed data folder; in a source checkout, the repository's ``data``."""
    installed = Path(__file__).parent / "_data"
    if installed.is_dir():
        return installed
    return Path(__file__).parents[2] / "data"


def model_folders() -> list[Path]:
    """Folders whose subfolders are installed models: those of ``BIONER_MODELS``, then the package's own."""
    further = os.environ.get("BIONER_MODELS", "").split(os.pathsep)
    return [*(Path(folder) for folder in further if folder), data_folder() / "models"]


def installed_models() -> dict[str, Path]:
    """Installed models by name, sorted; of two with one name the one that comes first in the folders."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (path / MODEL_FACTS).is_file():
                found.setdefault(path.name, path)
    return dict(sorted(found.items()))


def find_model(name_or_path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a model, given as that folder or as the name of an installed one.

    A folder with a model goes before an installed model of that name, and that before any other folder.
    What looks like a path (it has a separator) is taken for one, there or not; reading it says what is wrong.

    Args:
        name_or_path: None stands for :data:`DEFAULT_MODEL`.

    Raises:
        BionerError: there is neither a folder nor an installed model of that name.
    """
    name = DEFAULT_MODEL if name_or_path is None else os.fspath(name_or_path)
    path = Path(name)
    if name_or_path is not None and (name != path.name or (path / MODEL_FACTS).is_file()):
        return path
    known = installed_models()
    if name in known:
        return known[name]
    if name_or_path is not None and path.exists():
        return path
    installed = f"installed are {', '.join(known)}" if known else "none is installed"
    if name_or_path is None:
        raise BionerError(
            f"the model {name}, which is used where none is named, is not installed here ({installed}); "
            "name a model folder, as train leaves it in model/ (--model)"
        )
    raise BionerError(
        f"model {name}: there is no such folder and no installed model of that name ({installed})"
    )
