from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import Scheme
from bioner_fast.data.tasks import NORMAL_TYPES, load_task, normal_type
from bioner_fast.errors import BionerError, FormatError


def make_task(folder: Path, **splits: str) -> Path:
    folder.mkdir(parents=True)
    for split, tags in splits.items():
        lines = [f"w{i}\t{tag}\n" for i, tag in enumerate(tags.split())]
        (folder / f"{split}.tsv").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("name", ["sample-disease", "sample-chemical"])
def test_samples_need_no_folder(name: str) -> None:
    task = load_task(name)
    assert (task.name, task.kind, task.source_scheme) == (name, "ner", Scheme.IOB2)
    assert all(isinstance(corpus, Corpus) for corpus in (task.train, task.devel, task.test))


def test_by_name_and_by_path(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "x-IOB", train="O B-A", test="O")
    for task in (
        load_task("x-IOB", tmp_path),
        load_task("x", tmp_path),
        load_task(folder),
        load_task(f"{folder}/"),
    ):
        assert task.name == "x-IOB"
        assert list(task.splits()) == ["train", "test"]
        assert task.devel is None  # no reason to refuse: training says what it selects on instead


def test_kinds_and_schemes(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "pos", train="NN IN", devel="VB")
    for pos in ("pos",), (str(folder),), None:
        task = load_task(folder, pos=pos)
        assert (task.kind, task.source_scheme, task.train and task.train.tag_names) == (
            "pos",
            None,
            ("NN", "IN"),
        )
    assert load_task(make_task(tmp_path / "GENIA-pos", train="NN IN")).kind == "pos"
    assert load_task(make_task(tmp_path / "one", train="O I-A I-A", devel="I-B")).source_scheme is Scheme.IOB1
    assert load_task(make_task(tmp_path / "es", train="O B-A E-A", test="O")).source_scheme is Scheme.IOBES
    assert load_task(make_task(tmp_path / "none", train="O O")).source_scheme is Scheme.IOB2


@pytest.mark.parametrize(
    ("tags", "column", "spelled"),
    [
        ("O B-A L-A U-A", "last", ("O", "B-A", "E-A", "S-A")),
        ("B-A M-A M-A E-A W-A S-A", "last", ("B-A", "I-A", "E-A", "S-A")),
        ("B I O", "last", ("B-x_y", "I-x_y", "O")),
        ("B I L U O", "last", ("B-x_y", "I-x_y", "E-x_y", "S-x_y", "O")),
        ("tag B-A I-A O B- o O", "last", ("O", "B-A", "I-A")),
        ("O B-A", "second", ("O", "B-A")),
    ],
)
def test_tags_are_spelled_alike(tmp_path: Path, tags: str, column: str, spelled: tuple[str, ...]) -> None:
    folder = make_task(tmp_path / "x y", train=tags)
    if column == "second":
        text = (folder / "train.tsv").read_text()
        (folder / "train.tsv").write_text(text.replace("\n", "\tNN\n"))
    task = load_task(folder, tag_column=2 if column == "second" else None)
    assert task.train is not None
    assert (task.kind, task.train.tag_names) == ("ner", spelled)


def test_stray_tags_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = load_task(make_task(tmp_path / "x", train="O B-A o o", devel="O"))
    assert "train.tsv: tags of no scheme are read as O: o (2 tokens), the first at token 'w2'" in caplog.text
    assert task.strays == {"train": ("o",), "devel": ()}
    assert task.train is not None
    assert task.train.tags() == ["O", "B-A", "O", "O"]


def test_illegal_tags_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_task(tmp_path / "x", train="B-A O I-A", devel="B-A")
    with caplog.at_level(logging.WARNING, logger="bioner_fast"):
        load_task("x", tmp_path)
    assert "train.tsv: 1 tags do not follow the IOB2 scheme" in caplog.text
    assert "devel.tsv" not in caplog.text


def test_refusals_say_where_they_looked(tmp_path: Path) -> None:
    make_task(tmp_path / "there", train="O")
    with pytest.raises(BionerError, match=r"there is no task absent in .*: it has there$"):
        load_task("absent", tmp_path)
    with pytest.raises(BionerError, match=r"--data .*nowhere: there is no such folder"):
        load_task("absent", tmp_path / "nowhere")
    with pytest.raises(
        BionerError, match="name a folder, one of sample-disease or sample-chemical, or give --data"
    ):
        load_task("absent")
    with pytest.raises(BionerError, match="found a file"):
        load_task(tmp_path / "there" / "train.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BionerError, match=r"it has none of train\.tsv, devel\.tsv and test\.tsv"):
        load_task("empty", tmp_path)
    with pytest.raises(BionerError, match="the splits of a task must be tagged alike"):
        load_task(make_task(tmp_path / "mixed", train="B-A O", test="NN IN"))
    with pytest.raises(BionerError, match=r"has tags without types .* splits of a task must be tagged alike"):
        load_task(make_task(tmp_path / "half", train="B-A O", test="B I"))
    with pytest.raises(
        BionerError, match=r"its tags \(NN, IN\) are none of chunks .* say so with --pos other"
    ):
        load_task(make_task(tmp_path / "other", train="NN IN"), pos=())
    (tmp_path / "there" / "devel.tsv").write_text("a\tO\nb\n")
    with pytest.raises(FormatError, match=r"devel\.tsv:2: expected 2 columns"):
        load_task("there", tmp_path)


def test_normal_types() -> None:
    assert {normal_type(name) for name in ("GENE", "Protein", "GGP", "Gene_or_gene_product")} == {"gene"}
    assert normal_type("Phenotype") == "phenotype"
    assert all(name == name.lower() for name in NORMAL_TYPES)


def test_every_type_of_the_corpora_has_a_normal_name(shared: Path) -> None:
    for folder in sorted((shared / "corpora").iterdir()):
        if folder.is_dir():
            task = load_task(folder, warn=False)
            if task.kind == "ner":
                names = {
                    name[2:] for corpus in task.splits().values() for name in corpus.tag_names if name != "O"
                }
                assert {name.lower() for name in names} <= set(NORMAL_TYPES), folder.name
            else:
                assert folder.name == "GENIA-pos"
