"""Tokens and sentences of documents that bring none; sentences that the file marks."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Passage, Sentence
from bioner_fast.features.layers import add_tokens, segment_passages
from bioner_fast.features.tokenize import segment
from bioner_fast.formats.conll import TokenLayer

MARKED = Passage(
    "In E. coli. (ATCC) it grew. It died.  Not marked. At all.",
    7,
    sentences=[Sentence(7, 25), Sentence(26, 34), Sentence(35, 43)],
)


def sentences(passages: list[Passage]) -> list[list[str]]:
    cut = segment_passages(passages)
    tokens, ends = cut.tokens.tolist(), cut.sentence_offsets.tolist()
    return [tokens[a:b] for a, b in itertools.pairwise(ends)]


def test_marked_sentences_bound_tokens_and_sentences() -> None:
    plain = Passage("One. Two.", 100)
    found = [" ".join(sentence) for sentence in sentences([plain, MARKED, plain])]
    assert found == [
        "One .",
        "Two .",
        "In E . coli . ( ATCC )",
        "it grew .",
        "It died .",
        "Not marked .",
        "At all .",
        "One .",
        "Two .",
    ]
    cut = segment_passages([plain, MARKED, plain])
    assert cut.text_offsets.tolist() == [0, 2, 7, 9]
    text = MARKED.text
    low, high = cut.token_offsets[1], cut.token_offsets[2]
    spans = zip(cut.starts[low:high].tolist(), cut.ends[low:high].tolist(), strict=True)
    assert [text[a:b] for a, b in spans] == cut.tokens.tolist()[low:high]


def test_column_files_have_the_marked_sentences() -> None:
    layer = add_tokens(Document("1", [MARKED])).native
    assert isinstance(layer, TokenLayer)
    assert layer.sentence_offsets.tolist() == [0, 8, 11, 14, 17, 20]
    assert layer.starts[0] == 7


@given(st.text(st.sampled_from("ab. \u0301β\n"), max_size=30), st.lists(st.integers(-3, 40), max_size=8))
def test_any_marks_keep_all_text(text: str, edges: list[int]) -> None:
    marks = [Sentence(*sorted(pair)) for pair in zip(edges[::2], edges[1::2], strict=False)]
    cut = segment_passages([Passage(text, sentences=marks), Passage("x.")])
    spans = list(zip(cut.starts.tolist(), cut.ends.tolist(), strict=True))
    assert [text[a:b] for a, b in spans[: cut.token_offsets[1]]] == cut.tokens.tolist()[
        : cut.token_offsets[1]
    ]
    covered = {i for a, b in spans[: cut.token_offsets[1]] for i in range(a, b)}
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered
    assert (cut.sentence_offsets[1:] > cut.sentence_offsets[:-1]).all()
    assert cut.sentence_offsets[-1] == len(cut.tokens)


def test_without_marks_nothing_changes() -> None:
    texts = ["One. Two.", "", "Three."]
    cut, expected = segment_passages([Passage(text) for text in texts]), segment(texts)
    assert cut.text_offsets.tolist() == expected.text_offsets.tolist()
    assert cut.sentence_offsets.tolist() == expected.sentence_offsets.tolist()
