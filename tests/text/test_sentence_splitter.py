"""The sentence splitter: what every rule is for."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.features.tokenize import segment

PARTS = [
    "Fig", "Fig. 2", "E. coli", "et al.", "e.g.", ".", "?", "!", "...", "(", ")", "[12]", '"', "”",
    "\n", "\n\n", "\r\n\r\n",
    " ", " ", "the", "The", "p53", "mRNA", "0.05", "α", "A.", "J. Smith", "5", "c-myc", "\u2029",
    "x" * 130, "。", "RESULTS:",
]  # fmt: skip


def sentences(text: str) -> list[str]:
    result = segment([text], threads=1)
    offsets = result.sentence_offsets
    return [text[result.starts[begin] : result.ends[end - 1]] for begin, end in itertools.pairwise(offsets)]


@pytest.mark.parametrize(
    "text",
    [
        "We saw this. | It was new. | Why? | Nobody knows!",
        "See Fig. 2 and Figs. 3 and 4, i.e. the right ones. | The rest is in Table 1.",
        "E. coli and S. aureus grew, e.g. in broth (cf. Eq. 3). | B. subtilis did not.",
        "Smith et al. (2000) and Jones et al. [12] agree. | P values vs. controls were 0.05.",
        "P < 0.05 at 37.5 degrees. | 5 mice died. | All others lived.",
        "Written by J. R. Smith and A. Jones. | The end.",
        "It needs vitamin A. | The rest does not.",
        "It binds p53. | mRNA rose in cells. | c-myc did not. | p21 fell.",
        "We (A. Smith said so. It was true.) agree. | It ended.",
        "They said \"no.\" | Then they left. | He asked 'why?' | We wept.",
        "It was given i.v. to mice. | Doses were 5 mg (b.i.d.). | EEG was normal.",
        "In the U.S. it is rare. | In the U.K. it is not.",
        "Shown before.[12,13] | The mice died.12 | We do not know why.",
        "It rose by 95%. | RESULTS: it fell (30 min). | CONCLUSION: it stays.",
        "A title without a stop\n\n | The abstract begins.",
        "Candida spp. were found. | Streptomyces sp. was not.",
        "Typed (in haste and never closed. | The next sentence. | And one more.",
        "It ends... | And goes on ... like this.",
        "Is it TNF-α? | β-catenin is not.",
        "这是一句。 | 那是另一句。",
        "The cost is $5 million. | (It was more.) | [It was less.]",
        "Genes were HLA-F. | Alternatively they were not.",
        "It fell. | (b) Then it rose.",
    ],
)
def test_rules(text: str) -> None:
    expected = text.split(" | ")
    if expected[0].startswith("Is it"):  # a small Greek letter cannot show where a sentence starts
        expected = ["Is it TNF-α? β-catenin is not."]
    joined = " ".join(expected)
    assert sentences(joined) == [part.strip() for part in expected]


def test_line_ends_count_where_lines_are_not_wrapped() -> None:
    long = "word " * 30 + "end"
    assert sentences(f"Title of it\n{long.capitalize()}.") == ["Title of it", f"{long.capitalize()}."]
    assert sentences("The text is\nWrapped at\nSome width.") == ["The text is\nWrapped at\nSome width."]
    assert len(sentences("One line.\r\n\r\nanother")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "Drug\tDose\nAspirin\t5 mg",
        "Drugs were:\n- aspirin\n- folic acid\nPatients got",
        "We gave\n1. aspirin\n2. folic acid\n10. iron",
        "Diseases\n(a) acute leukemia\n(b) asthma",
        "• aspirin\r\n• folic acid",
        "aspirin\nfolic acid\niron",
        "Aspirin 100 mg\nFolic Acid\nIron",
    ],
)
def test_cells_and_items_are_sentences_of_their_own(text: str) -> None:
    assert sentences(text) == re.split("[\t\r\n]+", text)


@pytest.mark.parametrize(
    "text",
    [
        "\tAn indented line of text that\n\tgoes on",
        "as is shown in Table\n2. acute leukemia",
        "treated with a dose of\n2.5 mg of aspirin",
        "Patients with acute myeloid\nleukemia and estrogen\n  receptor positive tumours.",
        "interleukin\n-6 rose",
    ],
)
def test_wrapped_lines_are_no_items(text: str) -> None:
    assert len(sentences(text.replace("2. ", "2 "))) == 1


@given(
    st.lists(st.sampled_from(PARTS), max_size=30).map(" ".join)
    | st.lists(st.sampled_from(PARTS)).map("".join)
)
def test_sentences_cover_all_tokens_once(text: str) -> None:
    result = segment([text], threads=1)
    offsets = result.sentence_offsets.tolist()
    assert offsets[0] == 0
    assert offsets[-1] == len(result.tokens)
    assert all(a < b for a, b in itertools.pairwise(offsets))


def test_width_of_characters_does_not_matter() -> None:
    text = "See Fig. 2. E. coli grew (cf. Eq. 3). The end. p53 rose.[1] We saw it."
    split = segment([text]).sentence_offsets.tolist()
    assert segment([text + " α."]).sentence_offsets.tolist()[: len(split) - 1] == split[:-1]
    assert segment([text + " 👍."]).sentence_offsets.tolist()[: len(split) - 1] == split[:-1]


def test_long_text_without_stops_is_one_sentence() -> None:
    assert len(sentences("word " * 100_000)) == 1


def test_open_brackets_do_not_swallow_the_rest() -> None:
    text = "(" * 1000 + "One sentence here. Another one there. " * 50
    assert len(sentences(text)) == 100
