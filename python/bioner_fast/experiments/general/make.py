"""The model ``general`` from corpora, vectors and raw text, in one go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bioner_fast.data.document import Document
from bioner_fast.errors import BionerError, UsageError
from bioner_fast.experiments.general.corpora import (
    Part,
    joined,
    read_parts,
    weighted,
    with_cut,
)
from bioner_fast.experiments.general.documents import as_corpus
from bioner_fast.experiments.general.scores import bare, by_type, compare, judged
from bioner_fast.experiments.general.sources import HEADS, SOURCES, CorpusSource
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.files import MANIFEST_NAME, read_json, sha256, write_json
from bioner_fast.log import logger
from bioner_fast.models.bundle import (
    AnswerDefaults,
    add_answer,
    add_calibration,
    add_inference,
    add_provenance,
    bundle_folder,
    load_bundle,
    save_bundle,
)
from bioner_fast.pretraining.silver import make_silver
from bioner_fast.tagging.calibration import calibration_error, fit_types
from bioner_fast.tagging.measure import adopt_precisions
from bioner_fast.tagging.tagger import Tagger
from bioner_fast.training.config import TrainConfig
from bioner_fast.training.train import train

# How the model tags: its heads answer together, under its name, and BioRED's types go before the others.
ANSWER = AnswerDefaults(overlaps="best", document_context=True, task="general", ranked=True)

# Of a corpus whose devel documents calibrate, so many are tagged; more would say nothing else.
MOST = 1000


@dataclass(frozen=True, kw_only=True)
class GeneralConfig:
    """What the model is made from.

    Attributes:
        data: folder of folders of column files.
        pubtator: folder of PubTator files.
        vectors: word vectors.
        out: folder of the work; the model comes to ``out/model``.
        texts: raw text for silver annotations; without any there are none.
        init_from: a model or encoder that the first stage starts from.
        recipe: settings of training (``recipes/general.toml``).
        words: of the most frequent words of the vectors, so many are there in training.
        shipped_words: and so many are in the model: vectors are never trained, so more of them only help.
        silver_tokens: of ``texts``.
        teachers: models, of as many seeds, that have to agree on the labels of raw text.
        epochs: of gold, of silver, and of the last stages.
        everything: whether a last stage repeats the one before with the documents cut off for development.
        seed, threads: of training.
        sources: the corpora.
    """

    data: Path
    pubtator: Path
    vectors: Path
    out: Path
    texts: tuple[Path, ...] = ()
    init_from: str | None = None
    recipe: Mapping[str, Any] | None = None
    words: int = 140_000
    shipped_words: int = 140_000
    silver_tokens: int = 2_000_000
    teachers: int = 3
    epochs: tuple[int, int, int] = (2, 2, 6)
    everything: bool = True
    seed: int = 1
    threads: int = 1
    sources: Sequence[CorpusSource] = SOURCES


def make_general(config: GeneralConfig, command: str = "") -> Path:
    """Make the model: read, hold back, train, teach with raw text, calibrate, score.

    A stage that is done is not done again; one that was at work goes on where it stood. Test documents are
    read when the model is saved, and tagged once.

    Returns:
        The bundle, ``out/model``, with the scores in ``out/scores.json``.

    Raises:
        UsageError: settings that contradict each other.
        BionerError: a file is missing or damaged.
    """
    if any(number < 1 for number in (*config.epochs, config.teachers)):
        raise UsageError("epochs and teachers: expected at least 1 of each")
    parts, _ = read_parts(config.data, config.pubtator, config.sources)
    gold = config.out / "corpora" / "gold"
    _write_tasks(gold, parts)
    begun = _train(config, gold, "first", config.epochs[0], config.init_from)
    weighted_tasks = config.out / "corpora" / "weighted"
    _write_tasks(weighted_tasks, [_weighted(part, config.seed) for part in parts])
    if config.texts:
        begun = _taught(config, gold, weighted_tasks, begun)
    model = _train(config, weighted_tasks, "reference", config.epochs[2], str(begun))
    judged_model = config.out / "judged"
    with_more_words(model, judged_model, config.vectors, config.shipped_words)
    scales = calibration(Tagger.load(judged_model, "cpu", config.threads), parts)
    _answering(judged_model, scales)
    devel, devel_errors = score_parts(judged_model, parts, "devel", config.threads)
    final = config.out / "model"
    if config.everything:
        # What was cut off has said all that it can say: how long to train, and what a score is worth.
        epochs = _selected_epoch(config.out / "reference")
        whole = config.out / "corpora" / "everything"
        _write_tasks(whole, [_weighted(with_cut(part), config.seed) for part in parts], devel=False)
        model = _train(config, whole, "everything", epochs, str(begun), selection="last")
    with_more_words(model, final, config.vectors, config.shipped_words)
    adopt_precisions(final, judged_model, [as_corpus(part.devel) for part in parts if part.devel])
    _answering(final, scales)
    facts = {"command": command, "inputs": digests(config), "dropped": dropped(parts)}
    add_provenance(final, {**facts, "config": portable_config(final)})
    test, test_errors = score_parts(final, parts, "test", config.threads)
    scores = {"devel": devel, "test": test}
    errors = {"devel": devel_errors, "test": test_errors}
    add_provenance(final, {"scores": scores, "calibration_error": errors})
    write_json(config.out / "scores.json", scores)
    return final


def _answering(model: Path, scales: Mapping[str, Mapping[str, tuple[float, float]]]) -> None:
    """Say what the heads' scores are worth, which each head tells for itself, then let them answer as one."""
    add_calibration(model, scales)
    add_answer(model, ANSWER)


def _selected_epoch(run: Path) -> int:
    """The epoch whose weights a finished run kept; the first, if it kept those that it began with."""
    step = read_json(run / "result.json")["selected_step"]
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return max(1, next((int(r["epoch"]) for r in records if r["step"] == step), len(records)))


def with_more_words(model: Path, target: Path, vectors: Path, words: int) -> None:
    """The model with the vectors of more words of the file that it was trained with.

    Raises:
        BionerError: the file is another one, or the model has fine-tuned its vectors.
    """
    bundle = load_bundle(model)
    known = WordVectors.load(vectors)
    have, n = len(bundle.vocabulary), min(words, len(known))
    table = bundle.network.embedding.words.detach()
    if known.words[:have] != bundle.vocabulary.words or bundle.network.embedding.tune_words:
        raise BionerError(f"{model}: its words are not the first ones of {vectors}")
    rows = torch.from_numpy(known.matrix[have:n].copy())
    table = torch.cat([table, rows])
    network = bundle.network
    network.embedding.words = torch.nn.Parameter(table, requires_grad=False)
    vocabulary = Vocabulary(known.words[: max(have, n)])
    save_bundle(
        target, network, vocabulary, bundle.tasks, schema=bundle.schema, precision="int8",
        provenance=bundle.provenance, force=True,
    )  # fmt: skip
    if bundle.inference is not None:
        add_inference(target, bundle.inference)


def _taught(config: GeneralConfig, gold: Path, weighted_tasks: Path, first: Path) -> Path:
    """Gold again, from weights that learnt what several teachers say alike of raw text."""
    silver = config.out / "corpora" / "silver"
    teachers = [
        _train(config, weighted_tasks, f"teacher-{seed}", config.epochs[2], str(first), seed=seed)
        for seed in range(config.seed, config.seed + config.teachers)
    ]
    if not silver.is_dir():
        judged = [path for source in config.sources for path in _files(config, source.devel + source.test)]
        cut = [path for source in config.sources if source.cut for path in _files(config, source.train)]
        made = make_silver(
            teachers, [str(text) for text in config.texts], silver, heads=("general",),
            exclude=[str(path) for path in dict.fromkeys(judged + cut)], tokens=config.silver_tokens,
            threads=config.threads,
        )  # fmt: skip
        logger.info("silver: %s", made.tasks["general"])
    learnt = _train(config, silver, "silver", config.epochs[1], config.init_from, "last", tasks=("general",))
    return _train(config, gold, "gold", config.epochs[0], str(learnt))


def _files(config: GeneralConfig, names: Sequence[str]) -> list[Path]:
    return [config.data / f"{name}.tsv" if "/" in name else config.pubtator / name for name in names]


def _weighted(part: Part, seed: int) -> Part:
    return replace(part, train=weighted(part.train, part.source.weight, seed))


def _write_tasks(folder: Path, parts: Sequence[Part], *, devel: bool = True) -> None:
    """A task for every head; with ``devel``, BioRED's devel documents select among its epochs."""
    for head, types in HEADS.items():
        mine = [part for part in parts if part.source.head == head]
        if not mine:
            raise BionerError(f"no corpus trains the head {head}")
        corpus = joined(mine, types)
        target = folder / head
        target.mkdir(parents=True, exist_ok=True)
        corpus.write(target / "train.tsv")
        complete = [part for part in mine if set(part.source.types.values()) == set(types)]
        if devel and head == "general" and complete and complete[0].devel:
            as_corpus(complete[0].devel).write(target / "devel.tsv")


def _train(
    config: GeneralConfig,
    data: Path,
    stage: str,
    epochs: int,
    init_from: str | None,
    selection: str = "devel",
    *,
    seed: int | None = None,
    tasks: Sequence[str] = tuple(HEADS),
) -> Path:
    """Train a stage, or go on with it."""
    out = config.out / stage
    settings: dict[str, Any] = {
        "arch": "idcnn", "vector_precision": "int8", "max_vocab": config.words, "batch_size": 600,
        "seed": config.seed if seed is None else seed, "threads": config.threads, **(config.recipe or {}),
    }  # fmt: skip
    wanted = TrainConfig(
        **{
            **settings,
            "tasks": tuple(tasks), "data": str(data), "vectors": str(config.vectors), "out": str(out),
            "epochs": epochs, "init_from": init_from, "selection": selection, "test": False,
        }
    )  # fmt: skip
    begun = (out / "config.toml").is_file()
    logger.info("%s stage: %s", stage, "going on" if begun else f"{epochs} epochs")
    return train(wanted, resume=begun).model


def calibration(tagger: Tagger, parts: Sequence[Part]) -> dict[str, dict[str, tuple[float, float]]]:
    """Slope and offset of every type of every head, from devel documents that label it."""
    result = {}
    for head in HEADS:
        found: dict[str, Any] = {}
        for part in parts:
            if part.source.head != head or not part.source.calibrates or not part.devel:
                continue
            gold = part.devel[:MOST]
            tagged = [_of_head(document, head) for document in tagger.tag(bare(gold))]
            pairs = judged(gold, tagged, part.source.types.values())
            # The corpus with most predictions of a type tells most about it.
            found.update({k: v for k, v in pairs.items() if len(v[0]) > len(found.get(k, ((),))[0])})
        if found:
            result[head] = fit_types(found)
    return result


def _of_head(document: Document, head: str) -> Document:
    passages = [replace(p, entities=[e for e in p.entities if e.task == head]) for p in document.passages]
    return replace(document, passages=passages)


def score_parts(
    model: Path, parts: Sequence[Part], split: str, threads: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of the saved bundle on a split of every corpus that has it, as users get its answers.

    Exact spans; documents are tagged whole (of column files, sentence by sentence).

    Returns:
        By corpus and type, precision, recall and F1; and predictions with their expected calibration error,
        both in percent.
    """
    tagger = Tagger.load(model, "cpu", threads)
    scores: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for part in parts:
        gold = part.devel if split == "devel" else part.test
        if not gold:
            continue
        name, types = part.source.name, list(dict.fromkeys(part.source.types.values()))
        found = list(tagger.tag(bare(gold)))
        scores[name] = by_type(compare(gold, found, types))
        errors[name] = {
            kind: {"predictions": len(s), "error": round(100 * calibration_error(s, right), 2)}
            for kind, (s, right) in judged(gold, found, types).items()
        }
        if part.source.head != "general":  # what the head finds where no other head is in its way
            kept = compare(gold, list(tagger.tag(bare(gold), overlaps="keep")), types)
            scores[f"{name}, overlaps kept"] = by_type(kept)
        logger.info("%s %s: %s", name, split, json.dumps(scores[name]))
    return scores, errors


def portable_config(model: Path) -> dict[str, Any]:
    """The settings of a bundle's training, with the last part of every path: what others may read."""
    content = json.loads((model / "bundle.json").read_text(encoding="utf-8"))
    settings: dict[str, Any] = content["provenance"]["config"]
    paths = ("data", "vectors", "init_from", "out")
    return {
        name: Path(value).name if name in paths and isinstance(value, str) else value
        for name, value in settings.items()
    }


def digests(config: GeneralConfig) -> dict[str, str]:
    """SHA-256 of everything that goes in, by file name."""
    files: dict[str, Path] = {config.vectors.name: config.vectors}
    for source in config.sources:
        names = (*source.train, *source.devel, *source.test)
        for name, path in zip(names, _files(config, names), strict=True):
            files[f"{name}.tsv" if "/" in name else name] = path
    files.update({text.name: text for text in config.texts})
    if config.init_from is not None:
        files["init_from"] = bundle_folder(config.init_from) / MANIFEST_NAME
    return {name: sha256(path) for name, path in sorted(files.items())}


def dropped(parts: Sequence[Part]) -> dict[str, list[int]]:
    """Documents and sentences of every corpus that were held back from training."""
    return {part.source.name: list(part.dropped) for part in parts}
