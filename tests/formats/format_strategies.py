"""Random documents in the normal form of each format: what it can hold, it must give back."""

from __future__ import annotations

from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage, Relation, Sentence
from bioner_fast.formats.bioc import BiocNative
from bioner_fast.formats.brat import BratNative

# Greek, a combining accent, emoji (with joiner and selector), astral letters, XML's own characters, dashes,
# spaces of several kinds, separators that some libraries take for line ends, quotes, the formats' own marks.
ALPHABET = "abT7 αβΔ\u0301é👩\u200d🔬\ufe0f𝛽𐐷&<>'\"|;:{}[]\\–\u00a0\u2028\x85\t\r\n\ufeff.,-"
BRAT_LINES = [
    "E1\tBinding:T1 Theme:T3",
    "A1\tNegation E1",
    "*\tEquiv T1 T3",
    "N1\tReference T1 Taxonomy:9606\tHuman",
    "#1\tAnnotatorNotes T1\tβ {",
]
XML_ILLEGAL = "\x00\x0b\x1f\ufffe"


def texts(exclude: str = "", *, min_size: int = 0, max_size: int = 40) -> st.SearchStrategy[str]:
    """Text of the awkward alphabet, less the characters a format cannot hold."""
    letters = "".join(c for c in ALPHABET if c not in exclude)
    return st.text(st.sampled_from(letters), min_size=min_size, max_size=max_size)


def words(exclude: str = "") -> st.SearchStrategy[str]:
    """Names without white space."""
    return texts(exclude + " \t\r\n\u00a0\u2028\x85\ufeff", min_size=1, max_size=8)


@st.composite
def spans(draw: st.DrawFn, text: str, *, empty: bool = False) -> tuple[int, int]:
    """A stretch of a text, without white space at its edges; readers cut that."""
    start = draw(st.integers(0, len(text) - (0 if empty else 1)))
    stop = draw(st.integers(start + (0 if empty else 1), len(text)))
    inner = text[start:stop]
    if inner.strip():
        start += len(inner) - len(inner.lstrip())
        stop = start + len(inner.strip())
    return start, stop


@st.composite
def pubtator_documents(draw: st.DrawFn) -> Document:
    """Title and abstract (either may be missing), identifiers in columns, relations between concepts."""
    one_line = texts("\r\n", min_size=1)
    title = draw(st.none() | one_line)
    abstract = draw(st.none() | one_line)
    passages = []
    if title is not None:
        passages.append(Passage(title, 0, "title"))
    if abstract is not None:
        passages.append(Passage(abstract, len(title or "") + 1, "abstract"))
    cell = texts("\r\n\t", max_size=8)
    for passage in passages:
        for _ in range(draw(st.integers(0, 3))):
            start, end = draw(spans(passage.text))
            keys = draw(st.sampled_from([(), ("identifier",), ("identifier", "column7", "column8")]))
            infons = {key: draw(cell) for key in keys}
            mention = passage.text[start:end]
            start, end = start + passage.offset, end + passage.offset
            passage.entities.append(Entity(start, end, draw(cell), mention, infons=infons))
    kinds = st.text(st.sampled_from("aβ7 .:/+()-"), max_size=6)
    relations = [
        Relation(type="x" + draw(kinds), infons={"entity1": draw(words()), "entity2": draw(words())})
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Document(draw(words("|")), passages, relations=relations)


@st.composite
def bioc_documents(draw: st.DrawFn, exclude: str = "") -> Document:
    """Passages with gaps, sentences, nested and discontinuous annotations, relations on three levels."""
    value = texts(exclude, max_size=8)
    infons = st.dictionaries(words(exclude).map(lambda key: "k" + key), value, max_size=2)
    relation = st.builds(
        Relation,
        st.lists(st.tuples(words(exclude), value), max_size=2).map(tuple),
        st.none() | value,
        st.none() | value,
        infons,
    )
    document = Document(draw(words(exclude)), infons=draw(infons), native=BiocNative())
    document.relations = draw(st.lists(relation, max_size=1))
    offset = 0
    numbers = iter(range(1000))
    for _ in range(draw(st.integers(0, 3))):
        offset += draw(st.integers(0, 3))
        passage = Passage("", offset, infons=draw(infons))
        if draw(st.booleans()):
            passage.section = passage.infons["type"] = draw(value.filter(bool))
        passage.relations = draw(st.lists(relation, max_size=1))
        if draw(st.booleans()):
            passage.text = draw(texts(exclude))
        else:
            for text in draw(st.lists(texts(exclude, min_size=1), max_size=3)):
                passage.text += " " * (draw(st.integers(0, 2)) if passage.text else 0)
                start = passage.offset + len(passage.text)
                sentence = Sentence(
                    start, start + len(text), draw(infons), draw(st.lists(relation, max_size=1))
                )
                passage.text += text
                passage.sentences.append(sentence)
        homes = [(s.start - offset, s.end - offset, "sentence") for s in passage.sentences]
        homes = homes or [(0, len(passage.text), "passage")]
        for low, high, level in homes:
            for _ in range(draw(st.integers(0, 2)) if high > low else 0):
                stretch = passage.text[low:high]
                parts = draw(st.lists(spans(stretch), min_size=1, max_size=2))
                if len(parts) > 1 and any(stretch[a:b].isspace() for a, b in parts):
                    parts = parts[:1]
                shift = offset + low
                where = tuple((a + shift, b + shift) for a, b in parts)
                mention = " ".join(passage.text[a - offset : b - offset] for a, b in where)
                passage.entities.append(
                    Entity(
                        min(a for a, _ in where),
                        max(b for _, b in where),
                        draw(value),
                        mention,
                        id=f"N{next(numbers)}",
                        spans=where if len(where) > 1 else (),
                        infons=draw(infons),
                        level=level,  # type: ignore[arg-type]
                    )
                )
        document.passages.append(passage)
        offset += len(passage.text)
    if draw(st.booleans()):
        for entity in document.iter_entities():
            entity.score, entity.task = draw(st.floats(0, 1)), draw(value)
    return document


@st.composite
def brat_documents(draw: st.DrawFn) -> Document:
    """One text, discontinuous mentions, relations, and lines that only brat has."""
    text = draw(texts())
    passage = Passage(text)
    breaks = str.maketrans("\t\r\n", "   ")
    for number in range(draw(st.integers(0, 3)) if text else 0):
        where = tuple(draw(st.lists(spans(text), min_size=1, max_size=2)))
        if len(where) > 1 and any(text[a:b].isspace() for a, b in where):
            where = where[:1]
        mention = text[where[0][0] : where[0][1]]
        if len(where) > 1:
            mention = " ".join(text[a:b] for a, b in where).translate(breaks)
        infons = draw(st.dictionaries(texts(min_size=1, max_size=4), texts(max_size=4), max_size=2))
        entity = Entity(
            min(a for a, _ in where),
            max(b for _, b in where),
            draw(words(";")),
            mention,
            id=f"T{number * 2 + 1}",
            spans=where if len(where) > 1 else (),
            infons=infons,
        )
        if draw(st.booleans()):
            entity.score, entity.task = draw(st.floats(0, 1)), draw(st.none() | words())
        passage.entities.append(entity)
    relations = []
    if passage.entities:
        names = st.sampled_from([entity.id or "" for entity in passage.entities])
        for number in range(draw(st.integers(0, 2))):
            ends = draw(st.lists(st.tuples(names, words(":")), min_size=1, max_size=2))
            relations.append(Relation(tuple(ends), draw(words()), f"R{number + 1}"))
    lines = draw(st.lists(st.sampled_from(BRAT_LINES), unique=True))
    passages = [passage] if text else []
    return Document(draw(words()), passages, native=BratNative("", lines), relations=relations)


@st.composite
def plain_documents(draw: st.DrawFn) -> Document:
    """A document as a tagger leaves it: passages one character apart, entities that may overlap, no ids."""
    document = Document(draw(words("|")))
    offset = 0
    for index in range(draw(st.integers(0, 3))):
        passage = Passage(draw(texts()), offset, draw(st.sampled_from([None, "title", "abstract"])))
        for _ in range(draw(st.integers(0, 3)) if passage.text else 0):
            start, end = draw(spans(passage.text))
            kind = draw(st.sampled_from(["Disease", "Chemical"]))
            mention = passage.text[start:end]
            entity = Entity(start + offset, end + offset, kind, mention, score=0.5 + index / 8, task="t")
            passage.entities.append(entity)
        document.passages.append(passage)
        offset += len(passage.text) + 1
    return document
