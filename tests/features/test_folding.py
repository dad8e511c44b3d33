"""What real text writes finds the row of what vectors spell out, and nothing else changes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.strings import StringColumn
from bioner_fast.features.folding import FOLDING_VERSION, UNICODE_VERSION, fold
from bioner_fast.features.tokenize import tokenize
from bioner_fast.features.vocabulary import Vocabulary

column = StringColumn.from_list


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("α", "alpha"), ("TNFα", "TNFalpha"), ("β1", "beta1"), ("ς", "sigma"), ("ϕ", "phi"), ("ϑ",
        "theta"), ("ϵ", "epsilon"),
        ("ά", "alpha"), ("Δ", "Delta"), ("∆F508", "DeltaF508"), ("ΔΔCt", "DeltaDeltaCt"), ("Ω",
        "Omega"), ("\u2126", "Omega"),
        ("µM", "muM"), ("μm", "mum"), ("𝛼", "alpha"), ("𝚫", "Delta"), ("ɑ", "alpha"),
        ("‐", "-"), ("‑", "-"), ("–", "-"), ("—", "-"), ("−", "-"), ("\u00ad", "-"),
        ("’", "'"), ("′", "'"), ("“", '"'), ("″", '"'), ("«", '"'),
        ("é", "e"), ("e\u0301", "e"), ("Sjögren", "Sjogren"), ("Å", "A"), ("Ångström", "Angstrom"),
        ("ß", "ss"),
        ("Ø", "O"), ("Łódź", "Lodz"), ("æ", "ae"), ("œ", "oe"), ("ı", "i"), ("ñ", "n"), ("ç", "c"),
        ("ﬁbrosis", "fibrosis"), ("ﬂ", "fl"), ("Ca²⁺", "Ca2+"), ("CO₂", "CO2"), ("ＴＰ５３", "TP53"), ("Ⅳ",
        "IV"), ("½", "1/2"),
        ("±", "+/-"), ("≥", ">="), ("≤", "<="), ("×", "x"), ("→", "->"), ("°", "degrees"), ("·", "."),
        ("…", "..."), ("™", "TM"),
        ("\u200b", ""), ("\ufeff", ""), ("❤\ufe0f", "❤"), ("𝐀", "A"),
        ("abc", "abc"), ("", ""), ("中", "中"), ("한", "한"), ("👍", "👍"),
    ],
)  # fmt: skip
def test_folds(token: str, expected: str) -> None:
    assert fold(token) == expected


def test_small_names() -> None:
    assert fold("ΔF508", small_names=True) == "deltaF508"
    assert fold("Øα", small_names=True) == "Oalpha"


def test_all_greek_letters_have_their_names() -> None:
    for code in [*range(0x391, 0x3AA), *range(0x3B1, 0x3CA)]:
        letter = chr(code)
        if code == 0x3A2:
            continue
        name = unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
        assert fold(letter).lower() == name
        assert fold(letter)[0].isupper() == letter.isupper()


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_folding_is_done_once(token: str) -> None:
    folded = fold(token)
    assert fold(folded) == folded


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_kept(token: str) -> None:
    assert fold(token) == token


def test_lookup_folds_only_what_is_not_found() -> None:
    words = ["alpha", "α", "Delta", "deltaF508", "tnfalpha", "mu0", "-", "sjogren", "beta0"]
    vocabulary = Vocabulary(column(words))

    def look(token: str, folding: bool = True, normalization: str = "default") -> str | None:
        row = int(vocabulary.lookup(column([token]), folding=folding, normalization=normalization)[0])
        return None if row < 0 else words[row]

    assert look("α") == "α"
    assert look("Α") == "α", "the lower-cased form is no folded form"
    assert look("ά") == "alpha"
    assert look("Δ") == "Delta"
    assert look("ΔF508") == "deltaF508", "a capital letter's small name comes last"
    assert look("TNFα") == "tnfalpha", "the chain goes on with the folded form"
    assert look("µ5") == "mu0"
    assert look("Β12") == "beta0", "lower case and digits together"
    assert look("–") == "-"
    assert look("Sjögren") == "sjogren"
    assert look("Sjögren", folding=False) is None
    assert look("\u200b") is None
    assert look("TNFα", normalization="none") is None
    assert look("ά", normalization="none") == "alpha"


@given(st.text(alphabet="aα Δ–é\u0301ﬁ½👍.", max_size=30))
def test_folding_never_moves_an_offset(text: str) -> None:
    tokens = tokenize(text)
    vocabulary = Vocabulary(column(["alpha", "fi"]))
    assert len(vocabulary.lookup(tokens.column, folding=True)) == len(tokens)
    assert [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)] == tokens.column.tolist()


def test_versions_are_stated() -> None:
    # A new table needs a new FOLDING_VERSION: bundles rely on it. Change both together.
    assert (FOLDING_VERSION, UNICODE_VERSION) == (1, "15.1.0")
