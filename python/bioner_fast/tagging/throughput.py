"""How fast files are tagged here, and where the time goes."""

from __future__ import annotations

import io
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bioner_fast.data.corpus import Corpus
from bioner_fast.data.document import Document
from bioner_fast.errors import BionerError
from bioner_fast.formats.registry import open_writer
from bioner_fast.resources import data_folder
from bioner_fast.tagging.inputs import Input, read_input
from bioner_fast.tagging.prepare import batches
from bioner_fast.tagging.shards import TagOptions
from bioner_fast.tagging.stream import StreamCounts, tag_stream
from bioner_fast.tagging.tagger import Tagger

STAGES = ("read", "tokenise", "model", "decode", "write")
# Documents tagged before anything is timed.
_WARM_UP = 20
# The bundled text: tokens of all copies together, sentences of a document.
_SAMPLE_TOKENS = 100_000
_SAMPLE_SENTENCES = 10


@dataclass(frozen=True, slots=True)
class TagThroughput:
    """What :func:`measure_tagging` found.

    Attributes:
        documents, tokens, entities: of one run.
        text_bytes: the texts in UTF-8.
        seconds: of a run from files to output with all stages at once; the median of the runs.
        stages: seconds of each stage when they follow each other on one thread; read, tokenise (with look-up
            of words), model, decode (tags, spans, scores, entities), write.
        lanes: batches under way at a time in the former.
    """

    documents: int
    tokens: int
    entities: int
    text_bytes: int
    seconds: float
    stages: dict[str, float]
    lanes: int

    def to_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        total = sum(self.stages.values())
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "entities": self.entities,
            "text_bytes": self.text_bytes,
            "seconds": self.seconds,
            "documents_per_second": self.documents / self.seconds,
            "tokens_per_second": self.tokens / self.seconds,
            "megabytes_per_second": self.text_bytes / self.seconds / 1e6,
            "threads": self.lanes,
            "stages": {
                name: {
                    "seconds": spent,
                    "share": spent / total,
                    "nanoseconds_per_token": spent / self.tokens * 1e9,
                }
                for name, spent in self.stages.items()
            },
        }


class _Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing, so that no disk is measured."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return len(cast(bytes, data))


def measure_tagging(
    tagger: Tagger,
    inputs: Sequence[Input],
    options: TagOptions,
    *,
    documents: int | None = None,
    repeat: int = 3,
) -> TagThroughput:
    """Tag files to nowhere: ``repeat`` times as ``tag`` does, and once stage by stage on one thread.

    Args:
        tagger: the tagger.
        inputs: from :func:`find_inputs`.
        options: as for tagging; ``lanes`` is the number of threads.
        documents: only so many of them.
        repeat: runs.

    Raises:
        BionerError: the inputs hold no tokens.
    """
    keep_tokens = options.output_format == "conll"

    def read() -> Iterator[Document]:
        return itertools.islice(itertools.chain.from_iterable(map(read_input, inputs)), documents)

    tagger.tag(itertools.islice(read(), _WARM_UP))
    runs: list[float] = []
    counts = StreamCounts()
    for _ in range(repeat):
        counts = StreamCounts()
        begun = time.perf_counter()
        stream = tag_stream(
            tagger,
            read(),
            batch_tokens=options.batch_tokens,
            answer=options.answer,
            keep_tokens=keep_tokens,
            counts=counts,
            lanes=options.lanes,
        )
        sink = cast(BinaryIO, _Nowhere())
        with closing(stream), open_writer(sink, options.output_format) as writer:
            for document in stream:
                writer.write(document)
        runs.append(time.perf_counter() - begun)
    if not counts.tokens:
        raise BionerError(f"{inputs[0].path}: there is nothing to measure: no tokens")
    stages, text_bytes = _stages(tagger, read(), options)
    return TagThroughput(
        counts.documents,
        counts.tokens,
        counts.entities,
        text_bytes,
        statistics.median(runs),
        stages,
        options.lanes,
    )


def _stages(
    tagger: Tagger, documents: Iterator[Document], options: TagOptions
) -> tuple[dict[str, float], int]:
    """Seconds of each stage, one after the other, and the bytes of all texts."""
    spent = dict.fromkeys(STAGES, 0.0)
    text_bytes = 0
    clock = time.perf_counter
    predictor = tagger.predictor
    with open_writer(cast(BinaryIO, _Nowhere()), options.output_format) as writer:
        source = iter(batches(documents, options.batch_tokens))
        while True:
            begun = clock()
            batch = next(source, None)
            spent["read"] += clock() - begun
            if batch is None:
                break
            text_bytes += sum(len(p.text.encode("utf-8", "replace")) for d in batch for p in d.passages)
            begun = clock()
            prepared = tagger.prepare(batch)
            tokenised = clock()
            emissions = predictor.emissions(prepared.encoded)
            computed = clock()
            tagged = tagger.assemble(
                prepared, emissions, options.answer, keep_tokens=options.output_format == "conll"
            )
            decoded = clock()
            for document in tagged:
                writer.write(document)
            written = clock()
            spent["tokenise"] += tokenised - begun
            spent["model"] += computed - tokenised
            spent["decode"] += decoded - computed
            spent["write"] += written - decoded
    return spent, text_bytes


def write_sample(path: Path) -> None:
    """Write the bundled sample corpus again and again as JSON lines, for want of a text."""
    corpus = Corpus.read(data_folder() / "samples" / "sample-disease" / "train.tsv")
    tokens, offsets = corpus.tokens.tolist(), corpus.sentence_offsets.tolist()
    sentences = [" ".join(tokens[a:b]) for a, b in itertools.pairwise(offsets)]
    texts = [
        " ".join(sentences[at : at + _SAMPLE_SENTENCES]) for at in range(0, len(sentences), _SAMPLE_SENTENCES)
    ]
    copies = -(-_SAMPLE_TOKENS // len(tokens))
    with open(path, "w", encoding="utf-8") as out:
        for number, text in enumerate(texts * copies, start=1):
            out.write(json.dumps({"id": str(number), "text": text}) + "\n")
