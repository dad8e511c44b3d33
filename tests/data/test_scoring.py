from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.corpus import Corpus, read_predictions
from bioner_fast.data.scoring import Counts, Score, score
from bioner_fast.errors import UsageError
from reference import conlleval, schemes

TAGS = ["O", *(f"{p}-{k}" for p in "BIES" for k in ("A", "B", "C-D"))]
pairs = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)


def score_pairs(sentences: list[list[tuple[str, str]]], rule: str) -> Score:
    gold = Corpus.from_sentences([[("w", g) for g, _ in sentence] for sentence in sentences])
    predicted = Corpus.from_sentences([[("w", p) for _, p in sentence] for sentence in sentences])
    return score(gold, predicted.tag_ids, predicted.tag_names, scheme=rule)


def counts_of(result: Score) -> dict[str, tuple[int, int, int]]:
    found = {kind: (c.tp, c.fp, c.fn) for kind, c in result.types.items()}
    return {kind: counts for kind, counts in found.items() if any(counts)}


@given(pairs)
def test_conlleval_equals_the_reference(sentences: list[list[tuple[str, str]]]) -> None:
    expected = conlleval.count(
        [conlleval.chunks([g for g, _ in sentence]) for sentence in sentences],
        [conlleval.chunks([p for _, p in sentence]) for sentence in sentences],
    )
    result = score_pairs(sentences, "conlleval")
    assert counts_of(result) == expected
    assert result.n_correct == sum(g == p for sentence in sentences for g, p in sentence)
    totals = [sum(column) for column in zip(*expected.values(), strict=True)] or [0, 0, 0]
    assert [result.overall.tp, result.overall.fp, result.overall.fn] == totals


@given(pairs, st.sampled_from(["iob2", "iobes"]))
def test_strict_equals_the_reference(sentences: list[list[tuple[str, str]]], scheme: str) -> None:
    if scheme == "iob2":
        plain = str.maketrans("ES", "IB")
        sentences = [
            [(g[0].translate(plain) + g[1:], p[0].translate(plain) + p[1:]) for g, p in s] for s in sentences
        ]
        anchor = "B-A"
    else:
        anchor = "S-A"
    # More tags of the scheme than the others can break: it could not be recognised otherwise.
    sentences = [*sentences, *[[(anchor, anchor)]] * 40]
    expected = conlleval.count(
        [conlleval.strict_chunks([g for g, _ in sentence], scheme) for sentence in sentences],
        [conlleval.strict_chunks([p for _, p in sentence], scheme) for sentence in sentences],
    )
    assert counts_of(score_pairs(sentences, "strict")) == expected


def test_strict_takes_a_scheme_from_most_tags() -> None:
    result = score_pairs(
        [[("B-A", "B-A"), ("I-A", "I-A"), ("O", "O"), ("B-A", "S-A"), ("I-A", "I-A")]], "strict"
    )
    assert (result.overall.tp, result.overall.fp, result.overall.fn) == (1, 0, 1)


chunked = st.lists(st.sampled_from(["O", "A", "AA", "B", "BB", "BBB"]), min_size=1, max_size=6)


@given(
    st.lists(st.tuples(chunked, st.booleans()), min_size=1, max_size=4),
    st.sampled_from(
        [("iob1", "iob1"), ("iob1", "iob2"), ("iob1", "iobes"), ("iob2", "iob2"), ("iob2", "iobes"),
         ("iobes", "iob2"), ("iobes", "iobes")]
    ),
)  # fmt: skip
def test_strict_compares_chunks_across_schemes(
    sentences: list[tuple[list[str], bool]], pair: tuple[str, str]
) -> None:
    """Gold and predicted chunks are the same, or those of a sentence are missed or too many."""
    ours, theirs = pair
    gold, predicted = [], []
    for parts, same in sentences:
        chunks, at = [], 0
        for part in parts:
            if part != "O":
                chunks.append((at, at + len(part), part[0]))
            at += len(part)
        gold.append(chunks)
        predicted.append(chunks if same else [(0, 1, "C-D")])
    # What says which scheme a side has.
    for side in (gold, predicted):
        side.append([(0, 1, "A"), (2, 4, "A")])
    sizes = [sum(map(len, parts)) for parts, _ in sentences] + [4]
    pairs = [
        list(zip(schemes.spell(n, g, ours), schemes.spell(n, p, theirs), strict=True))
        for n, g, p in zip(sizes, gold, predicted, strict=True)
    ]
    assert counts_of(score_pairs(pairs, "strict")) == conlleval.count(gold, predicted)


def test_ill_formed_predictions_are_no_other_scheme() -> None:
    gold = ["B-A", "I-A", "O", "B-A", "O", "B-A"]
    result = score_pairs([list(zip(gold, ["I-A", "I-A", "O", "I-A", "O", "B-A"], strict=True))], "strict")
    assert (result.overall.tp, result.overall.fp, result.overall.fn) == (1, 0, 2)


def test_strict_iob1() -> None:
    result = score_pairs([[("I-A", "I-A"), ("B-A", "B-A"), ("O", "O"), ("I-A", "B-A")]], "strict")
    assert (result.overall.tp, result.overall.fp, result.overall.fn) == (2, 0, 1)


def test_published_scores(shared: Path) -> None:
    golden = json.loads((shared / "golden/conlleval/golden.json").read_text())
    assert len(golden) == 10
    for name, expected in golden.items():
        gold, ids, names = read_predictions(shared / f"golden/conlleval/{name}.tsv")
        result = score(gold, ids, names)
        assert (gold.n_tokens, gold.n_sentences) == (expected["tokens"], expected["sentences"])
        assert round(result.accuracy / 100, 6) == expected["accuracy"]
        assert result.overall.tp == expected["correct_chunks"]
        assert result.overall.tp + result.overall.fp == expected["guessed_chunks"]
        assert result.overall.tp + result.overall.fn == expected["gold_chunks"]
        assert set(result.types) == set(expected["per_type"])
        for kind, figures in {"": expected["overall"], **expected["per_type"]}.items():
            counts = result.types[kind] if kind else result.overall
            assert {key: figures[key] for key in ("tp", "fp", "fn")} == {
                "tp": counts.tp,
                "fp": counts.fp,
                "fn": counts.fn,
            }
            for key, value in (("precision", counts.precision), ("recall", counts.recall), ("f", counts.f1)):
                assert round(value / 100, 6) == figures[key], (name, kind, key)
        # The published summary by token counts types, whatever the prefix.
        line = re.compile(r"^(\S+) +f: .* tp:(\d+) fp:(\d+) fn:(\d+)\)$", re.MULTILINE)
        by_token = {kind: tuple(map(int, n)) for kind, *n in line.findall(expected["token_level_summary"])}
        assert counts_of(score(gold, ids, names, scheme="token")) == by_token


def test_part_of_speech_tags_by_token() -> None:
    result = score_pairs([[("NN", "NN"), ("IN", "NN"), ("B-X", "B-X")], [("O", "O")]], "token")
    assert result.accuracy == result.f1 == 75.0
    assert counts_of(result) == {"NN": (1, 1, 0), "IN": (0, 0, 1), "B-X": (1, 0, 0), "O": (1, 0, 0)}


def test_json_is_that_of_the_contract() -> None:
    result = score_pairs([[("B-A", "B-A"), ("O", "B-A")]], "conlleval").to_json()
    assert result == {
        "scheme": "conlleval",
        "accuracy": 50.0,
        "overall": {"precision": 50.0, "recall": 100.0, "f1": 200 / 3, "tp": 1, "fp": 1, "fn": 0},
        "types": {"A": {"precision": 50.0, "recall": 100.0, "f1": 200 / 3, "tp": 1, "fp": 1, "fn": 0}},
    }


def test_types_that_neither_side_has_are_not_listed() -> None:
    gold = Corpus.from_sentences([[("p53", "B-Gene"), ("binds", "O")]])
    names = ("O", "B-Gene", "B-Disease")
    for rule in ("conlleval", "strict", "token"):
        assert list(score(gold, np.array([1, 0]), names, scheme=rule).types) == ["Gene"]


def test_nothing_found_is_zero_and_no_error() -> None:
    assert Counts(0, 0, 0).to_json() == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "tp": 0,
        "fp": 0,
        "fn": 0,
    }
    assert score_pairs([], "conlleval").accuracy == 0.0


def test_wrong_calls() -> None:
    gold = Corpus.from_sentences([[("a", "O")]])
    with pytest.raises(UsageError, match="expected conlleval, strict, token"):
        score(gold, gold.tag_ids, gold.tag_names, scheme="muc")
    with pytest.raises(ValueError, match="expected 1, one per gold tag, got 2"):
        score(gold, np.zeros(2), ("O",))
    with pytest.raises(ValueError, match="predicted: expected values from 0 to 0, got 4"):
        score(gold, np.array([4]), ("O",))
    with pytest.raises(TypeError, match="sentence_offsets"):
        score((gold.tag_ids, gold.tag_names), gold.tag_ids, gold.tag_names)
