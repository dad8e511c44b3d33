"""A short run of the fuzz target with a fixed seed."""

from __future__ import annotations

import fuzz_ops


def test_a_thousand_inputs_are_refused_or_answered() -> None:
    outcomes = fuzz_ops.run(1000, seed=2)
    assert sum(outcomes.values()) == 1000
    for target in fuzz_ops.TARGETS:
        assert outcomes[f"{target.__name__}: answered"] > 0
        assert outcomes[f"{target.__name__}: refused"] > 0
