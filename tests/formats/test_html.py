"""The page: complete, without a network, and with markup of texts and types as text."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.formats.registry import guess_format, open_writer


def _page(*documents: Document) -> str:
    out = io.BytesIO()
    with open_writer(out, "html") as writer:
        for document in documents:
            writer.write(document)
    return out.getvalue().decode()


def test_page_fetches_nothing_and_escapes_everything() -> None:
    evil = '</script><img src="http://x" onerror=alert(1)>'
    entity = Entity(0, 4, evil, "TP53", score=0.5)
    page = _page(Document(evil, [Passage("TP53" + evil, section=evil, entities=[entity])]))
    assert page.count("<script>") == page.count("</script>") == 1
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not {"src", "href", "onerror"} & {name for name, _ in attrs}

    Tags().feed(page)
    assert {"html", "mark", "script"} <= set(tags)
    assert not {"img", "link", "iframe"} & set(tags)


def test_legend_counts_types_of_all_documents() -> None:
    gene = Entity(0, 4, "gene", "TP53", score=0.9)
    one = Document("1", [Passage("TP53", entities=[gene])])
    two = Document("2", [Passage("TP53", entities=[gene, Entity(0, 2, "variant", "TP")])])
    page = _page(one, two)
    assert ">gene 2</button>" in page
    assert ">variant 1</button>" in page
    assert "2 documents" in page
    assert 'data-s="0.900"' in page


def test_page_without_documents_is_a_page() -> None:
    assert _page().endswith("</html>\n")
    assert guess_format("out.html") == "html"
