"""brat standoff: pairs of ``.txt`` and ``.ann`` (or ``.a1`` and ``.a2``) in a folder or a tar archive.

Text-bound annotations (T) become entities, R lines relations; events, attributes, normalisations,
equivalences and notes are kept verbatim for brat. What brat has no place for (infons, score, task) is written
as an ``AnnotatorNotes`` line holding JSON, and read back from there.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast
from urllib.parse import quote, unquote

from bioner_fast.data.document import Document, Entity, Passage, Relation
from bioner_fast.errors import BionerError, FormatError
from bioner_fast.files import is_hidden, walk
from bioner_fast.formats.base import Reporter, Source, decode, report_native, unnamed, utf8
from bioner_fast.formats.bioc import take_score, with_score
from bioner_fast.formats.offsets import settle
from bioner_fast.formats.readings import Claim, mention_text

_ANNOTATIONS = (".ann", ".a1", ".a2")
_BOUND = re.compile(
    r"(T[^\t]*)\t(\S+) (-?[0-9]{1,15} -?[0-9]{1,15}(?:;-?[0-9]{1,15} -?[0-9]{1,15})*)(?:\t(.*))?", re.S
)
_RELATION = re.compile(r"(R[^\t]*)\t(\S+)((?: [^\s:]+:\S+)+)\s*")
_NOTE = re.compile(r"#[^\t]*\tAnnotatorNotes (\S+)\t(\{.*\})\s*", re.S)
_BREAKS = str.maketrans("\t\r\n", "   ")


@dataclass(slots=True)
class BratNative:
    """``Document.native`` of a brat document: its folder and the lines that only brat can hold."""

    folder: str = ""
    lines: list[str] = field(default_factory=list)

    def losses(self) -> Iterator[str]:
        """The lines, as other formats lose them."""
        for line in self.lines:
            yield f"brat line {line.translate(_BREAKS)[:80]!r} has no place in other formats"


def read_folder(path: Path, reporter: Reporter) -> Iterator[Document]:
    """Read a folder (and those in it), one ``.ann`` or ``.txt`` file with its partner, or a tar archive.

    A ``.txt`` without annotations is a document without entities.
    """
    if path.is_dir():
        yield from _read_tree(path, reporter)
    elif path.suffix.lower() in (*_ANNOTATIONS, ".txt"):
        text = path if path.suffix.lower() == ".txt" else path.with_suffix(".txt")
        if not text.exists() and path.with_suffix(".TXT").exists():
            text = path.with_suffix(".TXT")
        if not text.exists():
            raise BionerError(f"{path} has no text beside it: {text} does not exist")
        yield from _pair(text.stem, "", text, _partners(text), reporter)
    else:
        with open(path, "rb") as stream:
            yield from read(
                Source(
                    cast(BinaryIO, stream),
                    str(path),
                    reporter.on_problem,
                    max_document_mb=reporter.max_document_mb,
                )
            )


def _partners(text: Path) -> list[Path]:
    names = set(os.listdir(text.parent))
    return [text.with_name(p) for end in _ANNOTATIONS for p in _spelt(text.stem, end, names)]


def _spelt(stem: str, suffix: str, names: set[str]) -> list[str]:
    """The file of a stem and suffix, if there is one; in capitals where it is not there in small letters."""
    return [name for name in (stem + suffix, stem + suffix.upper()) if name in names][:1]


def _read_tree(path: Path, reporter: Reporter) -> Iterator[Document]:
    found = False
    for folder, folders, files in walk(path):
        folders.sort()
        names = set(files)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in sorted(files):
            if is_hidden(name):
                continue
            stem, ending = os.path.splitext(name)
            suffix = ending.lower()
            file = Path(folder, name)
            if suffix == ".txt":
                found = True
                inside = file.parent.relative_to(path).as_posix()
                partners = [file.with_name(p) for end in _ANNOTATIONS for p in _spelt(stem, end, names)]
                yield from _pair(stem, "" if inside == "." else inside, file, partners, reporter)
            elif suffix in _ANNOTATIONS and not _spelt(stem, ".txt", names):
                found = True
                Reporter(str(file), reporter.on_problem).bad_document(
                    stem, f"{stem}.txt, its text, is missing"
                )
    if not found:
        raise BionerError(f"{path} holds no .txt and .ann files; brat documents were expected")


def _pair(stem: str, folder: str, text: Path, partners: list[Path], reporter: Reporter) -> Iterator[Document]:
    """A document of a text and its annotations, unless they are too large to be read."""
    large = [path for path in (text, *partners) if path.stat().st_size > reporter.limit]
    if large:
        Reporter(str(large[0]), reporter.on_problem).bad_document(unquote(stem), reporter.too_large())
        return
    annotations = [(str(path), path.read_bytes()) for path in partners]
    yield from _document(stem, folder, str(text), text.read_bytes(), annotations, reporter)


def read(source: Source) -> Iterator[Document]:
    """Read a tar archive of pairs from a stream; what waits for its partner is held in memory.

    Raises:
        FormatError: not a tar archive, or damaged.
    """
    waiting: dict[str, dict[str, bytes]] = {}
    count = 0
    large: set[str] = set()
    for name, data in _members(source, large):
        stem, suffix = os.path.splitext(name)
        suffix = suffix.lower()
        files = waiting.setdefault(stem, {})
        files[suffix] = data
        count += 1
        if ".txt" in files and ".ann" in files:
            yield from _from_archive(source, stem, waiting.pop(stem))
    for stem, files in waiting.items():
        if stem in large:
            continue
        if ".txt" in files:
            yield from _from_archive(source, stem, files)
        else:
            source.bad_document(PurePosixPath(stem).name, f"{stem}.txt, its text, is missing")
    if not count and not large:
        raise FormatError(
            source.path, "the archive holds no .txt and .ann files; brat documents were expected"
        )


def _members(source: Source, large: set[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents; the stems of members over the limit are added to ``large``."""
    try:
        with tarfile.open(fileobj=source.stream, mode="r|") as archive:
            for member in archive:
                wanted = member.name.lower().endswith((*_ANNOTATIONS, ".txt"))
                if member.isfile() and wanted and not any(map(is_hidden, member.name.split("/"))):
                    if member.size > source.limit:
                        stem = PurePosixPath(os.path.splitext(member.name)[0]).name
                        source.bad_document(unquote(stem), source.too_large())
                        large.add(os.path.splitext(member.name)[0])
                        continue
                    stream = archive.extractfile(member)
                    if stream is not None:
                        yield member.name, stream.read()
    except tarfile.TarError as error:
        detail = " ".join(str(error).split())
        raise FormatError(source.path, f"not a whole tar archive of .txt and .ann files ({detail})") from None


def _from_archive(source: Source, stem: str, files: dict[str, bytes]) -> Iterator[Document]:
    place = PurePosixPath(stem)
    folder = "" if place.parent == PurePosixPath(".") else place.parent.as_posix()
    label = f"{source.path}/{stem}"
    annotations = [(label + suffix, files[suffix]) for suffix in _ANNOTATIONS if suffix in files]
    yield from _document(place.name, folder, label + ".txt", files[".txt"], annotations, source)


def _document(
    stem: str, folder: str, path: str, raw: bytes, annotations: list[tuple[str, bytes]], reporter: Reporter
) -> Iterator[Document]:
    """One document, or none if it is bad and problems are collected."""
    try:
        # brat counts every character of the file, a byte-order mark and both of CR LF included.
        text = decode(raw, path, 1) if raw.startswith(b"\xef\xbb\xbf") else decode(raw, path)
        document = Document(unquote(stem), [Passage(text)] if text else [], native=BratNative(folder))
        for name, data in annotations:
            _annotate(document, text, name, data, reporter)
    except FormatError as error:
        Reporter(error.path, reporter.on_problem).bad_document(unquote(stem), error.detail, line=error.line)
    else:
        yield document


def _annotate(document: Document, text: str, path: str, raw: bytes, reporter: Reporter) -> None:
    native = cast(BratNative, document.native)
    bound: list[tuple[int, str, str, Claim]] = []
    notes: list[tuple[str, str, str]] = []
    for number, line in enumerate(decode(raw, path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        if line[0] == "T":
            match = _BOUND.fullmatch(line)
            if match is None:
                message = f"expected 'T1<tab>Type start end<tab>mention', found {line[:60]!r}"
                raise FormatError(path, message, number)
            identifier, kind, places, mention = match.groups()
            pairs = (part.split(" ") for part in places.split(";"))
            spans = tuple((int(start), int(end)) for start, end in pairs)
            bound.append((number, identifier, kind, Claim(spans, mention)))
        elif line[0] == "R" and (match := _RELATION.fullmatch(line)):
            nodes = (part.split(":", 1) for part in match.group(3).split())
            document.relations.append(
                Relation(tuple((refid, role) for role, refid in nodes), match.group(2), match.group(1))
            )
        elif line[0] in "EAMN*#R" and "\t" in line:
            note = _NOTE.fullmatch(line)
            if note is not None and _is_infons(note.group(2)):
                notes.append((note.group(1), note.group(2), line))
            else:
                native.lines.append(line)
        else:
            raise FormatError(path, f"expected a brat annotation, found {line[:60]!r}", number)
    settled = settle([(0, text)], [claim for _, _, _, claim in bound])
    here = Reporter(path, reporter.on_problem)
    for remark in settled.remarks:
        here.annotation(document.id, remark, action="moved")
    by_id: dict[str, Entity] = {}
    for (number, identifier, kind, claim), placement in zip(bound, settled.placements, strict=True):
        if placement.action is not None:
            message = f"{identifier}: {placement.message}"
            here.annotation(document.id, message, action=placement.action, line=number)
        if placement.spans is None or not document.passages:
            continue
        spans = placement.spans
        start, end = min(s for s, _ in spans), max(e for _, e in spans)
        several = len(spans) > 1
        mention = (claim.mention or mention_text(text, spans)) if several else text[start:end]
        entity = Entity(start, end, kind, mention, id=identifier, spans=spans if several else ())
        by_id[identifier] = entity
        document.passages[0].entities.append(entity)
    for target, infons, line in notes:
        if target in by_id:
            by_id[target].infons.update(json.loads(infons))
        else:
            native.lines.append(line)
    for entity in by_id.values():
        take_score(entity)


def _is_infons(note: str) -> bool:
    try:
        value = json.loads(note)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _render(document: Document, reporter: Reporter) -> tuple[str, str]:
    """The text and the annotation lines of a document."""
    report_native(document, reporter, BratNative)
    native = document.native if isinstance(document.native, BratNative) else BratNative()
    text = document.text
    entities = document.entities
    wanted = [entity.id for entity in entities if entity.id and re.fullmatch(r"T[0-9]+", entity.id)]
    fresh = _fresh("T", set(wanted))
    used: set[str] = set()
    names: dict[str, str] = {}
    lines: list[str] = []
    notes: list[str] = []
    note_ids = _fresh("#", {line.split("\t", 1)[0] for line in native.lines})
    for entity in entities:
        if entity.start >= entity.end:
            message = f"{entity.type} at {entity.start} is empty; brat has no empty mentions"
            reporter.annotation(document.id, message)
            continue
        name = entity.id if entity.id in wanted and entity.id not in used else next(fresh)
        assert name is not None
        used.add(name)
        if entity.id is not None:
            names.setdefault(entity.id, name)
        spans = entity.spans or ((entity.start, entity.end),)
        places = ";".join(f"{start} {end}" for start, end in spans)
        mention = entity.text if entity.spans else text[entity.start : entity.end]
        lines.append(f"{name}\t{_word(entity.type, 'Entity')} {places}\t{mention.translate(_BREAKS)}")
        infons = with_score(entity)
        if infons:
            notes.append(f"{next(note_ids)}\tAnnotatorNotes {name}\t{json.dumps(infons, ensure_ascii=False)}")
    lines += _relation_lines(document, names, reporter)
    return text, "".join(line + "\n" for line in [*lines, *native.lines, *notes])


def _relation_lines(document: Document, names: dict[str, str], reporter: Reporter) -> Iterator[str]:
    relations = list(document.iter_relations())
    taken = {relation.id for relation in relations if relation.id and re.fullmatch(r"R[0-9]+", relation.id)}
    fresh = _fresh("R", {name for name in taken if name is not None})
    for relation in relations:
        nodes = [(names.get(refid), role) for refid, role in relation.nodes]
        if not nodes or any(refid is None for refid, _ in nodes):
            label = relation.id or relation.type or ""
            message = f"relation {label}: brat relates mentions, and not all of its ends are mentions"
            reporter.annotation(document.id, message, kind="relation")
            continue
        name = relation.id
        if name in taken:
            taken.discard(name)
        else:
            name = next(fresh)
        ends = (
            f"{_word(role.replace(':', '_'), f'Arg{i}')}:{refid}"
            for i, (refid, role) in enumerate(nodes, start=1)
        )
        yield f"{name}\t{_word(relation.type or '', 'Relation')} {' '.join(ends)}"


def _fresh(prefix: str, taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if f"{prefix}{number}" not in taken:
            yield f"{prefix}{number}"


def _word(text: str, default: str) -> str:
    """A type or role without white space."""
    return re.sub(r"\s+", "_", text.strip()) or default


class _Names:
    """File names for documents: the identifier, with what file systems mistake for a path escaped.

    Of a name that was given before, the next document has ``-2`` behind it, and so on.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._again: dict[str, int] = {}
        self._count = 0

    def name(self, document: Document, reporter: Reporter) -> str:
        """The path of a document without suffix."""
        self._count += 1
        stem = quote(
            document.id or unnamed(document, self._count, reporter),
            safe=" !#$&'()+,;=@[]^{}~",
            errors="replace",
        )
        if stem.startswith("."):
            stem = "%2E" + stem[1:]
        folder = document.native.folder if isinstance(document.native, BratNative) else ""
        name = f"{folder}/{stem}" if _safe(folder) else stem
        free = name
        while free.lower() in self._used:  # some file systems know no capitals
            self._again[name] = self._again.get(name, 1) + 1
            free = f"{name}-{self._again[name]}"
        if free != name:
            message = f"a document of this name was written before; this one is named {free}"
            reporter.annotation(document.id, message, kind="text", action="changed")
        self._used.add(free.lower())
        return free


def _safe(folder: str) -> bool:
    """Whether a folder that came with a document stays inside the output."""
    path = PurePosixPath(folder)
    return bool(folder) and not path.is_absolute() and ".." not in path.parts and "\\" not in folder


class FolderWriter:
    """Writes ``ID.txt`` and ``ID.ann`` into a folder."""

    def __init__(self, folder: Path, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        self._names = _Names()

    def write(self, document: Document) -> None:
        """Write one pair of files."""
        name = self._names.name(document, self._reporter)
        text, annotations = _render(document, self._reporter)
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{target}.txt").write_bytes(utf8(text))
        Path(f"{target}.ann").write_bytes(utf8(annotations))

    def finish(self) -> None:
        """Nothing follows the last document."""


class _Counted:
    """A stream, perhaps a pipe, that knows its position, which is all that writing an archive asks of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position


class Writer:
    """Writes pairs into a tar archive; the same documents give the same bytes."""

    def __init__(self, stream: BinaryIO, reporter: Reporter) -> None:
        counted = cast("IO[bytes]", _Counted(stream))
        self._archive = tarfile.TarFile(fileobj=counted, mode="w", format=tarfile.PAX_FORMAT)
        self._reporter = reporter
        self._names = _Names()

    def write(self, document: Document) -> None:
        """Write one pair of members."""
        name = self._names.name(document, self._reporter)
        for suffix, content in zip((".txt", ".ann"), _render(document, self._reporter), strict=True):
            data = utf8(content)
            member = tarfile.TarInfo(name + suffix)
            member.size = len(data)
            self._archive.addfile(member, io.BytesIO(data))

    def finish(self) -> None:
        """Write the end of the archive."""
        self._archive.close()
