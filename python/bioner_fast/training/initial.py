"""Weights to start from: those of a trained bundle, where they fit (``--init-from``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bioner_fast.data.schemes import TagSet
from bioner_fast.errors import UsageError
from bioner_fast.features.vocabulary import WORD_ROW
from bioner_fast.files import MANIFEST_NAME, sha256
from bioner_fast.log import logger
from bioner_fast.models.base import Network
from bioner_fast.models.bundle import Bundle, bundle_folder, load_bundle
from bioner_fast.models.registry import kind_of
from bioner_fast.training.data import Prepared

# Entries of a network's configuration that weights do not depend on.
_FREE = {"tasks", "rows", "sharing", "dropout", "input_dropout", "word_dropout", "tune_words", "crf"}
_FLAGS = {"word_dim": "--vectors", "caps_dim": "--caps", "caps_classes": "--caps"}
_PER_TASK = ("heads", "chains")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run's first weights come from.

    Attributes:
        model: SHA-256 of the bundle's manifest, which names every file with its digest.
        tasks: the tasks whose heads were taken.
        selected_step: of the bundle's training.
    """

    model: str
    tasks: tuple[str, ...]
    selected_step: int | None


def start_from(path: str, network: Network, prepared: Prepared) -> Origin:
    """Give a new network the weights of a bundle: encoder, features, and heads of tasks of the same name.

    Tags of a task are matched by name, in whatever order; rows of new types, and heads of other tasks, stay
    as they were drawn. Fixed word vectors have to be those that the bundle was trained with, though more or
    fewer words may have one; of those that are trained, the rows of words that both know are taken.

    Args:
        path: the bundle, or the name of an installed model.
        network: of the same architecture, initialised.
        prepared: what it will be trained on.

    Raises:
        UsageError: architecture, look-up, word vectors, or the tag scheme of a task differ.
        BionerError: there is no bundle, or it is not whole.
    """
    bundle = load_bundle(bundle_folder(path))
    _check_shape(path, bundle.network.config, network.config)
    if bundle.schema != prepared.schema:
        raise UsageError(
            f"--init-from {path}: it looks words up by other rules ({bundle.schema}); give its "
            "--normalization and --folding"
        )
    places = _heads(path, bundle, prepared)
    old = bundle.network.state_dict()
    new = network.state_dict()
    table = _word_table(path, bundle, old[network.word_table_key], network, prepared)
    with torch.no_grad():
        for name, value in new.items():
            if name == network.word_table_key:
                value.copy_(table)
                continue
            kind, _, rest = name.partition(".")
            source = name
            if kind in _PER_TASK:
                index, _, rest = rest.partition(".")
                task = int(index)
                source = f"{kind}.{places.get(task)}.{rest}"
                if source not in old:  # a task, or a CRF, that the bundle does not have
                    continue
                theirs = bundle.tasks[places[task]].tagset
                _copy_rows(value, old[source], prepared.tasks[task].tagset, theirs, square=kind == "chains")
                continue
            value.copy_(old[source])
    taken = tuple(prepared.tasks[index].name for index in sorted(places))
    logger.info("starting from %s, with its heads of %s", path, ", ".join(taken) or "no task")
    return Origin(sha256(bundle.path / MANIFEST_NAME), taken, bundle.provenance.get("selected_step"))


def _check_shape(path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    kinds = [kind_of(config) for config in (old, new)]
    if kinds[0] != kinds[1]:
        raise UsageError(f"--init-from {path}: it is a {kinds[0]}, and --arch asks for a {kinds[1]}")
    for name in sorted((old.keys() | new.keys()) - _FREE):
        if old.get(name) != new.get(name):
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            raise UsageError(
                f"--init-from {path}: its {name} is {old.get(name)}, here it would be {new.get(name)}; "
                f"give the {flag} that it was trained with"
            )
    if "dependent" in (old.get("sharing"), new.get("sharing")):
        raise UsageError(
            f"--init-from {path}: a dependent network cannot start from another, nor the reverse"
        )


def _heads(path: str, bundle: Bundle, prepared: Prepared) -> dict[int, int]:
    """Which of the bundle's heads each new head starts from."""
    known = {head.name: (index, head) for index, head in enumerate(bundle.tasks)}
    places = {}
    for index, task in enumerate(prepared.tasks):
        if task.name in known:
            place, head = known[task.name]
            theirs, ours = head.tagset, task.tagset
            if theirs.scheme is not ours.scheme or not set(theirs.names[1:]) & set(ours.names[1:]):
                left, right = (", ".join(tags.names) for tags in (theirs, ours))
                raise UsageError(
                    f"--init-from {path}: its task {task.name} has other tags ({left}) than here ({right})"
                )
            _say_differences(path, task.name, theirs, ours)
            places[index] = place
    return places


def _say_differences(path: str, task: str, theirs: TagSet, ours: TagSet) -> None:
    """Say which types (parts of speech: tags) of a task are new, and which are left out."""
    left, right = (tags.types or tags.names for tags in (theirs, ours))
    for names, others, what in (
        (right, left, "new, with new rows"),
        (left, right, "of the model's left out"),
    ):
        if found := [name for name in names if name not in others]:
            logger.info("--init-from %s: of task %s these are %s: %s", path, task, what, ", ".join(found))


def _copy_rows(value: Tensor, old: Tensor, ours: TagSet, theirs: TagSet, *, square: bool) -> None:
    """Copy what belongs to tags that both know: rows, and columns too of a ``square`` table."""
    pairs = [(i, theirs.index[name]) for i, name in enumerate(ours.names) if name in theirs.index]
    new, known = (torch.tensor(places, device=value.device) for places in zip(*pairs, strict=True))
    old = old.to(value.device)
    if square and value.dim() == 2:
        value[new[:, None], new] = old[known[:, None], known]
    else:
        value[new] = old[known]


def _word_table(path: str, bundle: Bundle, old: Tensor, network: Network, prepared: Prepared) -> Tensor:
    table = network.embedding.words.detach().cpu().clone()
    rows = torch.from_numpy(bundle.vocabulary.lookup(prepared.vocabulary.words, normalization="none")).long()
    known = rows >= 0
    table[:WORD_ROW] = old[:WORD_ROW]
    theirs = old[WORD_ROW:][rows[known]]
    if network.embedding.tune_words:
        table[WORD_ROW:][known] = theirs
    else:  # more or fewer words of the same file do no harm: each keeps its vector
        fewer = min(len(bundle.vocabulary), len(prepared.vocabulary))
        if int(known.sum()) < fewer or not _close(table[WORD_ROW:][known], theirs):
            raise UsageError(
                f"--init-from {path}: its word vectors are not those of this run; give the --vectors that it "
                "was trained with, or --init-from none to start from nothing"
            )
    return table


def _close(rows: Tensor, stored: Tensor) -> bool:
    """Whether vectors are those of a bundle but for the precision that they are stored in."""
    return bool(((rows - stored).abs().amax(1) <= 0.005 * stored.abs().amax(1)).all())
