"""Fuzz target of the document formats: damaged documents are read, or refused in one sentence.

``python tests/fuzz/fuzz_formats.py --inputs 100000 --seed 7``; inputs follow from the seed alone.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
from collections import Counter
from typing import Any

from bioner_fast.errors import BionerError
from bioner_fast.formats.base import Problem
from bioner_fast.formats.registry import open_writer, read_documents

ENTITY = {"start": 0, "end": 4, "type": "Gene", "text": "TP53", "score": 0.5, "task": "g", "id": "T1"}
ANNOTATION = {
    "id": "3",
    "infons": {"type": "Gene"},
    "text": "TP53",
    "locations": [{"offset": 0, "length": 4}],
}
RELATION = {"id": "R1", "infons": {"type": "A", "role1": "G|1"}, "nodes": [{"refid": "3", "role": "x"}]}
SENTENCE = {"offset": 0, "text": "TP53 β.", "infons": {}, "annotations": [ANNOTATION]}
PASSAGES = [
    {"offset": 0, "infons": {"type": "title"}, "text": "TP53 β.", "annotations": [ANNOTATION]},
    {"offset": 8, "infons": {}, "sentences": [SENTENCE]},
]
# A valid document of each format, as JSON where the format is JSON.
JSON_DOCUMENTS: dict[str, Any] = {
    "jsonl": {"id": "1", "text": "TP53 β.", "entities": [ENTITY], "passages": [{"offset": 0, "length": 7}]},
    "bioc-json": {"documents": [{"id": "1", "pmid": 1, "passages": PASSAGES, "relations": [RELATION]}]},
}
TEXTS: dict[str, str] = {
    "text": "TP53 β.",
    "lines": "TP53\nβ.\n",
    "pubtator": "1|t|TP53 β\n1|a|x\n1\t0\t4\tTP53\tGene\t7157\n1\tCID\tD1\tD2\n\n2|title|y\n",
    "conll": "-DOCSTART- a\n\nTP53\tB-G\nβ\tO\n\nx\tO\n",
    "csv": 'text,id\n"a, ""b""",1\nx,2\n',
    "bioc-xml": "<collection><document><id>1</id><passage><offset>0</offset><text>TP53</text>"
    "<annotation id='a'><infon key='type'>G</infon><location offset='0' length='4'/><text>TP53</text>"
    "</annotation></passage></document></collection>",
    "pubmed-xml": "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID Version='2'>1</PMID><Article>"
    "<ArticleTitle>a<i>b</i></ArticleTitle></Article></MedlineCitation></PubmedArticle></PubmedArticleSet>",
}
# Values that JSON allows and nobody expects.
ODD = [
    "null", "true", "-1", "1" + "0" * 400, "1e400", "-1e400", "NaN", "0.5", '""', '"\\ud800"', '"a\\u0000b"',
    "[]", "{}", "[[]]", "[" * 3000 + "]" * 3000, "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "1" * 5000,
    '"' + "x" * 3000 + '"', "2147483648", "9223372036854775808", '"0"', '"-1"', "[[0, 4, \"G\"]]",
]  # fmt: skip
BYTES = [
    b"\t",
    b"|",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"9" * 400,
    b"-",
    b"<",
    b"&",
]
BYTES += [b"&x;", b'"', b"\\", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"]]>", b"\x1f\x8b", b"[" * 5000]


def damaged_json(document: Any, choose: random.Random) -> bytes:
    """The document with some of its values replaced by odd ones, or taken out."""
    root = json.loads(json.dumps({"root": document}))
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                visit(node[key])

    visit(root)
    used: list[str] = []
    for node, key in choose.sample(places, choose.choice([1, 1, 2, 3])):
        if isinstance(node, dict) and key != "root" and choose.random() < 0.2:
            node.pop(key, None)
        elif not isinstance(node, list) or key < len(node):
            used.append(choose.choice(ODD))
            node[key] = f"@@{len(used) - 1}@@"
    text = json.dumps(root["root"], ensure_ascii=False)
    for index, value in enumerate(used):
        text = text.replace(f'"@@{index}@@"', value)
    return text.encode("utf-8", "surrogatepass")


def damaged_bytes(data: bytes, choose: random.Random) -> bytes:
    """The bytes with some cut out, doubled, or replaced by marks of the formats."""
    for _ in range(choose.choice([1, 1, 2, 4])):
        a, b = sorted(choose.choices(range(len(data) + 1), k=2))
        b = min(b, a + choose.choice([0, 1, 1, 5, 40]))
        data = data[:a] + choose.choice([b"", data[a:b] * 2, *BYTES]) + data[b:]
    return data


def one(format: str, data: bytes) -> str:
    """Read and write again; says how it ended."""
    problems: list[Problem] = []
    try:
        documents = list(
            read_documents(io.BytesIO(data), format, name="in", on_problem=problems.append, max_document_mb=1)
        )
    except BionerError as error:
        return "refused" if "\n" not in str(error) else "in several lines"
    for document in documents:
        text = document.text
        assert all(0 <= e.start <= e.end <= len(text) for e in document.iter_entities())
        for target in ("jsonl", "pubtator", "bioc-xml", "bioc-json", "brat", "csv", "lines"):
            try:
                with open_writer(io.BytesIO(), target, on_problem=problems.append) as out:
                    out.write(document)
            except BionerError as error:
                if "\n" in str(error):
                    return "in several lines"
    if any("\n" in str(problem) for problem in problems if problem.kind == "document"):
        return "in several lines"
    return "read" if documents else "left out"


def run(inputs: int, seed: int) -> Counter[str]:
    """Try so many inputs; counts of formats and how they ended."""
    choose = random.Random(seed)
    outcomes: Counter[str] = Counter()
    formats = [*JSON_DOCUMENTS, *TEXTS]
    for number in range(inputs):
        format = formats[number % len(formats)]
        if format in JSON_DOCUMENTS and choose.random() < 0.7:
            data = damaged_json(JSON_DOCUMENTS[format], choose)
        else:
            whole = TEXTS.get(format) or json.dumps(JSON_DOCUMENTS[format], ensure_ascii=False)
            data = damaged_bytes(whole.encode(), choose)
        if choose.random() < 0.1:
            data = gzip.compress(data, 1)
            data = damaged_bytes(data, choose) if choose.random() < 0.5 else data
        try:
            outcomes[f"{format}: {one(format, data)}"] += 1
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}, {format}: {data[:300]!r}") from error
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name, count in sorted(run(arguments.inputs, arguments.seed).items()):
        print(f"{name}: {count}")  # noqa: T201
