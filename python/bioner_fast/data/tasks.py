"""Tasks: a folder of ``train.tsv``, ``devel.tsv`` and ``test.tsv``, found by name or path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import Scheme, detect_scheme, is_tag_scheme, split_tag, warn_illegal
from bioner_fast.errors import BionerError
from bioner_fast.resources import data_folder

SPLITS = ("train", "devel", "test")
SAMPLE_TASKS = ("sample-disease", "sample-chemical")

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


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A corpus in its splits.

    Attributes:
        name: what the task is called in tables, bundles and file names.
        train, devel, test: None where the folder has no such file. Without devel, training selects on
        something
            else and says so.
        kind: ``ner`` (chunk tags) or ``pos``.
        source_scheme: the scheme the files are in; None for ``pos``.
        folder: where the files are.
    """

    name: str
    train: Corpus | None
    devel: Corpus | None
    test: Corpus | None
    kind: str
    source_scheme: Scheme | None
    folder: Path

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
) -> Task:
    """Read the task called so, or the one in the folder given.

    Args:
        name_or_path: ``sample-disease`` or ``sample-chemical`` (they come with the package), the path of a
        folder,
            or the name of a folder in ``data_dir``.
        data_dir: holds one folder per task.
        warn: log a warning about illegal tag sequences.
        splits: those to read; others are taken as absent.

    Raises:
        BionerError: there is no such folder, it has none of the files, or its splits are tagged in different
        ways. FormatError: a file is malformed.

    Example:
        >>> task = load_task("sample-disease")
        >>> task.kind, task.train.tag_names
        ('ner', ('O', 'B-Disease', 'I-Disease'))
    """
    folder = find_task(name_or_path, data_dir)
    corpora = {split: Corpus.read(folder / f"{split}.tsv") for split in splits if _split_file(folder, split)}
    if not corpora:
        wanted = " and ".join(", ".join(f"{split}.tsv" for split in splits).rsplit(", ", 1))
        raise BionerError(f"{folder} is no task: it has none of {wanted}")
    scheme = _common_scheme(corpora, folder)
    if scheme is not None and warn:
        for corpus in corpora.values():
            warn_illegal(corpus, scheme)
    return Task(
        name=folder.name if folder.name else folder.resolve().name,
        train=corpora.get("train"),
        devel=corpora.get("devel"),
        test=corpora.get("test"),
        kind="pos" if scheme is None else "ner",
        source_scheme=scheme,
        folder=folder,
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


def _common_scheme(corpora: dict[str, Corpus], folder: Path) -> Scheme | None:
    names = tuple(dict.fromkeys(name for corpus in corpora.values() for name in corpus.tag_names))
    kinds = {split: is_tag_scheme(corpus.tag_names) for split, corpus in corpora.items() if corpus.n_tokens}
    if len(set(kinds.values())) > 1:
        chunks = [split for split, is_chunk in kinds.items() if is_chunk]
        others = [split for split, is_chunk in kinds.items() if not is_chunk]
        raise BionerError(
            f"{folder}: {', '.join(chunks)} has tags of the form B-type, {', '.join(others)} has not; "
            "the splits of a task must be tagged alike"
        )
    if not all(kinds.values()):
        bilou = [name for name in names if name[:2] in ("L-", "U-", "M-")]
        if bilou and any(split_tag(name)[0] == "B" for name in names):
            raise BionerError(
                f"{folder}: the tag {bilou[0]} belongs to BILOU or BMES tagging, which is not read; "
                "expected IOB1, IOB2 or IOBES (write L- as E-, U- as S-, M- as I-)"
            )
        return None
    if any(split_tag(name)[0] in ("E", "S") for name in names):
        return Scheme.IOBES
    tagged = [corpus for corpus in corpora.values() if len(corpus.tag_names) > 1]
    found = {detect_scheme(corpus.tag_names, corpus) for corpus in tagged}
    return Scheme.IOB1 if found == {Scheme.IOB1} else Scheme.IOB2
