"""What `scripts/bench_faults.py` finds in a store once its sweeps are over."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal.record.run_record import volatile
from opal.record.tracking import Tracking


@dataclass(frozen=True)
class Found:
    """Trials of a store.

    Parameters
    ----------
    expected, finished : trials asked for, and different ones that are finished
    double : finished runs beside another of the same trial
    half : finished runs with other numbers of lasting metrics, or other artifacts, than most of their method
    open : runs still RUNNING, those of sweeps included
    interrupted : runs marked as such, which is as it should be
    pending, damaged : results not logged; stored answers set aside
    """

    expected: int
    finished: int
    double: int
    half: int
    open: int
    interrupted: int
    pending: int
    damaged: int

    @property
    def whole(self) -> bool:
        wrong = self.double + self.half + self.open + self.pending + self.damaged
        return self.finished == self.expected and not wrong

    def __str__(self) -> str:
        return (
            f"trials {self.finished} of {self.expected}, double {self.double}, half {self.half}, open {self.open}, "
            f"marked interrupted {self.interrupted}, pending {self.pending}, damaged {self.damaged}"
        )


def look(tracking: Tracking, expected: int, temporary: Path | None = None) -> Found:
    """Count what the store of ``tracking`` holds.

    Parameters
    ----------
    temporary : where results are put that the working folder has no room for
    """
    every = tracking.runs()
    runs = [run for run in every if run.data.tags.get("opal.kind") != "sweep"]
    finished = [r for r in runs if r.data.tags["opal.status"] == "finished" and r.info.status == "FINISHED"]
    forms = [(run.data.params.get("method"), _form(tracking, run)) for run in finished]
    usual = {method: Counter(f for m, f in forms if m == method).most_common(1)[0][0] for method, _ in forms}
    hashes = {run.data.tags["opal.config_hash"] for run in finished}
    aside = [*temporary.glob("opal-pending-*")] if temporary else []
    return Found(
        expected,
        len(hashes),
        double=len(finished) - len(hashes),
        half=sum(form != usual[method] for method, form in forms),
        open=sum(run.info.status == "RUNNING" for run in every),
        interrupted=sum(run.data.tags["opal.status"] == "interrupted" for run in runs),
        pending=len([*(tracking.mlruns / "pending").glob("*"), *aside]),
        damaged=len(list(tracking.mlruns.rglob("*.damaged"))),
    )


def _form(tracking: Tracking, run: Any) -> tuple[int, ...]:
    # What is paid again depends on the kills; a reason why rows were refused is counted where there was one.
    lasting = sum(not volatile(key) and not key.startswith("funnel/reject/") for key in run.data.metrics)
    return lasting, *sorted(hash(a.path) for a in tracking.client.list_artifacts(run.info.run_id))


def processes(marker: str, patience: float = 0) -> list[int]:
    """Processes with ``NAME=VALUE`` in their environment that do not end within ``patience`` seconds."""
    limit = time.monotonic() + patience
    while (found := _marked(marker.encode())) and time.monotonic() < limit:
        time.sleep(0.1)
    return found


def _marked(marker: bytes) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found
