"""A pre-training run: text in, encoder out."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioner_fast.errors import BionerError, UsageError
from bioner_fast.features.batch import Features, featurize
from bioner_fast.features.table import embedding_matrix
from bioner_fast.features.tokenize import segment
from bioner_fast.features.vectors import WordVectors
from bioner_fast.features.vocabulary import Vocabulary
from bioner_fast.files import atomic_write, sha256, write_json
from bioner_fast.log import logger
from bioner_fast.models.bundle import FeatureSchema, save_bundle
from bioner_fast.models.idcnn.network import IdcnnConfig, IdcnnNetwork
from bioner_fast.models.learning.optimizer import Optimizer
from bioner_fast.models.word_rows import STORED_PRECISIONS, rounded_rows
from bioner_fast.pretraining.leaks import Unwanted, judged_texts
from bioner_fast.pretraining.masked_words import Masked, MaskedWords, Rates, Targets, mask
from bioner_fast.pretraining.text import find_texts, note, pools
from bioner_fast.training.checkpoint import CheckpointFolder
from bioner_fast.training.stopping import TrainingInterrupted, stop_signals

# Sentences of other lengths, in tokens, are left out: headings, and what no splitter could split.
LENGTHS = (5, 150)
# One sentence in so many is held out, up to HELD of them; the words are counted in the same first text.
HELD_OUT, HELD = 64, 500
WARMUP = 200
FLOOR = 0.02
_SETTINGS = "pretrain.json"


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of a pre-training run.

    Attributes:
        texts: files and folders of raw text.
        vectors: word vectors; they stay as they are.
        out: folder of the run.
        exclude: corpora whose devel and test sentences are dropped from the text.
        tokens, minutes: budgets; the learning rate falls to the end of the nearer one.
        targets: so many of the most frequent words can be asked for.
        channels, dilations, char_filters, affix_dim: of the encoder.
        pool_characters: of text that is shuffled together; bounds memory.

    Raises:
        UsageError: a value is out of range.
    """

    texts: tuple[str, ...]
    vectors: str
    out: str
    exclude: tuple[str, ...] = ()
    tokens: int | None = None
    minutes: float | None = None
    targets: int = 20_000
    channels: int = 256
    dilations: tuple[int, ...] = (1, 2, 4)
    char_filters: int = 64
    affix_dim: int = 24
    dropout: float = 0.2
    input_dropout: float = 0.3
    word_dropout: float = 0.05
    rates: Rates = field(default_factory=Rates)
    learning_rate: float = 2e-3
    weight_decay: float = 0.5
    batch_size: int = 2000
    clip: float = 1.0
    max_vocab: int | None = None
    vector_precision: str = "float16"
    precision: str = "float32"
    pool_characters: int = 4_000_000
    seed: int = 1
    threads: int | None = None
    checkpoint_seconds: float = 60.0
    evaluate_every: int = 500_000

    def __post_init__(self) -> None:
        positive = {"tokens", "minutes", "targets", "channels", "batch_size", "pool_characters", "threads",
                    "learning_rate", "evaluate_every", "max_vocab", "checkpoint_seconds"}  # fmt: skip
        for name in sorted(positive):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')}: expected a positive number, found {value}")
        for name in ("dropout", "input_dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')}: expected 0 <= P < 1, found {getattr(self, name):g}"
                )
        for name in ("weight_decay", "seed", "char_filters", "affix_dim"):
            if not 0 <= getattr(self, name) < 2**63:
                raise UsageError(
                    f"--{name.replace('_', '-')}: expected 0 or more, found {getattr(self, name):g}"
                )
        if not self.dilations or any(not 1 <= dilation <= 64 for dilation in self.dilations):
            raise UsageError(f"--dilations: expected sizes of 1 to 64, found {self.dilations}")
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError(f"--precision: expected one of float32, bfloat16, found {self.precision!r}")
        if self.vector_precision not in STORED_PRECISIONS:
            raise UsageError(
                f"--vector-precision: expected one of {', '.join(STORED_PRECISIONS)}, "
                f"found {self.vector_precision!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        made: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return made


def portable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``pretrain.json`` that matter to others, with the last part of every path.

    Example:
        >>> portable_settings({"texts": ["/data/a.txt"], "exclude": [], "vectors": "/data/v.bin", "out": "e"})
        {'texts': ['a.txt'], 'exclude': [], 'vectors': 'v.bin'}
    """
    kept = {name: value for name, value in settings.items() if name not in _FREE}
    for name in ("texts", "exclude"):
        kept[name] = [Path(path).name for path in kept[name]]
    return kept | {"vectors": Path(kept["vectors"]).name}


# What a resumed run may be given anew.
_FREE = ("out", "threads", "checkpoint_seconds")


@dataclass(slots=True)
class PretrainPosition:
    """Where a run is.

    Attributes:
        epoch, pool, batch: passes over the text, pools of this one, and batches of this pool that are done.
        pool_batches: batches that this pool has.
        step, tokens: done in all.
        seconds: spent in steps.
        loss_sum, loss_count: of the steps since the text was last judged by.
        random: state of the generator at the start of the pool.
        history: what was judged so far.
    """

    epoch: int = 0
    pool: int = 0
    batch: int = 0
    pool_batches: int = 1
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    random: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What a run gives.

    Attributes:
        model: the encoder, a bundle without heads; ``train --init-from`` takes it.
        tokens, steps, epochs: that were trained (epochs: passes over the text that began).
        loss, perplexity, accuracy: on held-out text (nats per hidden word; share of right answers); None
            where there was too little text to hold any out.
        tokens_per_second: in steps.
        seconds: of the whole run.
    """

    model: Path
    tokens: int
    steps: int
    epochs: int
    loss: float | None
    perplexity: float | None
    accuracy: float | None
    tokens_per_second: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "model": str(self.model)}


def pretrain(
    config: PretrainConfig, *, resume: bool = False, force: bool = False, stop_after: int | None = None
) -> PretrainResult:
    """Pre-train an encoder on raw text.

    Args:
        config: the settings.
        resume: go on with the run in ``config.out``; bit for bit what an unbroken run gives, where the budget
            is of tokens.
        force: replace a run in ``config.out``.
        stop_after: steps after which a checkpoint is saved and the run ends as if interrupted; for tests.

    Raises:
        BionerError: text or vectors cannot be read, or there is nothing to learn from.
        UsageError: settings do not fit.
        TrainingInterrupted: Ctrl-C or SIGTERM came; a checkpoint is saved.

    Example:
        >>> pretrain(PretrainConfig(texts=("a.txt",), vectors="w.bin", out="runs/e"))  # doctest: +SKIP
        PretrainResult(model=PosixPath('runs/e/model'), ...)
    """
    began = time.monotonic()
    if resume and force:
        raise UsageError("--resume and --force contradict each other")
    out = Path(config.out)
    settings = out / _SETTINGS
    if resume:
        _check_resumed(config, settings)
    elif out.exists() and not out.is_dir():
        raise BionerError(f"{out} is a file; choose another --out")
    elif out.is_dir() and any(out.iterdir()) and not force:
        how = "pass --resume to go on with it, " if settings.exists() else ""
        raise BionerError(f"{out} is not empty; {how}--force to replace it, or choose another --out")
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads)
    try:
        with torch.random.fork_rng(devices=[]):
            run = _Run(config)
            if not resume:
                if out.is_dir():
                    for part in (settings, out / "metrics.jsonl", out / "result.json"):
                        part.unlink(missing_ok=True)
                    for part in (out / "model", out / "checkpoint"):
                        shutil.rmtree(part, ignore_errors=True)
                write_json(settings, config.to_json())
            elif run.checkpoints.exists():
                run.load()
                logger.info("going on from step %d", run.at.step)
            with stop_signals() as stop:
                run.train(stop, stop_after)
            result = run.finish(time.monotonic() - began)
    finally:
        torch.set_num_threads(threads)
    return result


def _check_resumed(config: PretrainConfig, settings: Path) -> None:
    if not settings.is_file():
        raise BionerError(f"{settings.parent} holds no run to resume (it has no {settings.name})")
    saved = json.loads(settings.read_text(encoding="utf-8"))
    now = config.to_json()
    for item in fields(PretrainConfig):
        if item.name not in _FREE and saved.get(item.name) != now[item.name]:
            raise UsageError(
                f"--resume: {item.name.replace('_', '-')} is {now[item.name]!r} here and "
                f"{saved.get(item.name)!r} in {settings}; give what the run began with"
            )


class _Run:
    """All that a run holds."""

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config
        self.out = Path(config.out)
        self.checkpoints = CheckpointFolder(self.out / "checkpoint")
        self.files = find_texts(config.texts)
        note(self.files)
        torch.manual_seed(config.seed)
        self.random = np.random.default_rng([config.seed, 2])
        self.schema = FeatureSchema()
        self.vocabulary, table = _word_table(config)
        judged = list(judged_texts(config.exclude))
        self.unwanted = Unwanted([texts for _, texts in judged])
        self.judged = [name for name, _ in judged]
        if judged:
            logger.info("%d files of devel and test sentences are kept out of the text", len(judged))
        self.dropped = 0
        held, counts, seen = self._first_look(len(table))
        # The learning rate falls to the end of a pass, which is where the text ends.
        self.pools = sum(1 for _ in pools(self.files, config.pool_characters)) if self._by_epochs else None
        self.targets = Targets.most_frequent(counts, config.targets)
        self.network = IdcnnNetwork(
            IdcnnConfig(
                tasks=(), rows=len(table), word_dim=table.shape[1], channels=config.channels,
                dilations=config.dilations, char_filters=config.char_filters, affix_dim=config.affix_dim,
                dropout=config.dropout, input_dropout=config.input_dropout, word_dropout=config.word_dropout,
            )
        )  # fmt: skip
        self.network.reset()
        self.network.embedding.words.data = table
        self.network.calibrate(seen)
        self.network.training_product = torch.bfloat16 if config.precision == "bfloat16" else None
        self.model = MaskedWords(self.network, self.targets)
        generator = torch.Generator().manual_seed(config.seed)
        clean = Rates(spelt=0.0, kept=0.0, swapped=0.0)
        self.held: list[Masked] = [mask(part, self.targets, clean, generator) for part in held]
        self.at = PretrainPosition()
        self._factor = 1.0
        learning = self.model.learning()
        # Vectors and tables of few rows in use are not decayed.
        decayed = {
            n: v
            for n, v in learning.items()
            if v.dim() > 1 and not n.endswith((".affixes", "characters.characters"))
        }
        plain = {name: value for name, value in learning.items() if name not in decayed}
        self.optimizers = [
            Optimizer(
                "adamw", part, config.learning_rate, weight_decay=decay, schedule=lambda _: self._factor
            )
            for part, decay in ((decayed, config.weight_decay), (plain, 0.0))
        ]
        logger.info(
            "%s parameters learn, %s words can be asked for, %s sentences are held out",
            f"{sum(value.numel() for value in learning.values()):,}",
            f"{len(self.targets):,}",
            f"{sum(len(part.features.offsets) - 1 for part in self.held):,}",
        )

    def _features(self, texts: list[str]) -> tuple[Features, np.ndarray]:
        """Features of texts, and which of their sentences are fit for training, bool [S]."""
        threads = self.config.threads or 0
        text = segment(texts, threads=threads)
        features = featurize(
            text.tokens, text.sentence_offsets, self.vocabulary, normalization=self.schema.normalization,
            folding=self.schema.folding, forms=True, threads=threads,
        )  # fmt: skip
        lengths = np.diff(text.sentence_offsets)
        good = (lengths >= LENGTHS[0]) & (lengths <= LENGTHS[1])
        leaks = self.unwanted.mask(text)
        self.dropped += int((good & leaks).sum())
        return features, good & ~leaks

    def _first_look(self, rows: int) -> tuple[list[Features], np.ndarray, list[Features]]:
        """Held-out sentences, how often each row of the table occurs, and features to scale vectors by."""
        counts = np.zeros(rows, np.int64)
        held: list[Features] = []
        seen: list[Features] = []
        found = 0
        for number, texts in enumerate(pools(self.files, self.config.pool_characters)):
            features, good = self._features(texts)
            counts += np.bincount(features.word_ids.numpy(), minlength=rows)
            if not seen:
                seen.append(features)
            chosen = np.flatnonzero(good & _is_held_out(features))[: HELD - found]
            if len(chosen):
                held.append(_sentences(features, chosen))
                found += len(chosen)
            if number == 3:
                break
        if not counts.sum():
            raise BionerError("the text holds no word that has a vector; name other files or other --vectors")
        self.dropped = 0
        return held, counts, seen

    def _batches(self, texts: list[str], first: int) -> Iterator[tuple[Features, Features]]:
        """The batches of a pool from number ``first`` on, each with the pool that it is of."""
        features, good = self._features(texts)
        if self.held:
            good &= ~_is_held_out(features)
        order = self.random.permutation(np.flatnonzero(good))
        if not len(order):
            return
        lengths = np.diff(features.offsets.numpy())[order]
        ends = np.cumsum(lengths)
        group = (ends - lengths + ends) // 2 // self.config.batch_size
        cuts = np.flatnonzero(np.diff(group)) + 1
        self.at.pool_batches = len(cuts) + 1
        for part in np.split(order, cuts)[first:]:
            yield _sentences(features, part), features

    def train(self, stop: threading.Event, stop_after: int | None) -> None:
        """All steps of the budget.

        Raises:
            TrainingInterrupted: ``stop`` was set; a checkpoint is saved.
        """
        at, config = self.at, self.config
        self.model.train()
        saved = time.monotonic()
        if not at.history:
            self._judge()
        while self._done() < 1:
            began, resumed = at.step, at.pool > 0 or at.batch > 0
            for number, texts in enumerate(pools(self.files, config.pool_characters)):
                if number < at.pool:
                    continue
                if at.batch and at.random:
                    self.random.bit_generator.state = at.random
                else:
                    at.random = dict(self.random.bit_generator.state)
                for batch, pool in self._batches(texts, at.batch):
                    start, tokens = time.monotonic(), at.tokens
                    at.loss_sum, at.loss_count = at.loss_sum + self._step(batch, pool), at.loss_count + 1
                    at.seconds += time.monotonic() - start
                    at.batch, at.step, at.tokens = at.batch + 1, at.step + 1, at.tokens + len(batch)
                    if at.tokens // config.evaluate_every > tokens // config.evaluate_every:
                        self._judge()
                    if stop.is_set() or (stop_after is not None and at.step >= stop_after):
                        self.save()
                        raise TrainingInterrupted(
                            f"interrupted at step {at.step}; a checkpoint is saved, go on with the same "
                            "command and --resume"
                        )
                    if time.monotonic() - saved >= config.checkpoint_seconds:
                        self.save()
                        saved = time.monotonic()
                    if self._done() >= 1:
                        break
                if self._done() >= 1:
                    break
                at.pool, at.batch = at.pool + 1, 0
            if at.step == began and not resumed:
                raise BionerError("the text holds no sentence to learn from; name other files")
            if self._done() < 1 or self._by_epochs:
                at.epoch, at.pool, at.batch = at.epoch + 1, 0, 0
        if at.loss_count:
            self._judge()

    @property
    def _by_epochs(self) -> bool:
        """Whether the run is a pass over the text."""
        return self.config.tokens is None and self.config.minutes is None

    def _done(self) -> float:
        """The share of the budget that is spent; without one, of a pass over the text."""
        at, config = self.at, self.config
        shares = []
        if self.pools is not None:
            shares.append(at.epoch + (at.pool + at.batch / at.pool_batches) / max(self.pools, 1))
        if config.tokens is not None:
            shares.append(at.tokens / config.tokens)
        if config.minutes is not None:
            shares.append(at.seconds / (60 * config.minutes))
        return max(shares)

    def _step(self, batch: Features, pool: Features) -> float:
        self._factor = min(1.0, (self.at.step + 1) / WARMUP) * max(FLOOR, 1 - self._done())
        masked = mask(batch, self.targets, self.config.rates, others=pool)
        if not len(masked.at):
            return 0.0
        loss = self.model.loss(masked)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.learning().values(), self.config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BionerError(
                f"pre-training diverged at step {self.at.step + 1}; try a smaller --learning-rate"
            )
        return value

    def _judge(self) -> None:
        at = self.at
        loss = at.loss_sum / max(at.loss_count, 1)
        at.loss_sum, at.loss_count = 0.0, 0
        record: dict[str, Any] = {"step": at.step, "tokens": at.tokens, "epoch": at.epoch + 1, "loss": loss}
        if self.held:
            held, right = self.model.judge(self.held)
            record |= {"held_out": held, "perplexity": math.exp(min(held, 700.0)), "accuracy": right}
        at.history.append(record)
        with atomic_write(self.out / "metrics.jsonl") as out:
            out.writelines(json.dumps(entry) + "\n" for entry in at.history)
        shown = (
            f"held out {record['held_out']:.3f} (perplexity {record['perplexity']:,.1f}, "
            f"{record['accuracy']:.1%} right)"
            if self.held
            else "nothing held out"
        )
        speed = at.tokens / at.seconds if at.seconds else 0.0
        logger.info(
            "step %d, %s tokens (%.0f %%), loss %.3f, %s, %s tokens/s",
            at.step, f"{at.tokens:,}", 100 * min(self._done(), 1.0), loss, shown, f"{speed:,.0f}",
        )  # fmt: skip

    def save(self) -> None:
        """Save a checkpoint."""
        at = self.at
        state = {f"model/{name}": value for name, value in self.model.learning().items()}
        state["random/torch"] = torch.get_rng_state()
        for index, optimizer in enumerate(self.optimizers):
            state |= {f"optimizer{index}/{name}": value for name, value in optimizer.state().items()}
        facts = {"step": at.step, "position": asdict(at)}
        self.checkpoints.save(facts, {f"state-{at.step}": state})

    def load(self) -> None:
        """Go on from the checkpoint."""
        facts, groups = self.checkpoints.load()
        self.at = PretrainPosition(**facts["position"])
        if self.at.random:
            self.random.bit_generator.state = self.at.random
        state = groups[f"state-{self.at.step}"]

        def part(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}

        with torch.no_grad():
            for name, value in part("model/").items():
                self.model.learning()[name].copy_(value)
        for index, optimizer in enumerate(self.optimizers):
            optimizer.load_state(part(f"optimizer{index}/"))
        torch.set_rng_state(state["random/torch"])

    def facts(self) -> dict[str, Any]:
        """What the encoder says about how it was made."""
        last = self.at.history[-1] if self.at.history else {}
        settings = portable_settings(self.config.to_json())
        return {
            "kind": "encoder",
            "objective": "masked words",
            "pretraining": settings,
            "text": {Path(path).name: sha256(path) for path, _ in self.files},
            "excluded": len(self.judged),
            "tokens": self.at.tokens,
            "selected_step": self.at.step,
            "held_out": {n: last[n] for n in ("held_out", "perplexity", "accuracy") if n in last},
            "torch": torch.__version__,
        }

    def finish(self, seconds: float) -> PretrainResult:
        """Write the encoder and the result; the checkpoint goes."""
        at = self.at
        model = save_bundle(
            self.out / "model", self.network, self.vocabulary, (), schema=self.schema,
            precision=self.config.vector_precision, provenance=self.facts(), force=True,
        )  # fmt: skip
        last = at.history[-1] if at.history else {}
        result = PretrainResult(
            model, at.tokens, at.step, at.epoch + (at.pool + at.batch > 0), last.get("held_out"),
            last.get("perplexity"), last.get("accuracy"), at.tokens / at.seconds if at.seconds else 0.0,
            seconds,
        )  # fmt: skip
        write_json(self.out / "result.json", result.to_json())
        shutil.rmtree(self.checkpoints.path, ignore_errors=True)
        if self.dropped:
            logger.info("%s sentences stand in devel or test splits and were left out", f"{self.dropped:,}")
        return result


def _word_table(config: PretrainConfig) -> tuple[Vocabulary, Tensor]:
    """Words and vectors as ``train`` takes them from the same file."""
    vectors = WordVectors.load(config.vectors, threads=config.threads or 0)
    vocabulary, matrix = embedding_matrix(vectors, config.max_vocab, np.random.default_rng([config.seed, 1]))
    table = torch.from_numpy(matrix)
    try:
        return vocabulary, rounded_rows(table, config.vector_precision)
    except UsageError as error:
        raise BionerError(f"{config.vectors}: {error}") from None


def _sentences(features: Features, numbers: np.ndarray) -> Features:
    """Some sentences, in this order, laid end to end."""
    offsets = features.offsets.numpy()
    lengths = np.diff(offsets)[numbers]
    new = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.repeat(offsets[:-1][numbers] - new[:-1], lengths) + np.arange(new[-1])
    return features.take(torch.from_numpy(tokens), torch.from_numpy(new))


def _is_held_out(features: Features) -> np.ndarray:
    """One sentence in HELD_OUT by its words, wherever it stands; bool [S]."""
    offsets = features.offsets.numpy()
    found = np.zeros(len(offsets) - 1, np.bool_)
    words = features.word_ids.numpy().astype(np.uint64)
    there = np.flatnonzero(np.diff(offsets) > 0)
    if not len(there):
        return found
    place = np.arange(len(words)) - np.repeat(offsets[:-1], np.diff(offsets))
    factors = np.random.default_rng(1).integers(1 << 62, size=4096, dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
    sums = np.add.reduceat((words + np.uint64(1)) * factors[place % 4096], offsets[there])
    found[there] = (sums >> np.uint64(33)) % np.uint64(HELD_OUT) == 0
    return found
