"""Reading runs from MLflow's SQLite file by a few queries.

MLflow's client gives a metric's history by one call per key and run, and a search loads every metric, param and tag
of every run as objects: minutes for thousands of runs. The tables `runs`, `params`, `tags`, `metrics` are
unchanged since MLflow 1.0; anything else goes through the client (opal.report.read.server). Nothing is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from opal.errors import ConfigError, TrackingError
from opal.report.read.select import Clause, Where, parse_search

ATTRIBUTES = {"run_id": "run_uuid", "run_name": "name"}  # others are named as their columns
COLUMNS = ("status", "start_time", "end_time", "artifact_uri", "user_id", "created")
TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}
COMPARATORS = ("=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL")
MANY = 0.1  # above this share of the store's runs, whole keys are read rather than single runs


class SqliteRuns:
    """The runs of one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def runs(self, where: Where, experiments: Sequence[str]) -> list[dict]:
        """One dict per run: id, name, times, params and tags; experiments all where none is named."""
        conditions, values = ["r.lifecycle_stage = 'active'"], []
        for clause in where.clauses() + (parse_search(where.search) if where.search else []):
            text, more = _condition(clause)
            conditions.append(text)
            values += more
        if experiments:
            conditions.append(f"e.name IN ({_marks(experiments)})")
            values += experiments
        query = (
            "SELECT r.run_uuid, r.name, r.experiment_id, e.name, r.status, r.start_time FROM runs r "
            f"JOIN experiments e USING (experiment_id) WHERE {' AND '.join(conditions)} "
            "ORDER BY r.start_time, r.run_uuid"
        )
        names = ("run_id", "name", "experiment_id", "experiment", "mlflow_status", "start")
        with self._reading() as db:
            found = {row[0]: dict(zip(names, row, strict=True)) for row in db.execute(query, values)}
            for run in found.values():
                run |= {"params": {}, "tags": {}}
            self._choose(db, found)
            for table, rule in (("params", ""), ("tags", "AND key LIKE 'opal.%'")):
                chosen = f"SELECT run_uuid, key, value FROM chosen CROSS JOIN {table} USING (run_uuid) WHERE 1 {rule}"
                for run_id, key, value in db.execute(chosen):
                    found[run_id][table][key] = value
        return list(found.values())

    def metric_names(self) -> list[str]:
        """The names of all metrics, by skipping along the primary key, whose first column is the name."""
        query = """WITH RECURSIVE k(key) AS (SELECT min(key) FROM metrics UNION ALL
                   SELECT (SELECT min(key) FROM metrics WHERE key > k.key) FROM k WHERE k.key IS NOT NULL)
                   SELECT key FROM k WHERE key IS NOT NULL"""
        with self._reading() as db:
            return [key for (key,) in db.execute(query)]

    def points(self, run_ids: Sequence[str], keys: Sequence[str]) -> np.ndarray:
        """Array of shape (n, 4): position in ``run_ids``, position in ``keys``, step, value."""
        with self._reading() as db:
            self._choose(db, run_ids)
            db.execute("CREATE TEMP TABLE wanted (k INTEGER, key TEXT)")
            db.executemany("INSERT INTO wanted VALUES (?, ?)", enumerate(keys))
            (total,) = db.execute("SELECT count(*) FROM runs").fetchone()
            if len(run_ids) >= MANY * total:
                # + keeps SQLite from the index by run: the primary key holds all columns asked for, sorted by key
                order, rule = "wanted w CROSS JOIN metrics m CROSS JOIN chosen c", "c.run_uuid = +m.run_uuid"
            else:
                order, rule = "chosen c CROSS JOIN wanted w CROSS JOIN metrics m", "m.run_uuid = c.run_uuid"
            query = f"SELECT c.n, w.k, m.step, m.value FROM {order} WHERE m.key = w.key AND {rule} AND m.is_nan = 0"
            rows = db.execute(query)
            parts = [np.array(part, dtype=float) for part in iter(lambda: rows.fetchmany(50_000), [])]
        return np.concatenate(parts) if parts else np.empty((0, 4))

    @staticmethod
    def _choose(db: sqlite3.Connection, run_ids: Iterable[str]) -> None:
        db.execute("CREATE TEMP TABLE chosen (run_uuid TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
        db.executemany("INSERT INTO chosen VALUES (?, ?)", ((run, n) for n, run in enumerate(run_ids)))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection; if the folder is read-only too, WAL needs ``immutable``."""
        try:
            with closing(self._connected()) as db:
                db.execute("PRAGMA case_sensitive_like = ON")  # as MLflow does
                yield db
        except sqlite3.Error as err:
            raise TrackingError(f"{self.path} cannot be read as an MLflow store: {err}") from err

    def _connected(self, mode: str = "mode=ro") -> sqlite3.Connection:
        db = sqlite3.connect(f"{self.path.as_uri()}?{mode}", uri=True, timeout=20)
        try:
            db.execute("SELECT count(*) FROM experiments").fetchone()
        except sqlite3.Error as err:
            db.close()
            if mode == "mode=ro" and "unable to open" in str(err):
                return self._connected("immutable=1")
            raise
        return db


def _condition(clause: Clause) -> tuple[str, list]:
    """SQL of one comparison over ``runs r``, and its values."""
    kind, key, comparator = clause["type"], clause["key"], clause["comparator"].upper()
    if comparator not in COMPARATORS:
        raise ConfigError(f"the comparison {comparator} of --where is not known: use one of {', '.join(COMPARATORS)}")
    if kind == "attribute":
        column = ATTRIBUTES.get(key, key)
        if column not in (*ATTRIBUTES.values(), *COLUMNS):
            raise ConfigError(f"runs have no attribute {key!r} to search by")
        return _compared(f"r.{'start_time' if column == 'created' else column}", comparator, clause["value"])
    if kind == "dataset":
        column = {"name": "d.name", "digest": "d.digest"}.get(key, "t.value")
        text, values = _compared(column, comparator, clause["value"])
        joined = "datasets d JOIN inputs i ON i.source_id = d.dataset_uuid LEFT JOIN input_tags t USING (input_uuid)"
        return f"EXISTS (SELECT 1 FROM {joined} WHERE i.destination_id = r.run_uuid AND {text})", values
    table = f"SELECT 1 FROM {TABLES[kind]} v WHERE v.run_uuid = r.run_uuid AND v.key = ?"
    if comparator.startswith("IS"):
        return f"{'NOT ' if comparator == 'IS NULL' else ''}EXISTS ({table})", [key]
    value = float(clause["value"]) if kind == "metric" else clause["value"]
    text, values = _compared("v.value", comparator, value)
    return f"EXISTS ({table} AND {text})", [key, *values]


def _compared(column: str, comparator: str, value: object) -> tuple[str, list]:
    if comparator in ("IN", "NOT IN"):
        many = list(value)  # type: ignore[call-overload]
        return f"{column} {comparator} ({_marks(many)})", many
    if comparator == "ILIKE":
        return f"lower({column}) LIKE lower(?)", [value]
    return f"{column} {comparator} ?", [value]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
