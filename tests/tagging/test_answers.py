"""What is told of what the heads found: overlaps, types, scores, and under which task."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bioner_fast
from bioner_fast.cli.main import run
from bioner_fast.data.document import Entity
from bioner_fast.data.strings import StringColumn
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import AnswerDefaults, save_bundle
from bioner_fast.resources import find_model
from bioner_fast.tagging.resolve import LIKELY, Answer, chosen_types, resolve, type_names
from bioner_fast.tagging.tagger import Tagger
from tiny_bundle import WORDS, heads, network

TEXT = "Familial breast cancer and TNF alpha mutation in patients with Crohn disease of the cell. " * 3
ORDER = {"a": 0, "b": 1}


def entity(start: int, end: int, score: float, task: str = "a", kind: str = "x") -> Entity:
    return Entity(start, end, kind, "x" * (end - start), score=score, task=task)


entities = st.lists(
    st.builds(
        lambda start, size, score, task: entity(start, start + size, score, task),
        st.integers(0, 12),
        st.integers(1, 6),
        st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=10,
)


def crosses(a: Entity, b: Entity) -> bool:
    return a.start < b.end and b.start < a.end


@given(entities, st.sampled_from(["best", "longest"]))
def test_what_is_kept_shares_no_character_and_nothing_free_was_dropped(
    found: list[Entity], rule: str
) -> None:
    kept = resolve(found, rule, ORDER)
    assert all(a.end <= b.start for a, b in itertools.pairwise(kept))
    for one in found:
        assert one in kept or any(crosses(one, other) for other in kept)


@given(entities)
def test_longest_never_drops_for_a_shorter_one(found: list[Entity]) -> None:
    kept = resolve(found, "longest", ORDER)
    for one in found:
        if one not in kept:
            rivals = [other.end - other.start for other in kept if crosses(one, other)]
            assert max(rivals) >= one.end - one.start


@given(entities)
def test_best_drops_only_for_a_better_one_or_a_likely_one_around_it(found: list[Entity]) -> None:
    kept = resolve(found, "best", ORDER)
    for one in found:
        if one in kept:
            continue
        rivals = [other for other in kept if crosses(one, other)]
        score = one.score or 0.0
        assert any((r.score or 0.0) >= score for r in rivals) or any(
            (r.score or 0.0) >= LIKELY for r in rivals
        )


def test_the_whole_name_goes_before_a_surer_part_of_it() -> None:
    failure, heart = entity(0, 33, 0.59, "a", "disease"), entity(20, 25, 0.74, "b", "anatomy")
    assert resolve([failure, heart], "best", ORDER) == [failure]
    assert resolve([failure, heart], "keep", ORDER) == [failure, heart]
    unlikely = entity(0, 33, 0.4, "a", "disease")
    assert resolve([unlikely, heart], "best", ORDER) == [heart]
    assert resolve([unlikely, heart], "longest", ORDER) == [unlikely]
    # The longer one that makes way for a third one does not take its part with it.
    third = entity(30, 40, 0.9, "b")
    assert resolve([failure, heart, third], "best", ORDER) == [heart, third]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one that keeps everything, one that tags as one under the name "general"."""
    folder = tmp_path_factory.mktemp("models")
    tasks = heads()
    vocabulary = Vocabulary(StringColumn.from_list(WORDS))
    save_bundle(folder / "apart", network(tasks), vocabulary, tasks)
    facts = {"scores": {"made up": {"test": {"f1": 12.34}}}}
    save_bundle(
        folder / "general",
        network(tasks),
        vocabulary,
        tasks,
        merge_types=True,
        answer=AnswerDefaults("best", True, "general"),
        provenance=facts,
    )
    return folder


@pytest.fixture
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIONER_MODELS", str(folder))
    return folder


def test_the_default_model_and_names_of_installed_ones(installed: Path, tmp_path: Path) -> None:
    assert find_model() == find_model("general") == installed / "general"
    assert find_model(installed / "apart") == installed / "apart"
    assert find_model("apart") == installed / "apart"
    assert Tagger.load(device="cpu").bundle.path == installed / "general"
    tagger = bioner_fast.load("general", "cpu")
    (document,) = tagger.tag([TEXT])
    assert document.entities
    assert {e.task for e in document.entities} == {"general"}
    assert {e.type for e in document.entities} <= {"disease", "gene", "cell"}
    with pytest.raises(BionerError, match="model nobody: there is no such folder and no installed model"):
        find_model("nobody")
    # What looks like a path is one, and reading it says what is wrong.
    assert find_model("./nobody") == Path("./nobody")


def test_a_model_that_is_not_installed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bioner_fast.resources.data_folder", lambda: tmp_path)
    monkeypatch.delenv("BIONER_MODELS", raising=False)
    (tmp_path / "a.txt").write_text("gout", encoding="utf-8")
    for arguments in (["tag", str(tmp_path / "a.txt")], ["benchmark", "tag"]):
        assert run(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "the model general, which is used where none is named, is not installed here" in line
        assert "--model" in line


def test_models_are_listed(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert listed["general"]["types"] == ["disease", "gene", "cell"]
    assert listed["apart"]["types"] == ["Disease", "Gene", "Cell"]
    assert listed["general"]["scores"] == {"made up": {"test": {"f1": 12.34}}}
    assert listed["general"]["size"] == sum(f.stat().st_size for f in (installed / "general").iterdir())
    assert run(["models"]) == 0
    shown = capsys.readouterr().out
    assert "disease, gene, cell" in shown
    assert "made up 12.3" in shown


def test_types_and_scores_choose_from_the_answer(folder: Path) -> None:
    tagger = Tagger.load(folder / "general", "cpu")
    everything = tagger.tag([TEXT])[0].entities
    for kind in ("disease", "gene"):
        assert tagger.tag([TEXT], types=kind)[0].entities == [e for e in everything if e.type == kind]
    level = sorted(e.score or 0.0 for e in everything)[len(everything) // 2]
    chosen = tagger.tag([TEXT], min_score=level)[0].entities
    assert chosen == [e for e in everything if (e.score or 0.0) >= level] != everything
    apart = Tagger.load(folder / "apart", "cpu")
    assert {e.type for e in apart.tag([TEXT], types=["GENE", "cell"])[0].entities} == {"Gene", "Cell"}
    with pytest.raises(UsageError, match="the model finds no plant; it finds cell, disease, gene"):
        tagger.tag([TEXT], types="plant")


def test_what_the_bundle_says_of_overlaps_can_be_overruled(folder: Path) -> None:
    tagger = Tagger.load(folder / "general", "cpu")
    kept = tagger.tag([TEXT], overlaps="keep")[0].entities
    best = tagger.tag([TEXT])[0].entities
    assert len(kept) > len(best)
    assert {(e.start, e.end, e.type) for e in best} <= {(e.start, e.end, e.type) for e in kept}
    apart = Tagger.load(folder / "apart", "cpu")
    assert len(apart.tag([TEXT])[0].entities) >= len(kept)
    assert apart.tag([TEXT], overlaps="best") == apart.tag([TEXT], merge=True)


def test_columns_of_a_chosen_type(folder: Path) -> None:
    tagger = Tagger.load(folder / "apart", "cpu")
    (document,) = tagger.tag([TEXT], types="gene", keep_tokens=True)
    tags = document.native.tags  # type: ignore[union-attr]
    assert {tag[2:] for tag in tags["medical"] if tag != "O"} == {"Gene"}
    assert set(tags["cells"]) == {"O"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"overlaps": "first"}, "overlaps must be one of best, longest, keep"),
        ({"document_context": "all"}, "document context must be one of auto, none"),
        ({"min_score": 1.5}, "min score: expected a probability"),
    ],
)
def test_wrong_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Answer(**values)  # type: ignore[arg-type]


def test_names_of_types() -> None:
    assert type_names("gene, disease,") == {"gene", "disease"}
    with pytest.raises(UsageError, match="at least one name"):
        type_names(" ,")
    assert chosen_types(frozenset({"gene"}), ["GGP", "Protein", "Chemical"]) == {"GGP", "Protein"}
