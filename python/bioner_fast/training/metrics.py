"""``metrics.jsonl``: a line per evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bioner_fast.files import atomic_write


class MetricsFile:
    """Holds exactly the evaluations of the run so far, also after a run that was killed and resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, history: list[dict[str, Any]]) -> None:
        """Replace the file by these lines."""
        with atomic_write(self.path) as out:
            for record in history:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
