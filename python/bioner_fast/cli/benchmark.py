"""``bioner-fast benchmark``: throughput of the kernels and of tagging on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bioner_fast.tagging.throughput import TagThroughput

_GROUP_HELP = """Throughput of the kernels and of tagging on this machine.

\b
Example: bioner-fast benchmark kernels --seconds 0.2
"""


def register(app: typer.Typer) -> None:
    """Add the command ``benchmark``."""
    group = typer.Typer(no_args_is_help=True, help=_GROUP_HELP)
    app.add_typer(group, name="benchmark")

    @group.command()
    def kernels(
        tokens: Annotated[int, typer.Option(min=1000, help="Tokens a call.")] = 200_000,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        threads: Annotated[
            int, typer.Option(min=0, max=256, help="Threads, at most 256; 0: all this process may use.")
        ] = 0,
        seconds: Annotated[float, typer.Option(min=0.01, help="Time for each kernel.")] = 0.5,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Time windows, Viterbi and CRF beside a plain copy.

        \b
        Example: bioner-fast benchmark kernels --seconds 0.2
        """
        import torch

        from bioner_fast.cli.output import print_json, print_table
        from bioner_fast.errors import UsageError
        from bioner_fast.installation import available_threads
        from bioner_fast.ops.throughput import measure_kernels

        if device not in ("cpu", "cuda"):
            raise UsageError(f"--device must be cpu or cuda, got {device!r}")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: no CUDA device is available here")
        torch.set_num_threads(threads or available_threads())
        rows = list(measure_kernels(tokens, device, seconds))
        if as_json:
            print_json(
                {
                    "tokens": tokens,
                    "device": device,
                    "threads": torch.get_num_threads(),
                    "kernels": {
                        row.name: {
                            "tokens_per_second": row.tokens_per_second,
                            "gigabytes_per_second": row.gigabytes_per_second,
                        }
                        for row in rows
                    },
                }
            )
            return
        print_table(
            ["kernel", "tokens/s", "GB/s"],
            [
                [
                    row.name,
                    f"{row.tokens_per_second:,.0f}",
                    "" if row.gigabytes_per_second is None else f"{row.gigabytes_per_second:.1f}",
                ]
                for row in rows
            ],
            title=f"{tokens:,} tokens a call, {torch.get_num_threads()} threads, {device}",
        )

    @group.command()
    def tag(
        files: Annotated[
            list[str] | None,
            typer.Argument(metavar="[FILES]", help="What to tag; the bundled sample if none."),
        ] = None,
        model: Annotated[
            str | None, typer.Option("--model", "-m", metavar="MODEL", help="As for the command tag.")
        ] = None,
        input_format: Annotated[
            str | None, typer.Option(metavar="FORMAT", help="As for the command tag.")
        ] = None,
        output_format: Annotated[
            str, typer.Option(metavar="FORMAT", help="As for the command tag.")
        ] = "jsonl",
        documents: Annotated[
            int | None, typer.Option(min=1, metavar="N", help="Only the first N documents.")
        ] = None,
        batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens worked on together.")] = 16384,
        device: Annotated[
            str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")
        ] = "auto",
        threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default.")] = None,
        precision: Annotated[
            str, typer.Option(metavar="auto|float32|bfloat16|int8", help="As for the command tag.")
        ] = "auto",
        repeat: Annotated[int, typer.Option(min=1, help="Runs, of which the median is told.")] = 3,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Time tagging from files to documents that are written nowhere, and each of its stages alone.

        \b
        Example: bioner-fast benchmark tag --threads 1

        The speed is that of all stages at once on all threads; the stages are timed one after the other, on
        one thread.
        """
        import tempfile

        from bioner_fast.cli.output import print_json
        from bioner_fast.errors import UsageError
        from bioner_fast.formats.registry import get_format
        from bioner_fast.models.device import choose_device
        from bioner_fast.resources import find_model
        from bioner_fast.tagging.inputs import Input, find_inputs
        from bioner_fast.tagging.precision import check_precision
        from bioner_fast.tagging.shards import TaggerSettings, TagOptions, check_output
        from bioner_fast.tagging.throughput import measure_tagging, write_sample

        if get_format(output_format).writer is None:
            raise UsageError(f"{output_format} is read but not written; choose another --output-format")
        choose_device(device)
        check_precision(precision)
        inputs = find_inputs(files, input_format) if files else []
        settings = TaggerSettings(find_model(model), device, threads, precision)
        options = TagOptions(output_format, batch_tokens=batch_tokens, lanes=settings.lanes())
        tagger = settings.load()
        check_output(tagger, options)
        with tempfile.TemporaryDirectory() as folder:
            if not inputs:
                sample = Path(folder, "sample.jsonl")
                write_sample(sample)
                inputs = [Input(str(sample), "jsonl", "sample")]
            result = measure_tagging(tagger, inputs, options, documents=documents, repeat=repeat)
        if as_json:
            where = {"device": tagger.predictor.device.type, "precision": tagger.predictor.precision}
            print_json({"model": str(settings.model), **where, **result.to_json()})
        else:
            _print_tagging(result, f"{tagger.predictor.device.type}, {tagger.predictor.precision}")


def _print_tagging(result: TagThroughput, where: str) -> None:
    from bioner_fast.cli.output import print_table
    from bioner_fast.tagging.throughput import STAGES

    total = sum(result.stages.values())
    print_table(
        ["stage", "seconds", "share", "ns/token"],
        [
            [
                name,
                f"{result.stages[name]:.3f}",
                f"{100 * result.stages[name] / total:.1f} %",
                f"{result.stages[name] / result.tokens * 1e9:,.0f}",
            ]
            for name in STAGES
        ],
        title=f"one stage after another, {where}",
    )
    rates = (
        f"{result.tokens / result.seconds:,.0f} tokens/s",
        f"{result.documents / result.seconds:,.1f} documents/s",
        f"{result.text_bytes / result.seconds / 1e6:,.2f} MB/s of text",
    )
    typer.echo(f"{result.documents:,} documents, {result.tokens:,} tokens, all stages at once, ", nl=False)
    typer.echo(f"threads {result.lanes}: {', '.join(rates)}")
