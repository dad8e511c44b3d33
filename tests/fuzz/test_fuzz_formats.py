"""A short run of the fuzz target of the document formats with a fixed seed."""

from __future__ import annotations

import fuzz_formats


def test_damaged_documents_are_read_or_refused() -> None:
    outcomes = fuzz_formats.run(900, seed=3)
    assert sum(outcomes.values()) == 900
    assert not [name for name in outcomes if "several lines" in name]
    for format in (*fuzz_formats.JSON_DOCUMENTS, *fuzz_formats.TEXTS):
        assert outcomes[f"{format}: read"] > 0
