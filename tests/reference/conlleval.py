"""The chunk rules of conlleval, read off their definition: slow, and obvious enough to trust."""

from __future__ import annotations

from collections import Counter

Chunk = tuple[int, int, str]


def parse(tag: str) -> tuple[str, str]:
    """Prefix and type; the type is all after the first hyphen."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def starts_chunk(previous: str, tag: str) -> bool:
    (previous_prefix, previous_type), (prefix, kind) = parse(previous), parse(tag)
    if prefix in ("B", "S"):
        return True
    if prefix in ("I", "E") and previous_prefix in ("O", "E", "S"):
        return True
    return prefix != "O" and kind != previous_type


def ends_chunk(previous: str, tag: str) -> bool:
    (previous_prefix, previous_type), (prefix, kind) = parse(previous), parse(tag)
    if previous_prefix in ("E", "S"):
        return True
    if previous_prefix in ("B", "I") and prefix in ("B", "S", "O"):
        return True
    return previous_prefix != "O" and kind != previous_type


def chunks(tags: list[str]) -> list[Chunk]:
    """(start, end, type) of the chunks of one sentence, end exclusive."""
    found: list[Chunk] = []
    start: int | None = None
    padded = ["O", *tags, "O"]
    for i in range(len(tags) + 1):
        previous, tag = padded[i], padded[i + 1]
        if start is not None and ends_chunk(previous, tag):
            found.append((start, i, parse(previous)[1]))
            start = None
        if starts_chunk(previous, tag):
            start = i
    return found


def strict_chunks(tags: list[str], scheme: str) -> list[Chunk]:
    """Chunks that are written exactly as ``iob2`` or ``iobes`` wants them."""
    found: list[Chunk] = []
    for start in range(len(tags)):
        for end in range(start + 1, len(tags) + 1):
            kind = parse(tags[start])[1]
            n = end - start
            follows = tags[end] if end < len(tags) else "O"
            if scheme == "iob2":
                wanted = [f"B-{kind}"] + [f"I-{kind}"] * (n - 1)
                if tags[start:end] == wanted and kind and follows != f"I-{kind}":
                    found.append((start, end, kind))
            else:
                wanted = [f"S-{kind}"] if n == 1 else [f"B-{kind}", *[f"I-{kind}"] * (n - 2), f"E-{kind}"]
                if tags[start:end] == wanted and kind:
                    found.append((start, end, kind))
    return found


def count(gold: list[list[Chunk]], predicted: list[list[Chunk]]) -> dict[str, tuple[int, int, int]]:
    """True positives, false positives and false negatives per type."""
    tp: Counter[str] = Counter()
    fp: Counter[str] = Counter()
    fn: Counter[str] = Counter()
    for g, p in zip(gold, predicted, strict=True):
        tp.update(kind for *_, kind in set(g) & set(p))
        fp.update(kind for *_, kind in set(p) - set(g))
        fn.update(kind for *_, kind in set(g) - set(p))
    return {kind: (tp[kind], fp[kind], fn[kind]) for kind in {*tp, *fp, *fn}}
