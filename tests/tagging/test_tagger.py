"""The tagger: exact offsets in any text, the same results in any company, nothing lost on the way."""

from __future__ import annotations

import itertools
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioner_fast.data.document import Document, Entity, Passage
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.formats.conll import TokenLayer
from bioner_fast.models.bundle import load_bundle
from bioner_fast.models.device import choose_device
from bioner_fast.tagging.blocks import BLOCK, blocks
from bioner_fast.tagging.predict import Predictor
from bioner_fast.tagging.prepare import batches
from bioner_fast.tagging.scores import span_scores
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, heads, save_tiny

Facts = list[list[tuple[int, int, str, str, float | None, str | None]]]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return Tagger.load(save_tiny(tmp_path_factory.mktemp("bundle") / "model"), device="cpu")


def facts(documents: list[Document]) -> Facts:
    return [[(e.start, e.end, e.type, e.text, e.score, e.task) for e in d.iter_entities()] for d in documents]


def prose(seed: int, words: int) -> str:
    rng = random.Random(seed)
    parts = [rng.choice([*WORDS, "TNF-α", "Sjögren", "🙂", "naïve", "xyzzy", "12.5"]) for _ in range(words)]
    return " ".join(part + (". The" if rng.random() < 0.06 else "") for part in parts)


PIECES = st.sampled_from(
    [*WORDS, "α", "ﬁ", "e\u0301", "🙂", "\u200d", "\r\n", "\n\n", "\t", "\u2028", "\ufeff", "Ä", "-", "𝛼"]
)
TEXT = st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=30).map(
    " ".join
)


@given(st.lists(TEXT | TEXT.map(lambda t: t.replace(" ", "")), max_size=4))
@settings(max_examples=80, deadline=None)
def test_offsets_are_code_points_of_the_text_as_given(tagger: Tagger, texts: list[str]) -> None:
    documents = tagger.tag(texts)
    assert [document.text for document in documents] == texts
    assert [document.id for document in documents] == [str(i + 1) for i in range(len(texts))]
    for document in documents:
        last = {head.name: 0 for head in tagger.bundle.tasks}
        for entity in document.iter_entities():
            assert entity.text == document.text[entity.start : entity.end]
            assert entity.text.strip() == entity.text != ""
            assert entity.score is not None
            assert 0.0 <= entity.score <= 1.0
            # Entities of one task never overlap.
            assert entity.task is not None
            assert last[entity.task] <= entity.start
            last[entity.task] = entity.end


def test_the_tiny_network_finds_something_everywhere(tagger: Tagger) -> None:
    (document,) = tagger.tag([prose(0, 400)])
    tasks = [entity.task for entity in document.iter_entities()]
    assert tasks.count("medical") > 20
    assert tasks.count("cells") > 20
    assert "pos" not in tasks
    assert any(" " in entity.text for entity in document.iter_entities())
    assert {e.type for e in document.iter_entities()} == {"Disease", "Gene", "Cell"}


@pytest.mark.parametrize("filters", [(3, 4, 5), ()])
def test_results_do_not_depend_on_batches(tmp_path: Path, filters: tuple[int, ...]) -> None:
    """Bits, not just spans: scores are compared for equality."""
    tagger = Tagger.load(save_tiny(tmp_path / "model", filters=filters), device="cpu")
    texts = [prose(seed, length) for seed, length in enumerate([3, 600, 0, 40, 1, 1100, 7, 515, 60])]
    expected = facts(tagger.tag(texts))
    assert sum(map(len, expected)) > 300
    for batch_tokens in (1, 100, 513, 10**9):
        assert facts(tagger.tag(texts, batch_tokens=batch_tokens)) == expected
    for text, alone in zip(texts, expected, strict=True):
        assert facts(tagger.tag([text])) == [alone]
    assert facts(tagger.tag(texts[::-1])) == expected[::-1]


def test_blocks_agree_with_one_pass_over_everything(tagger: Tagger) -> None:
    """Cutting sentences costs no context: emissions are those of the whole text at once, up to rounding."""
    predictor = tagger.predictor
    n = 3 * BLOCK["cpu"][0]
    rng = random.Random(1)
    tokens = StringColumn.from_list([rng.choice(WORDS) for _ in range(n)])
    for offsets in ([0, n], [0, 1, 2, 700, n], sorted({0, n, *(rng.randrange(n) for _ in range(300))})):
        encoded = predictor.encode(tokens, np.array(offsets, np.int64))
        emissions = predictor.emissions(encoded)
        from bioner_fast.features.batch import Features

        features = Features(
            torch.from_numpy(encoded.word_ids).long(), torch.from_numpy(encoded.caps), torch.tensor(offsets)
        )
        whole = tagger.bundle.network.log_probabilities(features)
        for head in tagger.bundle.tasks:
            assert emissions[head.name].shape == (n, len(head.tagset.names))
            torch.testing.assert_close(emissions[head.name], whole[head.name], rtol=1e-4, atol=1e-4)


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(0, 4), st.integers(1, 9), st.integers(1, 5))
def test_blocks_cover_every_token_once_with_its_context(
    lengths: list[int], context: int, spare: int, limit: int
) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    size = 2 * context + spare
    position = 0
    for low, start, stop, high in blocks(offsets, context, size, limit):
        assert low <= start == position < stop <= high <= low + size
        for token in range(start, stop):
            sentence = np.searchsorted(offsets, token, "right") - 1
            assert low <= max(offsets[sentence], token - context)
            assert high >= min(offsets[sentence + 1], token + context + 1)
        assert np.count_nonzero((offsets > low) & (offsets < high)) + 1 <= limit
        position = stop
    assert position == offsets[-1]


def test_a_sentence_of_a_hundred_thousand_tokens(tagger: Tagger) -> None:
    text = " ".join(WORDS[i * i % len(WORDS)].replace(".", ",") for i in range(100_000))
    (document,) = tagger.tag([text])
    entities = document.entities
    assert len(entities) > 10_000
    assert max(entity.end for entity in entities) > len(text) - 200
    assert all(text[e.start : e.end] == e.text for e in entities)


def test_scores_are_the_mass_of_the_legal_sequences_with_the_span(tagger: Tagger) -> None:
    """Against enumeration of all tag sequences of short sentences."""
    torch.manual_seed(0)
    head = next(head for head in heads() if head.name == "cells")
    names = head.tagset.names
    offsets = [0, 4, 4, 5, 8]
    emissions = torch.log_softmax(torch.randn(offsets[-1], len(names)) * 2, 1)
    transitions, first, last = (np.asarray(table) for table in head.tagset.constraints())
    checked = 0
    for low, high in itertools.pairwise(offsets):
        for start, end in itertools.combinations(range(low, high + 1), 2):
            wanted = ["S-Cell"] if end - start == 1 else ["B-Cell", *["I-Cell"] * (end - start - 2), "E-Cell"]
            total = mass = 0.0
            for path in itertools.product(range(len(names)), repeat=high - low):
                weight = float(first[path[0]] + last[path[-1]])
                weight += sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))
                weight += sum(float(emissions[low + i, tag]) for i, tag in enumerate(path))
                probability = math.exp(weight)
                total += probability
                if [names[tag] for tag in path[start - low : end - low]] == wanted:
                    mass += probability
            arrays = (np.array([value], np.int64) for value in (start, end, 0))
            (score,) = span_scores(head, emissions, np.array(offsets, np.int64), *arrays)
            assert score == pytest.approx(mass / total, rel=1e-5)
            checked += 1
    assert checked == 10 + 1 + 6


def test_threads_share_a_tagger(tagger: Tagger) -> None:
    texts = [prose(seed, 300) for seed in range(8)]
    expected = facts(tagger.tag(texts))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda text: facts(tagger.tag([text]))[0], texts * 3))
    assert results == expected * 3


def test_passages_keep_their_places_and_annotations(tagger: Tagger) -> None:
    old = Entity(20, 26, "Old", "cancer", id="T1")
    passages = [
        Passage("BRCA1 gene", 0, "title", infons={"k": "v"}),
        Passage("", 11, "empty"),
        Passage("breast cancer of the α cell", 13, "abstract", [old]),
    ]
    document = Document("d7", passages, infons={"source": "x"}, native="kept")
    (result,) = tagger.tag([document])
    assert document.passages[2].entities == [old]
    assert (result.id, result.infons, result.native) == ("d7", {"source": "x"}, "kept")
    assert [(p.text, p.offset, p.section, p.infons) for p in result.passages] == [
        (p.text, p.offset, p.section, p.infons) for p in passages
    ]
    assert old in result.passages[2].entities
    found = [entity for entity in result.iter_entities() if entity is not old]
    assert found
    for passage in result.passages:
        assert [e.start for e in passage.entities] == sorted(e.start for e in passage.entities)
        for entity in passage.entities:
            assert passage.offset <= entity.start < entity.end <= passage.offset + len(passage.text)
            assert result.text[entity.start : entity.end] == entity.text
    # Each passage is tagged as a text of its own.
    alone = tagger.tag([passages[2].text])[0].entities
    assert [(e.start - 13, e.end - 13, e.type) for e in result.passages[2].entities if e is not old] == [
        (e.start, e.end, e.type) for e in alone
    ]


def test_documents_with_tokens_keep_them(tagger: Tagger) -> None:
    """Tokens and sentences of a column file are used as they are, hyphens and all."""
    text = "TNF-alpha cell\nof the"
    layer = TokenLayer(
        np.array([0, 10, 15, 18]), np.array([9, 14, 17, 21]), np.array([0, 2, 4]), given=[["x"] * 4]
    )
    document = Document("c", [Passage(text)], native=layer)
    first, second, third = tagger.tag(["gene of", document, "cell"], keep_tokens=True)
    assert isinstance(second.native, TokenLayer)
    assert second.native.starts is layer.starts
    assert second.native.given == [["x"] * 4]
    assert set(second.native.tags) == {"medical", "cells", "pos"}
    assert all(len(column) == 4 for column in second.native.tags.values())
    assert layer.tags == {}
    edges = {0, 10, 15, 18}
    assert all(entity.start in edges for entity in second.iter_entities())
    assert isinstance(first.native, TokenLayer)
    assert isinstance(third.native, TokenLayer)
    assert (len(first.native.starts), len(third.native.starts)) == (2, 1)
    assert facts([first, third]) == facts(tagger.tag(["gene of", "cell"]))


def test_token_layers_say_what_the_entities_say(tagger: Tagger) -> None:
    text = prose(3, 200)
    (document,) = tagger.tag([text], keep_tokens=True)
    layer = document.native
    assert isinstance(layer, TokenLayer)
    for task in ("medical", "cells"):
        begins = [i for i, tag in enumerate(layer.tags[task]) if tag.startswith("B-")]
        starts = [int(layer.starts[i]) for i in begins]
        assert starts == [e.start for e in document.iter_entities() if e.task == task]
    assert set(layer.tags["pos"]) <= {"NN", "IN", "DT"}
    (merged,) = tagger.tag([text], keep_tokens=True, merge=True)
    assert isinstance(merged.native, TokenLayer)
    assert list(merged.native.tags) == ["entities", "pos"]
    assert sum(tag.startswith("B-") for tag in merged.native.tags["entities"]) == len(merged.entities)


def test_merged_entities_do_not_overlap_and_none_better_was_dropped(tagger: Tagger) -> None:
    text = prose(5, 300)
    every = tagger.tag([text])[0].entities
    kept = tagger.tag([text], merge=True)[0].entities
    assert any(a.start < b.end and b.start < a.end for a, b in itertools.combinations(every, 2))
    assert all(a.end <= b.start for a, b in itertools.pairwise(kept))
    for entity in every:
        if entity not in kept:
            rivals = [other for other in kept if other.start < entity.end and entity.start < other.end]
            assert max(other.score or 0.0 for other in rivals) >= (entity.score or 0.0)


def test_nothing_and_emptiness(tagger: Tagger) -> None:
    assert tagger.tag([]) == []
    assert facts(tagger.tag(["", " \r\n\t", "\u2028"])) == [[], [], []]
    (document,) = tagger.tag([Document("none")], keep_tokens=True)
    assert document.passages == []


def test_a_byte_order_mark_counts_but_is_no_token(tagger: Tagger) -> None:
    plain = facts(tagger.tag(["breast cancer gene"]))[0]
    marked = facts(tagger.tag(["\ufeffbreast cancer gene"]))[0]
    assert [(s - 1, e - 1, *rest) for s, e, *rest in marked] == plain
    assert len(plain) > 0


def test_wrong_arguments(tagger: Tagger, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="put it in a list"):
        tagger.tag("one text")
    with pytest.raises(TypeError, match="got int at 1"):
        tagger.tag(["a", 3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="batch tokens"):
        tagger.tag(["a"], batch_tokens=0)
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        choose_device("tpu")
    with pytest.raises(UsageError, match="threads"):
        Tagger(tagger.bundle, threads=0)
    with pytest.raises(BionerError, match="no such folder"):
        Tagger.load(tmp_path / "nothing")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            choose_device("cuda")


def test_batches_hold_all_documents_in_order() -> None:
    documents = [Document.from_text("x" * n, id=str(i)) for i, n in enumerate([0, 10, 500, 3, 0, 0, 49])]
    made = list(batches(documents, 10))
    assert [d.id for batch in made for d in batch] == [d.id for d in documents]
    assert all(len(batch) == 1 or sum(len(d.text) + 5 for d in batch) <= 50 for batch in made)
    assert len(made) > 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_finds_the_same(tagger: Tagger) -> None:
    on_gpu = Tagger(load_bundle(tagger.bundle.path), device="cuda")
    assert isinstance(on_gpu.predictor, Predictor)
    texts = [prose(seed, 500) for seed in range(4)]
    for here, there in zip(facts(tagger.tag(texts)), facts(on_gpu.tag(texts)), strict=True):
        assert [f[:4] for f in here] == [f[:4] for f in there]
        assert [f[4] for f in here] == pytest.approx([f[4] for f in there], abs=1e-3)


def test_a_tagger_says_what_it_is(tagger: Tagger) -> None:
    assert tagger.tasks == tuple(head.name for head in tagger.bundle.tasks)
    assert tagger.types == tagger.bundle.types
    shown = repr(tagger)
    assert shown.startswith(f"Tagger({str(tagger.bundle.path)!r}, tasks=[")
    assert all(name in shown for name in (*tagger.tasks, *tagger.types))


def test_a_tagger_is_pickled_by_its_path(tagger: Tagger) -> None:
    import pickle

    data = pickle.dumps(tagger)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert facts(again.tag([prose(1, 40)])) == facts(tagger.tag([prose(1, 40)]))
