"""Time opal.compare on a store of many runs, against reading the same SQLite rows directly.

python scripts/bench_compare.py                    5,000 runs; the store is made in a temporary folder
python scripts/bench_compare.py --runs 500 --store DIR     kept in DIR, and used again if it is there

The store has MLflow's own tables, filled by SQL: what OPAL logs for a run (about 630 metric points, 28 params, 12
tags), over tables x classifiers x methods x variants. Measured after import, in a process of its own: reading and
comparing (the table as a DataFrame), printing it, memory. CPU seconds hold on a busy machine, wall seconds do not.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import numpy as np
from benchmark import Figure, finish, parse

SEEDS = (1, 2, 6, 8, 42)
AMOUNTS = (0, 20, 40, 60, 80, 100)
ERRORS = [f"{kind}error" for kind in ("", "balanced_", "minority_", "majority_", "worst_group_", "calibration_")]
MEASURES = [*ERRORS, "group_gap", "average_precision", "roc_auc", "brier"]
CONTROLS = ("class_weight", "base_rate_threshold", "tuned_threshold")
METHODS = ("smote", "duplicate", "llm", "mixture", "copula", "jitter", "smotenc", "none", "ctgan", "replay")
CLASSIFIERS = ("logistic", "catboost", "random_forest", "knn", "svm")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--store", type=Path, help="folder that keeps the store")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=("opal", "direct"), help=argparse.SUPPRESS)
    given = parse(parser, runs=500, repeats=1)
    if given.child:
        measured = {"opal": opal_reads, "direct": direct_reads}[given.child](given.store)
        print(json.dumps(measured | {"peak_mb": peak_mb()}))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.store or Path(temporary)
        if not (folder / "mlflow.db").exists():
            start = time.perf_counter()
            make_store(folder, given.runs)
            print(f"store of {given.runs} runs made in {time.perf_counter() - start:.0f} s", flush=True)
        size = (folder / "mlflow.db").stat().st_size / 1e6
        best: dict[str, dict[str, float]] = {}
        for _ in range(given.repeats):
            for child in ("direct", "opal"):
                found = _child(child, folder)
                if child not in best or found["total"] < best[child]["total"]:
                    best[child] = found
        report(best, size)
        direct, opal = best["direct"], best["opal"]
        note = f"{opal['total']:.2f} s wall, peak {opal['peak_mb']:.0f} MB"
        name = f"compare with {opal['runs']:,.0f} runs beside reading the rows by SQL: CPU"
        return finish(Figure(name, opal["cpu"] / direct["cpu"], note=note))


def report(best: dict[str, dict[str, float]], size: float) -> None:
    direct, opal = best["direct"], best["opal"]
    print(f"store: {opal['runs']:.0f} runs, {size:.0f} MB")
    print(f"direct SQL: {direct['total']:.2f} s ({direct['cpu']:.2f} s CPU) for {direct['rows']:.0f} rows")
    print(
        f"opal.compare: table after {opal['total']:.2f} s (read {opal['read']:.2f}, compare {opal['compare']:.2f}; "
        f"{opal['cpu']:.2f} s CPU), "
        f"printed in {opal['print']:.2f} s more, import {opal['import']:.2f} s, peak {opal['peak_mb']:.0f} MB "
        f"({opal['import_mb']:.0f} MB after import)"
    )
    print(f"ratio to direct SQL: {opal['total'] / direct['total']:.2f} wall, {opal['cpu'] / direct['cpu']:.2f} CPU")


def opal_reads(folder: Path) -> dict[str, float]:
    """Seconds of what `python -m opal.compare` does."""
    start = time.perf_counter()
    import scipy.stats  # noqa: F401

    from opal.report import render
    from opal.report.comparison import CHOSEN, compare
    from opal.report.protocol import protocols
    from opal.report.read.load import load

    imported, memory = time.perf_counter(), peak_mb()
    used = time.process_time()
    loaded = load(metrics=["error", CHOSEN], uri=f"sqlite:///{folder}/mlflow.db")
    read = time.perf_counter()
    comparison = compare(loaded, protocols(loaded)[0])
    compared, used = time.perf_counter(), time.process_time() - used
    render.markdown(comparison)
    return {
        "import": imported - start,
        "import_mb": memory,
        "read": read - imported,
        "compare": compared - read,
        "total": compared - imported,
        "cpu": used,
        "print": time.perf_counter() - compared,
        "runs": len(loaded.runs),
    }


def direct_reads(folder: Path) -> dict[str, float]:
    """Seconds of bare sqlite3 for the rows that the table rests on."""
    keys = ["error", *(f"control/{c}/error" for c in CONTROLS)]
    keys = [f"seed_{s}/{k}" for s in SEEDS for k in (*keys, "amount_chosen")]
    start, used = time.perf_counter(), time.process_time()
    with closing(sqlite3.connect(folder / "mlflow.db")) as db:
        marks = ", ".join("?" * len(keys))
        rows = db.execute(f"SELECT run_uuid, key, step, value FROM metrics WHERE key IN ({marks})", keys).fetchall()
        rows += db.execute("SELECT run_uuid, key, value FROM params").fetchall()
        rows += db.execute("SELECT run_uuid, key, value FROM tags WHERE key LIKE 'opal.%'").fetchall()
    return {"total": time.perf_counter() - start, "cpu": time.process_time() - used, "rows": len(rows)}


def make_store(folder: Path, n: int) -> None:
    """A database as MLflow makes it, filled with ``n`` runs by SQL (MLflow itself would take minutes)."""
    from opal.record.tracking import Tracking

    folder.mkdir(parents=True, exist_ok=True)
    experiment = int(Tracking(f"sqlite:///{folder.resolve()}/mlflow.db").experiment_id)
    rng = np.random.default_rng(0)
    cells = [(f"table_{d:02d}", c, m) for d in range(n) for c in CLASSIFIERS for m in METHODS][:n]
    ids = [UUID(bytes=rng.bytes(16)).hex for _ in cells]
    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        dropped = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE type='index' AND sql NOTNULL")]
        dropped = [sql for sql in dropped if " ON metrics " in sql]
        db.execute("BEGIN")
        for sql in dropped:
            db.execute(f"DROP INDEX {sql.split()[2]}")
        for number, (run, (data, classifier, method)) in enumerate(zip(ids, cells, strict=True)):
            _insert_run(db, run, experiment, number, data, classifier, method)
        for key, block in _metrics(cells, rng):
            rows = ((key, v, run, s) for run, line in zip(ids, block, strict=True) for s, v in line)
            db.executemany(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?,?,0,?,?,0)", rows
            )
        for sql in dropped:
            db.execute(sql)
        # as MLflow keeps it beside every metric: its last point
        db.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "SELECT key, value, timestamp, MAX(step), is_nan, run_uuid FROM metrics GROUP BY run_uuid, key"
        )
        db.execute("COMMIT")


def _insert_run(
    db: sqlite3.Connection, run: str, experiment: int, number: int, data: str, classifier: str, method: str
) -> None:
    digest = f"{number:064x}"
    name = f"{data}/{method}/{classifier}-{digest[:12]}"
    db.execute(
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, experiment_id, "
        "artifact_uri) VALUES (?, ?, 'LOCAL', 'x', 'FINISHED', ?, 'active', ?, 'none')",
        (run, name, 1_790_000_000_000 + number, experiment),
    )
    params = {"data": data, "task": "imbalanced", "method": method, "classifier": classifier, "llm": "local"}
    params |= {"prompt": "csv", "curate": "none", "seeds": " ".join(map(str, SEEDS)), "amounts.steps": "5"}
    params |= {f"classifier.estimator.setting_{i}": str(i) for i in range(12)}
    params |= {"task.deduplicate": "True", "task.split": "random"} | {f"method.setting_{i}": str(i) for i in range(5)}
    tags = {"kind": "trial", "status": "finished", "config_hash": digest, "generation_hash": digest}
    tags |= {"data_digest": data, "sweep_id": "bench", "version": "0", "python": "3", "record": digest, "writer": "x"}
    for table, prefix, content in (("params", "", params), ("tags", "opal.", tags)):
        rows = ((prefix + key, value, run) for key, value in content.items())
        db.executemany(f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", rows)


def _metrics(cells: list[tuple], rng: np.random.Generator) -> Iterator[tuple[str, list]]:
    """Key, and for each run its (step, value)s; the error without synthetic rows hangs on table and classifier."""
    n = len(cells)
    raw: dict[tuple, np.ndarray] = {}
    for data, classifier, _ in cells:
        raw.setdefault((data, classifier), rng.uniform(0.1, 0.4, len(SEEDS)))
    first = np.array([raw[c[:2]] for c in cells])
    good = np.array([METHODS.index(c[2]) for c in cells]) / 200
    for measure in MEASURES:
        by_seed = np.empty((n, len(SEEDS), len(AMOUNTS)))
        by_seed[:, :, 0] = first
        fall = good[:, None, None] * np.linspace(0.2, 1, len(AMOUNTS) - 1)
        by_seed[:, :, 1:] = first[:, :, None] - fall + rng.normal(0, 0.01, (n, len(SEEDS), len(AMOUNTS) - 1))
        yield from _series(measure, by_seed, AMOUNTS)
        for control in CONTROLS:
            yield from _series(
                f"control/{control}/{measure}", (first + rng.normal(0, 0.01, first.shape))[:, :, None], (0,)
            )
    for seed in SEEDS:
        yield f"seed_{seed}/amount_chosen", [[(0, float(a))] for a in rng.choice(AMOUNTS, n)]


def _series(key: str, by_seed: np.ndarray, steps: tuple[int, ...]) -> Iterator[tuple[str, list]]:
    named = {key: by_seed.mean(axis=1), f"{key}_std": by_seed.std(axis=1, ddof=1)}
    named |= {f"seed_{seed}/{key}": by_seed[:, i] for i, seed in enumerate(SEEDS)}
    for name, values in named.items():
        yield name, [list(zip(steps, line, strict=True)) for line in values.tolist()]


def peak_mb() -> float:
    """Largest resident memory of this process (getrusage would count its parent's before the start)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _child(kind: str, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", kind, "--store", str(folder.resolve())],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
