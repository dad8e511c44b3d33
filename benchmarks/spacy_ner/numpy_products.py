"""The corpora's tokenizer, and products by NumPy's BLAS instead of BLIS.

The BLIS of spaCy's wheels has code of its own for few processors; on the others (an AMD EPYC of Zen 5 is one)
it takes a generic loop, a third as fast as NumPy's OpenBLAS. Results differ by rounding only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import corpus_tokenizer  # noqa: F401 (registers the tokenizer)
from thinc.backends import NumpyOps

_made_with_blis = NumpyOps.__init__


def _made(self: NumpyOps, *args: Any, **how: Any) -> None:
    _made_with_blis(self, *args, **{**how, "use_blis": False})


NumpyOps.__init__ = _made
