from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.scoring import score
from bioner_fast.errors import FormatError
from bioner_fast.experiments.counts import counts_of_file, pack, sentence_counts, unpack

TAGS = ("O", "B-a", "I-a", "E-a", "S-a", "B-b", "I-b", "E-b", "S-b")
tags = st.sampled_from(TAGS)
sentences = st.lists(st.lists(st.tuples(tags, tags), min_size=1, max_size=8), min_size=1, max_size=6)


@given(sentences)
def test_every_sentence_is_scored_as_if_alone(pairs: list[list[tuple[str, str]]]) -> None:
    gold = Corpus.from_sentences([[("x", g) for g, _ in sentence] for sentence in pairs])
    guess = Corpus.from_sentences([[("x", p) for _, p in sentence] for sentence in pairs])
    counts = sentence_counts(
        (gold.tag_ids, gold.tag_names), (guess.tag_ids, guess.tag_names), gold.sentence_offsets
    )
    alone = []
    for sentence in pairs:
        one = Corpus.from_sentences([[("x", g) for g, _ in sentence]])
        other = Corpus.from_sentences([[("x", p) for _, p in sentence]])
        overall = score(one, other.tag_ids, other.tag_names).overall
        alone.append([overall.tp, overall.fp, overall.fn])
    assert counts.tolist() == alone


def test_counts_come_from_files_of_predictions(tmp_path: Path) -> None:
    corpus = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")], [("It", "O")], [("IL", "B-Gene")]])
    corpus.write(tmp_path / "p.tsv", predicted=(np.array([0, 1, 0, 1]), ("B-Gene", "O")))
    assert counts_of_file(tmp_path / "p.tsv").tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@given(st.lists(st.tuples(*[st.integers(0, 65535)] * 3), max_size=30))
def test_packing_keeps_counts(rows: list[tuple[int, int, int]]) -> None:
    counts = np.array(rows, dtype=np.int64).reshape(-1, 3)
    assert unpack(pack(counts)).tolist() == counts.tolist()


@pytest.mark.parametrize("text", ["?", "AAAA", pack(np.ones((2, 3), np.int64))[:-8]])
def test_damaged_counts_name_their_file(text: str) -> None:
    with pytest.raises(FormatError, match=r"result\.json: the counts per sentence are damaged"):
        unpack(text, "result.json")
