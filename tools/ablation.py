"""What the parts of the recommended model are worth: each left out or changed, devel F1 and tokens/s.

Trains every variant on every corpus with every seed, test never read, one run after another; what is done is
not done again, so the command can be stopped and given again. Prints the table of docs/models.md.

    python tools/ablation.py --data CORPORA --vectors VECTORS --out runs/ablation --threads 1
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train

COMMON: dict[str, Any] = {
    "arch": "idcnn",
    "precision": "bfloat16",
    "epochs": 8,
    "test": False,
    "device": "cpu",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no characters (`--char-filters 0`)": {"char_filters": 0},
    "no affixes and shape (`--affix-dim 0`)": {"affix_dim": 0},
    "neither": {"char_filters": 0, "affix_dim": 0},
    "no CRF (`--decoder viterbi`)": {"decoder": "viterbi"},
    "no averaging (`--average 0`)": {"average": 0.0},
    "no word dropout (`--word-dropout 0`)": {"word_dropout": 0.0},
    "`--channels 384`": {"channels": 384},
    "a fourth block (`--dilations 1,2,4,8`)": {"dilations": (1, 2, 4, 8)},
    "only one block (`--dilations 1`)": {"dilations": (1,)},
    "`--precision float32`": {"precision": "float32"},
}
CORPORA = ("BioNLP13CG-IOB", "NCBI-disease-IOB", "BC5CDR-IOB")


def folder_of(out: Path, variant: dict[str, Any], corpus: str, seed: int) -> Path:
    """Where a run lies; its name says what is changed."""
    changes = [f"{name}={value}".replace(" ", "") for name, value in variant.items()]
    return out / "-".join([corpus, *changes, f"s{seed}"])


def run(options: argparse.Namespace, variant: dict[str, Any], corpus: str, seed: int) -> None:
    """Train one variant, unless it is done."""
    out = folder_of(options.out, variant, corpus, seed)
    if (out / "result.json").is_file():
        return
    config = TrainConfig(
        **{**COMMON, **variant}, tasks=(corpus,), seed=seed, threads=options.threads,
        data=str(options.data), vectors=str(options.vectors), out=str(out),
    )  # fmt: skip
    result = train(config, resume=(out / "config.toml").is_file())
    print(f"{out.name}: {result.tasks[corpus]['devel']['f1']:.2f}", file=sys.stderr)  # noqa: T201
    for bulky in (result.model, out / "predictions"):
        for file in bulky.iterdir():
            file.unlink()


def table(options: argparse.Namespace) -> str:
    """Markdown; means over the seeds that are there, their number in brackets where it is not all of them."""
    lines = [f"| change | {' | '.join(name.removesuffix('-IOB') for name in options.corpora)} | tokens/s |"]
    lines.append("|---|" + "--:|" * (len(options.corpora) + 1))
    for title, variant in VARIANTS.items():
        cells, speeds = [], []
        for corpus in options.corpora:
            paths = [
                folder_of(options.out, variant, corpus, s + 1) / "result.json" for s in range(options.seeds)
            ]
            found = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
            speeds += [facts["train_tokens_per_second"] for facts in found]
            mean = statistics.fmean(f["tasks"][corpus]["devel"]["f1"] for f in found) if found else 0.0
            few = f" ({len(found)})" if 0 < len(found) < options.seeds else ""
            cells.append(f"{mean:.2f}{few}" if found else "")
        speed = f"{statistics.median(speeds):,.0f}" if speeds else ""
        lines.append(f"| {title} | {' | '.join([*cells, speed])} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--corpora", type=lambda text: tuple(text.split(",")), default=CORPORA)
    parser.add_argument("--seeds", type=int, default=2, help="seeds 1 to this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.table:
        for seed in range(1, options.seeds + 1):
            for corpus in options.corpora:
                for variant in VARIANTS.values():
                    run(options, variant, corpus, seed)
    print(table(options))  # noqa: T201


if __name__ == "__main__":
    main()
