"""Which columns of a file of predictions are scored, and how their tags are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bioner_fast.data.predictions import load_predictions
from bioner_fast.data.scoring import score
from bioner_fast.errors import UsageError

NAMED = "# global.columns = token column2 gold medical genes\n"
# Gold finds the disease; medical too, genes something else.
ROWS: list[tuple[str, ...]] = [
    ("breast", "NN", "B-Disease", "B-Disease", "O"),
    ("cancer", "NN", "I-Disease", "I-Disease", "B-GENE"),
    ("is", "VB", "O", "O", "O"),
]


def write(folder: Path, head: str, rows: list[tuple[str, ...]]) -> Path:
    path = folder / "p.tsv"
    path.write_text(head + "".join("\t".join(row) + "\n" for row in rows))
    return path


def counts(path: Path, **options: Any) -> tuple[int, int, int]:
    found = load_predictions(path, **options)
    overall = score(found.gold, found.ids, found.names).overall
    return overall.tp, overall.fp, overall.fn


def test_named_columns_are_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, NAMED, ROWS)
    assert counts(path) == (1, 0, 0)  # of two models the one that finds types of gold
    for predicted, gold in (("genes", None), ("5", None), ("5", "3"), ("genes", "gold")):
        assert counts(path, predicted_column=predicted, gold_column=gold) == (0, 1, 1)
    one = write(tmp_path, "# global.columns = token gold genes\n", [(r[0], r[2], r[4]) for r in ROWS])
    assert counts(one) == (0, 1, 1)


def test_columns_without_names_are_token_gold_predicted(tmp_path: Path) -> None:
    path = write(tmp_path, "", ROWS)
    assert counts(path) == (0, 1, 1)
    assert counts(path, gold_column="3", predicted_column="4") == (1, 0, 0)
    assert counts(path, predicted_column="4") == (1, 0, 0)
    assert counts(path, gold_column="3") == (0, 1, 1)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("", {"gold_column": "gold"}, "--gold-column gold: expected the number of a column"),
        ("", {"gold_column": "1"}, "--gold-column 1: expected"),
        ("", {"predicted_column": "2"}, "the gold tags stand before it"),
        ("", {"gold_column": "4", "predicted_column": "4"}, "are both column 4"),
        (NAMED, {"gold_column": "silver"}, r"or a name \(1 token, 2 column2, 3 gold, 4 medical, 5 genes\)"),
        (NAMED.replace("gold", "other"), {}, r"none of its columns .* is called gold; say --gold-column N"),
        (NAMED.replace("medical genes", "column4 column5"), {}, "is a model's; say --predicted-column N"),
        (NAMED, {"gold_column": "2"}, "several columns are predicted"),
    ],
)
def test_choices_that_are_open_or_wrong(
    tmp_path: Path, head: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_predictions(write(tmp_path, head, ROWS), **options)


def test_tags_without_types(tmp_path: Path) -> None:
    bare: list[tuple[str, ...]] = [
        ("breast", "B", "B"),
        ("cancer", "I", "I"),
        ("is", "O", "B"),
        (".", "O", "O"),
    ]
    assert counts(write(tmp_path, "", bare)) == (1, 1, 0)
    # A model that was trained on them says the task's name.
    assert counts(write(tmp_path, "", [(w, g, p if p == "O" else f"{p}-bio") for w, g, p in bare])) == (
        1,
        1,
        0,
    )
    mixed: list[tuple[str, ...]] = [("a", "B", "B-X"), ("b", "I", "I-Y"), ("c", "O", "O")]
    assert counts(write(tmp_path, "", mixed)) == (0, 2, 1)


def test_other_schemes_and_strays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[tuple[str, ...]] = [
        ("token", "gold", "predicted"),
        ("a", "B-X", "U-X"),
        ("b", "L-X", "o"),
        ("c", "U-X", "S-X"),
    ]
    assert counts(write(tmp_path, "", rows)) == (1, 1, 1)
    assert "tags of no scheme are read as O: gold (1 token)" in caplog.text
    assert "predicted (1 token), o (1 token)" in caplog.text


def test_normal_types(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Neighbours of two types that become one are still two.
    rows: list[tuple[str, ...]] = [
        ("a", "B-GGP", "B-gene"),
        ("b", "B-Protein", "B-gene"),
        ("c", "O", "B-disease"),
    ]
    path = write(tmp_path, "", rows)
    assert counts(path) == (0, 3, 2)
    assert "no type in common (GGP, Protein; gene, disease), but by normal names they have" in caplog.text
    assert counts(path, normal_types=True) == (2, 1, 0)
    mixed = write(tmp_path, "", [("a", "I-GGP", "I-gene"), ("b", "I-Protein", "I-gene")])
    assert counts(mixed, normal_types=True) == (0, 1, 2)
