from __future__ import annotations

from pathlib import Path

from bioner_fast.data.check import check_task, find_tasks
from bioner_fast.data.manifest import load_manifest


def test_report(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "train.tsv").write_text("-DOCSTART-\tO\n\nab\tB-A\nc\tI-A\n\nd\tO\n\nd\tO\n")
    (folder / "test.tsv").write_text("a\tI-A\nbc\tO\n\nd\tB-B\n\nab\tO\nc\tX\n")
    report = check_task(folder)
    train, test = report.splits["train"], report.splits["test"]
    assert (report.kind, report.scheme, report.missing, report.published) == ("ner", "iob2", ["devel"], None)
    assert (train.documents, train.sentences, train.tokens, train.mentions) == (1, 3, 4, 1)
    assert (train.illegal, train.repeated_sentences, train.longest_sentence) == (0, 1, 2)
    assert (test.illegal, test.strays, test.types) == (1, ["X"], {"A": 1, "B": 1})
    # "ab c" and "a bc" are not the same sentence; "d" and "ab c" are in both files.
    assert report.shared_sentences == {"train-test": 2}
    assert report.to_json()["splits"]["train"]["digest"] == train.digest


def test_tasks_in_a_folder(tmp_path: Path) -> None:
    for name in ("b", "a", "not-a-task"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "devel.tsv").write_text("x\tO\n")
    assert [path.name for path in find_tasks(tmp_path)] == ["a", "b"]
    assert find_tasks(tmp_path / "a") == [tmp_path / "a"]


def test_published_corpora(shared: Path) -> None:
    report = check_task(shared / "corpora/NCBI-disease-IOB", load_manifest())
    assert report.published
    assert {name: split.sentences for name, split in report.splits.items()} == {
        "train": 5424,
        "devel": 923,
        "test": 940,
    }
    pos = check_task(shared / "corpora/GENIA-pos")
    assert (pos.kind, pos.splits["devel"].illegal, pos.splits["devel"].strays) == ("pos", 0, [])
    assert sum(pos.splits["devel"].types.values()) == pos.splits["devel"].tokens == 52_697
