"""A finished run, by the hash of its configuration or another tag, from the SQLite file: MLflow takes longer to load.

The tables `runs`, `tags` and `latest_metrics` are unchanged since MLflow 1.0. Nothing is written.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from opal.record.database import newest_schema, read_only

QUERY = """
SELECT r.run_uuid, r.name FROM runs r JOIN experiments e USING (experiment_id)
JOIN tags h ON h.run_uuid = r.run_uuid AND h.key = ? AND h.value = ?
JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'opal.status' AND s.value = 'finished'
WHERE r.status = 'FINISHED' AND r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' AND e.name = ?
ORDER BY r.start_time DESC LIMIT 1
"""


OF_HASH = """
SELECT 1 FROM runs r JOIN experiments e USING (experiment_id) JOIN tags h ON h.run_uuid = r.run_uuid
WHERE h.key = 'opal.config_hash' AND h.value = ? AND e.name = ?
"""
USABLE = "SELECT (SELECT version_num FROM alembic_version), (SELECT lifecycle_stage FROM experiments WHERE name = ?)"


@dataclass(frozen=True)
class Finished:
    """A run that makes another of the same configuration unnecessary; ``metrics`` are the last values."""

    run_id: str
    name: str
    metrics: dict[str, float] = field(repr=False)


def finished_run(path: Path | None, experiment: str, value: str, tag: str = "opal.config_hash") -> Finished | None:
    """The newest finished run, or None where there is none or the file cannot be read: MLflow then says why.

    Parameters
    ----------
    path : of the SQLite file; None for a server
    """
    if path is None or not path.is_file():
        return None
    try:
        with read_only(path) as db:
            row = db.execute(QUERY, (tag, value, experiment)).fetchone()
            if row is None:
                return None
            metrics = db.execute("SELECT key, value FROM latest_metrics WHERE run_uuid = ?", row[:1]).fetchall()
    except sqlite3.Error:
        return None
    return Finished(row[0], row[1], dict(metrics))


def unknown(path: Path, experiment: str, config_hash: str) -> bool:
    """Whether the store, made by the installed MLflow or not there yet, can hold a first run of this hash."""
    if not path.is_file() or not path.stat().st_size:
        return True
    try:
        with read_only(path) as db:
            version, stage = db.execute(USABLE, (experiment,)).fetchone()
            found = db.execute(OF_HASH, (config_hash, experiment)).fetchone()
    except sqlite3.Error:
        return False
    return version == newest_schema() and stage in (None, "active") and found is None
