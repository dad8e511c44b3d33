"""Every architecture by its name: those of the package, of installed packages, and of files at hand.

``--arch`` takes a name from the table below, one that an installed package declares as an entry point of the
group ``bioner_fast.architectures``, or ``module:Name`` of an :class:`Architecture` in a module of your own.
A bundle only says a name: nothing is imported because a bundle says so. ``BIONER_ARCHITECTURES`` (several
``module:Name`` with commas) makes modules of your own known to every command.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import Tensor

from bioner_fast.errors import UsageError
from bioner_fast.log import logger
from bioner_fast.models.architecture import Architecture
from bioner_fast.models.base import Network
from bioner_fast.models.engine import PRECISIONS, Engine, Ranges
from bioner_fast.models.learning.averaging import Average
from bioner_fast.models.learning.distributed import Processes
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.learning.step import Step

# One line for each architecture of the package.
_OWN = {
    "cnn": "bioner_fast.models.windowed.architecture:CNN",
    "mlp": "bioner_fast.models.windowed.architecture:MLP",
    "idcnn": "bioner_fast.models.idcnn.architecture:IDCNN",
}
_GROUP = "bioner_fast.architectures"
_VARIABLE = "BIONER_ARCHITECTURES"
_given: dict[str, Architecture] = {}  # registered by hand, or found as module:Name, by its own name


def register(architecture: Architecture) -> None:
    """Make an architecture known under its name in this process.

    Raises:
        UsageError: the package has one of that name.
    """
    if architecture.name in _OWN:
        raise UsageError(f"the package has an architecture called {architecture.name} already")
    _given[architecture.name] = architecture


def find(arch: str) -> Architecture:
    """The architecture that ``--arch`` names.

    Raises:
        UsageError: there is none.

    Example:
        >>> find("idcnn").crf
        True
    """
    if ":" in arch:
        return _resolve_given(arch)
    known = _named(arch)
    if known is None:
        names = ", ".join(_names())
        raise UsageError(f"--arch: expected one of {names}, found {arch!r}")
    return known


def build_network(config: Mapping[str, Any]) -> Network:
    """The network of a ``config`` (see :attr:`Network.config`); its weights are not set.

    Raises:
        ValueError: the configuration is incomplete or contradicts itself, or its architecture is unknown.
    """
    return _of_config(config).network.from_config(config)


def kind_of(config: Mapping[str, Any]) -> str:
    """What networks of a ``config`` are called in messages."""
    known = _of_config(config)
    return known.kind or known.name


def _of_config(config: Mapping[str, Any]) -> Architecture:
    name = config.get("arch")
    if name is None:
        return next(known for known in map(_resolve, _OWN.values()) if not known.named)
    known = _named(str(name))
    if known is None or not known.named:
        raise ValueError(
            f"its architecture {name!r} is not known here: install the package that has it, or name the "
            f"module, as in {_VARIABLE}=module:Name"
        )
    return known


def of(network: Network) -> Architecture | None:
    """The architecture that a network is of; None for a class that nobody registered."""
    for known in (*map(_resolve, _OWN.values()), *_given.values()):
        if type(network) is known.network:
            return known
    return None


def with_crf() -> str:
    """The architecture of the package whose networks have transition scores."""
    return next(known.name for known in map(_resolve, _OWN.values()) if known.crf)


def can_run(network: Network) -> bool:
    """Whether there is an engine for the network."""
    known = of(network)
    return known is not None and known.engine is not None and known.runs(network)


def build_engine(
    network: Network, precision: str, ranges: Ranges | None = None, threads: int = 1, *, observe: bool = False
) -> Engine:
    """Prepare a network for inference on the CPU.

    Args:
        network: trained; :func:`can_run` says whether it will do.
        precision: one of ``PRECISIONS``.
        ranges: for int8, the largest magnitudes by layer that an observing engine found.
        threads: CPU threads.
        observe: collect ``Engine.observed``; float32 only.

    Raises:
        ValueError: an unknown precision, or int8 without ranges.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "int8" and ranges is None:
        raise ValueError("ranges: int8 needs the ranges of the layers' values")
    known = of(network)
    if known is None or known.engine is None:
        raise ValueError(f"network: there is no engine for {type(network).__name__}")
    with torch.inference_mode():
        engine = known.engine(network, precision, ranges or {}, threads)
    engine.observed = {} if observe and precision == "float32" else None
    return engine


def make_step(
    network: Network,
    optimizer: Optimizer,
    average: Average | None = None,
    constraints: Sequence[tuple[Tensor, Tensor, Tensor]] | None = None,
    processes: Processes | None = None,
    *,
    open_tags: Sequence[Tensor] = (),
    size: int | None = None,
    graphs: bool = False,
) -> Step:
    """The fastest step of training for a network.

    Args:
        network, optimizer, average, constraints, processes, open_tags: as for
            :class:`bioner_fast.models.learning.step.Step`.
        size: tokens of a batch (short ones apart); None if they vary.
        graphs: whether steps on a GPU may be CUDA graphs.
    """
    known, processes = of(network), processes or Processes()
    if known is None or known.step is None:
        if graphs and network.embedding.words.is_cuda:
            logger.info("no CUDA graph of the training step: this architecture has none")
        return Step(network, optimizer, average, constraints, processes, open_tags)
    return known.step(
        network, optimizer, average, constraints, processes, open_tags=open_tags, size=size, graphs=graphs
    )


def _names() -> list[str]:
    return [*_OWN, *sorted({*_given, *(point.name for point in entry_points(group=_GROUP))} - set(_OWN))]


def _named(name: str) -> Architecture | None:
    if name in _OWN:
        return _resolve(_OWN[name])
    for place in filter(None, os.environ.get(_VARIABLE, "").split(",")):
        _resolve_given(place.strip())
    if name not in _given:
        for point in entry_points(group=_GROUP, name=name):
            _given[name] = _checked(point.load(), point.value)
    return _given.get(name)


def _resolve_given(place: str) -> Architecture:
    """As :func:`_resolve`, of a module of the user's (the working folder counts); registers it."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    found = _resolve(place)
    register(found)
    return found


def _resolve(place: str) -> Architecture:
    """The architecture at ``module:Name``."""
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--arch {place}: cannot be imported ({error})") from None
    return _checked(found, place)


def _checked(found: object, place: str) -> Architecture:
    if not isinstance(found, Architecture):
        raise UsageError(f"--arch {place}: expected an Architecture, found {type(found).__name__}")
    return found
