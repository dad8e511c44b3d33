"""``bioner-fast experiment``: the published experiments, resumable, and their report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioner_fast.cli.grouped import grouped

if TYPE_CHECKING:
    from bioner_fast.experiments.programme import Programme
    from bioner_fast.experiments.store import Store

_NAMES = (
    "single, multi, dependent, pairs, size, best, all, or report for the report alone; or general, which "
    "makes the model of that name."
)
_GROUPS = {
    "What is run": ("only", "required", "seeds", "dry_run"),
    "Data": ("data", "corpora", "vectors", "exclude_seen"),
    "Settings": ("config", "train", "replication"),
    "Machine": ("jobs", "threads", "device"),
    "Results": ("out", "keep_models", "as_json"),
    "The model general": ("pubtator", "text", "init_from"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``experiment``."""

    @app.command(cls=grouped(_GROUPS))
    def experiment(
        names: Annotated[list[str], typer.Argument(metavar="NAME...", help=_NAMES, show_default=False)],
        out: Annotated[
            Path, typer.Option(metavar="DIR", help="Folder of the results and the report.")
        ] = Path("runs/experiments"),
        data: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Folder that holds one folder per corpus.")
        ] = None,
        vectors: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Word vectors. Without: random ones, fine-tuned.")
        ] = None,
        corpora: Annotated[
            str | None, typer.Option(metavar="A,B", help="Only these corpora: names, paths or samples.")
        ] = None,
        seeds: Annotated[int, typer.Option(help="Runs with seeds 1 to this.", min=1)] = 3,
        jobs: Annotated[
            int | None,
            typer.Option(
                help="Runs at once  [default: processors / --threads; 2 on a GPU]", min=1, show_default=False
            ),
        ] = None,
        threads: Annotated[int, typer.Option(help="CPU threads of a run.", min=1)] = 1,
        device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
        config: Annotated[
            Path | None, typer.Option(metavar="FILE.toml", help="The recipe of best; default: --arch idcnn.")
        ] = None,
        train: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KEY=VALUE", help="A setting for all runs, or for one model as in cnn.epochs=5."
            ),
        ] = None,
        only: Annotated[
            list[str] | None,
            typer.Option(
                metavar="PATTERN",
                help="Only runs whose name has this, as in 'BC2GM*-s1'; may be given several times.",
            ),
        ] = None,
        required: Annotated[
            bool, typer.Option("--required", help="Only what a closing run must contain; see docs.")
        ] = False,
        exclude_seen: Annotated[
            bool,
            typer.Option(
                "--exclude-seen",
                help="Training on several corpora: leave out sentences of another's devel or test.",
            ),
        ] = False,
        keep_models: Annotated[
            bool, typer.Option("--keep-models", help="Keep the bundle of every run.")
        ] = False,
        replication: Annotated[
            bool,
            typer.Option(
                "--replication/--no-replication",
                help="mlp, cnn: also report the published maximum of test F1; nothing is selected by it.",
            ),
        ] = True,
        pubtator: Annotated[
            Path | None, typer.Option(metavar="DIR", help="general: folder of the PubTator corpora.")
        ] = None,
        text: Annotated[
            list[Path] | None,
            typer.Option(
                metavar="FILE",
                help="general: raw text for silver annotations (.txt, .txt.xz); may be given several times.",
            ),
        ] = None,
        init_from: Annotated[
            str | None, typer.Option(metavar="MODEL", help="general: start from this model or encoder.")
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="List the runs and estimate their time; train nothing.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Run the published experiments on corpora at hand; a run that is done is not done again.

        \b
        Example: bioner-fast experiment single --corpora sample-disease --seeds 1 --train epochs=2

        Runs are trained side by side. After Ctrl-C, or a crash, the same command goes on where it stood. The
        report in --out (report.md, report.html) is written at the end, and at any time by: experiment report
        """
        if "general" in names:
            settings = _settings(config, train or [])
            _general(names, data, pubtator, vectors, out, text or [], init_from, settings, threads, as_json)
            return
        store = _store(out)
        if names == ["report"]:
            _report(store, as_json=as_json)
            return
        programme = _programme(
            names, data, vectors, corpora, seeds, threads, device, config, train or [], exclude_seen,
            required=required, only=only or [], keep_models=keep_models, replication=replication,
        )  # fmt: skip
        count = jobs or _default_jobs(threads, device)
        if dry_run:
            _dry_run(programme, store, count, as_json=as_json)
            return
        from bioner_fast.errors import BionerError
        from bioner_fast.experiments.programme import execute

        progress = execute(programme, store, jobs=count)
        _report(store, as_json=as_json)
        if progress.failed:
            name, reason = next(iter(progress.failed.items()))
            raise BionerError(
                f"{len(progress.failed)} of the runs failed, the first of them {name}: {reason}"
            )


def _settings(config: Path | None, train: list[str]) -> dict[str, Any]:
    """Settings of training, from a recipe and KEY=VALUE."""
    from bioner_fast.errors import UsageError
    from bioner_fast.experiments.plan import load_recipe, parse_overrides

    overrides = parse_overrides(train)
    if any(model for model, _ in overrides):
        raise UsageError("--train: general trains one model; give KEY=VALUE without its name")
    return {**load_recipe(config), **{name: value for (_, name), value in overrides.items()}}


def _general(
    names: list[str],
    data: Path | None,
    pubtator: Path | None,
    vectors: Path | None,
    out: Path,
    texts: list[Path],
    init_from: str | None,
    settings: dict[str, Any],
    threads: int,
    as_json: bool,
) -> None:
    """Make the model ``general`` and show its scores."""
    import json

    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.errors import UsageError
    from bioner_fast.experiments.general.make import GeneralConfig, make_general

    if names != ["general"]:
        raise UsageError("experiment general: it goes with no other experiment")
    if data is None or pubtator is None or vectors is None:
        raise UsageError("experiment general: give --data, --pubtator and --vectors")
    config = GeneralConfig(
        data=data, pubtator=pubtator, vectors=vectors, out=out, texts=tuple(texts), init_from=init_from,
        recipe=settings, threads=threads,
    )  # fmt: skip
    model = make_general(config, portable_command(sys.argv[1:]))
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    if as_json:
        print_json({"model": str(model), "scores": scores})
        return
    rows = [
        [corpus, split, kind, *(f"{values[name]:.2f}" for name in ("precision", "recall", "f1"))]
        for split, corpora in scores.items()
        for corpus, kinds in corpora.items()
        for kind, values in kinds.items()
    ]
    print_table(["Corpus", "Split", "Type", "P", "R", "F1"], rows)


def _store(out: Path) -> Store:
    from bioner_fast.experiments.store import Store

    return Store(out)


def _programme(
    names: list[str],
    data: Path | None,
    vectors: Path | None,
    corpora: str | None,
    seeds: int,
    threads: int,
    device: str,
    config: Path | None,
    train: list[str],
    exclude_seen: bool,
    **more: Any,
) -> Programme:
    from bioner_fast.experiments.corpora import find_corpora
    from bioner_fast.experiments.plan import Settings, load_recipe, parse_overrides
    from bioner_fast.experiments.programme import Programme
    from bioner_fast.experiments.provenance import describe_vectors
    from bioner_fast.experiments.studies import chosen

    overrides = parse_overrides(train)
    recipe = load_recipe(config)
    wanted = [part.strip() for part in corpora.split(",") if part.strip()] if corpora else None
    found = find_corpora(data, wanted)
    return Programme(
        chosen(names, found),
        {corpus.name: corpus for corpus in found},
        Settings(recipe, overrides, exclude_seen),
        seeds,
        None if vectors is None else str(vectors),
        describe_vectors(None if vectors is None else str(vectors)),
        device=device,
        threads=threads,
        command=portable_command(sys.argv[1:]),
        full_command=full_command(sys.argv[1:]),
        **more,
    )


def portable_command(arguments: list[str]) -> str:
    """The command line with the last part of every path: what a record of it should say.

    Example:
        >>> portable_command(["experiment", "best", "--data", "/home/me/corpora"])
        'bioner-fast experiment best --data corpora'
    """
    import shlex

    return shlex.join(["bioner-fast", *(Path(a).name if "/" in a or "\\" in a else a for a in arguments)])


def full_command(arguments: list[str]) -> str:
    """The command line as it was typed, to be pasted in any folder.

    Example:
        >>> full_command(["experiment", "best", "--data", "my corpora"])  # doctest: +SKIP
        "cd /home/me && bioner-fast experiment best --data 'my corpora'"
    """
    import shlex

    return f"cd {shlex.quote(os.getcwd())} && {shlex.join(['bioner-fast', *arguments])}"


def _default_jobs(threads: int, device: str) -> int:
    from bioner_fast.installation import available_threads

    if device != "cpu":
        from bioner_fast.models.device import choose_device

        if choose_device(device).type == "cuda":
            return 2
    return max(1, available_threads() // threads)


def _report(store: Store, *, as_json: bool) -> None:
    """Write the report and show its figures."""
    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.errors import BionerError
    from bioner_fast.experiments.analysis import Results
    from bioner_fast.experiments.corpora import label
    from bioner_fast.experiments.report.build import write_report

    results = Results(store.results())
    if not results and not store.failures():
        raise BionerError(f"{store.path} holds no results; run an experiment with --out {store.path} first")
    files = write_report(store)
    rows, facts = [], []
    for cell in results.by_cell:
        for task in cell.tasks:
            devel, test = (results.score(cell, task, split) for split in ("devel", "test"))
            if not test:
                continue
            name = cell.title().rpartition(" seed")[0]
            rows.append([name, label(task), str(len(test.values)), str(devel), str(test)])
            facts.append({
                "run": name, "task": task, "seeds": len(test.values), "devel_f1": devel.mean,
                "test_f1": test.mean, "test_f1_deviation": test.deviation,
            })  # fmt: skip
    paths = [str(store.path / name) for name in files]
    if as_json:
        print_json({"scores": facts, "failed": store.failures(), "report": paths})
    else:
        print_table(["Run", "Corpus", "Seeds", "Devel F1", "Test F1"], rows)
        print("report: " + ", ".join(paths))  # noqa: T201


def _dry_run(programme: Programme, store: Store, jobs: int, *, as_json: bool) -> None:
    """List what is left to do, with its time."""
    from bioner_fast.cli.output import print_json, print_table
    from bioner_fast.experiments.estimate import estimate, kind_of, measured
    from bioner_fast.experiments.programme import left
    from bioner_fast.training.progress import clock

    runs = programme.runs()
    todo = left(programme, store, runs)
    finished = measured(store.results())
    speeds = dict(finished)
    seconds = estimate(programme, todo, speeds)
    longest = max(seconds.values(), default=0.0)
    total = max(sum(seconds.values()) / jobs, longest)
    if as_json:
        print_json({"runs": seconds, "done": len(runs) - len(todo), "jobs": jobs, "seconds": total})
        return
    tokens = programme.planned_tokens(todo)
    rows = [
        [
            name,
            f"{tokens[name]:,}",
            f"{speeds[kind_of(run)]:,.0f}",
            "finished runs" if kind_of(run) in finished else "a short training",
            clock(seconds[name]),
        ]
        for name, run in todo.items()
    ]
    if rows:
        print_table(["Run", "Tokens, at most", "Tokens/s", "measured on", "Time"], rows)
    print(  # noqa: T201
        f"{len(runs)} runs, {len(runs) - len(todo)} of them done; "
        f"about {clock(total)} for the rest, {jobs} at once"
    )
