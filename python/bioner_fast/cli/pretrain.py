"""``bioner-fast pretrain``: an encoder from raw text."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bioner_fast.cli.grouped import grouped
from bioner_fast.cli.raw_text import Exclude, Texts

_GROUPS = {
    "Text": ("vectors", "exclude", "pool_characters", "targets", "max_vocab"),
    "How long": ("tokens", "minutes", "evaluate_every"),
    "Encoder": ("channels", "dilations", "char_filters", "affix_dim", "dropout", "input_dropout"),
    "Course": ("batch_size", "learning_rate", "weight_decay", "seed"),
    "Machine": ("threads", "precision"),
    "Run": ("out", "vector_precision", "checkpoint_seconds", "resume", "force", "as_json"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``pretrain``."""
    app.command(cls=grouped(_GROUPS))(pretrain)


def pretrain(
    texts: Texts,
    vectors: Annotated[
        str, typer.Option(metavar="FILE", help="Word vectors; they stay as they are.", show_default=False)
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder of the run.", show_default=False)],
    exclude: Exclude = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens to train on.", show_default=False)] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes to train for  [default without --tokens: one pass]", show_default=False),
    ] = None,
    targets: Annotated[int, typer.Option(help="So many of the most frequent words are asked for.")] = 20_000,
    channels: Annotated[int, typer.Option(help="Width of the encoder.")] = 256,
    dilations: Annotated[str, typer.Option(help="Dilations of its blocks.")] = "1,2,4",
    char_filters: Annotated[int, typer.Option(help="Filters over the characters; 0 for none.")] = 64,
    affix_dim: Annotated[int, typer.Option(help="Width of an affix's embedding; 0 for none.")] = 24,
    dropout: Annotated[float, typer.Option(help="Dropout before blocks.")] = 0.2,
    input_dropout: Annotated[float, typer.Option(help="Dropout of a token's features.")] = 0.3,
    learning_rate: Annotated[float, typer.Option(help="Its highest value.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.5,
    batch_size: Annotated[int, typer.Option(help="Tokens of a step.")] = 2000,
    max_vocab: Annotated[
        int | None, typer.Option(help="Keep the vectors of this many words.", show_default=False)
    ] = None,
    vector_precision: Annotated[
        str, typer.Option(help="Of the stored vectors: float16, float32 or int8.")
    ] = "float16",
    precision: Annotated[str, typer.Option(help="Of matrix products: float32 or bfloat16.")] = "float32",
    pool_characters: Annotated[int, typer.Option(help="Text that is shuffled together.")] = 4_000_000,
    evaluate_every: Annotated[int, typer.Option(help="Tokens between looks at held-out text.")] = 500_000,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between checkpoints.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads  [default: all cores]", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Pre-train an idcnn encoder on raw text by masked words; train --init-from takes it.

    \b
    Example: bioner-fast pretrain abstracts.txt.xz --vectors vectors.bin --out runs/encoder --minutes 60
    """
    from bioner_fast.cli.output import print_json, print_pairs
    from bioner_fast.errors import UsageError
    from bioner_fast.pretraining.run import PretrainConfig
    from bioner_fast.pretraining.run import pretrain as run
    from bioner_fast.training.stopping import TrainingInterrupted

    try:
        sizes = tuple(int(part) for part in dilations.split(","))
    except ValueError:
        raise UsageError(
            f"--dilations: expected whole numbers separated by commas, found {dilations!r}"
        ) from None
    config = PretrainConfig(
        texts=tuple(texts), vectors=vectors, out=out, exclude=tuple(exclude or ()), tokens=tokens,
        minutes=minutes, targets=targets, channels=channels, dilations=sizes, char_filters=char_filters,
        affix_dim=affix_dim,
        dropout=dropout, input_dropout=input_dropout, learning_rate=learning_rate, weight_decay=weight_decay,
        batch_size=batch_size, max_vocab=max_vocab, vector_precision=vector_precision, precision=precision,
        pool_characters=pool_characters, evaluate_every=evaluate_every, checkpoint_seconds=checkpoint_seconds,
        seed=seed, threads=threads,
    )  # fmt: skip
    try:
        result = run(config, resume=resume, force=force)
    except TrainingInterrupted as interruption:
        print(f"bioner-fast: {interruption}", file=sys.stderr)  # noqa: T201
        raise SystemExit(130) from None  # all is said
    if as_json:
        print_json(result.to_json())
    else:
        print_pairs(result.to_json())
