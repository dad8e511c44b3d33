"""Train spaCy's ``ner`` on our corpora with our vectors, stop early on devel, and score it by our rules.

config.cfg is what ``spacy init config --lang en --pipeline ner --optimize accuracy`` writes (spaCy 3.8) with
two changes: the vectors are given at training, and the tokenizer is the corpora's rule, so that the pipeline
reads raw text as it was trained. Sentences become one document each, as ``spacy convert`` makes them.

    python benchmarks/spacy_ner/train.py NCBI-disease-IOB --data ../shared/corpora \
        --vectors ../shared/vectors/bio-w2v-200.bin --out runs/spacy

Each corpus leaves ``OUT/CORPUS/model-best`` (a spaCy pipeline) and ``OUT/CORPUS/result.json``; a corpus that
has the latter is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import corpus_tokenizer  # noqa: E402, F401 (registers the tokenizer)
import numpy as np  # noqa: E402
import spacy  # noqa: E402
from spacy.tokens import Doc, DocBin, Span  # noqa: E402
from spacy.vocab import Vocab  # noqa: E402

from bioner_fast.data.corpus import Corpus  # noqa: E402
from bioner_fast.data.schemes import Scheme, convert, split_tag  # noqa: E402
from bioner_fast.data.scoring import score  # noqa: E402
from bioner_fast.features.vectors import WordVectors  # noqa: E402
from bioner_fast.files import atomic_write, write_json  # noqa: E402


def documents(corpus: Corpus, vocab: Vocab) -> Iterator[Doc]:
    """A document per sentence, with its entities."""
    corpus = convert(corpus, Scheme.IOB2)
    tokens, tags = corpus.tokens.tolist(), corpus.tags()
    for begin, end in pairwise(corpus.sentence_offsets.tolist()):
        doc = Doc(vocab, words=tokens[begin:end])
        spans: list[list[Any]] = []
        for i, tag in enumerate(tags[begin:end]):
            prefix, kind = split_tag(tag)
            if prefix == "B":
                spans.append([i, i + 1, kind])
            elif prefix == "I":
                spans[-1][1] = i + 1
        doc.ents = tuple(Span(doc, first, last, label=kind) for first, last, kind in spans)
        yield doc


def write_docs(path: Path, corpus: Corpus) -> None:
    """The corpus as spaCy reads it, whole or not at all."""
    docs = DocBin(attrs=["ENT_IOB", "ENT_TYPE"], docs=documents(corpus, Vocab()))
    with atomic_write(path, "wb") as out:
        out.write(docs.to_bytes())


def write_vectors(folder: Path, path: Path) -> None:
    """A blank pipeline that holds our vectors, under the words as they are."""
    if (folder / "meta.json").is_file():
        return
    vectors = WordVectors.load(path)
    nlp = spacy.blank("en")
    nlp.vocab.vectors = spacy.vectors.Vectors(
        strings=nlp.vocab.strings, data=np.array(vectors.matrix), keys=vectors.words.tolist(), name="bio-w2v"
    )
    nlp.to_disk(folder)


def predict(nlp: spacy.Language, corpus: Corpus) -> tuple[np.ndarray, tuple[str, ...], float]:
    """Predicted IOB2 tag ids [N], their names, and seconds; sentences in batches of 256."""
    docs = [Doc(nlp.vocab, words=[t.text for t in doc]) for doc in documents(corpus, nlp.vocab)]
    start = time.perf_counter()
    docs = list(nlp.pipe(docs, batch_size=256))
    seconds = time.perf_counter() - start
    codes: dict[str, int] = {"O": 0}
    ids = [
        codes.setdefault(f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O", len(codes))
        for doc in docs
        for t in doc
    ]
    return np.array(ids, dtype=np.int32), tuple(codes), seconds


def evaluate(nlp: spacy.Language, corpus: Corpus) -> dict[str, float]:
    """Scores by conlleval's rules and speed on tokenised sentences."""
    ids, names, seconds = predict(nlp, corpus)
    result = score(convert(corpus, Scheme.IOB2), ids, names)
    return {
        "precision": result.precision,
        "recall": result.recall,
        "f1": result.f1,
        "words_per_second": corpus.n_tokens / seconds,
    }


# The encoder of ``spacy init config --optimize efficiency``, with our vectors.
SMALL = ("--components.tok2vec.model.encode.width", "96", "--components.tok2vec.model.encode.depth", "4")


def fit(folder: Path, vectors: Path, code: Path, cpu_minutes: float, small: bool) -> dict[str, Any]:
    """Run ``spacy train``; it stops by itself at its patience, or at ``cpu_minutes`` of processor time."""
    command = [
        *(sys.executable, "-m", "spacy", "train", str(HERE / "config.cfg"), "--output", str(folder)),
        *("--code", str(code), "--paths.train", str(folder / "train.spacy")),
        *("--paths.dev", str(folder / "devel.spacy"), "--paths.vectors", str(vectors)),
        *(SMALL if small else ()),
    ]
    log = folder / "train.log"
    start = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        capped = False
        while process.poll() is None:
            time.sleep(2)
            if not capped and cpu_seconds(process.pid) > 60 * cpu_minutes:
                capped = True
                process.send_signal(signal.SIGINT)  # spaCy keeps the best model and ends
    if not capped and process.returncode != 0:
        raise SystemExit(f"{log}: spaCy ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    rows = re.findall(
        r"^ *(\d+) +(\d+) +[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+ +[\d.]+ +[\d.]+ *$", log.read_text(), re.M
    )
    best = max(rows, key=lambda row: float(row[2]))
    return {
        "stopped_by": "time" if capped else "patience",
        "seconds": time.perf_counter() - start,
        "last_step": int(rows[-1][1]),
        "best_step": int(best[1]),
        "best_epoch": int(best[0]),
    }


def cpu_seconds(pid: int) -> float:
    """Processor time of a running process, 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def train(name: str, vectors: Path, code: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one corpus; the recorded result if that was done before."""
    folder = options.out / name
    result_file = folder / "result.json"
    if result_file.is_file():
        return dict(json.loads(result_file.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    corpora = {
        split: Corpus.read(options.data / name / f"{split}.tsv") for split in ("train", "devel", "test")
    }
    for split in ("train", "devel"):
        write_docs(folder / f"{split}.spacy", corpora[split])
    result: dict[str, Any] = {"corpus": name, "spacy": spacy.__version__}
    result["training"] = fit(folder, vectors, code, options.cpu_minutes, options.small)
    nlp = spacy.load(folder / "model-best")
    for split in ("devel", "test"):
        result[split] = evaluate(nlp, corpora[split])
    write_json(result_file, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="+", help="folders of --data with train.tsv, devel.tsv, test.tsv")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True, help="word vectors in any format of ours")
    parser.add_argument("--out", type=Path, default=Path("runs/spacy"))
    parser.add_argument(
        "--cpu-minutes", type=float, default=60.0, help="give up waiting for the patience then"
    )
    parser.add_argument("--small", action="store_true", help="the smaller, faster encoder")
    parser.add_argument(
        "--numpy-products",
        action="store_true",
        help="by NumPy's BLAS, for processors that BLIS does not know",
    )
    options = parser.parse_args()
    code = HERE / "corpus_tokenizer.py"
    if options.numpy_products:
        import numpy_products

        code = Path(numpy_products.__file__)
    options.out.mkdir(parents=True, exist_ok=True)
    vectors = options.out / "vectors"
    write_vectors(vectors, options.vectors)
    for name in options.corpora:
        result = train(name, vectors, code, options)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
