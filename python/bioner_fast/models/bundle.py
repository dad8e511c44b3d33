"""The bundle: one folder that holds everything needed to tag new text, and no pickle.

```text
bundle.json             format version, feature schema, network, tasks, provenance
weights.safetensors     the network but for its word vectors, and the tables of decoders that need some
embeddings.safetensors  the word vectors, float16 unless asked otherwise, rows in the order of the vocabulary;
                        since version 2 also int8 with a scale for every row
vocabulary.safetensors  the words: one UTF-8 buffer and offsets into it
inference.safetensors   ranges of the layers' values, for int8; only where precisions were measured
manifest.json           size and SHA-256 of every file
```

The folder appears by one rename and loading verifies it. `FORMAT_VERSION` rises when an older reader would
misread a bundle; this reader refuses newer ones and keeps reading all older ones.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioner_fast import __version__
from bioner_fast.data.schemes import Scheme, TagSet
from bioner_fast.data.strings import StringColumn
from bioner_fast.data.tasks import normal_type
from bioner_fast.errors import BionerError, FormatError, UsageError
from bioner_fast.features.folding import FOLDING_VERSION
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.features.word_forms import WORD_FORMS_VERSION
from bioner_fast.files import (
    DAMAGED,
    MANIFEST_NAME,
    atomic_directory,
    read_json,
    recover,
    verify_directory,
    write_json,
)
from bioner_fast.log import logger
from bioner_fast.models.decoders import DECODERS
from bioner_fast.models.registry import build_network
from bioner_fast.models.tensor_files import load_tensors, save_tensors
from bioner_fast.models.word_rows import read_rows, stored_rows
from bioner_fast.resources import MODEL_FACTS, find_model

if TYPE_CHECKING:
    from bioner_fast.models.base import Network

FORMAT_VERSION = 2

_FACTS = MODEL_FACTS
_WEIGHTS = "weights.safetensors"
_EMBEDDINGS = "embeddings.safetensors"
_VOCABULARY = "vocabulary.safetensors"
_INFERENCE = "inference.safetensors"
_TABLE = "decoder."  # prefix of decoder tables in the weights; networks have no module of that name


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """How tokens become rows of the word table; part of the bundle, so that tagging repeats it exactly.

    Attributes:
        normalization: look-up chain, ``default`` or ``published`` (see :class:`Vocabulary`).
        folding: whether Greek letters, dashes, ligatures and accents are folded before look-up.
        folding_version: the rules of that folding.
    """

    normalization: str = "default"
    folding: bool = True
    folding_version: int = FOLDING_VERSION


@dataclass(frozen=True, slots=True)
class TaskHead:
    """One output of the network.

    Attributes:
        name: task name, the key of its emissions.
        tagset: tags in the order of the emissions' columns.
        kind: ``ner`` or ``pos``.
        decoder: ``argmax``, ``viterbi``, ``forward-argmax`` or ``crf``.
        tables: tensors that the decoder needs beside the emissions (``transitions`` [K, K], ``start`` [K],
            ``end`` [K], log domain); empty where the tag scheme says all.
    """

    name: str
    tagset: TagSet
    kind: str = "ner"
    decoder: str = "viterbi"
    tables: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inference:
    """What was measured about faster precisions (see tagging.measure).

    Attributes:
        ranges: largest magnitudes of the layers' values, by layer.
        devel: by task and precision, F1 on devel (accuracy of parts of speech), in percent.
        allowed: the precisions that cost no task more than ``auto`` may.
    """

    ranges: Mapping[str, Tensor]
    devel: Mapping[str, Mapping[str, float]]
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnswerDefaults:
    """How a bundle tags where nothing else is asked for; ``answer`` in ``bundle.json``.

    Attributes:
        overlaps: ``best``, ``longest`` or ``keep``, see :mod:`bioner_fast.tagging.resolve`.
        document_context: whether the rest of a document is evidence.
        task: the ``task`` of all entities; None for the name of the head that found them.
        ranked: with ``best``, entities of an earlier head go before those of a later one.
    """

    overlaps: str = "keep"
    document_context: bool = False
    task: str | None = None
    ranked: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        path: the folder.
        network: in evaluation mode, with its word table in float32.
        vocabulary: word to row of the table.
        schema: how tokens are looked up.
        tasks: one head each, in the order they were trained.
        provenance: package version, command, seed, digests of corpora, scores.
        size: bytes on disk.
        inference: what was measured about faster precisions, if anything was.
        merge_types: whether the heads tag as one, with normal types (see tagging.resolve).
        normal_types: normal name of every entity type of the heads.
        calibration: by head and entity type, what makes scores probabilities (see tagging.calibration).
        answer: how it tags where nothing else is asked for, if it says so.
    """

    path: Path
    network: Network
    vocabulary: Vocabulary
    schema: FeatureSchema
    tasks: tuple[TaskHead, ...]
    provenance: Mapping[str, Any]
    size: int
    inference: Inference | None = None
    merge_types: bool = False
    normal_types: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    answer: AnswerDefaults | None = None

    @property
    def answers(self) -> AnswerDefaults:
        """How it tags where nothing else is asked for."""
        if self.answer is not None:
            return self.answer
        return AnswerDefaults("best", True) if self.merge_types else AnswerDefaults()

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that its answers have, in the order of the heads."""
        own = (kind for head in self.tasks if head.kind == "ner" for kind in head.tagset.types)
        return tuple(dict.fromkeys(self.normal_types.get(k, k) if self.merge_types else k for k in own))

    def task(self, name: str | None = None) -> TaskHead:
        """The head called ``name``; without a name, the only entity head.

        Raises:
            UsageError: there is no such head, or the choice is open; the message lists the heads.
        """
        if name is not None:
            for head in self.tasks:
                if head.name == name:
                    return head
            raise UsageError(f"{self.path} has no task {name!r}; it has {_names(self.tasks)}")
        heads = [head for head in self.tasks if head.kind == "ner"] or list(self.tasks)
        if len(heads) != 1:
            raise UsageError(f"{self.path} has several tasks, choose one of {_names(heads)} (--head)")
        return heads[0]

    def describe(self) -> str:
        """One line: size on disk and what takes it."""
        words = len(self.vocabulary)
        return f"{self.path}: {self.size / 1e6:.1f} MB, {words:,} words, tasks {_names(self.tasks)}"


def _names(heads: Sequence[TaskHead]) -> str:
    return ", ".join(head.name for head in heads)


def save_bundle(
    path: str | os.PathLike[str],
    network: Network,
    vocabulary: Vocabulary,
    tasks: Sequence[TaskHead],
    *,
    schema: FeatureSchema | None = None,
    precision: str = "float16",
    provenance: Mapping[str, Any] | None = None,
    word_table: Tensor | None = None,
    merge_types: bool = False,
    answer: AnswerDefaults | None = None,
    force: bool = False,
) -> Path:
    """Write a bundle, whole or not at all.

    Args:
        path: the folder to make.
        network: any network of :func:`build_network`.
        vocabulary: V words; row i + 2 of the word table belongs to word i (rows 0 and 1: padding, unknown).
        tasks: the network's heads.
        schema: how tokens are looked up; the default folds.
        precision: of the stored word vectors, ``float16``, ``float32`` or ``int8``.
        provenance: JSON-able facts; the package version is added.
        word_table: [2 + V, D], where it is not the network's own (a network trained on the corpus' rows
            only).
        merge_types: tag with all heads as one, see :func:`bioner_fast.tagging.resolve.to_normal_types`.
        answer: how it tags where nothing else is asked for; by default with all that was found.
        force: replace an existing folder.

    Raises:
        UsageError: an unknown precision, or vectors too large for float16.
        BionerError: the folder exists and ``force`` is false.
    """
    schema = FeatureSchema() if schema is None else schema
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    own_table = state.pop(network.word_table_key)
    table = own_table if word_table is None else word_table.detach().cpu()
    if table.shape[0] != len(vocabulary) + 2:
        raise ValueError(
            f"word_table: expected {len(vocabulary) + 2} rows (padding, unknown, words), found {len(table)}"
        )
    stored = stored_rows(table, precision)
    facts = {
        "format_version": FORMAT_VERSION,
        "features": {
            "normalization": schema.normalization,
            "folding": schema.folding,
            "folding_version": schema.folding_version,
            **({"word_forms_version": WORD_FORMS_VERSION} if network.uses_forms else {}),
            "words": len(vocabulary),
            "dimensions": int(table.shape[1]),
            "precision": precision,
        },
        "network": {**network.config, "rows": int(table.shape[0])},
        "tasks": [_task_facts(head) for head in tasks],
        **({"merge_types": True} if merge_types else {}),
        **({} if answer is None else {"answer": asdict(answer)}),
        "provenance": {"package_version": __version__, **(provenance or {})},
    }
    for head in tasks:
        for name, tensor in head.tables.items():
            state[f"{_TABLE}{head.name}.{name}"] = tensor.detach().cpu().contiguous()
    words = vocabulary.words.packed()
    with atomic_directory(path, force=force) as folder:
        save_tensors(folder / _WEIGHTS, state)
        save_tensors(folder / _EMBEDDINGS, stored)
        save_tensors(folder / _VOCABULARY, _arrays(buffer=words.buffer, offsets=words.offsets))
        write_json(folder / _FACTS, facts)
    logger.info(
        "bundle %s: %.1f MB (%s words x %d in %s)",
        path,
        _size(Path(path)) / 1e6,
        f"{len(vocabulary):,}",
        table.shape[1],
        precision,
    )
    return Path(path)


def _arrays(**arrays: NDArray[Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _task_facts(head: TaskHead) -> dict[str, Any]:
    tagset = head.tagset
    return {
        "name": head.name,
        "kind": head.kind,
        "scheme": None if tagset.scheme is None else tagset.scheme.value,
        "tags": list(tagset.names),
        "types": list(tagset.types),
        "normal_types": {name: normal_type(name) for name in tagset.types},
        "decoder": head.decoder,
        "tables": sorted(head.tables),
    }


def add_provenance(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Add facts (scores, say) to a saved bundle; the folder is replaced by one rename.

    The large files are hard-linked where the file system can.

    Raises:
        BionerError: the bundle is not whole.
    """
    content = _verified_facts(Path(path))
    content["provenance"] = {**content.get("provenance", {}), **facts}
    _rewrite(Path(path), content)


def add_inference(path: str | os.PathLike[str], inference: Inference) -> None:
    """Store what was measured about precisions in a saved bundle, as :func:`add_provenance` does.

    Raises:
        BionerError: the bundle is not whole.
    """
    content = _verified_facts(Path(path))
    content["inference"] = {
        "devel": {task: dict(scores) for task, scores in inference.devel.items()},
        "allowed": list(inference.allowed),
    }
    ranges = {name: values.clone().contiguous() for name, values in inference.ranges.items()}
    _rewrite(Path(path), content, ranges)


def add_calibration(
    path: str | os.PathLike[str], calibration: Mapping[str, Mapping[str, tuple[float, float]]]
) -> None:
    """Store what makes scores probabilities in a saved bundle, as :func:`add_provenance` does.

    Raises:
        BionerError: the bundle is not whole.
    """
    content = _verified_facts(Path(path))
    content["calibration"] = {
        head: {kind: list(values) for kind, values in types.items()} for head, types in calibration.items()
    }
    content["format_version"] = FORMAT_VERSION
    _rewrite(Path(path), content)


def add_answer(path: str | os.PathLike[str], answer: AnswerDefaults) -> None:
    """Store how a saved bundle tags where nothing else is asked for, as :func:`add_provenance` does.

    Raises:
        BionerError: the bundle is not whole.
    """
    content = _verified_facts(Path(path))
    content["answer"] = asdict(answer)
    _rewrite(Path(path), content)


def _verified_facts(source: Path) -> dict[str, Any]:
    verify_directory(source)
    return _read_facts(source)


def _rewrite(source: Path, content: dict[str, Any], ranges: dict[str, Tensor] | None = None) -> None:
    """The bundle with other facts, and other ranges if there are any."""
    new = {_FACTS, MANIFEST_NAME} | ({_INFERENCE} if ranges is not None else set())
    with atomic_directory(source, force=True) as folder:
        for file in source.iterdir():
            if file.name not in new:
                try:
                    os.link(file, folder / file.name)
                except OSError:
                    shutil.copy2(file, folder / file.name)
        if ranges is not None:
            save_tensors(folder / _INFERENCE, ranges)
        write_json(folder / _FACTS, content)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / _FACTS
    recover(folder)
    if not folder.is_dir():
        raise BionerError(f"{folder}: no such folder; name the model folder that training wrote")
    if not path.is_file():
        hint = f"; did you mean {folder / 'model'}?" if (folder / "model" / _FACTS).is_file() else ""
        raise BionerError(f"{folder} is not a model: it has no {_FACTS}{hint}")
    try:
        facts = read_json(path)
        version = facts["format_version"]
    except DAMAGED:
        raise FormatError(path, 'expected a JSON object with "format_version"') from None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FormatError(path, f"expected format_version to be a whole number from 1, found {version!r}")
    if version > FORMAT_VERSION:
        raise FormatError(
            path,
            f"the bundle has format version {version}, this bioner_fast {__version__} reads up to "
            f"{FORMAT_VERSION}; install a newer one",
        )
    assert isinstance(facts, dict)
    return facts


def bundle_folder(path: str | os.PathLike[str]) -> Path:
    """The bundle that a path means: itself, ``model`` in a run's folder, or an installed model's name."""
    inner = Path(path) / "model"
    return inner if (inner / _FACTS).is_file() and not Path(path, _FACTS).exists() else find_model(path)


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Load a bundle and check that it is whole.

    Raises:
        BionerError: the folder is missing, not a bundle, not whole or changed since it was written.
        FormatError: its format is newer than this reader, or its contents do not fit together.

    Example:
        >>> load_bundle("runs/sample-disease-cnn/model").task().tagset.names  # doctest: +SKIP
        ('O', 'B-Disease', 'I-Disease', 'E-Disease', 'S-Disease')
    """
    folder = Path(path)
    facts = _read_facts(folder)
    verify_directory(folder, required=(_FACTS, _WEIGHTS, _EMBEDDINGS, _VOCABULARY))
    try:
        return _assemble(folder, facts)
    except BionerError:
        raise
    except (*DAMAGED, RuntimeError, MemoryError) as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise FormatError(
            folder / _FACTS, f"the bundle's parts do not fit together ({detail[:300]})"
        ) from error


def read_outline(path: str | os.PathLike[str]) -> tuple[Network, tuple[str, ...]]:
    """What a bundle tells without being loaded: its network, without weights, and what ``auto`` may take.

    Raises:
        BionerError: the folder is missing or not a bundle.
        FormatError: its format is newer than this reader, or its contents do not fit together.
    """
    facts = _read_facts(Path(path))
    try:
        with torch.device("meta"):
            network = build_network(facts["network"])
        return network, tuple(map(str, (facts.get("inference") or {}).get("allowed", ())))
    except (*DAMAGED, RuntimeError, MemoryError) as error:
        raise FormatError(Path(path, _FACTS), f"expected a network ({str(error)[:300]})") from error


def _assemble(folder: Path, facts: Mapping[str, Any]) -> Bundle:
    features = facts["features"]
    schema = FeatureSchema(
        str(features["normalization"]), bool(features["folding"]), int(features["folding_version"])
    )
    if schema.folding and schema.folding_version > FOLDING_VERSION:
        raise FormatError(
            folder / _FACTS,
            f"the look-up folding has version {schema.folding_version}, this bioner_fast {__version__} knows "
            f"{FOLDING_VERSION}; install a newer one",
        )
    if features.get("word_forms_version", 0) > WORD_FORMS_VERSION:
        raise FormatError(
            folder / _FACTS,
            f"the word forms have version {features['word_forms_version']}, this bioner_fast {__version__} "
            f"knows {WORD_FORMS_VERSION}; install a newer one",
        )
    words = load_tensors(folder / _VOCABULARY)
    vocabulary = Vocabulary(_strings(words["buffer"].numpy(), words["offsets"].numpy(), folder / _VOCABULARY))
    weights = load_tensors(folder / _WEIGHTS)
    tasks = tuple(_task_head(entry, weights) for entry in facts["tasks"])
    table = read_rows(load_tensors(folder / _EMBEDDINGS))
    if table.shape[0] != len(vocabulary) + 2:
        raise ValueError(f"{len(vocabulary)} words, but {table.shape[0]} rows of vectors")
    state = {name: value for name, value in weights.items() if not name.startswith(_TABLE)}
    _check_finite(folder / _EMBEDDINGS, {"weight": table})
    _check_finite(folder / _WEIGHTS, weights)
    network = _build(facts["network"], state, table)
    outputs = [(head.name, len(head.tagset.names)) for head in tasks]
    if outputs != list(network.shape.tasks):
        raise ValueError(
            f"the tasks have tags {outputs}, the network has outputs {list(network.shape.tasks)}"
        )
    provenance = facts.get("provenance", {})
    inference = None
    if (measured := facts.get("inference")) is not None:
        scores = {str(task): dict(values) for task, values in measured["devel"].items()}
        ranges = load_tensors(folder / _INFERENCE)
        _check_finite(folder / _INFERENCE, ranges)
        inference = Inference(ranges, scores, tuple(map(str, measured["allowed"])))
    names = {
        str(kind): str(normal)
        for entry in facts["tasks"]
        for kind, normal in entry.get("normal_types", {}).items()
    }
    merged = bool(facts.get("merge_types", False))
    calibration = {
        str(head): {str(kind): (float(slope), float(offset)) for kind, (slope, offset) in types.items()}
        for head, types in facts.get("calibration", {}).items()
    }
    if not all(math.isfinite(n) for types in calibration.values() for pair in types.values() for n in pair):
        raise ValueError("a calibration is not finite")
    answer = _answer(facts.get("answer"))
    return Bundle(
        folder,
        network,
        vocabulary,
        schema,
        tasks,
        provenance,
        _size(folder),
        inference,
        merged,
        names,
        calibration,
        answer,
    )


def _answer(facts: Mapping[str, Any] | None) -> AnswerDefaults | None:
    if facts is None:
        return None
    task = facts.get("task")
    overlaps = str(facts["overlaps"])
    if overlaps not in ("best", "longest", "keep"):
        raise ValueError(f"unknown overlaps {overlaps!r}")
    return AnswerDefaults(
        overlaps,
        bool(facts["document_context"]),
        None if task is None else str(task),
        bool(facts.get("ranked", False)),
    )


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that would make every score NaN, and every answer none.

    Raises:
        FormatError: a tensor holds NaN or an infinity; the tables of decoders may hold logarithms of 0.
    """
    for name, values in tensors.items():
        if not values.is_floating_point() or not values.numel():
            continue
        least, most = values.float().aminmax()
        low = float("-inf") if name.startswith(_TABLE) else torch.finfo(torch.float32).min
        # NaN is in no order.
        if not (float(least) >= low and float(most) < float("inf")):
            raise FormatError(path, f"{name} holds numbers that are not finite; train the model anew")


def _build(config: Mapping[str, Any], weights: Mapping[str, Tensor], table: Tensor) -> Network:
    """The network with its weights; memory is taken for what is there, whatever the configuration says."""
    with torch.device("meta"):
        declared = build_network(config)
    state = {**weights, declared.word_table_key: table}
    for name, value in declared.state_dict().items():
        found = state[name]
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise ValueError(
                f"{name} should be {value.dtype} {list(value.shape)}, is {found.dtype} {list(found.shape)}"
            )
    network = build_network(config)
    network.load_state_dict(state, strict=True, assign=True)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def _strings(buffer: NDArray[Any], offsets: NDArray[Any], path: Path) -> StringColumn:
    """A string column of arrays from disk, which nobody has checked yet."""
    good = (
        buffer.dtype == np.uint8
        and offsets.dtype == np.int64
        and offsets.ndim == 1
        and len(offsets) > 0
        and offsets[0] == 0
        and offsets[-1] == len(buffer)
        and bool((np.diff(offsets) >= 0).all())
    )
    if not good:
        raise FormatError(path, "expected a uint8 buffer and ascending int64 offsets into it")
    return StringColumn(buffer, offsets)


def _task_head(entry: Mapping[str, Any], weights: Mapping[str, Tensor]) -> TaskHead:
    scheme = None if entry["scheme"] is None else Scheme(entry["scheme"])
    for name in (*entry["tags"], *entry["types"], entry["name"], entry["kind"]):
        if not isinstance(name, str):
            raise TypeError(f"expected text as a name, found {name!r}")
    tagset = TagSet(tuple(entry["tags"]), scheme, tuple(entry["types"]))
    if entry["decoder"] not in DECODERS:
        raise ValueError(f"unknown decoder {entry['decoder']!r}")
    if scheme is not None:
        missing = [
            f"{p}-{t}" for t in tagset.types for p in scheme.prefixes if f"{p}-{t}" not in tagset.names
        ]
        if missing or "O" not in tagset.names:
            raise ValueError(f"the tags lack {missing[0] if missing else 'O'}")
    tables = {name: weights[f"{_TABLE}{entry['name']}.{name}"] for name in entry["tables"]}
    k = len(tagset.names)
    for name, table in tables.items():
        if not table.is_floating_point() or tuple(table.shape) != ((k, k) if name == "transitions" else (k,)):
            raise ValueError(f"the decoder's table {name} is {table.dtype} {list(table.shape)} for {k} tags")
    return TaskHead(str(entry["name"]), tagset, str(entry["kind"]), str(entry["decoder"]), tables)
