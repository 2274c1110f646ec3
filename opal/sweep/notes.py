"""What each job of a sweep leaves behind: a note of how it ended, and its fits without synthetic rows.

Both are files in the sweep's folder, so that jobs may run in any process that shares it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from opal.atomic import write_whole

NOTES = "jobs"
Outcome = Literal["finished", "partial", "skipped", "failed"]


def raw_fits(sweep_dir: str | Path) -> Path:
    """Folder in which the sweep's jobs share their fits without synthetic rows, while it runs."""
    return Path(sweep_dir) / "raw_fits"


def note_job(sweep_dir: Path, job: int, outcome: Outcome, run_id: str = "", name: str = "", error: str = "") -> None:
    """Leave a note of how a job ended; later notes of the same job replace earlier ones."""
    note = {"job": job, "outcome": outcome, "run_id": run_id, "name": name, "error": error}
    write_whole(sweep_dir / NOTES / f"{job}.json", json.dumps(note))


def notes(sweep_dir: Path) -> list[dict[str, Any]]:
    """The jobs' notes, in order."""
    found = [json.loads(path.read_text()) for path in (sweep_dir / NOTES).glob("*.json")]
    return sorted(found, key=lambda note: note["job"])
