# ruff: noqa: E501 - lines of files
"""Files of real size for benchmarks of reading: PubMed XML, JATS archives and JSON lines of given texts.

Nobody may ship PubMed, so its layout is written around other texts: indentation, elements and their numbers
are those of a file of the NLM (about 9 KB and 190 elements an article), what they hold is drawn at random. A
seed makes each file the same every time.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import lzma
import os
import random
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from bioner_fast.data.corpus import Corpus
from bioner_fast.resources import data_folder

SHARED = Path(os.environ.get("BIONER_SHARED", Path(__file__).parents[2] / "shared"))
_SYLLABLES = [
    "ba",
    "co",
    "di",
    "fer",
    "gen",
    "hal",
    "in",
    "jo",
    "ka",
    "lin",
    "mor",
    "na",
    "os",
    "pel",
    "qui",
    "ros",
    "sten",
    "tur",
    "ul",
    "ver",
    "wei",
    "xan",
    "yo",
    "zim",
]


def documents(kind: str = "abstracts") -> Iterator[list[str]]:
    """Title and paragraphs of one document after the other, again and again.

    Of raw text where it is at hand (``abstracts`` or ``fulltext-01``), else made of sentences of the sample.
    """
    path = SHARED / "text" / f"{kind}.txt.xz"
    while path.is_file():
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for blank, block in itertools.groupby(lines, key=lambda line: line == "\n"):
                if not blank:
                    yield [line.rstrip("\n") for line in block]
    corpus = Corpus.read(next((data_folder() / "samples").glob("*/train.tsv")))
    words = corpus.tokens.tolist()
    sentences = [" ".join(words[a:b]) for a, b in itertools.pairwise(corpus.sentence_offsets.tolist())]
    chosen = random.Random(3)
    paragraphs = 1 if kind == "abstracts" else 40
    while True:
        body = [" ".join(chosen.choices(sentences, k=8)) for _ in range(paragraphs)]
        yield [chosen.choice(sentences), *body]


def whole_documents(count: int, kind: str = "abstracts") -> list[list[str]]:
    """So many documents that have more than a title."""
    return list(itertools.islice((one for one in documents(kind) if len(one) > 1), count))


class _Random(random.Random):
    def name(self, syllables: int = 3) -> str:
        return "".join(self.choices(_SYLLABLES, k=self.randint(2, syllables))).title()

    def digits(self, n: int) -> str:
        return "".join(self.choices("0123456789", k=n))

    def phrase(self, words: int) -> str:
        return " ".join(self.name() for _ in range(words))


def _date(drawn: _Random, tag: str, indent: int, attributes: str = "", *, time: bool = False) -> str:
    pad = " " * indent
    parts = [
        ("Year", drawn.randint(1970, 2025)),
        ("Month", drawn.randint(1, 12)),
        ("Day", drawn.randint(1, 28)),
    ]
    if time:
        parts += [("Hour", drawn.randint(0, 23)), ("Minute", 0)]
    inner = "".join(f"{pad}    <{name}>{value}</{name}>\n" for name, value in parts)
    return f"{pad}<{tag}{attributes}>\n{inner}{pad}</{tag}>\n"


def _pubmed_article(number: int, title: str, paragraphs: list[str], drawn: _Random) -> str:
    authors = "".join(
        f"""                    <Author ValidYN="Y">
                        <LastName>{drawn.name()}</LastName>
                        <ForeName>{drawn.name()} {drawn.name(2)[0]}</ForeName>
                        <Initials>{drawn.name(2)[0]}</Initials>
{_affiliation(drawn) if drawn.random() < 0.4 else ""}                    </Author>
"""
        for _ in range(drawn.randint(2, 15))
    )
    parts = "".join(
        f"                    <AbstractText{_label(i, len(paragraphs))}>{escape(one)}</AbstractText>\n"
        for i, one in enumerate(paragraphs)
    )
    mesh = "".join(
        f"""                <MeshHeading>
                    <DescriptorName UI="D{drawn.digits(6)}" MajorTopicYN="N">{drawn.phrase(2)}</DescriptorName>
                </MeshHeading>
"""
        for _ in range(drawn.randint(4, 18))
    )
    references = "".join(
        f"""                <Reference>
                    <Citation>{drawn.phrase(2)}. {drawn.phrase(3)}. {drawn.digits(4)};{drawn.digits(2)}:{drawn.digits(3)}.</Citation>
                    <ArticleIdList>
                        <ArticleId IdType="pubmed">{drawn.digits(8)}</ArticleId>
                    </ArticleIdList>
                </Reference>
"""
        for _ in range(drawn.choice((0, 0, 8, 16)))
    )
    history = "".join(
        _date(drawn, "PubMedPubDate", 16, f' PubStatus="{status}"', time=True)
        for status in ("received", "entrez", "pubmed", "medline")
    )
    return f"""    <PubmedArticle>
        <MedlineCitation Status="MEDLINE" Owner="NLM">
            <PMID Version="1">{number}</PMID>
{_date(drawn, "DateCompleted", 12)}{_date(drawn, "DateRevised", 12)}            <Article PubModel="Print">
                <Journal>
                    <ISSN IssnType="Electronic">{drawn.digits(4)}-{drawn.digits(4)}</ISSN>
                    <JournalIssue CitedMedium="Internet">
                        <Volume>{drawn.digits(2)}</Volume>
                        <Issue>{drawn.digits(1)}</Issue>
{_date(drawn, "PubDate", 24)}                    </JournalIssue>
                    <Title>{drawn.phrase(4)}</Title>
                    <ISOAbbreviation>{drawn.phrase(2)}</ISOAbbreviation>
                </Journal>
                <ArticleTitle>{escape(title)}</ArticleTitle>
                <Pagination>
                    <MedlinePgn>{drawn.digits(3)}-{drawn.digits(2)}</MedlinePgn>
                </Pagination>
                <ELocationID EIdType="doi" ValidYN="Y">10.{drawn.digits(4)}/{drawn.digits(8)}</ELocationID>
                <Abstract>
{parts}                </Abstract>
                <AuthorList CompleteYN="Y">
{authors}                </AuthorList>
                <Language>eng</Language>
                <PublicationTypeList>
                    <PublicationType UI="D016428">Journal Article</PublicationType>
                </PublicationTypeList>
            </Article>
            <MedlineJournalInfo>
                <Country>{drawn.name()}</Country>
                <MedlineTA>{drawn.phrase(2)}</MedlineTA>
                <NlmUniqueID>{drawn.digits(7)}</NlmUniqueID>
                <ISSNLinking>{drawn.digits(4)}-{drawn.digits(4)}</ISSNLinking>
            </MedlineJournalInfo>
            <CitationSubset>IM</CitationSubset>
            <MeshHeadingList>
{mesh}            </MeshHeadingList>
        </MedlineCitation>
        <PubmedData>
            <History>
{history}            </History>
            <PublicationStatus>ppublish</PublicationStatus>
            <ArticleIdList>
                <ArticleId IdType="pubmed">{number}</ArticleId>
                <ArticleId IdType="doi">10.{drawn.digits(4)}/{drawn.digits(8)}</ArticleId>
            </ArticleIdList>
            <ReferenceList>
{references}            </ReferenceList>
        </PubmedData>
    </PubmedArticle>
"""


def _affiliation(drawn: _Random) -> str:
    return f"""                        <AffiliationInfo>
                            <Affiliation>Department of {drawn.phrase(2)}, University of {drawn.phrase(2)}.</Affiliation>
                        </AffiliationInfo>
"""


def _label(index: int, count: int) -> str:
    names = ("BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS")
    return f' Label="{names[index]}" NlmCategory="{names[index]}"' if 1 < count <= len(names) else ""


def write_pubmed(path: Path, texts: Iterable[list[str]], seed: int = 7) -> None:
    """A file as the NLM gives them out, compressed as theirs."""
    drawn = _Random(seed)
    with gzip.open(path, "wt", compresslevel=6, encoding="utf-8", newline="\n") as out:
        out.write('<?xml version="1.0" encoding="utf-8"?>\n')
        out.write(
            '<!DOCTYPE PubmedArticleSet SYSTEM "http://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
        )
        out.write("<PubmedArticleSet>\n")
        for number, (title, *paragraphs) in enumerate(texts, start=1):
            out.write(_pubmed_article(number, title, paragraphs, drawn))
        out.write("</PubmedArticleSet>\n")


def _jats_paragraph(text: str, drawn: _Random) -> str:
    """With italics, sub- and superscripts and marks of references between its words, as articles have them."""
    pieces = []
    for word in escape(text).split(" "):
        drawing = drawn.random()
        if drawing < 0.01:
            word = f"<italic>{word}</italic>"
        elif drawing < 0.02:
            word += "<sup>2+</sup>"
        elif word.endswith(".") and drawing < 0.4:
            word = f'{word[:-1]} [<xref ref-type="bibr" rid="B{drawn.digits(2)}">{drawn.digits(2)}</xref>].'
        pieces.append(word)
    return f"<p>{' '.join(pieces)}</p>\n"


def _jats_article(number: int, title: str, paragraphs: list[str], drawn: _Random) -> str:
    size = max(len(paragraphs) // 5, 1)
    sections = "".join(
        f'<sec id="s{start}"><title>{drawn.phrase(2)}</title>\n'
        + "".join(_jats_paragraph(one, drawn) for one in paragraphs[start : start + size])
        + f'<fig id="f{start}"><label>Figure {start}</label><caption><p>{drawn.phrase(20)}.</p></caption>'
        f'<graphic xlink:href="f{start}"/></fig>\n</sec>\n'
        for start in range(1, len(paragraphs), size)
    )
    authors = "".join(
        f'<contrib contrib-type="author"><name><surname>{drawn.name()}</surname>'
        f'<given-names>{drawn.name()}</given-names></name><xref ref-type="aff" rid="a1"><sup>1</sup></xref>'
        "</contrib>\n"
        for _ in range(drawn.randint(2, 12))
    )
    references = "".join(
        f'<ref id="B{n}"><label>{n}</label><element-citation publication-type="journal">'
        + "".join(
            f"<name><surname>{drawn.name()}</surname><given-names>{drawn.name(2)[0]}</given-names></name>"
            for _ in range(drawn.randint(1, 6))
        )
        + f"<article-title>{drawn.phrase(9)}</article-title><source>{drawn.phrase(2)}</source>"
        f"<year>{drawn.randint(1970, 2025)}</year><volume>{drawn.digits(2)}</volume><fpage>{drawn.digits(3)}"
        f'</fpage><pub-id pub-id-type="pmid">{drawn.digits(8)}</pub-id></element-citation></ref>\n'
        for n in range(drawn.randint(20, 80))
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.2 20190208//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" article-type="research-article">
<front><journal-meta><journal-id journal-id-type="nlm-ta">{drawn.name()}</journal-id><journal-title-group><journal-title>{drawn.phrase(3)}</journal-title></journal-title-group></journal-meta>
<article-meta><article-id pub-id-type="pmc">{number}</article-id><article-id pub-id-type="doi">10.{drawn.digits(4)}/{drawn.digits(8)}</article-id>
<title-group><article-title>{escape(title)}</article-title></title-group>
<contrib-group>{authors}</contrib-group><aff id="a1">{drawn.phrase(6)}</aff>
<pub-date pub-type="epub"><day>1</day><month>2</month><year>{drawn.randint(1990, 2025)}</year></pub-date>
<abstract>{_jats_paragraph(paragraphs[0], drawn)}</abstract></article-meta></front>
<body>
{sections}</body>
<back><ref-list><title>References</title>
{references}</ref-list></back>
</article>
"""


def write_jats(path: Path, texts: Iterable[list[str]], seed: int = 7) -> None:
    """A ``.tar.gz`` of articles, as PMC gives them out."""
    drawn = _Random(seed)
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        for number, (title, *paragraphs) in enumerate(texts, start=1):
            data = _jats_article(number, title, paragraphs, drawn).encode()
            member = tarfile.TarInfo(f"PMC00{number // 1000:04}/PMC{number}.xml")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_jsonl(path: Path, texts: Iterable[list[str]]) -> None:
    """Compressed JSON lines, a text each."""
    with gzip.open(path, "wt", compresslevel=6, encoding="utf-8", newline="\n") as out:
        for number, parts in enumerate(texts, start=1):
            out.write(json.dumps({"id": str(number), "text": " ".join(parts)}, ensure_ascii=False) + "\n")
