from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import (
    Scheme,
    TagSet,
    convert,
    decode_spans,
    detect_scheme,
    find_illegal,
    parse_scheme,
    split_tag,
    warn_illegal,
)
from bioner_fast.errors import BionerError, UsageError
from reference import conlleval
from reference import schemes as reference

KINDS = ("A", "B", "C-D")


def tags_of(prefixes: str) -> st.SearchStrategy[list[list[str]]]:
    tag = st.sampled_from(["O", *(f"{p}-{k}" for p in prefixes for k in KINDS)])
    return st.lists(st.lists(tag, min_size=1, max_size=8), min_size=1, max_size=4)


def corpus_of(sentences: list[list[str]]) -> Corpus:
    return Corpus.from_sentences([[(f"w{i}", tag) for i, tag in enumerate(tags)] for tags in sentences])


def sentences_of(corpus: Corpus) -> list[list[str]]:
    tags, bounds = corpus.tags(), corpus.sentence_offsets.tolist()
    return [tags[a:b] for a, b in itertools.pairwise(bounds)]


@given(tags_of("BI"))
def test_iob_to_iobes_is_the_published_rule(sentences: list[list[str]]) -> None:
    assert sentences_of(convert(corpus_of(sentences), Scheme.IOBES)) == [
        reference.iob_to_iobes(tags) for tags in sentences
    ]


@given(tags_of("BIES"), st.sampled_from(Scheme))
def test_conversion_keeps_the_chunks_and_is_legal(sentences: list[list[str]], to: Scheme) -> None:
    converted = sentences_of(convert(corpus_of(sentences), to))
    for before, after in zip(sentences, converted, strict=True):
        assert conlleval.chunks(after) == conlleval.chunks(before)
        assert after == reference.spell(len(before), conlleval.chunks(before), to.value)
    assert find_illegal(corpus_of(converted), to).count == 0


@given(tags_of("BIES"), st.sampled_from(Scheme), st.sampled_from(Scheme))
def test_legal_corpora_survive_the_round_trip(
    sentences: list[list[str]], here: Scheme, there: Scheme
) -> None:
    legal = convert(corpus_of(sentences), here)
    again = convert(convert(legal, there), here)
    assert again.tags() == legal.tags()
    assert again.tokens == legal.tokens


@given(tags_of("BI"))
def test_illegal_tags_are_those_no_spelling_has(sentences: list[list[str]]) -> None:
    for tags in sentences:
        for scheme in Scheme:
            assert (find_illegal(corpus_of([tags]), scheme).count == 0) == reference.is_legal(
                tags, scheme.value
            )


def test_published_files(shared: Path) -> None:
    lines = (shared / "golden/iobes/sha256.txt").read_text().splitlines()
    assert len(lines) == 27
    for line in lines:
        digest, name = line.split()
        corpus, split = name.split("/")
        iob = Corpus.read(shared / "corpora" / f"{corpus}-IOB" / f"{split}.tsv")
        iobes = convert(iob, Scheme.IOBES)
        assert iobes.digest() == digest, name
        assert detect_scheme(iob.tag_names, iob) is Scheme.IOB2
        assert detect_scheme(iobes.tag_names, iobes) is Scheme.IOBES
        assert convert(convert(iobes, Scheme.IOB1), Scheme.IOBES).digest() == digest
        if find_illegal(iob).count == 0:
            assert convert(iobes, Scheme.IOB2).digest() == iob.digest()


def test_published_file_whole(shared: Path) -> None:
    iob = Corpus.read(shared / "corpora/NCBI-disease-IOB/test.tsv")
    assert (
        convert(iob, Scheme.IOBES).to_bytes() == (shared / "golden/iobes/NCBI-disease.test.tsv").read_bytes()
    )


def test_part_of_speech_tags_are_never_converted(shared: Path) -> None:
    corpus = Corpus.read(shared / "corpora/GENIA-pos/devel.tsv")
    assert "IN" in corpus.tag_names
    assert detect_scheme(corpus.tag_names, corpus) is None
    with pytest.raises(BionerError, match=r"devel\.tsv: cannot convert to IOBES"):
        convert(corpus, Scheme.IOBES)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-A", "I-A"], Scheme.IOB2),
        (["I-A", "I-A", "O", "I-B"], Scheme.IOB1),
        (["I-A", "B-A", "O"], Scheme.IOB1),
        (["I-A", "O", "B-A"], Scheme.IOB2),  # one slip does not make it IOB1
        (["O", "O"], Scheme.IOB2),
        (["B-A", "E-A"], Scheme.IOBES),
        (["S-A"], Scheme.IOBES),
        (["O", "B-A", "I-A", "X"], Scheme.IOB2),
        (["NN", "IN"], None),
        (["B", "I", "O"], None),
    ],
)
def test_detection(tags: list[str], scheme: Scheme | None) -> None:
    corpus = corpus_of([tags])
    assert detect_scheme(corpus.tag_names, corpus) is scheme


def test_illegal_sequences_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    corpus = corpus_of([["O", "B-A"], ["O", "I-A", "X", "B-A"]])
    with caplog.at_level(logging.WARNING, logger="bioner_fast"):
        warn_illegal(corpus)
    assert "1 tags do not follow the IOB2 scheme (the first at token 'w1' of sentence 2)" in caplog.text
    assert "kept tags that belong to no scheme: X" in caplog.text
    assert convert(corpus, Scheme.IOBES).tags() == ["O", "S-A", "O", "S-A", "X", "S-A"]
    caplog.clear()
    warn_illegal(corpus_of([["O", "B-A"]]))
    assert caplog.text == ""


def test_scheme_names() -> None:
    assert parse_scheme("IOB") is Scheme.IOB2
    assert parse_scheme("iob1") is Scheme.IOB1
    with pytest.raises(UsageError, match="bilou"):
        parse_scheme("bilou")


def test_the_type_is_all_after_the_first_hyphen() -> None:
    assert split_tag("B-C-D") == ("B", "C-D")
    assert split_tag("B-") == ("", "B-")
    assert split_tag("-") == ("", "-")


def test_tag_sets() -> None:
    train, devel, test = corpus_of([["O", "B-A"]]), corpus_of([["O"]]), corpus_of([["B-C-D", "I-A"]])
    tagset = TagSet.for_corpora([train, None, devel, test], Scheme.IOBES)
    assert tagset.types == ("A", "C-D")
    assert tagset.names == ("O", "B-A", "I-A", "E-A", "S-A", "B-C-D", "I-C-D", "E-C-D", "S-C-D")
    assert TagSet.for_corpora([test], Scheme.IOB2).names == ("O", "B-C-D", "I-C-D", "B-A", "I-A")
    pos = TagSet.for_corpora([corpus_of([["NN", "IN"]]), corpus_of([["O", "IN"]])], None)
    assert (pos.names, pos.types) == (("NN", "IN", "O"), ())
    assert tagset.encode(test).tolist() == [5, 2]
    with pytest.raises(BionerError, match="the tag B-C-D is not in the tag set"):
        TagSet.for_corpora([corpus_of([["B-B"]])], Scheme.IOB2).encode(test)


@pytest.mark.parametrize("scheme", Scheme)
def test_constraints_allow_exactly_the_legal_sequences(scheme: Scheme) -> None:
    tagset = TagSet.for_corpora([corpus_of([["B-A", "B-B"]])], scheme)
    transitions, start, end = tagset.constraints()
    assert (transitions.dtype, start.dtype, end.dtype) == (np.float32,) * 3
    for n in (1, 2, 3):
        for path in itertools.product(range(len(tagset.names)), repeat=n):
            total = start[path[0]] + end[path[-1]]
            total += sum((transitions[i, j] for i, j in itertools.pairwise(path)), np.float32(0))
            tags = [tagset.names[i] for i in path]
            assert (total == 0) == reference.is_legal(tags, scheme.value), tags


def test_part_of_speech_tags_have_no_constraints() -> None:
    tables = TagSet(("NN", "B-X"), None, ()).constraints()
    assert [table.shape for table in tables] == [(2, 2), (2,), (2,)]
    assert not any(table.any() for table in tables)


@given(tags_of("BIES"))
def test_spans(sentences: list[list[str]]) -> None:
    corpus = corpus_of(sentences)
    for scheme in (Scheme.IOB2, Scheme.IOBES):
        names = ("O", *(f"{p}-{k}" for k in KINDS for p in "BIES"))
        tagset = TagSet(names, scheme, KINDS)
        for is_strict in (False, True):
            found = decode_spans(tagset.encode(corpus), corpus.sentence_offsets, tagset, strict=is_strict)
            expected = []
            for tags, base in zip(sentences, corpus.sentence_offsets.tolist(), strict=False):
                chunks = conlleval.strict_chunks(tags, scheme.value) if is_strict else conlleval.chunks(tags)
                expected += [(base + a, base + b, kind) for a, b, kind in chunks]
            if is_strict and scheme is Scheme.IOB2 and any(t[0] in "ES" for tags in sentences for t in tags):
                continue  # E and S mean nothing in IOB2
            got = zip(found.start.tolist(), found.end.tolist(), found.type_id.tolist(), strict=True)
            assert [(a, b, KINDS[k]) for a, b, k in got] == expected


def test_spans_of_bad_ids_are_refused() -> None:
    tagset = TagSet.for_corpora([corpus_of([["B-A"]])], Scheme.IOB2)
    with pytest.raises(ValueError, match="tag_ids: expected values from 0 to 2, got 3 at index 1"):
        decode_spans([0, 3], np.array([0, 2]), tagset)
    with pytest.raises(ValueError, match="sentence_offsets"):
        decode_spans([0, 1], np.array([0, 3]), tagset)
    assert len(decode_spans([0, 0], np.array([0, 1, 2]), TagSet(("NN",), None, ()))) == 0
