"""Write tests/fixtures/bundle_vN: a tiny bundle of the current format, and what it finds in a text.

Run once for each format version, from the root of the source tree, and commit the result for good:

    python tools/make_bundle_fixture.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from bioner_fast.models.bundle import FORMAT_VERSION, add_calibration  # noqa: E402
from bioner_fast.tagging.tagger import Tagger  # noqa: E402
from tiny_bundle import save_tiny  # noqa: E402

TEXTS = [
    "Familial breast cancer and Crohn disease (BRCA1). "
    "TNF-α induced tumor cells in patients with Sjögren syndrome.",
    "",
    "\ufeffIL-2 is a protein.\r\nThe gene of the 🙂 mutation treated with alpha beta.",
]


def main() -> None:
    """Write the folder."""
    folder = ROOT / "tests" / "fixtures" / f"bundle_v{FORMAT_VERSION}"
    if folder.exists():
        sys.exit(f"{folder} exists: a fixture is made once and never changed")
    save_tiny(folder / "model", decoders={"cells": "forward-argmax"}, precision="int8")
    add_calibration(folder / "model", {"medical": {"Disease": (0.5, 0.25)}})
    documents = Tagger.load(folder / "model", device="cpu").tag(TEXTS)
    expected = [
        {
            "text": document.text,
            "entities": [
                {
                    "start": e.start,
                    "end": e.end,
                    "type": e.type,
                    "task": e.task,
                    "score": round(e.score or 0.0, 6),
                }
                for e in document.entities
            ],
        }
        for document in documents
    ]
    (folder / "expected.json").write_text(
        json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
