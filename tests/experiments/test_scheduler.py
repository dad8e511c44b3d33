"""The order in which jobs are handed out."""

from __future__ import annotations

import pytest

from bioner_fast.experiments.scheduler import Job, _JobQueue


def jobs() -> list[Job]:
    """One that the next two would wait for, and one that cannot do without it."""
    return [
        {"folder": "first"},
        {"folder": "second", "after": "first", "needs": False},
        {"folder": "third", "after": "first", "needs": False},
        {"folder": "needs it", "after": "first", "needs": True},
    ]


def test_all_that_wait_go_on_when_it_is_done() -> None:
    waiting = _JobQueue(jobs())
    first = waiting.take()
    assert first is not None
    waiting.finish(first, {"status": "done"})
    assert [job["folder"] for _ in range(3) if (job := waiting.take())] == ["second", "third", "needs it"]


@pytest.mark.parametrize("status", ["busy", "failed"])
def test_when_it_is_not_done_the_next_takes_its_place(status: str) -> None:
    waiting = _JobQueue(jobs()[:3])
    first = waiting.take()
    assert first is not None
    waiting.finish(first, {"status": status, "reason": "x"})
    second = waiting.take()
    assert second is not None
    assert second["folder"] == "second"
    assert waiting.jobs[0]["after"] == "second"  # the third waits again
    waiting.finish(second, {"status": "done"})
    third = waiting.take()
    assert third is not None
    assert third["folder"] == "third"


def test_what_needs_another_that_is_busy_is_busy() -> None:
    waiting = _JobQueue([jobs()[0], jobs()[3]])
    first = waiting.take()
    assert first is not None
    waiting.finish(first, {"status": "busy"})
    last = waiting.take()
    assert last is not None
    assert waiting.hindered(last) == {"status": "busy"}
