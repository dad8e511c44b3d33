"""The encoder that comes with the package, from a run of ``bioner-fast pretrain``.

    python tools/make_encoder.py runs/encoder data/models/encoder

It keeps the vectors of the most frequent words, in int8. They were never trained, so a training that is given
the file of vectors takes its words from there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.models.bundle import load_bundle, save_bundle
from bioner_fast.pretraining.run import portable_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--words", type=int, default=50_000, help="so many words keep their vectors")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.run / "model")
    network = bundle.network
    network.embedding.words = torch.nn.Parameter(
        network.embedding.words.detach()[: arguments.words + 2].clone(), requires_grad=False
    )
    settings = json.loads((arguments.run / "pretrain.json").read_text(encoding="utf-8"))
    facts = {"pretraining": portable_settings(settings), "words": arguments.words}
    # What stands beside the bundle, its licence for one, stays.
    kept = {f.name: f.read_bytes() for f in arguments.out.glob("*") if f.name in ("LICENSE", "NOTICE")}
    save_bundle(
        arguments.out, network, Vocabulary(bundle.vocabulary.words[: arguments.words]), (),
        schema=bundle.schema, precision="int8", provenance={**bundle.provenance, **facts}, force=True,
    )  # fmt: skip
    for name, content in kept.items():
        (arguments.out / name).write_bytes(content)


if __name__ == "__main__":
    main()
