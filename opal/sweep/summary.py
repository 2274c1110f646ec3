"""One MLflow run that sums up a sweep, even when jobs failed: `close_sweep` reads the notes that they left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from opal.evaluate.verdict import MARGIN
from opal.record.connection import faults
from opal.record.environment import masked
from opal.record.environment import tags as environment_tags
from opal.record.read import errors_of
from opal.record.run_record import RunRecord
from opal.record.tracking import Tracking
from opal.report.answer import Finished, answers_of, frame, markdown
from opal.sweep.notes import Outcome, notes
from opal.sweep.repeated import RUNS, digest_of

if TYPE_CHECKING:
    from mlflow.entities import Run

    from opal.evaluate.answer import Answer

COLUMNS = ["data", "task", "method", "classifier", "llm"]  # params that distinguish the sweep's runs
NO_CURVE = pd.DataFrame(columns=["run_id", "name", *COLUMNS, "amount", "error", "error_std"])
Draw = Callable[[dict[str, pd.DataFrame], Path, str], object]  # tidy errors by run name, file, title


def close_sweep(
    tracking: Tracking,
    sweep_dir: Path,
    sweep_id: str,
    params: Mapping[str, Any] | None = None,
    draw: Draw | None = None,
    margin: float = MARGIN,
) -> tuple[list[Answer], str] | None:
    """Log the sweep's own run (tag ``opal.kind=sweep``) with answer, table and figure.

    Parameters
    ----------
    params : what was swept, e.g. ``{"overrides": "method=llm,smote data=gender"}``
    margin : differences up to it do not matter
    draw : draws every run's tidy errors [seed, amount, metric, value] into a file, under a title

    Returns
    -------
    The answers, and where the MLflow UI shows the runs; None without jobs

    Raises
    ------
    TrackingError : the store failed
    """
    jobs = notes(sweep_dir)
    if not jobs:
        return None
    with faults(tracking.uri):
        runs = {n["run_id"]: tracking.client.get_run(n["run_id"]) for n in jobs if n["run_id"]}
    errors = {run_id: errors_of(tracking, run) for run_id, run in runs.items()}
    curves = pd.concat([_curve(run, errors[run_id]) for run_id, run in runs.items()] or [NO_CURVE], ignore_index=True)
    table = _table(jobs, curves)
    found = answers_of([Finished.of(run, errors[run_id]) for run_id, run in runs.items()], margin)
    counts = {outcome: sum(n["outcome"] == outcome for n in jobs) for outcome in get_args(Outcome)}

    def write(folder: Path) -> None:
        table.to_csv(folder / "sweep.csv", index=False)
        if found:
            (folder / "answer.md").write_text(markdown(found) + "\n", encoding="utf-8")
            frame(found).to_csv(folder / "answer.csv", index=False)
        curves.to_csv(folder / "curves.csv", index=False)
        (folder / "jobs.json").write_text(json.dumps(jobs, indent=1))
        if draw is not None and runs:
            (folder / "figures").mkdir()
            by_name = {runs[run_id].info.run_name: frame for run_id, frame in errors.items()}
            draw(by_name, folder / "figures" / "comparison.png", f"sweep {sweep_id}")

    identity = hashlib.sha256(f"sweep {sweep_id}".encode()).hexdigest()
    record = RunRecord(
        name=f"sweep/{sweep_id}",
        config_hash=identity,
        params={k: masked(str(v)) for k, v in (params or {}).items()} | {"jobs": len(jobs)},
        metrics=[(f"jobs/{outcome}", float(n), 0) for outcome, n in counts.items()],
        tags={"opal.kind": "sweep", "opal.sweep_id": sweep_id, RUNS: digest_of(runs)} | environment_tags(),
        description="\n\n".join(filter(None, [markdown(found), _markdown(table, jobs)])),
        status="partial" if counts["failed"] or counts["partial"] else "finished",
    )
    tracking.mend_sweeps()
    with tracking.claim(identity):
        tracking.log(record, write)
    return found, tracking.ui


def _curve(run: Run, errors: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of the error over seeds, by amount."""
    by_amount = errors[errors["metric"] == "error"].groupby("amount")["value"]
    curve = pd.DataFrame({"error": by_amount.mean(), "error_std": by_amount.std()}).reset_index()
    shared = {"run_id": run.info.run_id, "name": run.info.run_name}
    shared |= {c: run.data.params.get(c, "") for c in COLUMNS}
    return curve.assign(**shared)[NO_CURVE.columns]


def _table(jobs: list[dict[str, Any]], curves: pd.DataFrame) -> pd.DataFrame:
    """One row per job: error without and with the most synthetic rows, the best mean and its amount."""
    rows = []
    for note in jobs:
        curve = curves[curves["run_id"] == note["run_id"]] if note["run_id"] else curves.iloc[:0]
        row = {"job": note["job"], "outcome": note["outcome"], "run": note["name"], "run_id": note["run_id"]}
        if not curve.empty:
            best = curve.loc[curve["error"].astype(float).idxmin()]
            row |= {c: curve.iloc[0][c] for c in COLUMNS}
            row |= {"error_without": curve.iloc[0]["error"], "error_with_most": curve.iloc[-1]["error"]}
            row |= {"best_error": best["error"], "best_amount": best["amount"]}
        rows.append(row | {"fault": note["error"]})
    return pd.DataFrame(rows)


def _markdown(table: pd.DataFrame, jobs: list[dict[str, Any]]) -> str:
    shown = ["run", "outcome", "error_without", "error_with_most", "best_error", "best_amount"]
    lines = [f"| {' | '.join(c.replace('_', ' ') for c in shown)} |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for row in table.reindex(columns=shown).itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    lines += [f"\nJob {n['job']} failed: {n['error']}" for n in jobs if n["outcome"] == "failed"]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() else f"{value:.4f}"
    return str(value)
