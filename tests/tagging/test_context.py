"""The rest of the document as evidence: abbreviations, and names that come again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bioner_fast.cli.main import run
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.names import find_abbreviations
from bioner_fast.features.tokenize import segment
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import AnswerDefaults, TaskHead, save_bundle
from bioner_fast.tagging.context import use_context, young_names
from bioner_fast.tagging.predict import Found
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, heads, iobes, network

HEAD = TaskHead("all", iobes("disease", "gene"), "ner", "viterbi")


def answer(
    text: str, entities: list[tuple[str, int, str, float]], possible: dict[str, float] | None = None
) -> list[tuple[str, int, str]]:
    """What becomes of entities (words, which occurrence, type, score) in a text.

    The network's opinion of a token elsewhere is ``possible``: the probability that it is a disease alone.
    """
    cut = segment([text], threads=1)
    tokens = cut.tokens.tolist()
    tagset = HEAD.tagset
    table = np.full((len(tokens), len(tagset.names)), 1e-6)
    table[:, 0] = 1.0
    for i, token in enumerate(tokens):
        p = (possible or {}).get(token, 0.0)
        table[i, 0], table[i, tagset.index["S-disease"]] = 1 - p + 1e-6, p + 1e-6
    emissions = torch.from_numpy(np.log(table).astype(np.float32))
    rows = []
    for words, number, kind, score in entities:
        parts = words.split()
        places = [i for i in range(len(tokens)) if tokens[i : i + len(parts)] == parts]
        rows.append((places[number], places[number] + len(parts), tagset.types.index(kind), score))
    rows.sort()
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    found = Found(
        HEAD,
        np.zeros(len(tokens), np.int64),
        *(np.array(column, np.int64) for column in columns[:3]),
        np.array(columns[3], np.float64),
    )
    defined = find_abbreviations(cut.tokens, cut.starts, cut.ends, cut.sentence_offsets)
    whole = np.array([0, len(tokens)])
    (result,) = use_context([found], {"all": emissions}, cut.tokens, cut.sentence_offsets, whole, defined, {})
    told = []
    for a, b, kind in zip(result.start.tolist(), result.end.tolist(), result.type_id.tolist(), strict=True):
        same = [i for i in range(a + 1) if tokens[i : i + b - a] == tokens[a:b]]
        told.append((" ".join(tokens[a:b]), len(same) - 1, tagset.types[kind]))
    return told


RA = "Patients with rheumatoid arthritis (RA) were seen. In RA it helps."
MS = "By mass spectrometry (MS) we saw it. MS is good. Multiple sclerosis (MS) is bad. MS hurts."


def test_an_abbreviation_has_the_type_of_its_long_form() -> None:
    long = ("rheumatoid arthritis", 0, "disease", 0.9)
    both = [("rheumatoid arthritis", 0, "disease"), ("RA", 0, "disease"), ("RA", 1, "disease")]
    assert answer(RA, [long]) == both
    assert answer(RA, [long, ("RA", 1, "gene", 0.99)]) == both
    # A part of the long form says nothing.
    assert answer(RA, [("arthritis", 0, "disease", 0.9)]) == [("arthritis", 0, "disease")]


def test_an_abbreviation_of_what_is_none_is_none_until_it_is_defined_anew() -> None:
    found = [
        ("MS", 1, "disease", 0.95),
        ("Multiple sclerosis", 0, "disease", 0.99),
        ("MS", 3, "disease", 0.95),
    ]
    assert answer(MS, found) == [
        ("Multiple sclerosis", 0, "disease"),
        ("MS", 2, "disease"),
        ("MS", 3, "disease"),
    ]


def test_one_name_has_one_type() -> None:
    text = "CAT is up. CAT is down. CAT is on."
    found = [("CAT", 0, "gene", 0.9), ("CAT", 1, "disease", 0.6), ("CAT", 2, "gene", 0.9)]
    assert answer(text, found) == [("CAT", i, "gene") for i in range(3)]


def test_a_name_that_was_sure_elsewhere_is_added_where_it_is_possible() -> None:
    text = "Gout is bad. We treat gout."
    assert answer(text, [("Gout", 0, "disease", 0.95)], {"gout": 0.3}) == [
        ("Gout", 0, "disease"),
        ("gout", 0, "disease"),
    ]
    assert answer(text, [("Gout", 0, "disease", 0.95)], {"gout": 0.01}) == [("Gout", 0, "disease")]
    assert answer(text, [("Gout", 0, "disease", 0.6)], {"gout": 0.3}) == []


def test_names_that_are_younger_than_the_corpora() -> None:
    text = "COVID-19 (SARS-CoV-2), Covid19, SARS-CoV-1, COVIDx, CoV"
    assert [(text[a:b], kind) for a, b, kind in young_names(text)] == [
        ("COVID-19", "disease"),
        ("SARS-CoV-2", "species"),
        ("Covid19", "disease"),
    ]


def test_of_ranked_heads_the_first_gives_the_type() -> None:
    cut = segment([RA], threads=1)
    n = len(cut.tokens)
    tables = torch.zeros(n, len(HEAD.tagset.names))
    none = np.zeros(n, np.int64)
    found = [
        Found(
            TaskHead(name, HEAD.tagset, "ner", "viterbi"),
            none,
            *np.array([[2], [4], [kind]]),
            np.array([score]),
        )
        for name, kind, score in (("a", 0, 0.8), ("b", 1, 0.9))
    ]
    defined = find_abbreviations(cut.tokens, cut.starts, cut.ends, cut.sentence_offsets)
    whole = np.array([0, n])
    for ranked, sizes in ((True, [3, 1]), (False, [1, 3])):
        tagged = use_context(
            found,
            {"a": tables, "b": tables},
            cut.tokens,
            cut.sentence_offsets,
            whole,
            defined,
            {},
            ranked=ranked,
        )
        assert [len(one.start) for one in tagged] == sizes


def test_a_doubtful_name_that_is_none_elsewhere_is_dropped() -> None:
    text = "The map is old. A map is new."
    assert answer(text, [("map", 0, "gene", 0.7)]) == []
    assert answer(text, [("map", 0, "gene", 0.95)]) == [("map", 0, "gene")]
    assert answer("The map is old.", [("map", 0, "gene", 0.7)]) == [("map", 0, "gene")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = heads()
    return save_bundle(
        tmp_path_factory.mktemp("bundle") / "model",
        network(tasks),
        Vocabulary(StringColumn.from_list(WORDS)),
        tasks,
        merge_types=True,
        answer=AnswerDefaults("best", True, "general"),
    )


def prose(seed: int, words: int = 150) -> str:
    random = np.random.default_rng(seed)
    return " ".join(random.choice([*WORDS, "(TA)", "tumor alpha (TA)", "breast cancer", "\n"], words))


def test_what_comes_together_makes_no_difference(model: Path) -> None:
    tagger = Tagger.load(model, "cpu")
    texts = [prose(seed) for seed in range(12)]
    together = tagger.tag(texts)
    assert any(e.entities for e in together)
    apart = [tagger.tag([text])[0] for text in texts]
    assert [d.entities for d in together] == [d.entities for d in apart]
    assert [d.entities for d in tagger.tag(texts, batch_tokens=1)] == [d.entities for d in apart]


def test_it_can_be_switched_off_and_changes_something(model: Path) -> None:
    tagger = Tagger.load(model, "cpu")
    plain = Tagger(dataclasses.replace(tagger.bundle, answer=AnswerDefaults("best", False, "general")), "cpu")
    texts = [prose(seed) for seed in range(12)]
    off = tagger.tag(texts, document_context="none")
    assert off == plain.tag(texts) == plain.tag(texts, document_context="auto")
    assert off != tagger.tag(texts)


def test_abbreviations_are_given_out(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\ufeffThe rheumatoid arthritis (RA) of 🙂. Tumor alpha beta (TAB)."
    (document,) = Tagger.load(model, "cpu").tag([text], abbreviations=True)
    assert document.abbreviations is not None
    assert [(a.short, a.long) for a in document.abbreviations] == [
        ("RA", "rheumatoid arthritis"),
        ("TAB", "Tumor alpha beta"),
    ]
    assert all(text[a.start : a.end] == a.short for a in document.abbreviations)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    out = tmp_path / "out.jsonl"
    assert run(["tag", "-m", str(model), str(tmp_path / "a.txt"), "--abbreviations", "-o", str(out)]) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["abbreviations"] == [dataclasses.asdict(a) for a in document.abbreviations]
    assert run(["tag", "-m", str(model), str(tmp_path / "a.txt"), "-o", str(out), "--force"]) == 0
    assert "abbreviations" not in json.loads(out.read_text(encoding="utf-8"))
