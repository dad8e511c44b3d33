from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import html as lxml_html
from made_up import made_up_result, with_seeds, write_results

from bioner_fast.errors import FormatError
from bioner_fast.experiments.analysis import Figure, Results
from bioner_fast.experiments.plan import Run
from bioner_fast.experiments.published import Published
from bioner_fast.experiments.report.blocks import Table
from bioner_fast.experiments.report.build import build, write_report
from bioner_fast.experiments.store import Store

A, B, C, POS = "BC2GM-IOB", "CRAFT-IOB", "AnatEM-IOB", "GENIA-pos"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results alone: single CNN of two corpora, a pair, a half, and the dependent model of one."""
    results = [
        *with_seeds(Run("cnn", (A,)), {A: 70}),
        *with_seeds(Run("cnn", (B,)), {B: 60}),
        *with_seeds(Run("cnn", (C, A), "multi-output"), {A: 75, C: 50}),
        *with_seeds(Run("cnn", (A,), percent=0.5), {A: 55}),
        *with_seeds(Run("cnn", (POS, B), "dependent"), {B: 61}, seeds=1),
        *with_seeds(Run("best", (A,)), {A: 80}),
    ]
    write_results(tmp_path, results)
    return tmp_path


def rows_of(store: Store, section: str, table: int = 0) -> dict[str, dict[str, str]]:
    found = next(s for s in build(store).sections if s.title == section)
    chosen = [block for block in found.blocks if isinstance(block, Table)][table]
    names = list(chosen.columns[1:])
    return {row[0].text: dict(zip(names, [c.text for c in row[1:]], strict=True)) for row in chosen.rows}


def test_results_alone_give_the_report(folder: Path) -> None:
    files = write_report(Store(folder))
    assert set(files) == {"report.md", "report.html", "report-pairs.svg", "report-size.svg"}
    text = (folder / "report.md").read_text()
    assert "16 training runs on 3 corpora with entities; seeds 1, 2, 3." in text
    assert "| BC2GM | 72.21 | 78.30 | 80.74 | not run | 71.00 ± 0.50 |" in text


def test_missing_runs_read_not_run(folder: Path) -> None:
    store = Store(folder)
    pairs = rows_of(store, "Pairs")
    assert pairs["BC2GM"]["with AnatEM"] == "76.00"
    assert pairs["BC2GM"]["with CRAFT"] == "not run"
    assert pairs["BC2GM"]["best partner"] == "AnatEM"
    assert pairs["BC2GM"]["published best pair"] == "72.21 Ex-PTM"
    assert rows_of(store, "Dependent")["CRAFT"]["test F1"] == "61.50"
    assert rows_of(store, "Dependent")["CRAFT"]["difference"] == "+1.00"  # of seed 1 alone
    assert rows_of(store, "Dependent")["AnatEM"]["test F1"] == "not run"
    assert rows_of(store, "Size of the training data")["BC2GM"]["50 %"] == "not run"  # its second row


def test_the_page_is_whole_in_itself(folder: Path) -> None:
    write_report(Store(folder))
    page = (folder / "report.html").read_text()
    tree = lxml_html.fromstring(page)
    assert len(tree.findall(".//svg")) == 2
    addresses = [value for _, _, value, _ in tree.iterlinks()]
    assert addresses
    assert [value for value in addresses if not value.startswith("#")] == []
    assert not re.search(r"@import|url\((?!#)", page)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)
    for link in tree.findall(".//nav/a"):
        assert link.get("href", "")[1:] in ids


def test_every_row_of_a_table_has_all_columns(folder: Path) -> None:
    for section in build(Store(folder)).sections:
        for block in section.blocks:
            if isinstance(block, Table):
                assert {len(row) for row in block.rows} <= {len(block.columns)}, section.title
                assert not block.groups or sum(width for _, width in block.groups) == len(block.columns)


def test_the_same_results_give_the_same_files(folder: Path) -> None:
    first = {name: (folder / name).read_bytes() for name in write_report(Store(folder))}
    again = {name: (folder / name).read_bytes() for name in write_report(Store(folder))}
    assert first == again


def test_text_is_escaped(tmp_path: Path) -> None:
    write_results(tmp_path, [made_up_result(Run("cnn", ("<b>|",)), {"<b>|": 50.0})])
    write_report(Store(tmp_path))
    assert "<b>|" not in (tmp_path / "report.html").read_text()
    assert "| <b>\\| |" in (tmp_path / "report.md").read_text()


def results_of(*items: dict[str, Any]) -> Results:
    return Results(
        {**item, "run": Run(**{**item["run"], "tasks": tuple(item["run"]["tasks"])})} for item in items
    )


def test_significance_takes_the_seeds_that_both_have() -> None:
    single = with_seeds(Run("cnn", (A,)), {A: 50}, seeds=3)
    joint = with_seeds(Run("cnn", (A, B), "multi-output"), {A: 80, B: 10}, seeds=2)
    found = results_of(*single, *joint).compare(Run("cnn", (A, B), "multi-output"), Run("cnn", (A,)), A)
    assert found is not None
    assert found.p < 0.01
    assert found.difference > 10


def test_no_significance_without_counts_of_the_same_test_split() -> None:
    single = made_up_result(Run("cnn", (A,)), {A: 50})
    joint = made_up_result(Run("cnn", (A, B), "multi-output"), {A: 80, B: 10})
    runs = Run("cnn", (A, B), "multi-output"), Run("cnn", (A,)), A
    assert results_of(single, joint).compare(*runs) is not None
    assert results_of(single, {**joint, "corpora": {A: {"test": "another"}}}).compare(*runs) is None
    assert results_of(single, {**joint, "counts_per_sentence": {}}).compare(*runs) is None
    assert results_of(single).compare(*runs) is None


def test_the_replication_column_is_the_maximum_on_test() -> None:
    history = [{"step": step, "test": {A: value}} for step, value in ((1, 60.0), (2, 66.0), (3, 64.0))]
    results = results_of(made_up_result(Run("cnn", (A,)), {A: 64.0}, history=history))
    assert results.maximum(Run("cnn", (A,)), A) == Figure((66.0,))
    assert results.score(Run("cnn", (A,)), A) == Figure((64.0,))
    assert not results_of(made_up_result(Run("cnn", (A,)), {A: 64.0})).maximum(Run("cnn", (A,)), A)


def test_failures_are_told_until_the_run_is_done(folder: Path) -> None:
    (folder / "runs" / "x").mkdir()
    (folder / "runs" / "x" / "failure.json").write_text('{"reason": "training diverged"}')
    write_report(Store(folder))
    assert "**x**: training diverged" in (folder / "report.md").read_text()
    (folder / "runs" / "run-0" / "failure.json").write_text('{"reason": "at first"}')
    assert Store(folder).failures() == {"x": "training diverged"}


def test_runs_that_no_study_has_are_told(folder: Path) -> None:
    write_report(Store(folder))
    assert "in no table" not in (folder / "report.md").read_text()
    pair = made_up_result(Run("best", (A, B), "multi-output"), {A: 70, B: 60})
    write_results(folder / "more", [pair, made_up_result(Run("cnn", (C,)), {C: 50})])
    write_report(Store(folder / "more"))
    assert "in no table: best multi-output BC2GM+CRAFT." in (folder / "more" / "report.md").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 99, "run": {}, "scores": {}}'])
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "result.json").write_text(text)
    with pytest.raises(FormatError, match=r"x/result\.json: "):
        Store(tmp_path).results()


def test_published_numbers_have_sources_and_the_papers_mean() -> None:
    published = Published.load()
    assert {source.key for source in published.sources} == {"pair", "scispacy", "mtm"}
    names = [
        "AnatEM", "BC2GM", "BC4CHEMD", "BC5CDR", "BioNLP09", "BioNLP11EPI", "BioNLP11ID", "BioNLP13CG",
        "BioNLP13GE", "BioNLP13PC", "CRAFT", "Ex-PTM", "JNLPBA", "Linnaeus", "NCBI-disease",
    ]  # fmt: skip
    values = [published.f1(name, "pair") for name in names]
    assert None not in values
    assert round(sum(value or 0 for value in values) / 15, 1) == 78.8
    assert published.f1("unknown", "pair") is None


def test_the_report_says_what_ran(tmp_path: Path) -> None:
    history = [
        {"step": step, "phase": 1, "epoch": 1, "loss": 1.0, "tokens": 9, "devel": {A: 50.0 + step, B: 40.0}}
        for step in (100, 200, 300)
    ]
    more = {
        "history": history,
        "config": {"threads": 1, "steps": 300, "evaluate_every": 100},
        "software": {"version": "0", "torch": "2", "checkout": None, "commit": "abc123"},
    }
    run = Run("cnn", (A, B), "multi-output")
    write_results(tmp_path, [made_up_result(run, {A: 70.0, B: 60.0}, **more)])
    assert "report-learning.svg" in write_report(Store(tmp_path))
    text = (tmp_path / "report.md").read_text()
    assert "commit abc123" in text
    assert "300 steps, 3 evaluations" in text
    assert "Settings of cnn multi-output" in text
    assert '"steps": 300' in text or "steps 300" in text
    sections = {section.title: section.blocks for section in build(Store(tmp_path)).sections}
    assert sections["Dependent"] == sections["Contamination"] == ["Not run."]


def test_runs_on_a_part_of_the_data_have_a_line_of_their_own(tmp_path: Path) -> None:
    def result(percent: float, steps: int) -> dict[str, Any]:
        history = [{"step": steps, "devel": {A: 50.0}}]
        config = {"threads": 1, "percent_keep": percent, "epochs": 1}
        run = Run("cnn", (A,), percent=percent)
        return made_up_result(run, {A: 70.0}, history=history, config=config)

    write_results(tmp_path, [result(1.0, 65), result(0.5, 33), result(0.1, 1)])
    write_report(Store(tmp_path))
    text = (tmp_path / "report.md").read_text()
    assert "- **Length of cnn**: 65 steps, 1 evaluation\n" in text
    assert "- **Length of cnn, 50 %**: 33 steps, 1 evaluation\n" in text
    assert "- **Length of cnn, 10 %**: 1 step, 1 evaluation\n" in text
    assert text.count("**Settings of cnn") == 3


def test_commands_can_be_pasted_as_they_stand(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_results(tmp_path, [made_up_result(Run("cnn", (A,)), {A: 70.0}, command="bioner-fast x --data '*'")])
    write_report(store)
    assert "Command (of paths, the last part)" in (tmp_path / "report.md").read_text()
    lines = ["cd '/my data' && bioner-fast experiment single --only '*<Aa>*'", "cd / && bioner-fast x"]
    for line in [*lines, lines[0]]:
        store.add_command(line)
    write_report(store)
    text = (tmp_path / "report.md").read_text()
    assert "```bash\n" + "\n".join(lines) + "\n```" in text
    assert "last part" not in text
    page = lxml_html.fromstring((tmp_path / "report.html").read_text())
    assert [code.text for code in page.findall(".//pre/code")] == ["\n".join(lines)]


def test_settings_that_were_changed_and_steps_that_were_made_are_told(tmp_path: Path) -> None:
    history = [{"step": 300, "devel": {A: 50.0, B: 40.0}}]
    run = Run("cnn", (A, B), "multi-output")
    write_results(tmp_path, [made_up_result(run, {A: 70.0, B: 60.0}, history=history)])
    facts = {"format": 1, "vectors": None, "corpora": {}}
    facts["settings"] = {
        "recipe": None,
        "overrides": {"epochs": 1, "cnn.hidden": [3, 4]},
        "exclude_seen": False,
    }
    (tmp_path / "experiment.json").write_text(json.dumps(facts))
    write_report(Store(tmp_path))
    text = (tmp_path / "report.md").read_text()
    assert "changed settings for all runs that they apply to: epochs=1, cnn.hidden=3,4." in text
    assert "For a number of steps (300 steps, 1 evaluation):" in text
    assert "20,000" not in text
    sections = {section.title: section.blocks for section in build(Store(tmp_path)).sections}
    assert sections["Recommended model"] == ["Not run."]
