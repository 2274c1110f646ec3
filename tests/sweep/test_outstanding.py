"""What is left to be recorded while the next job runs: told in order, its lock held until then."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from opal.errors import TrackingError
from opal.sweep import outstanding
from opal.sweep.outstanding import Recording


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(outstanding, "_last", None)
    monkeypatch.setattr(outstanding, "_lost", False)
    return []


def recording(name: str, said: list[str], fault: Exception | None = None) -> Recording:
    def recorded() -> str:
        said.append(f"{name} waits")
        if fault:
            raise fault
        return name

    lock = ExitStack()
    lock.callback(said.append, f"{name} unlocked")
    told = (lambda run_id: said.append(f"{run_id} told"), lambda why: said.append(f"{name}: {why}"))
    return Recording(name, lock, recorded, *told)


def test_one_waits_at_a_time(said):
    outstanding.leave(recording("first", said))
    assert said == []
    outstanding.leave(recording("second", said))
    assert said == ["first waits", "first unlocked", "first told"]
    outstanding.settle("another")
    assert len(said) == 3
    outstanding.settle("second")
    assert said[3:] == ["second waits", "second unlocked", "second told"]
    outstanding.settle()
    assert len(said) == 6 and not outstanding.any_lost()


def test_a_fault_is_told_of_the_job_it_belongs_to(said):
    outstanding.leave(recording("first", said, TrackingError("the store failed")))
    outstanding.leave(recording("second", said))
    assert said == ["first waits", "first unlocked", "first: the store failed"] and outstanding.any_lost()
