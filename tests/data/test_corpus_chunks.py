"""Files of many pieces, which are read in parallel and by the fast loops where their lines are plain."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bioner_fast import _text
from bioner_fast.data.corpus import Corpus, read_predictions
from bioner_fast.errors import FormatError

TAGS = ["O", "B-Gene", "I-Gene", "B-a_type_of_a_long_name", "NNP", "B-" + "x" * 14, "X" * 16, "X" * 17]


def make_lines(seed: int, n: int, columns: int, separator: str, odd: float) -> list[list[str]]:
    """Lines as lists of fields (none: an empty line); a share ``odd`` of them is not plain in some way."""
    rng = np.random.default_rng(seed)
    lines: list[list[str]] = []
    for _ in range(n):
        if rng.random() < 0.05:
            lines.append([])
            continue
        token = "é" * int(rng.integers(0, 2)) + "t" * int(rng.integers(1, 12))
        if rng.random() < odd:
            kind = int(rng.integers(0, 4))
            if kind == 0:
                token = "w" * int(rng.integers(30, 90))
            elif kind == 1:
                lines.append(["-DOCSTART-", *["O"] * (columns - 1)])
                continue
            elif kind == 2:
                token = "-DOCSTART"
            else:
                token = "-DOCSTART-x"
        lines.append([token] + [TAGS[i] for i in rng.integers(0, len(TAGS), columns - 1)])
    return lines


def expected(lines: list[list[str]]) -> tuple[list[list[str]], list[int], list[int]]:
    """Rows with a token, sentence offsets and document offsets, line by line."""
    rows: list[list[str]] = []
    sentences, documents, is_open = [0], [0], False
    for line in [*lines, []]:
        starts = line[:1] == ["-DOCSTART-"]
        if (not line or starts) and sentences[-1] != len(rows):
            sentences.append(len(rows))
        if starts:
            if is_open or documents[-1] != len(sentences) - 1:
                documents.append(len(sentences) - 1)
            is_open = True
        elif line:
            rows.append(line)
    if is_open or documents[-1] != len(sentences) - 1:
        documents.append(len(sentences) - 1)
    return rows, sentences, documents


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("columns", "separator", "newline", "odd"),
    [
        (2, "\t", "\n", 0.0),
        (2, "\t", "\n", 0.01),
        (2, " ", "\n", 0.3),
        (2, "\t", "\r\n", 0.01),
        (3, "\t", "\n", 0.01),
        (4, " ", "\n", 0.01),
        (5, "\t", "\n", 0.01),
    ],
)
def test_many_pieces_equal_one_line_after_the_other(
    tmp_path: Path, columns: int, separator: str, newline: str, odd: float, threads: int
) -> None:
    lines = make_lines(columns, 60_000, columns, separator, odd)
    path = tmp_path / "a.tsv"
    path.write_bytes(newline.join(separator.join(line) for line in lines).encode())
    assert path.stat().st_size > 4 << 17  # several pieces
    rows, sentences, documents = expected(lines)
    corpus = Corpus.read(path, threads=threads)
    assert corpus.tokens.tolist() == [row[0] for row in rows]
    assert corpus.tags() == [row[-1] for row in rows]
    assert corpus.tag_names == tuple(dict.fromkeys(row[-1] for row in rows))
    assert corpus.sentence_offsets.tolist() == sentences
    assert corpus.document_offsets.tolist() == documents
    if columns == 3:
        gold, ids, names = read_predictions(path)
        assert gold.tags() == [row[1] for row in rows]
        assert [names[i] for i in ids.tolist()] == [row[2] for row in rows]


@pytest.mark.parametrize("bad", ["alone", "a\tb\tc", "a\t", "a\t\tb\tc", "a\tO\rb", " a  O  c "], ids=repr)
def test_the_first_bad_line_of_any_piece_is_named(tmp_path: Path, bad: str) -> None:
    lines = ["\t".join(line) for line in make_lines(1, 60_000, 2, "\t", 0.0)]
    lines[50_000] = lines[55_000] = bad
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    with pytest.raises(FormatError) as caught:
        Corpus.read(path)
    assert caught.value.line == 50_001


def test_a_line_of_two_good_ones_is_no_line(tmp_path: Path) -> None:
    """Four fields are not two tokens, however many such lines come together."""
    path = tmp_path / "a.tsv"
    path.write_text("a\tO\n" + "a\tO\ta\tO\n" * 50_000, encoding="utf-8")
    with pytest.raises(FormatError, match="expected 2 columns as in the lines before, found 4"):
        Corpus.read(path)


def test_what_is_only_a_pipe_is_read_too(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    code = "import sys; open(sys.argv[1], 'w').write('a\\tO\\n' * 100000)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)]):
        assert Corpus.read(path).n_tokens == 100_000


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512", "neon"])
def test_every_simd_level_reads_the_same(tmp_path: Path, level: str) -> None:
    lines = make_lines(9, 40_000, 2, "\t", 0.01)
    path = tmp_path / "a.tsv"
    path.write_text("\n".join("\t".join(line) for line in lines), encoding="utf-8")
    code = "import sys; from bioner_fast.data.corpus import Corpus; print(Corpus.read(sys.argv[1]).digest())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "BIONER_SIMD": level},
        capture_output=True,
        text=True,
        check=False,
    )
    if f"BIONER_SIMD={level} cannot run here" in done.stderr:
        pytest.skip(f"this processor has no {level}")
    assert done.stdout.strip() == Corpus.read(path).digest()


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_the_token_column_may_be_the_tag_column(tmp_path: Path, columns: int) -> None:
    path = tmp_path / "odd.tsv"
    line = "\t".join(["O", *["x"] * (columns - 1)])
    path.write_text(f"{line}\n{line}\n\n{line}\n")
    corpus = Corpus.read(path, tag_column=0)
    assert list(corpus.tokens) == ["O", "O", "O"]
    assert corpus.sentence_offsets.tolist() == [0, 2, 3]
    assert Corpus.read(path, tag_column=-columns).tag_ids.tolist() == corpus.tag_ids.tolist()


def test_what_was_loaded_is_no_map_of_the_file(tmp_path: Path) -> None:
    """Somebody may cut the file short between the passes of the reader."""
    path = tmp_path / "a.tsv"
    path.write_bytes(b"p53\tB-Gene\n" * 300_000)
    with path.open("rb") as stream:
        data = _text.load_file(stream.fileno(), 2)
        assert data is not None
        os.truncate(path, 0)
        assert bytes(data[:11]) == b"p53\tB-Gene\n"
        offsets = _text.read_conll(data, "a.tsv", 0, [1], 2, 2)[1]
    assert offsets.size - 1 == 300_000


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Any moment of it, or a clear error; never the end of the process."""
    path = tmp_path / "a.tsv"
    whole = b"p53\tB-Gene\n\n" * 200_000
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            path.write_bytes(whole)
            os.truncate(path, 4096 * 3)

    path.write_bytes(whole)
    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(20):
            with contextlib.suppress(FormatError):
                corpus = Corpus.read(path, threads=2)
                assert set(corpus.tokens.tolist()) <= {"p53"[:n] for n in range(1, 4)}
    finally:
        done.set()
        writer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are opened otherwise there")
def test_what_is_no_regular_file_is_not_loaded_in_pieces() -> None:
    reading, writing = os.pipe()
    try:
        assert _text.load_file(reading, 1) is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            _text.load_file(10**6, 1)
    finally:
        os.close(reading)
        os.close(writing)
