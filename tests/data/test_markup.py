"""Marked text: without its marks it is the text, and every character is inside the marks it should be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.markup import colours, mark_entities


class _Reader(HTMLParser):
    """The text of a page, and for each character the types of the marks around it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.characters: list[tuple[str, frozenset[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "mark"
        self.open.append(str(dict(attrs)["data-t"]))

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.characters += [(c, frozenset(self.open)) for c in data]


@given(st.data())
def test_every_character_is_in_the_marks_of_its_entities(data: st.DataObject) -> None:
    text = data.draw(st.text("ab <>&\"'αβ💊", min_size=1, max_size=30))
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    spans = data.draw(st.lists(places, max_size=6))
    entities = [Entity(min(p) + 5, max(p) + 5, f"t{i}", "") for i, p in enumerate(spans)]
    reader = _Reader()
    reader.feed(mark_entities(text, entities, colours(e.type for e in entities), offset=5))
    reader.close()
    assert not reader.open
    assert "".join(c for c, _ in reader.characters) == text
    for at, (_, types) in enumerate(reader.characters, start=5):
        assert types == {e.type for e in entities if e.start <= at < e.end}


def test_an_entity_that_is_cut_is_named_once() -> None:
    entities = [Entity(0, 4, "gene", ""), Entity(2, 6, "disease", "")]
    marked = mark_entities("abcdef", entities, colours(["gene", "disease"]))
    assert [bool(cut) for cut in re.findall(r"<mark( class=\"bf-cut\")?", marked)] == [False, True, False]


def test_known_types_keep_their_colour_and_others_get_one() -> None:
    assert colours(["x", "gene"])["gene"] == colours(["Gene"])["Gene"]
    assert set(colours(f"t{i}" for i in range(20))) == {f"t{i}" for i in range(20)}


def test_notebooks_get_the_text_as_text() -> None:
    passages = [
        Passage("<script>", section="title"),
        Passage("TP53", 9, entities=[Entity(9, 13, "gene", "")]),
    ]
    page = Document("1", passages)._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert 'data-t="gene"' in page
