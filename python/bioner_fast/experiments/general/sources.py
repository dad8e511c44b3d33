"""The corpora of the model ``general``: which of their types it learns, and what is held back to judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The types of the model, in the order of its tags.
TYPES = ("gene", "disease", "chemical", "species", "cell_line", "variant", "cell_type", "anatomy")
# The heads and their types. One head for what BioRED defines: corpora that label some of these types train it
# too, and what they do not label stays open (see data.schemes.open_type). What a cell type or a part of the
# body is, others define, and these overlap with BioRED's types: a tumour is a disease there.
HEADS = {
    "general": ("gene", "disease", "chemical", "species", "cell_line", "variant"),
    "cells": ("cell_type",),
    "anatomy": ("anatomy",),
}


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A corpus.

    Attributes:
        name: what it is called.
        head: the head that it trains.
        types: type of the model by type of the corpus; what is not there is O (``FamilyName`` and
            ``DomainMotif`` are no genes).
        train: what trains: a PubTator file, or splits of a folder of column files as ``FOLDER/SPLIT``.
        devel: likewise, what is judged on in development; ``()`` where documents are cut from ``train``.
        test: likewise; scored once.
        cut: documents cut from ``train`` for development.
        returns: whether these train the last model, which devel no longer judges.
        keep: documents of ``train`` with entities that are used, None for all.
        bare: share of the documents of ``train`` without entities that are used.
        calibrates: whether its devel documents say what the scores of its types are worth.
        weight: how often its sentences come in the last stage, which settles what BioRED says of its types.
        group: leading characters of a document's id that name its article; documents of one are cut together.
    """

    name: str
    head: str
    types: Mapping[str, str]
    train: tuple[str, ...]
    devel: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    cut: int = 0
    returns: bool = True
    keep: int | None = None
    bare: float = 1.0
    calibrates: bool = False
    weight: float = 0.4
    group: int | None = None


_BIORED = {
    "Gene": "gene", "Disease": "disease", "Chemical": "chemical", "Species": "species", "Variant": "variant",
    "CellLine": "cell_line",
}  # fmt: skip

# BioRED is first: its guidelines decide what its six types are. Train and devel of BC5CDR and NCBI-disease
# train together, since BioRED's devel documents judge these types.
SOURCES = (
    CorpusSource(
        "BioRED", "general", _BIORED,
        ("BioRED_TrainDev.PubTator",), test=("BioRED_Test.PubTator",), cut=80, weight=3.0,
        calibrates=True,
    ),
    CorpusSource("NLM-Gene", "general", {"Gene": "gene"}, ("NLMgene_Train.PubTator",), cut=60),
    CorpusSource(
        "GNormPlus", "general", {"Gene": "gene"},
        ("GNormPlus_Train.PubTator",), test=("GNormPlus_Test.PubTator",), cut=60,
    ),
    CorpusSource(
        "S800", "general", {"Species": "species"},
        ("SPECIES_Train.PubTator",), test=("SPECIES_Test.PubTator",), cut=80,
    ),
    CorpusSource(
        "BioID", "general", {"CellLine": "cell_line"},
        ("BioID_Train_revision.PubTator",), cut=1000, returns=False, keep=1500, bare=0.1, group=7,
        calibrates=True,
    ),
    CorpusSource(
        "BC5CDR", "general", {"Chemical": "chemical", "Disease": "disease"},
        ("BC5CDR-IOB/train", "BC5CDR-IOB/devel"), test=("BC5CDR-IOB/test",),
    ),
    CorpusSource(
        "NCBI-disease", "general", {"Disease": "disease"},
        ("NCBI-disease-IOB/train", "NCBI-disease-IOB/devel"), test=("NCBI-disease-IOB/test",),
    ),
    CorpusSource(
        "AnatEM", "anatomy", {"Anatomy": "anatomy"},
        ("AnatEM-IOB/train",), devel=("AnatEM-IOB/devel",), test=("AnatEM-IOB/test",), calibrates=True,
    ),
    CorpusSource(
        "CRAFT", "cells", {"CL": "cell_type"},
        ("CRAFT-IOB/train",), devel=("CRAFT-IOB/devel",), test=("CRAFT-IOB/test",), bare=0.5,
        calibrates=True,
    ),
)  # fmt: skip
