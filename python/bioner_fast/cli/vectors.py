"""``bioner-fast vectors``: look at word-vector files, convert and check them, train and export some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioner_fast.cli.grouped import grouped
from bioner_fast.cli.raw_text import Exclude, Texts

if TYPE_CHECKING:
    from bioner_fast.data.corpus import Corpus
    from bioner_fast.features.vectors import WordVectors

_File = Annotated[str, typer.Argument(metavar="FILE", help="Word vectors.", show_default=False)]
_Format = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="word2vec-binary, word2vec-text, glove or fasttext; found out when omitted.",
        show_default=False,
    ),
]
_NoCache = Annotated[bool, typer.Option("--no-cache", help="Leave no memory-mapped copy of the file behind.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Out = Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="File to write.", show_default=False)]
_TRAINING = {
    "Text": ("exclude", "min_count"),
    "Vectors": ("dim", "window", "negative", "epochs", "seed", "threads"),
    "Output": ("out", "to", "force"),
}
_GROUP_HELP = """Word vectors: word2vec binary and text, GloVe, fastText .vec.

\b
Example: bioner-fast vectors info vectors.bin
"""
_TO = {".bin": "word2vec-binary", ".vec": "fasttext", ".txt": "word2vec-text"}


def register(app: typer.Typer) -> None:
    """Add the command group ``vectors``."""
    group = typer.Typer(help=_GROUP_HELP, no_args_is_help=True)
    app.add_typer(group, name="vectors")
    group.command()(info)
    group.command()(convert)
    group.command()(check)
    group.command(cls=grouped(_TRAINING))(train)
    group.command()(export)


def info(file: _File, format: _Format = None, no_cache: _NoCache = False, as_json: _Json = False) -> None:
    """Show format, size and what reading the file met.

    \b
    Example: bioner-fast vectors info vectors.bin
    """
    from bioner_fast.cli.output import print_json, print_pairs

    facts = _facts(_load(file, format, no_cache))
    if as_json:
        print_json(facts)
    else:
        print_pairs(facts)


def convert(
    file: _File,
    out: Annotated[str, typer.Argument(metavar="OUT", help="File to write.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="word2vec-binary (.bin), word2vec-text (.txt), fasttext (.vec) or glove; guessed from OUT.",
            show_default=False,
        ),
    ] = None,
    format: _Format = None,
    max_rank: Annotated[
        int | None, typer.Option(help="Only the first so many words.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    no_cache: _NoCache = False,
) -> None:
    """Write the vectors in another format.

    \b
    Example: bioner-fast vectors convert vectors.bin vectors.vec --max-rank 50000
    """
    from bioner_fast.errors import BionerError

    target = _target(out, to)
    if Path(out).exists() and not force:
        raise BionerError(f"{out} exists; choose another name or pass --force to replace it")
    _load(file, format, no_cache, max_rank).save(out, target)


def check(
    file: _File,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="A task or corpus file whose coverage is reported; may be repeated.", show_default=False
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that holds one folder per task.", show_default=False)
    ] = None,
    normalization: Annotated[str, typer.Option(help="default, published or none.")] = "default",
    folding: Annotated[bool, typer.Option(help="Fold lookup keys as for real text.")] = False,
    format: _Format = None,
    no_cache: _NoCache = False,
    as_json: _Json = False,
) -> None:
    """Check a file from end to end, and how much of a corpus it covers.

    \b
    Example: bioner-fast vectors check vectors.bin --task sample-disease

    Ends with status 1 if vectors have an infinity or NaN in them, or if the file is cut off or malformed.
    """
    from bioner_fast.cli.output import print_json, print_pairs, print_table
    from bioner_fast.errors import BionerError

    vectors = _load(file, format, no_cache)
    facts = _facts(vectors)
    coverage = [
        {"task": name, "split": split, **_coverage(vectors, corpus, normalization, folding)}
        for name in task or []
        for split, corpus in _splits(name, data)
    ]
    if as_json:
        print_json({**facts, "coverage": coverage})
    else:
        print_pairs(facts)
    if coverage and not as_json:
        rows = [
            [
                f"{row['task']} {row['split']}",
                f"{row['tokens']:,}",
                f"{row['tokens_oov']:.2f}",
                f"{row['types']:,}",
                f"{row['types_oov']:.2f}",
                " ".join(word for word, _ in row["most_frequent"][:5]),
            ]
            for row in coverage
        ]
        print_table(["corpus", "tokens", "OOV %", "types", "OOV %", "most frequent"], rows)
    if bad := facts["not_finite_rows"]:
        raise BionerError(f"{file}: {bad} vectors have an infinity or NaN in them; train on another file")


def train(
    texts: Texts,
    out: _Out,
    exclude: Exclude = None,
    dim: Annotated[int, typer.Option(help="Length of a vector.")] = 200,
    window: Annotated[int, typer.Option(help="Words to either side.")] = 5,
    negative: Annotated[int, typer.Option(help="Negative samples.")] = 10,
    min_count: Annotated[int, typer.Option(help="Rarer words get no vector.")] = 3,
    epochs: Annotated[int, typer.Option(help="Passes over the text.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed; one thread repeats a run exactly.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads  [default: all cores]", show_default=False)
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Format, as for convert; guessed from the name.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Train skip-gram vectors on raw text (extra: vectors).

    \b
    Example: bioner-fast vectors train abstracts.txt.gz -o vectors.bin
    """
    from bioner_fast.files import refuse_existing
    from bioner_fast.installation import available_threads
    from bioner_fast.pretraining.leaks import Unwanted, judged_texts
    from bioner_fast.pretraining.skip_gram import TokenStream, train_vectors
    from bioner_fast.pretraining.text import find_texts

    target = _target(out, to)
    refuse_existing(out, force=force)
    unwanted = Unwanted([texts for _, texts in judged_texts(exclude or [])])
    stream = TokenStream(find_texts(texts), unwanted, threads or 0)
    vectors = train_vectors(
        stream, dim=dim, window=window, negative=negative, min_count=min_count, epochs=epochs, seed=seed,
        threads=available_threads() if threads is None else threads,
    )  # fmt: skip
    vectors.save(out, target)


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder or an installed model.", show_default=False)
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="File to write.", show_default=False)
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", help="Format, as for convert; guessed from the name.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write the word vectors of a model, to train others with.

    \b
    Example: bioner-fast vectors export general -o vectors.bin
    """
    from bioner_fast.features.vectors import WordVectors
    from bioner_fast.features.vocabulary import WORD_ROW
    from bioner_fast.files import refuse_existing
    from bioner_fast.models.bundle import bundle_folder, load_bundle

    target = _target(out, to)
    refuse_existing(out, force=force)
    bundle = load_bundle(bundle_folder(model))
    table = bundle.network.embedding.words.detach().numpy()
    WordVectors(bundle.vocabulary.words, table[WORD_ROW:]).save(out, target)


def _target(out: str, to: str | None) -> str:
    """The format to write.

    Raises:
        UsageError: it is unknown, or cannot be told from the name.
    """
    from bioner_fast.errors import UsageError

    target = to or _TO.get(Path(out).suffix)
    if target is None:
        raise UsageError(
            f"cannot tell the format from the name {out}; give --to (one of {', '.join(_formats())})"
        )
    if target not in _formats():
        raise UsageError(f"--to: expected one of {', '.join(_formats())}, got {target!r}")
    return target


def _formats() -> tuple[str, ...]:
    from bioner_fast.features.vector_files import FORMATS

    return FORMATS


def _load(file: str, format: str | None, no_cache: bool, max_rank: int | None = None) -> WordVectors:
    from bioner_fast.features.vectors import WordVectors

    return WordVectors.load(file, format=format, max_rank=max_rank, cache=not no_cache)


def _facts(vectors: WordVectors) -> dict[str, Any]:
    statistics = vectors.statistics
    assert statistics is not None
    return {
        "file": vectors.path,
        "format": statistics.format,
        "words": len(vectors),
        "dim": vectors.dim,
        "duplicates": statistics.duplicates,
        "invalid_utf8": statistics.invalid_utf8,
        "zero_rows": statistics.zero_rows,
        "not_finite_rows": statistics.not_finite_rows,
        "first_words": vectors.words[:10].tolist(),
    }


def _splits(name: str, data: Path | None) -> list[tuple[str, Corpus]]:
    """The splits of a task, or one corpus file."""
    from bioner_fast.data.corpus import Corpus
    from bioner_fast.data.tasks import load_task

    if Path(name).is_file():
        return [("file", Corpus.read(name))]
    task = load_task(name, data, warn=False, pos=None)
    splits = {"train": task.train, "devel": task.devel, "test": task.test}
    return [(split, corpus) for split, corpus in splits.items() if corpus is not None]


def _coverage(vectors: WordVectors, corpus: Corpus, normalization: str, folding: bool) -> dict[str, Any]:
    """How many tokens, and how many different ones, have no vector."""
    from bioner_fast.features.vocabulary import Vocabulary

    options: dict[str, Any] = {"normalization": normalization, "folding": folding}
    oov = vectors.vocabulary.oov_statistics(corpus.tokens, **options)
    types = len(Vocabulary.from_corpora([corpus])) if oov.total else 0
    return {
        "tokens": oov.total,
        "tokens_oov": 100 * oov.rate,
        "types": types,
        "types_oov": 100 * oov.distinct / types if types else 0.0,
        "most_frequent": [list(pair) for pair in oov.most_frequent],
    }
