from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioner_fast.data.document import Entity
from bioner_fast.data.strings import StringColumn
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import AnswerDefaults, add_answer, load_bundle, save_bundle
from bioner_fast.tagging.resolve import resolve, to_normal_types
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.train import train
from tiny_bundle import WORDS, heads, network, save_tiny
from tiny_corpora import small, write_task

TEXT = "Familial breast cancer and TNF alpha mutation in patients with Crohn disease of the cell. " * 3
NAMES = {"Disease": "disease", "Cancer": "disease", "GGP": "gene", "GENE": "gene"}

entities = st.lists(
    st.builds(
        lambda start, size, kind, score, task: Entity(
            start, start + size, kind, "x" * size, score=score, task=task
        ),
        st.integers(0, 4),
        st.integers(1, 3),
        st.sampled_from([*NAMES, "Other"]),
        st.sampled_from([0.2, 0.5, 0.9]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=12,
)


@given(entities)
def test_of_one_place_and_normal_type_the_best_is_left(found: list[Entity]) -> None:
    left = to_normal_types(found, NAMES)
    keys = [(e.start, e.end, e.type) for e in left]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {(e.start, e.end, NAMES.get(e.type, e.type)) for e in found}
    for entity in left:
        alike = [
            e.score
            for e in found
            if (e.start, e.end, NAMES.get(e.type, e.type)) == (entity.start, entity.end, entity.type)
        ]
        assert entity.score == max(alike, key=lambda score: score or 0.0)


@pytest.fixture
def taggers(tmp_path: Path) -> tuple[Tagger, Tagger]:
    """The same network as it is, and tagging as one."""
    tasks = heads()
    vocabulary = Vocabulary(StringColumn.from_list(WORDS))
    for name, merged in (("apart", False), ("one", True)):
        save_bundle(tmp_path / name, network(tasks), vocabulary, tasks, merge_types=merged)
    return Tagger.load(tmp_path / "apart", "cpu"), Tagger.load(tmp_path / "one", "cpu")


def test_a_bundle_of_merged_types_tags_as_one(taggers: tuple[Tagger, Tagger]) -> None:
    apart, one = taggers
    assert not apart.bundle.merge_types
    assert one.bundle.merge_types
    before, after = (tagger.tag([TEXT])[0].entities for tagger in taggers)
    assert {e.type for e in before} == {"Disease", "Gene", "Cell"}
    assert {e.type for e in after} <= {"disease", "gene", "cell"}
    for left, right in itertools.pairwise(after):
        assert left.end <= right.start
    spans = {(e.start, e.end, e.type.lower(), e.score) for e in before}
    assert {(e.start, e.end, e.type, e.score) for e in after} <= spans
    best = max(before, key=lambda e: e.score or 0.0)
    assert (best.start, best.end, best.type.lower()) in {(e.start, e.end, e.type) for e in after}


def test_asked_to_merge_it_does_the_same(taggers: tuple[Tagger, Tagger]) -> None:
    _, one = taggers
    assert one.tag([TEXT], merge=True) == one.tag([TEXT])


def test_the_tasks_of_such_a_bundle_can_still_be_had_apart(taggers: tuple[Tagger, Tagger]) -> None:
    apart, one = taggers
    separate = Tagger(replace(one.bundle, merge_types=False), "cpu")
    assert separate.tag([TEXT]) == apart.tag([TEXT])


def test_columns_of_tags_are_of_normal_types(taggers: tuple[Tagger, Tagger]) -> None:
    (document,) = taggers[1].tag([TEXT], keep_tokens=True)
    assert list(document.native.tags) == ["entities", "pos"]  # type: ignore[union-attr]
    kinds = {tag[2:] for tag in document.native.tags["entities"] if tag != "O"}  # type: ignore[union-attr]
    assert kinds == {entity.type for entity in document.entities}


def test_train_records_it(tmp_path: Path) -> None:
    tasks = write_task(tmp_path / "d", "Disease"), write_task(tmp_path / "c", "Chemical")
    result = train(small(tasks, tmp_path / "run", merge_types=True))
    bundle = load_bundle(result.model)
    assert bundle.merge_types
    assert bundle.normal_types == {"Disease": "disease", "Chemical": "chemical"}
    assert {e.type for e in Tagger(bundle, "cpu").tag(["severe gout with zinc ."])[0].entities} <= {
        "disease",
        "chemical",
    }
    # Scores are of each task by itself, in its own types.
    assert set(result.tasks) == {"d", "c"}


def test_ranked_tasks_settle_overlaps_in_their_order() -> None:
    tumour = Entity(0, 15, "anatomy", "cervical tumour", score=0.99, task="anatomy")
    disease = Entity(9, 15, "disease", "tumour", score=0.6, task="general")
    heart = Entity(20, 25, "anatomy", "heart", score=0.7, task="anatomy")
    order = {"general": 0, "anatomy": 1}
    assert resolve([tumour, disease, heart], "best", order) == [tumour, heart]
    assert resolve([tumour, disease, heart], "best", order, ranked=True) == [disease, heart]
    # Within a task nothing changes: the whole goes before its part.
    whole = Entity(0, 15, "disease", "cervical tumour", score=0.55, task="general")
    assert resolve([tumour, disease, whole], "best", order, ranked=True) == [whole]
    assert resolve([tumour, disease], "keep", order, ranked=True) == [tumour, disease]


def test_a_bundle_says_that_its_tasks_are_ranked(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "model")
    assert not load_bundle(path).answers.ranked
    answer = AnswerDefaults("best", True, "general", ranked=True)
    add_answer(path, answer)
    assert load_bundle(path).answers == answer
    assert {
        e.task for e in Tagger.load(path, "cpu").tag(["Familial breast cancer (BRCA1)."])[0].entities
    } == {"general"}
