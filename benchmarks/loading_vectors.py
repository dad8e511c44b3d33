"""Time to load word2vec binaries: first, later (memory-mapped), and by gensim; the answers are compared.

python benchmarks/loading_vectors.py --words 1000000 --dim 200
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from bioner_fast.features.vectors import WordVectors


def make_file(path: Path, words: int, dim: int) -> None:
    """A word2vec binary of random vectors, written a block at a time."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as out:
        out.write(f"{words} {dim}\n".encode())
        for start in range(0, words, 10_000):
            rows = rng.standard_normal((min(10_000, words - start), dim), dtype=np.float32)
            out.write(
                b"".join(b"word%d " % (start + i) + row.tobytes() + b"\n" for i, row in enumerate(rows))
            )


def main() -> None:
    """Make a file, load it in every way, print seconds (wall clock and this process's own)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the file; a temporary folder")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    path = folder / "vectors.bin"
    probe = f"word{arguments.words // 2}"

    def timed(name: str, load: object) -> np.ndarray:
        wall, own = time.perf_counter(), time.process_time()
        row = np.array(load()[probe])  # type: ignore[operator]
        wall, own = time.perf_counter() - wall, time.process_time() - own
        print(f"{name:<28} {wall:9.4f} s wall {own:9.4f} s processor")
        return row

    try:
        make_file(path, arguments.words, arguments.dim)
        first = timed("first load", lambda: WordVectors.load(path, cache_dir=folder / "cache"))
        later = timed("later load", lambda: WordVectors.load(path, cache_dir=folder / "cache"))
        memory = timed("into memory, without cache", lambda: WordVectors.load(path, cache=False))
        assert np.array_equal(first, later)
        assert np.array_equal(first, memory)
        try:
            from gensim.models import KeyedVectors
        except ImportError:
            print("gensim: not installed")
            return
        peer = timed(
            "gensim load_word2vec_format", lambda: KeyedVectors.load_word2vec_format(path, binary=True)
        )
        assert np.array_equal(first, peer)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
