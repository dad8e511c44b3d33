"""``bioner-fast benchmark``: throughput of the kernels on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``benchmark``."""
    group = typer.Typer(no_args_is_help=True, help="Throughput of the kernels on this machine.")
    app.add_typer(group, name="benchmark")

    @group.command()
    def kernels(
        tokens: Annotated[int, typer.Option(min=1000, help="Tokens a call.")] = 200_000,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        threads: Annotated[int, typer.Option(min=0, help="Threads; 0: all this process may use.")] = 0,
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
