"""The published conversion from IOB to IOBES, tag by tag, and spelling chunks in a scheme."""

from __future__ import annotations

Chunk = tuple[int, int, str]


def iob_to_iobes(tags: list[str]) -> list[str]:
    """Neighbours are the original tags; one of another type counts as O."""

    def neighbour(i: int, kind: str) -> str:
        if not 0 <= i < len(tags):
            return "O"
        prefix, _, other = tags[i].partition("-")
        return prefix if other == kind else "O"

    converted = []
    for i, tag in enumerate(tags):
        if tag == "O":
            converted.append(tag)
            continue
        prefix, _, kind = tag.partition("-")
        begins = prefix == "B" or neighbour(i - 1, kind) == "O"
        ends = neighbour(i + 1, kind) != "I"
        converted.append(
            ("S" if ends else "B") + f"-{kind}" if begins else ("E" if ends else "I") + f"-{kind}"
        )
    return converted


def spell(n: int, chunks: list[Chunk], scheme: str) -> list[str]:
    """The tags of ``n`` tokens with these chunks."""
    tags = ["O"] * n
    for start, end, kind in chunks:
        if scheme == "iobes":
            letters = "S" if end - start == 1 else "B" + "I" * (end - start - 2) + "E"
        elif scheme == "iob2":
            letters = "B" + "I" * (end - start - 1)
        else:
            touches = start > 0 and tags[start - 1].partition("-")[2] == kind
            letters = ("B" if touches else "I") + "I" * (end - start - 1)
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def is_legal(tags: list[str], scheme: str) -> bool:
    """Whether some set of chunks is written so: by trying to read and write again."""
    from reference.conlleval import chunks

    return spell(len(tags), chunks(tags), scheme) == tags
