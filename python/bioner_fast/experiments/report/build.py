"""What a report says: its sections, from the results in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bioner_fast.errors import FormatError
from bioner_fast.experiments.analysis import Results
from bioner_fast.experiments.contamination import Overlap
from bioner_fast.experiments.corpora import label
from bioner_fast.experiments.plan import Study
from bioner_fast.experiments.published import Published
from bioner_fast.experiments.report import pictures
from bioner_fast.experiments.report.blocks import Cell, Code, Facts, Picture, Report, Section, Table
from bioner_fast.experiments.report.overview import overview
from bioner_fast.experiments.report.studies import (
    NONE,
    best,
    dependent,
    kind,
    length,
    multi,
    pairs,
    single,
    size,
)
from bioner_fast.experiments.store import Store
from bioner_fast.experiments.studies import STUDIES
from bioner_fast.files import atomic_write

# Overlaps below this share are summed up.
_LEAST_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """A corpus as the results know it."""

    name: str
    kind: str
    train_tokens: int


def write_report(store: Store) -> list[str]:
    """Write ``report.md`` (with its pictures) and ``report.html`` into a results folder.

    Returns:
        Names of the files.

    Raises:
        BionerError: a result is damaged.
    """
    from bioner_fast.experiments.report.html import html
    from bioner_fast.experiments.report.markdown import markdown

    report = build(store)
    files = {"report.md": markdown(report), "report.html": html(report)}
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Picture) and block.svg is not None:
                files[f"{block.name}.svg"] = block.svg
    for name, text in files.items():
        with atomic_write(store.path / name) as out:
            out.write(text)
    return list(files)


def build(store: Store) -> Report:
    """The report of a results folder; runs that are missing read "not run"."""
    found = store.results()
    results = Results(found)
    facts = store.read() if store.facts.is_file() else {}
    corpora = known_corpora(facts, found)
    studies = {name: make(corpora) for name, make in STUDIES.items()}
    tasks = [corpus.name for corpus in corpora if corpus.kind == "ner"]
    sections = [
        overview(tasks, studies, results),
        best(tasks, studies["best"], results),
        single(tasks, results),
        multi(tasks, studies["multi"], results),
        dependent(studies["dependent"], results),
        pairs(tasks, studies["pairs"], results),
        size(tasks, studies["size"], results),
        learning(found),
        contamination(store, bool(facts.get("settings", {}).get("exclude_seen"))),
        missing(studies, results, store.failures()),
        made_with(facts, found, corpora, store.commands()),
        sources(),
    ]
    sections = [_one_line(section) for section in sections]
    seeds = sorted({run.seed for run in results.by_run})
    changed = facts.get("settings", {}).get("overrides", {})
    settings = ", ".join(f"{name}={_plain(value)}" for name, value in changed.items())
    lead = (
        f"{len(results)} training runs on {len(tasks)} corpora with entities; seeds "
        f"{', '.join(map(str, seeds)) or 'none'}. Figures are test F1 in percent by conlleval's rules, "
        "of the step selected on devel, as mean ± standard deviation over seeds; without ± there is one seed."
    ) + (f" The command changed settings for all runs that they apply to: {settings}." if settings else "")
    return Report("Experiments with bioner-fast", lead, sections)


def _plain(value: Any) -> str:
    """A setting as on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _one_line(section: Section) -> Section:
    """A section of which nothing was run says so in one line."""
    texts = [block for block in section.blocks if isinstance(block, str)]
    empty = len(texts) == len(section.blocks) and NONE in texts
    return Section(section.title, [NONE]) if empty else section


def learning(results: Sequence[Mapping[str, Any]]) -> Section:
    """Curves of every kind of run: mean F1 on devel after each evaluation, a line for each run."""
    section = Section("Learning curves", [])
    groups: dict[str, list[tuple[list[float], list[float]]]] = {}
    for result in results:
        points = [
            (record["step"], [value for task, value in record["devel"].items() if task in _entities(result)])
            for record in result.get("history", [])
            if record.get("devel")
        ]
        points = [(step, values) for step, values in points if values]
        if points:
            steps = [float(step) for step, _ in points]
            means = [sum(values) / len(values) for _, values in points]
            groups.setdefault(kind(result["run"]), []).append((steps, means))
    if not groups:
        return Section(section.title, [NONE])
    drawn = pictures.learning_curves(groups) if pictures.available() else None
    caption = "Mean F1 on devel over the entity tasks of a run, after each evaluation; a line for each run."
    section.blocks.append(Picture("report-learning", drawn, caption))
    return section


def _entities(result: Mapping[str, Any]) -> set[str]:
    """The tasks of a run that have F1."""
    scores = result["scores"].items()
    return {task for task, splits in scores if any("f1" in facts for facts in splits.values())}


def _lengths(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Steps and evaluations that runs really made, by kind."""
    found: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for result in results:
        if history := result.get("history"):
            found.setdefault(kind(result["run"]), []).append(history)
    return [(f"Length of {name}", length(histories)) for name, histories in sorted(found.items())]


def known_corpora(facts: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[CorpusFacts]:
    """The corpora of ``experiment.json``, or where that is missing those of the results."""
    found: dict[str, CorpusFacts] = {}
    for name, entry in facts.get("corpora", {}).items():
        found[name] = CorpusFacts(name, entry["kind"], entry["sizes"]["train"]["tokens"])
    for result in results:
        for name in result["run"].tasks:
            scores = result["scores"].get(name, {})
            kind = "ner" if any("f1" in split for split in scores.values()) else "pos"
            found.setdefault(name, CorpusFacts(name, kind, 0))
    return sorted(found.values(), key=lambda corpus: corpus.name)


def contamination(store: Store, excluded: bool) -> Section:
    """Sentences of devel and test splits that other corpora show in training."""
    path = store.path / "contamination.json"
    about = (
        "Sentences of a devel or test split that stand in another corpus's training split, word for word "
        "(white space aside). They matter where both corpora are trained on together; "
    )
    about += "here they were left out of training." if excluded else "--exclude-seen leaves them out."
    section = Section("Contamination", [about])
    if not path.is_file():
        section.blocks.append(NONE)
        return section
    try:
        found = [Overlap(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["overlaps"]]
    except (ValueError, KeyError, TypeError):
        raise FormatError(path, "expected a list of overlaps; run the experiment again") from None
    shown = [overlap for overlap in found if overlap.percent >= _LEAST_PERCENT]
    rows = [
        [
            Cell(f"{label(o.corpus)} {o.split}"),
            Cell(label(o.train)),
            Cell(f"{o.sentences:,}"),
            Cell(f"{o.of:,}"),
            Cell(f"{o.percent:.1f} %"),
        ]
        for o in shown
    ]
    if rows:
        section.blocks.append(Table(["Split", "stands in train of", "Sentences", "of", "Share"], rows))
    rest = len(found) - len(shown)
    if rest:
        overlaps = "1 overlap is" if rest == 1 else f"{rest} overlaps are"
        further = "further " if rows else ""
        section.blocks.append(f"{further}{overlaps} below {_LEAST_PERCENT:g} % of the split.".capitalize())
    elif not rows:
        section.blocks.append("There are none.")
    return section


def missing(studies: Mapping[str, Study], results: Results, failures: Mapping[str, str]) -> Section:
    """How much of each study is there, and what failed."""
    rows = []
    for name, study in studies.items():
        cells = [len(results.seeds(run)) for run in study.runs]
        required = [len(results.seeds(run)) for run in study.required]
        rows.append(
            [
                Cell(name),
                Cell(f"{sum(count > 0 for count in cells)} of {len(cells)}"),
                Cell(f"{sum(count >= 3 for count in cells)} of {len(cells)}"),
                Cell(f"{sum(count >= 3 for count in required)} of {len(required)}" if required else "-"),
            ]
        )
    section = Section("What was run", [])
    columns = ["Experiment", "with a seed", "with three seeds", "required, with three"]
    section.blocks.append(Table(columns, rows))
    known = {run.cell() for study in studies.values() for run in study.runs}
    if others := [cell.title().rpartition(" seed")[0] for cell in results.by_cell if cell not in known]:
        section.blocks.append(
            "Runs of other combinations of corpora than these studies have, shown in no table: "
            + ", ".join(sorted(others))
            + "."
        )
    if failures:
        section.blocks.append("Runs that failed:")
        section.blocks.append(Facts(sorted(failures.items())))
    return section


def made_with(
    facts: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    corpora: Sequence[CorpusFacts],
    commands: Sequence[str],
) -> Section:
    """Software, machine, vectors, settings and corpora."""

    def different(name: str) -> str:
        values = {str(result.get("software", {}).get(name) or "none") for result in results}
        return ", ".join(sorted(values)) or "-"

    # The checkout that ran, else the one that the package was built from.
    software = [result.get("software", {}) for result in results]
    commits = {str(commit) for one in software if (commit := one.get("checkout") or one.get("commit"))}
    vectors = {json.dumps(result.get("vectors"), sort_keys=True) for result in results}
    settings = {_settings_of(result) for result in results}
    items = [
        ("Package", f"bioner-fast {different('version')}, commit {', '.join(sorted(commits)) or 'unknown'}"),
        ("Torch", different("torch")),
        ("Processor", f"{different('processor')}, SIMD level {different('simd')}, GPU {different('gpu')}"),
        (
            "Threads of a run",
            ", ".join(sorted({str(r.get("config", {}).get("threads")) for r in results})) or "-",
        ),
        ("Word vectors", "; ".join(sorted(map(_vectors, vectors))) or "-"),
        *_lengths(results),
        *sorted(settings),
    ]
    if not commands:
        made = sorted({str(result["command"]) for result in results if "command" in result})
        items += [("Command (of paths, the last part)", command) for command in made]
    rows = []
    for corpus in corpora:
        sizes = facts.get("corpora", {}).get(corpus.name, {}).get("sizes")
        counts = [f"{sizes[s]['sentences']:,}" for s in ("train", "devel", "test")] if sizes else ["-"] * 3
        tokens = f"{corpus.train_tokens:,}" if corpus.train_tokens else "-"
        rows.append([Cell(label(corpus.name)), Cell(corpus.kind), *map(Cell, counts), Cell(tokens)])
    groups = [("", 2), ("Sentences", 3), ("", 1)]
    table = Table(["Corpus", "Kind", "train", "devel", "test", "training tokens"], rows, groups)
    section = Section("Made with", [Facts(items), table])
    if commands:
        section.blocks.extend(["The commands, to be pasted in any folder:", Code("\n".join(commands))])
    return section


def _vectors(text: str) -> str:
    vectors = json.loads(text)
    return f"{vectors['name']}, SHA-256 {vectors['sha256'][:16]}…" if vectors else "random, fine-tuned"


def _settings_of(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a run was trained with, without what differs from run to run of a model."""
    own = ("tasks", "seed", "sharing", "vectors", "init_from")
    config = result.get("config", {})
    kept = {name: value for name, value in sorted(config.items()) if name not in own}
    text = ", ".join(f"{name} {json.dumps(value)}" for name, value in kept.items())
    return f"Settings of {kind(result['run'])}", text


def sources() -> Section:
    """Where the published numbers come from."""
    published = Published.load()
    items = [(s.title, f"{s.source}{f' ({s.note})' if s.note else ''}") for s in published.sources]
    means = published.means
    mean = (
        f"The paper's means over its 15 corpora: single task {means['single']:.1f}, multi-output "
        f"{means['multi_output']:.1f}, dependent {means['dependent']:.1f}. Its "
        "table by corpus was not available."
    )
    methods = (
        "Significance: approximate randomisation over sentences, 10,000 shuffles, two-sided, counts of a "
        "sentence summed over seeds (Noreen 1989; Yeh 2000); differences are of the seeds that both have. "
        "“Maximum on test” is a replication of the published readout, the highest test F1 of all "
        "evaluations; it selects on test and is no result."
    )
    return Section("Sources and methods", [Facts(items), mean, methods])
