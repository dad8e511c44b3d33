"""The bundled sample corpora: their size, their format, and that no word list solves them."""

from __future__ import annotations

import difflib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

NAMES = {"sample-disease": "Disease", "sample-chemical": "Chemical"}
SPLITS = {"train": 400, "devel": 100, "test": 100}
TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")

Rows = list[tuple[str, str]]


def read(path: Path) -> list[Rows]:
    """Sentences of (token, tag), read without the package: this test is also about the bytes of the file."""
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\r" not in text
    sentences = []
    for block in text.rstrip("\n").split("\n\n"):
        fields = [line.split("\t") for line in block.split("\n")]
        assert all(len(row) == 2 and all(row) for row in fields), block
        sentences.append([(row[0], row[1]) for row in fields])
    return sentences


def mentions(sentence: Rows) -> list[tuple[int, int, tuple[str, ...]]]:
    """Spans of one sentence: start, end, tokens in lower case."""
    spans: list[tuple[int, int]] = []
    for at, (_, tag) in enumerate(sentence):
        if tag.startswith("B-"):
            spans.append((at, at + 1))
        elif tag.startswith("I-"):
            spans[-1] = (spans[-1][0], at + 1)
    return [(start, end, tuple(token.casefold() for token, _ in sentence[start:end])) for start, end in spans]


def dictionary_f1(train: list[Rows], test: list[Rows]) -> float:
    """Strict span F1, in percent, of the longest-match dictionary of the mentions of train."""
    known = {form for sentence in train for _, _, form in mentions(sentence)}
    longest = max(len(form) for form in known)
    correct = predicted = gold_count = 0
    for sentence in test:
        tokens = tuple(token.casefold() for token, _ in sentence)
        gold = {(start, end) for start, end, _ in mentions(sentence)}
        gold_count += len(gold)
        at = 0
        while at < len(tokens):
            ends = range(min(at + longest, len(tokens)), at, -1)
            end = next((end for end in ends if tokens[at:end] in known), None)
            if end is None:
                at += 1
                continue
            predicted += 1
            correct += (at, end) in gold
            at = end
    return 200 * correct / (predicted + gold_count)


def suffix_f1(train: list[Rows], test: list[Rows]) -> float:
    """Strict span F1 of tagging every run of tokens whose last three letters are mostly those of mentions."""
    ends: dict[str, list[int]] = {}
    for sentence in train:
        for token, tag in sentence:
            ends.setdefault(token[-3:].casefold(), [0, 0])[tag != "O"] += 1
    suffixes = {end for end, (outside, inside) in ends.items() if inside > outside}
    correct = predicted = gold_count = 0
    for sentence in test:
        hits = [token[-3:].casefold() in suffixes for token, _ in sentence] + [False]
        starts = [at for at, hit in enumerate(hits) if hit and (at == 0 or not hits[at - 1])]
        guessed = {(start, hits.index(False, start)) for start in starts}
        gold = {(start, end) for start, end, _ in mentions(sentence)}
        correct += len(guessed & gold)
        predicted += len(guessed)
        gold_count += len(gold)
    return 200 * correct / (predicted + gold_count)


def unseen_share(train: list[Rows], other: list[Rows]) -> float:
    """The fraction of the mentions of ``other`` whose form, without case, is no mention of train."""
    known = {form for sentence in train for _, _, form in mentions(sentence)}
    forms = [form for sentence in other for _, _, form in mentions(sentence)]
    assert len(forms) >= 150
    return sum(form not in known for form in forms) / len(forms)


def masked(sentence: Rows) -> tuple[str, ...]:
    """The sentence with a mask for each mention and each token that has a digit."""
    out = []
    for token, tag in sentence:
        if tag.startswith("B-"):
            out.append("<mention>")
        elif tag == "O":
            out.append("0" if any(c.isdigit() for c in token) else token.casefold())
    return tuple(out)


@pytest.fixture(scope="module")
def corpora(repository: Path) -> dict[str, dict[str, list[Rows]]]:
    folder = repository / "data" / "samples"
    return {name: {split: read(folder / name / f"{split}.tsv") for split in SPLITS} for name in NAMES}


@pytest.fixture(scope="module")
def generator(repository: Path) -> ModuleType:
    path = repository / "tools" / "make_samples.py"
    if not path.is_file():
        pytest.skip("tools/make_samples.py comes with the source tree only")
    spec = importlib.util.spec_from_file_location("make_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_sizes(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    for split, least in SPLITS.items():
        assert len(corpora[name][split]) >= least
        tagged = [bool(mentions(sentence)) for sentence in corpora[name][split]]
        # Sentences without a mention are there, and are the smaller part.
        assert 0.1 < tagged.count(False) / len(tagged) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_tags_are_legal_iob2_of_one_type(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    begin, inside = f"B-{NAMES[name]}", f"I-{NAMES[name]}"
    for sentences in corpora[name].values():
        for sentence in sentences:
            tags = [tag for _, tag in sentence]
            assert set(tags) <= {"O", begin, inside}
            for before, tag in zip(["O", *tags], tags, strict=False):
                assert tag != inside or before in (begin, inside), sentence


@pytest.mark.parametrize("name", NAMES)
def test_tokens_follow_the_rule(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    for sentences in corpora[name].values():
        for sentence in sentences:
            for token, _ in sentence:
                assert TOKEN.fullmatch(token), token


@pytest.mark.parametrize("name", NAMES)
def test_no_sentence_occurs_twice(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    sentences = [tuple(sentence) for split in SPLITS for sentence in corpora[name][split]]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("name", NAMES)
def test_most_test_mentions_are_unseen(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    for split in ("devel", "test"):
        assert unseen_share(corpora[name]["train"], corpora[name][split]) >= 0.6


@pytest.mark.parametrize("name", NAMES)
def test_a_dictionary_scores_below_60(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    splits = corpora[name]
    assert dictionary_f1(splits["train"], splits["train"]) > 90  # the dictionary itself works
    for split in ("devel", "test"):
        assert dictionary_f1(splits["train"], splits[split]) < 60


@pytest.mark.parametrize("name", NAMES)
def test_a_suffix_rule_scores_below_70(corpora: dict[str, dict[str, list[Rows]]], name: str) -> None:
    assert suffix_f1(corpora[name]["train"], corpora[name]["test"]) < 70


def test_readme_states_the_figures(
    corpora: dict[str, dict[str, list[Rows]]], generator: ModuleType, repository: Path
) -> None:
    """The tables of data/samples/README.md are those of the files."""
    readme = (repository / "data" / "samples" / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        splits = corpora[name]
        sizes = " / ".join(str(len(splits[split])) for split in SPLITS)
        tokens = " / ".join(f"{sum(map(len, splits[split])):,}" for split in SPLITS)
        counts = " / ".join(str(sum(len(mentions(one)) for one in splits[split])) for split in SPLITS)
        generated = generator.generate(name)
        templates = " / ".join(str(len({one.template for one in generated[split]})) for split in SPLITS)
        assert f"| `{name}` | {sizes} | {tokens} | {counts} | {templates} |" in readme
        dictionary = dictionary_f1(splits["train"], splits["test"])
        suffixes = suffix_f1(splits["train"], splits["test"])
        unseen = 100 * unseen_share(splits["train"], splits["test"])
        assert f"| `{name}` | {unseen:.1f} % | {dictionary:.1f} | {suffixes:.1f} |" in readme


def test_no_masked_sentence_is_shared_between_splits(corpora: dict[str, dict[str, list[Rows]]]) -> None:
    """Compared without mentions and numbers, over both corpora: they may be trained together."""
    seen = {
        split: {masked(sentence) for name in NAMES for sentence in corpora[name][split]} for split in SPLITS
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["devel"]
    assert not seen["devel"] & seen["test"]


def test_templates_are_disjoint(generator: ModuleType) -> None:
    """No template, nor a lightly changed one, is in two splits."""

    def frames(split: str) -> list[list[str]]:
        templates = [line for lines in generator.read_templates(split).values() for line in lines]
        assert len(set(templates)) == len(templates)
        # Slots lose their names: two templates that differ in the kind of slot only count as one.
        return [re.findall(r"\w+|_", re.sub(r"\{[^}]*\}", " _ ", line.casefold())) for line in templates]

    pools = {split: frames(split) for split in SPLITS}
    for first, second in (("train", "devel"), ("train", "test"), ("devel", "test")):
        for one in pools[first]:
            matcher = difflib.SequenceMatcher(b=one, autojunk=False)
            for other in pools[second]:
                matcher.set_seq1(other)
                assert matcher.quick_ratio() < 0.8 or matcher.ratio() < 0.8, (one, other)


def test_sentences_come_from_the_templates_of_their_split(generator: ModuleType) -> None:
    for name in NAMES:
        for split, sentences in generator.generate(name).items():
            own = {line for lines in generator.read_templates(split).values() for line in lines}
            assert {sentence.template for sentence in sentences} <= own


def test_generator_reproduces_the_files(generator: ModuleType, repository: Path, tmp_path: Path) -> None:
    for relative, content in generator.build().items():
        assert (repository / "data" / "samples" / relative).read_bytes() == content, relative
    # A process with another hash seed, and Python's own start-up, gives the same bytes.
    script = repository / "tools" / "make_samples.py"
    command = [sys.executable, "-I", str(script), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for relative, content in generator.build().items():
        assert (tmp_path / relative).read_bytes() == content, relative


def test_check_notices_a_changed_file(generator: ModuleType, repository: Path, tmp_path: Path) -> None:
    script = repository / "tools" / "make_samples.py"
    command = [sys.executable, str(script), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    assert subprocess.run([*command, "--check"], check=False, capture_output=True).returncode == 0
    changed = tmp_path / "sample-disease" / "test.tsv"
    changed.write_bytes(changed.read_bytes().replace(b"\tO\n", b"\tB-Disease\n", 1))
    result = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "test.tsv" in result.stderr
