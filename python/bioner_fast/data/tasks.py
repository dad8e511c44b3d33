"""Tasks: a folder of ``train.tsv``, ``devel.tsv`` and ``test.tsv``, found by name or path."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bioner_fast.data.corpus import Corpus, Labels
from bioner_fast.data.schemes import (
    Scheme,
    convert,
    detect_scheme,
    respelled,
    tag_counts,
    warn_illegal,
    warn_strays,
)
from bioner_fast.data.tag_names import TagReading, join_tag, not_chunks, read_tags, split_tag
from bioner_fast.errors import BionerError
from bioner_fast.resources import data_folder

SPLITS = ("train", "devel", "test")
SAMPLE_TASKS = ("sample-disease", "sample-chemical")
# Tasks whose tags are parts of speech; of others a user has to say so.
POS_TASKS = ("GENIA-pos",)

# What the corpora call an entity type -> the one name that a user of several corpora asks for.
NORMAL_TYPES = {
    "gene": "gene",
    "protein": "gene",
    "ggp": "gene",
    "gene_or_gene_product": "gene",
    "gene_or_geneproduct": "gene",
    "regulon-operon": "gene",
    "dna": "dna",
    "rna": "rna",
    "so": "sequence_feature",
    "complex": "complex",
    "chemical": "chemical",
    "simple_chemical": "chemical",
    "chebi": "chemical",
    "drug": "chemical",
    "amino_acid": "chemical",
    "disease": "disease",
    "cancer": "disease",
    "species": "species",
    "organism": "species",
    "taxon": "species",
    "cell": "cell",
    "cl": "cell",
    "cell_type": "cell",
    "cell_line": "cell_line",
    "cellular_component": "cellular_component",
    "go": "cellular_component",
    "anatomy": "anatomy",
    "anatomical_system": "anatomy",
    "developing_anatomical_structure": "anatomy",
    "immaterial_anatomical_entity": "anatomy",
    "multi-tissue_structure": "anatomy",
    "organ": "anatomy",
    "organism_subdivision": "anatomy",
    "organism_substance": "anatomy",
    "pathological_formation": "anatomy",
    "tissue": "anatomy",
}


def normal_type(type_name: str) -> str:
    """The normal name of an entity type; an unknown type is its own, in lower case.

    Example:
        >>> normal_type("GGP"), normal_type("Protein"), normal_type("Phenotype")
        ('gene', 'gene', 'phenotype')
    """
    return NORMAL_TYPES.get(type_name.lower(), type_name.lower())


def with_normal_types(corpus: Corpus) -> Corpus:
    """A corpus of chunks in IOB2, its types under their normal names.

    Example:
        >>> corpus = Corpus.from_sentences([[("p53", "S-GGP"), ("Mdm2", "S-Protein")]])
        >>> with_normal_types(corpus).tags()
        ['B-gene', 'B-gene']
    """
    # By way of IOB2: neighbours of two types that become one stay two chunks.
    plain = convert(corpus, Scheme.IOB2)
    pairs = [split_tag(tag) for tag in plain.tag_names]
    names = [join_tag(prefix, normal_type(kind) if prefix else kind) for prefix, kind in pairs]
    return respelled(plain, TagReading(dict(zip(plain.tag_names, names, strict=True)), (), False))


def normal_labels(corpus: Corpus, predicted: Labels) -> Labels:
    """Predicted tags (ids and names) of the tokens of ``corpus``, as :func:`with_normal_types` has them."""
    changed = with_normal_types(corpus.with_tags(*predicted))
    return changed.tag_ids, changed.tag_names


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A corpus in its splits.

    Attributes:
        name: what the task is called in tables, bundles and file names.
        train, devel, test: None where the folder has no such file. Without devel, training selects on
            something else and says so.
        kind: ``ner`` (chunk tags) or ``pos``.
        source_scheme: the scheme the files are in; None for ``pos``.
        folder: where the files are.
        strays: tags of no scheme that were read as ``O``, by split.
    """

    name: str
    train: Corpus | None
    devel: Corpus | None
    test: Corpus | None
    kind: str
    source_scheme: Scheme | None
    folder: Path
    strays: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def splits(self) -> dict[str, Corpus]:
        """The splits there are, by name."""
        found = {split: getattr(self, split) for split in SPLITS}
        return {split: corpus for split, corpus in found.items() if corpus is not None}


def load_task(
    name_or_path: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    warn: bool = True,
    splits: Sequence[str] = SPLITS,
    tag_column: int | None = None,
    pos: Collection[str] | None = None,
) -> Task:
    """Read the task called so, or the one in the folder given.

    Args:
        name_or_path: ``sample-disease`` or ``sample-chemical`` (they come with the package), the path of a
            folder, or the name of a folder in ``data_dir``.
        data_dir: holds one folder per task.
        warn: log a warning about stray tags and illegal tag sequences.
        splits: those to read; others are taken as absent.
        tag_column: the column of the tags, counted from 1; the last one by default.
        pos: tasks, as ``name_or_path`` or by name, whose tags are parts of speech; beside ``POS_TASKS``, of
            which that is known. None: any task whose tags are none of chunks.

    Raises:
        BionerError: there is no such folder, it has none of the files, its splits are tagged in different
            ways, or its tags are none of chunks and nobody says that they are parts of speech.
        FormatError: a file is malformed.

    Example:
        >>> task = load_task("sample-disease")
        >>> task.kind, task.train.tag_names
        ('ner', ('O', 'B-Disease', 'I-Disease'))
    """
    folder = find_task(name_or_path, data_dir)
    column = -1 if tag_column is None else tag_column - 1
    corpora = {
        split: Corpus.read(folder / f"{split}.tsv", tag_column=column)
        for split in splits
        if _split_file(folder, split)
    }
    if not corpora:
        wanted = " and ".join(", ".join(f"{split}.tsv" for split in splits).rsplit(", ", 1))
        raise BionerError(f"{folder} is no task: it has none of {wanted}")
    name = folder.name if folder.name else folder.resolve().name
    scheme, strays = None, {}
    is_pos = name.lower() in map(str.lower, POS_TASKS) or bool(
        {name, os.fspath(name_or_path)} & set(pos or ())
    )
    reading = None if is_pos else _common_reading(corpora, folder, "_".join(name.split()), pos is None)
    if reading is not None:
        strays = {
            split: tuple(tag for tag in corpus.tag_names if tag in reading.strays)
            for split, corpus in corpora.items()
        }
        if warn:
            for corpus in corpora.values():
                warn_strays(corpus, reading)
        corpora = {split: respelled(corpus, reading) for split, corpus in corpora.items()}
        scheme = _common_scheme(corpora)
        if warn:
            for corpus in corpora.values():
                warn_illegal(corpus, scheme)
    return Task(
        name=name,
        train=corpora.get("train"),
        devel=corpora.get("devel"),
        test=corpora.get("test"),
        kind="pos" if scheme is None else "ner",
        source_scheme=scheme,
        folder=folder,
        strays=strays,
    )


def find_task(name_or_path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a task.

    Raises:
        BionerError: there is none; the message names where it was looked for and what is there.
    """
    name = os.fspath(name_or_path)
    if name in SAMPLE_TASKS:
        return data_folder() / "samples" / name
    if data_dir is not None:
        folder = Path(data_dir)
        if not folder.is_dir():
            raise BionerError(f"--data {folder}: there is no such folder")
        # "NCBI-disease" finds NCBI-disease-IOB too, as the published folders are called.
        for candidate in (folder / name, folder / f"{name}-IOB"):
            if candidate.is_dir():
                return candidate
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise BionerError(
            f"task {name}: expected a folder with train.tsv, devel.tsv and test.tsv, found a file"
        )
    if data_dir is None:
        hint = f"name a folder, one of {' or '.join(SAMPLE_TASKS)}, or give --data DIR"
        raise BionerError(f"there is no task and no folder {name}: {hint}")
    entries = sorted(entry.name for entry in Path(data_dir).iterdir() if _is_task(entry))
    shown = ", ".join(entries[:20]) + (", ..." if len(entries) > 20 else "")
    has = f"it has {shown}" if entries else "it has no task"
    raise BionerError(f"there is no task {name} in {data_dir}: {has}")


def _is_task(folder: Path) -> bool:
    return any(_split_file(folder, split) for split in SPLITS)


def _split_file(folder: Path, split: str) -> bool:
    return (folder / f"{split}.tsv").is_file()


def _common_reading(
    corpora: dict[str, Corpus], folder: Path, name: str, may_be_pos: bool
) -> TagReading | None:
    """How the tags of all splits are read; None for parts of speech."""
    counts = {split: tag_counts([corpus]) for split, corpus in corpora.items() if corpus.n_tokens}
    alone = {split: read_tags(found, name) for split, found in counts.items()}
    chunks = [split for split, reading in alone.items() if reading is not None]
    others = [split for split, reading in alone.items() if reading is None]
    if chunks and others:
        raise BionerError(
            f"{folder}: {', '.join(chunks)} has tags of the form B-type, {', '.join(others)} has not "
            f"({not_chunks(counts[others[0]])}); the splits of a task must be tagged alike"
        )
    tagged = {split: reading for split, reading in alone.items() if reading and len(reading.spelled) > 1}
    bare = [split for split, reading in tagged.items() if reading.bare]
    if 0 < len(bare) < len(tagged):
        raise BionerError(
            f"{folder}: {', '.join(bare)} has tags without types (B, I, O), "
            f"{', '.join(split for split in tagged if split not in bare)} has types; "
            "the splits of a task must be tagged alike"
        )
    union = tag_counts(corpora.values())
    if others and not may_be_pos:
        raise BionerError(
            f"{folder}: its tags ({not_chunks(union)}) are none of chunks (O, B-type, I-type); if they are "
            f"parts of speech, say so with --pos {folder.name}; if another column has "
            "the tags, with --tag-column N"
        )
    if others:
        return None
    return read_tags(union, name) or TagReading({}, (), False)


def _common_scheme(corpora: dict[str, Corpus]) -> Scheme:
    names = dict.fromkeys(name for corpus in corpora.values() for name in corpus.tag_names)
    if any(split_tag(name)[0] in ("E", "S") for name in names):
        return Scheme.IOBES
    tagged = [corpus for corpus in corpora.values() if len(corpus.tag_names) > 1]
    found = {detect_scheme(corpus.tag_names, corpus) for corpus in tagged}
    return Scheme.IOB1 if found == {Scheme.IOB1} else Scheme.IOB2
