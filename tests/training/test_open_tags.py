"""Corpora that label some of a head's types: what they do not label is never taken for O."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.schemes import Scheme, TagSet, open_type
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.models.transitions import Transitions, constraints
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train
from tiny_bundle import iobes

TAGS = iobes("gene", "species")
K = len(TAGS.names)


def of(*types: str) -> list[bool]:
    return [name == "O" or name[2:] in types for name in TAGS.names]


def test_the_likelihood_is_that_of_all_sequences_that_agree() -> None:
    torch.manual_seed(3)
    chain = Transitions(K).double()
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter)
    emissions = torch.randn(5, K, dtype=torch.float64, requires_grad=True)
    offsets = torch.tensor([0, 4, 5])
    rules = constraints(TAGS, emissions)
    allowed = torch.tensor([of("species"), of()])
    single = TAGS.index["S-gene"]
    tags = torch.tensor([K, single, K, K + 1, K])

    def score(path: tuple[int, ...], first: int) -> torch.Tensor:
        total = chain.start[path[0]] + rules[1][path[0]] + chain.end[path[-1]] + rules[2][path[-1]]
        for here, there in itertools.pairwise(path):
            total = total + chain.transitions[here, there] + rules[0][here, there]
        return total + sum(emissions[first + i, tag] for i, tag in enumerate(path))

    def agrees(path: tuple[int, ...], first: int) -> bool:
        codes = tags[first : first + len(path)].tolist()
        return all(
            tag == code if code < K else bool(allowed[code - K][tag])
            for tag, code in zip(path, codes, strict=True)
        )

    found = chain.log_likelihood(emissions, tags, offsets, rules, allowed)
    expected = []
    for first, last in itertools.pairwise(offsets.tolist()):
        paths = list(itertools.product(range(K), repeat=last - first))
        scores = torch.stack([score(path, first) for path in paths])
        good = torch.tensor([agrees(path, first) for path in paths])
        expected.append(scores[good].logsumexp(0) - scores.logsumexp(0))
    torch.testing.assert_close(found, torch.stack(expected))
    gradient = torch.autograd.grad(found.sum(), emissions, retain_graph=True)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(torch.stack(expected).sum(), emissions)[0])


def test_without_open_tags_it_is_the_likelihood_of_the_path() -> None:
    torch.manual_seed(0)
    chain, emissions, offsets = Transitions(K), torch.randn(3, K), torch.tensor([0, 3])
    tags, rules = torch.tensor([0, TAGS.index["S-gene"], 0]), constraints(TAGS, emissions)
    plain = chain.log_likelihood(emissions, tags, offsets, rules)
    torch.testing.assert_close(
        chain.log_likelihood(emissions, tags, offsets, rules, torch.zeros(0, K, dtype=torch.bool)), plain
    )


def test_a_closed_tag_set_has_no_open_types() -> None:
    name = open_type(["species"])
    corpus = Corpus.from_sentences([[("p53", "B-gene"), ("mice", f"B-{name}")]])
    closed = TagSet.for_corpora([corpus], Scheme.IOBES).closed()
    assert closed.names == ("O", "B-gene", "I-gene", "E-gene", "S-gene")
    assert closed.types == ("gene",)


GENES = [[("the", "?"), ("p53", "B-gene"), ("of", "?"), ("mice", "?")]] * 20
SPECIES = [[("the", "?"), ("p53", "?"), ("of", "?"), ("mice", "B-species")]] * 20


def corpus_of(sentences: list[list[tuple[str, str]]], outside: str) -> list[list[tuple[str, str]]]:
    return [[(word, outside if tag == "?" else tag) for word, tag in sentence] for sentence in sentences]


def task(folder: Path, genes: str, species: str) -> Path:
    folder.mkdir()
    both = corpus_of(GENES, genes) + corpus_of(SPECIES, species)
    Corpus.from_sentences(both).write(folder / "train.tsv")
    Corpus.from_sentences([[("the", "O"), ("p53", "B-gene"), ("of", "O"), ("mice", "B-species")]]).write(
        folder / "devel.tsv"
    )
    return folder


def config(folder: Path, out: Path, **more: object) -> TrainConfig:
    settings: dict[str, object] = {
        "arch": "idcnn",
        "vector_dim": 8,
        "channels": 16,
        "epochs": 12,
        "batch_size": 40,
        "min_count": 1,
        "threads": 1,
        "char_filters": 8,
        "affix_dim": 4,
        "average": 0.5,
    }
    return TrainConfig(tasks=(str(folder),), out=str(out), **(settings | more))  # type: ignore[arg-type]


def test_two_corpora_teach_one_head_what_either_labels(tmp_path: Path) -> None:
    folder = task(tmp_path / "open", f"B-{open_type(['species'])}", f"B-{open_type(['gene'])}")
    result = train(config(folder, tmp_path / "run"))
    assert result.tasks["open"]["devel"]["f1"] == 100.0
    document = Tagger.load(result.model, "cpu", 1).tag(["the p53 of mice"])[0]
    assert [(e.text, e.type) for e in document.entities] == [("p53", "gene"), ("mice", "species")]


def test_taken_for_o_they_contradict_each_other(tmp_path: Path) -> None:
    """The control: the same corpora without open tags teach no such thing."""
    result = train(config(task(tmp_path / "naive", "O", "O"), tmp_path / "run"))
    assert result.tasks["naive"]["devel"]["f1"] < 100.0


def test_open_tags_need_a_crf_and_no_devel(tmp_path: Path) -> None:
    folder = task(tmp_path / "open", f"B-{open_type(['species'])}", "O")
    with pytest.raises(UsageError, match=r"open tags.*only a CRF"):
        train(config(folder, tmp_path / "run", decoder="viterbi"))
    Corpus.read(folder / "train.tsv").write(folder / "devel.tsv")
    with pytest.raises(BionerError, match="devel split has open tags"):
        train(config(folder, tmp_path / "run"))
