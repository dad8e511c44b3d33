"""What can be no part of a name, and where names with brackets and numbers begin and end: for any model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.tagging.borders import no_names, whole
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import save_tiny

DIOXIN = "of 2,3,7,8-tetrachlorodibenzo-p-dioxin now"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe@brca1.example.org, please", ["jane.doe@brca1.example.org"]),
        ("see https://p53.org/a?b=1 (and www.p53.org).", ["https://p53.org/a?b=1", "www.p53.org"]),
        ("doi:10.1016/j.gene.2010.01.001.", ["doi:10.1016/j.gene.2010.01.001"]),
        ("(doi: 10.1000/abc(12)3)", ["doi: 10.1000/abc(12)3"]),
        ("PMID- 1\nTI  - p53 in mice\nAB  - A 2- and 3-fold rise", ["PMID- ", "TI  - ", "AB  - "]),
        ("TNF\u200balpha and ne\u00adcrosis", ["\u200b", "\u00ad"]),
        ("a ratio of 10.5 and p < 0.05; TI - none", []),
        ("A 10.1234 @ 5", []),
        ("THE RATE WAS HIGH. ALL WAS SET.", ["WAS", "ALL", "WAS"]),
        ("Mutations of WAS and ALL WERE seen; WAS is a gene", []),
    ],
)  # fmt: skip
def test_what_is_no_name(text: str, expected: list[str]) -> None:
    assert [text[a:b] for a, b in no_names(text)] == expected


@pytest.mark.parametrize(
    ("text", "mention", "kind", "expected"),
    [
        (DIOXIN, "tetrachlorodibenzo-p-dioxin", "chemical", "2,3,7,8-tetrachlorodibenzo-p-dioxin"),
        (DIOXIN, "7,8-tetrachlorodibenzo-p-dioxin", "chemical", "2,3,7,8-tetrachlorodibenzo-p-dioxin"),
        (DIOXIN, "tetrachlorodibenzo-p-dioxin", "disease", "tetrachlorodibenzo-p-dioxin"),
        ("and (+)-catechin.", "catechin", "chemical", "(+)-catechin"),
        ("and (+)-catechin.", ")-catechin", "chemical", "(+)-catechin"),
        ("(R,S)-propranolol", "propranolol", "chemical", "(R,S)-propranolol"),
        ("17β-estradiol", "estradiol", "chemical", "17β-estradiol"),
        ("N-acetylcysteine", "acetylcysteine", "chemical", "N-acetylcysteine"),
        ("the allele HLA-B*27:05 is", "HLA-B", "gene", "HLA-B*27:05"),
        ("SLCO1B1*5 carriers", "SLCO1B1", "gene", "SLCO1B1"),
        ("the [Ca2+] rose", "Ca2", "chemical", "Ca2+"),
        ("Ca(2+) rose", "Ca", "chemical", "Ca(2+)"),
        ("iopamidol+ given", "iopamidol", "chemical", "iopamidol"),
        ("rheumatoid arthritis (RA) is", "rheumatoid arthritis (RA", "disease", "rheumatoid arthritis"),
        ("(aspirin) is", "(aspirin", "chemical", "aspirin"),
        ("poly(lactic acid) is", "poly(lactic acid", "chemical", "poly(lactic acid)"),
        ("poly(ethylene glycol) is", "ethylene glycol", "chemical", "poly(ethylene glycol)"),
        ("(NF-kappa B) is", "NF-kappa B)", "gene", "(NF-kappa B)"),
        ("NF-kappa B) is", "NF-kappa B)", "gene", "NF-kappa B"),
        ("aspirin-induced", "aspirin", "chemical", "aspirin"),
        ("anti-TNF", "TNF", "gene", "TNF"),
        ("glutathione (GSH) and", "glutathione (GSH)", "chemical", "glutathione (GSH)"),
    ],
)
def test_where_a_name_begins_and_ends(text: str, mention: str, kind: str, expected: str) -> None:
    start = text.index(mention)
    assert text[slice(*whole(text, start, start + len(mention), kind, 0, len(text)))] == expected


@given(st.text(alphabet="aB1 ()[],-+*'2", max_size=30), st.data())
def test_borders_stay_within_the_neighbours(text: str, data: st.DataObject) -> None:
    low, start, end, high = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4)))
    kind = data.draw(st.sampled_from(["chemical", "gene", "disease"]))
    a, b = whole(text, start, end, kind, low, high)
    assert low <= a <= b <= high or (start == end and (a, b) == (start, end))


def test_no_entity_of_any_model_in_an_address(tmp_path: Path) -> None:
    tagger = Tagger.load(save_tiny(tmp_path / "model"), "cpu")
    address = "breast.cancer@brca1.org"
    text = f"breast cancer of {address} patients with Crohn disease\u200bTNF gene " * 3
    entities = tagger.tag([text])[0].entities
    assert entities
    for entity in entities:
        assert "@" not in entity.text
        assert "\u200b" not in entity.text
        assert text[entity.start : entity.end] == entity.text
        at = text.rfind(address, 0, entity.start + len(address))
        assert at < 0 or entity.start >= at + len(address) or entity.end <= at
