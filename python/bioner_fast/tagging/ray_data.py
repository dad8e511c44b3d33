"""Tagging on several machines: a stage for Ray Data pipelines, which read, share out, retry and write.

Ray Data was chosen over Spark's ``mapInPandas``: its actors load a model once and keep it, it needs no JVM,
and others tag the literature with it (KAZU). Install the extra ``ray``.

```python
import ray
from bioner_fast.tagging.ray_data import read_documents_of, tag_dataset

files = ray.data.from_items([{"path": path} for path in paths])  # seen by all machines
documents = files.flat_map(read_documents_of)                     # or ray.data.read_parquet(...)
tag_dataset(documents, "/shared/model", workers=64).write_parquet("/shared/tagged")
```

Only :func:`tag_dataset` needs Ray; the rest needs pyarrow at most.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioner_fast.data.document import Document, Passage
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.formats.base import Problem
from bioner_fast.tagging.inputs import Input, read_input
from bioner_fast.tagging.problems import BadDocument, BrokenInputError, broken_input
from bioner_fast.tagging.tagger import Tagger

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

# Documents of a block that a worker takes at a time; results do not depend on it.
BATCH_DOCUMENTS = 256


def read_documents_of(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents of a file, for ``Dataset.flat_map``: each format that ``bioner-fast tag`` reads.

    Args:
        row: ``path``, and ``format`` where the name does not say it.

    Yields:
        Rows of ``file``, ``id``, ``text``, ``passages`` (``offset``, ``length``, ``section``) and ``error``.
        A document that cannot be read is a row with its reason as ``error`` and no text; so is a file that
        breaks off, after the documents before that.
    """
    from bioner_fast.formats.registry import document_stem, guess_format

    path = str(row["path"])
    bad: list[BadDocument] = []

    def collect(problem: Problem) -> None:
        if problem.kind == "document":
            bad.append(BadDocument(problem.path, problem.document, problem.message, problem.line))

    try:
        try:
            source = Input(path, str(row.get("format") or guess_format(path)), document_stem(path))
            for document in read_input(source, on_problem=collect):
                yield from _errors(path, bad)
                yield _row(path, document)
        except (BionerError, OSError) as error:
            broken_input(path, error)
    except BrokenInputError as error:
        bad.append(error.record)
    yield from _errors(path, bad)


def _errors(path: str, bad: list[BadDocument]) -> Iterator[dict[str, Any]]:
    for one in bad:
        yield {"file": path, "id": one.id, "text": None, "passages": None, "error": one.reason}
    bad.clear()


def _row(path: str, document: Document) -> dict[str, Any]:
    passages = [
        {"offset": passage.offset, "length": len(passage.text), "section": passage.section}
        for passage in document.passages
    ]
    return {"file": path, "id": document.id, "text": document.text, "passages": passages, "error": None}


def entity_type() -> pa.DataType:
    """The Arrow type of the column ``entities``: as in JSON lines, offsets in code points of ``text``."""
    import pyarrow as pa

    fields = {
        "start": pa.int64(),
        "end": pa.int64(),
        "type": pa.string(),
        "text": pa.string(),
        "score": pa.float64(),
        "task": pa.string(),
    }
    return pa.list_(pa.struct(list(fields.items())))


def tag_table(tagger: Tagger, table: pa.Table, *, text: str = "text", **options: Any) -> pa.Table:
    """Tag the texts of an Arrow table.

    Args:
        tagger: the tagger.
        table: a column ``text`` (another name on request); where there is one, ``passages`` says what is
            tagged apart, as :func:`read_documents_of` gives it. Rows whose text is null have no entities.
        text: name of the column of texts.
        options: as for :meth:`Tagger.tag` (``overlaps``, ``types``, ``min_score``, ...).

    Returns:
        The table with the column ``entities`` (:func:`entity_type`) after the others.

    Raises:
        UsageError: there is no such column.
    """
    import pyarrow as pa

    if text not in table.column_names:
        raise UsageError(f"the table has no column {text!r}; it has {', '.join(table.column_names)}")
    texts: list[str | None] = table.column(text).to_pylist()
    passages: Sequence[Any] = [None] * len(texts)
    if "passages" in table.column_names:
        passages = table.column("passages").to_pylist()
    documents = [
        Document("", [] if whole is None else _passages(whole, parts))
        for whole, parts in zip(texts, passages, strict=True)
    ]
    entities = [
        [
            {"start": e.start, "end": e.end, "type": e.type, "text": e.text, "score": e.score, "task": e.task}
            for e in document.iter_entities()
        ]
        for document in tagger.tag(documents, **options)
    ]
    if "entities" in table.column_names:
        table = table.drop_columns(["entities"])
    return table.append_column("entities", pa.array(entities, entity_type()))


def _passages(text: str, parts: Sequence[Mapping[str, Any]] | None) -> list[Passage]:
    if not parts:
        return [Passage(text)]
    return [Passage(text[p["offset"] : p["offset"] + p["length"]], p["offset"]) for p in parts]


class TagBatches:
    """What ``Dataset.map_batches`` runs: loads the bundle once in every worker, then tags Arrow tables.

    Args:
        model: the bundle, where every machine finds it, or the name of an installed model.
        device, threads: as for :class:`Tagger`.
        text, options: as for :func:`tag_table`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str = "auto",
        threads: int = 1,
        text: str = "text",
        **options: Any,
    ) -> None:
        self._tagger = Tagger.load(model, device, threads)
        self._text = text
        self._options = options

    def __call__(self, table: pa.Table) -> pa.Table:
        """Tag one batch."""
        return tag_table(self._tagger, table, text=self._text, **self._options)


def tag_dataset(
    dataset: Dataset,
    model: str | os.PathLike[str],
    *,
    workers: int | tuple[int, int] = 1,
    gpus: float = 0,
    threads: int = 1,
    text: str = "text",
    batch_documents: int = BATCH_DOCUMENTS,
    **options: Any,
) -> Dataset:
    """Add a tagging stage to a Ray dataset; it runs when the dataset is written or iterated.

    Args:
        dataset: rows with a column of texts.
        model: the bundle, where every machine finds it, or the name of an installed model.
        workers: actors, each with the model in memory; (least, most) lets Ray choose.
        gpus: GPUs of each worker; with 0 it runs on the CPU.
        threads: CPU cores of each worker.
        batch_documents: rows a worker takes at a time.
        text, options: as for :func:`tag_table`.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        from ray.data import ActorPoolStrategy
    except ImportError:
        raise UsageError("Ray Data is not installed; pip install 'bioner-fast[ray]'") from None
    least, most = (workers, workers) if isinstance(workers, int) else workers
    settings: dict[str, Any] = {
        "model": os.fspath(model),
        "device": "cuda" if gpus else "cpu",
        "threads": threads,
        "text": text,
        **options,
    }
    return dataset.map_batches(
        TagBatches,
        fn_constructor_kwargs=settings,
        compute=ActorPoolStrategy(min_size=least, max_size=most),
        batch_size=batch_documents,
        batch_format="pyarrow",
        num_cpus=threads,
        num_gpus=gpus or None,
    )
