from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up import write_corpora

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.tasks import load_task
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.contamination import overlaps, without, write_contamination, write_without
from bioner_fast.experiments.corpora import ExperimentCorpus, find_corpora

Sentence = list[tuple[str, str]]


def write_splits(folder: Path, **splits: list[Sentence]) -> Path:
    for split, sentences in splits.items():
        Corpus.from_sentences(sentences).write(folder / f"{split}.tsv")
    return folder


def plain(*texts: str, tag: str = "O") -> list[Sentence]:
    return [[(word, tag) for word in text.split()] for text in texts]


def test_only_whole_corpora_are_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_corpora(tmp_path)
    (tmp_path / "Bb-IOB" / "train.tsv").unlink()
    (tmp_path / "notes").mkdir()
    with caplog.at_level("INFO", logger="bioner_fast"):
        found = find_corpora(tmp_path)
    assert [(corpus.label, corpus.kind) for corpus in found] == [("Aa", "ner"), ("GENIA-pos", "pos")]
    assert "Bb-IOB is left out: it has no train split" in caplog.text


def test_of_one_text_the_corpus_with_most_types_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = [[("zinc", "B-Chemical"), ("gout", "B-Disease")]]
    half = [[("zinc", "B-Chemical"), ("gout", "O")]]
    for name, sentences in (("X-chem-IOB", half), ("X-IOB", both)):
        write_splits(tmp_path / name, train=sentences, devel=sentences, test=sentences)
    with caplog.at_level("INFO", logger="bioner_fast"):
        assert [corpus.name for corpus in find_corpora(tmp_path)] == ["X-IOB"]
    assert "X-chem-IOB is left out: its text is that of X-IOB" in caplog.text
    assert len(find_corpora(tmp_path, ["X", "X-chem"])) == 2


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data: name the folder of the corpora"):
        find_corpora(None)
    with pytest.raises(BionerError, match="there is no such folder"):
        find_corpora(tmp_path / "none")
    with pytest.raises(BionerError, match=r"no folder in it has train\.tsv, devel\.tsv and test\.tsv"):
        find_corpora(tmp_path)
    write_corpora(tmp_path)
    (tmp_path / "Aa-IOB" / "devel.tsv").unlink()
    with pytest.raises(BionerError, match=r"Aa-IOB: experiments need .* no devel"):
        find_corpora(tmp_path, ["Aa"])


def two_corpora(folder: Path) -> list[ExperimentCorpus]:
    write_splits(
        folder / "A",
        train=plain("It is IL-2 .", "Only here .", "A third one"),
        devel=plain("Not elsewhere ."),
        test=plain("Gene p53 ."),
    )
    write_splits(
        folder / "B",
        train=plain("Gene p 53 .", "Something else ."),
        devel=plain("It is IL - 2 .", "New ."),
        test=plain("Unseen .", "Unheard of ."),
    )
    return [ExperimentCorpus.of(load_task(folder / name)) for name in "AB"]


def test_sentences_are_compared_without_white_space(tmp_path: Path) -> None:
    found = [
        (o.corpus, o.split, o.train, o.sentences, o.of, hits.tolist())
        for o, hits in overlaps(two_corpora(tmp_path))
    ]
    assert found == [("A", "test", "B", 1, 1, [0]), ("B", "devel", "A", 1, 2, [0])]


def test_the_list_of_sentences_says_where_they_stand(tmp_path: Path) -> None:
    found = write_contamination(two_corpora(tmp_path), tmp_path / "out")
    assert [overlap.percent for overlap in found] == [100.0, 50.0]
    lines = (tmp_path / "out" / "contamination.tsv").read_text().splitlines()
    assert lines[1:] == ["A\ttest\t1\tB\tGene p53 .", "B\tdevel\t1\tA\tIt is IL - 2 ."]


def test_what_the_list_says_of_other_corpora_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    one, two = two_corpora(tmp_path)
    third = write_splits(
        tmp_path / "C",
        train=plain("Quite another ."),
        devel=plain("Nothing seen ."),
        test=plain("Only here .", "New words ."),
    )
    whole = write_contamination([one, two, ExperimentCorpus.of(load_task(third))], out)
    lines = (out / "contamination.tsv").read_text().splitlines()
    assert [(o.corpus, o.train) for o in whole] == [("A", "B"), ("B", "A"), ("C", "A")]
    assert write_contamination([one], out) == whole
    assert write_contamination([one, two], out) == whole
    assert (out / "contamination.tsv").read_text().splitlines() == lines
    (out / "contamination.tsv").write_text("damaged\nx\n")
    assert write_contamination([one, two], out) == whole[:2]


def test_the_published_share_of_bionlp09_in_genia(shared: Path) -> None:
    corpora = find_corpora(shared / "corpora", ["BioNLP09-IOB", "GENIA-pos"])
    found = {(o.corpus, o.split): o for o, _ in overlaps(corpora)}
    assert round(found["BioNLP09-IOB", "test"].percent) == 56


def test_sentences_and_emptied_documents_leave_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_text("-DOCSTART- d1\n\na O\n\nb O\nc B-X\n\n-DOCSTART- d2\n\nd O\n\n")
    corpus = Corpus.read(tmp_path / "c.tsv")
    kept = without(corpus, np.array([True, False, False]))
    assert (kept.tokens.tolist(), kept.tags()) == (["b", "c", "d"], ["O", "B-X", "O"])
    assert (kept.sentence_offsets.tolist(), kept.document_ids) == ([0, 2, 3], ("d1", "d2"))
    kept = without(corpus, np.array([False, True, True]))
    assert (kept.tokens.tolist(), kept.document_ids, kept.document_offsets.tolist()) == (
        ["a"],
        ("d1",),
        [0, 1],
    )


def test_a_copy_without_sentences_is_a_task(tmp_path: Path) -> None:
    task = load_task(two_corpora(tmp_path)[0].folder)
    copy = load_task(write_without(task, np.array([True, False, True]), tmp_path / "copies"))
    assert copy.name == "A"
    assert copy.train is not None
    assert copy.train.tokens.tolist() == ["Only", "here", "."]
    assert copy.test is not None
    assert copy.test.tokens.tolist() == ["Gene", "p53", "."]
