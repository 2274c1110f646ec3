"""Runs of an MLflow store as plain tables: one row per run, one row per measured value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from opal.record.connection import existing_uri, sqlite_path
from opal.report.read.select import Where

RUN_COLUMNS = ["run_id", "name", "experiment", "experiment_id", "config_hash", "status", "start"]
PARAM_COLUMNS = ["data", "task", "method", "classifier", "llm", "prompt", "curate"]
TAGS = ("config_hash", "data_digest", "sweep_id", "overrides")
_RUN_NAME = re.compile(r"^(?P<data>.+)/[^/]+/[^/]+-[0-9a-f]{12}$")
_KEY = re.compile(r"^(?:seed_(?P<seed>-?\d+)/)?(?:control/(?P<control>[^/]+)/)?(?P<metric>.+)$")


class RunSource(Protocol):
    """Where runs are read from."""

    def runs(self, where: Where, experiments: Sequence[str]) -> list[dict]: ...

    def metric_names(self) -> list[str]: ...

    def points(self, run_ids: Sequence[str], keys: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Loaded:
    """Runs and what was measured in them.

    Parameters
    ----------
    runs : a row per run, index 0, 1, ...: RUN_COLUMNS, PARAM_COLUMNS, data_digest, sweep_id, overrides, seeds
    params : every logged param of each run, in the same order
    values : a row per value: run (position in ``runs``), seed (-1: of the whole run), control ("" or its name), metric,
        amount, value
    left_out : number of matching runs that are not finished, by their status
    """

    runs: pd.DataFrame
    params: list[dict[str, str]]
    values: pd.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)
    uri: str = ""

    def take(self, chosen: np.ndarray) -> Loaded:
        """The runs where ``chosen``, shape (n_runs,), is true."""
        at = np.flatnonzero(chosen)
        place = np.full(len(chosen), -1)
        place[at] = np.arange(len(at))
        run = place[self.values["run"].to_numpy()]
        values = self.values[run >= 0].assign(run=run[run >= 0])
        runs = self.runs.iloc[at].reset_index(drop=True)
        return Loaded(runs, [self.params[i] for i in at], values, self.left_out, self.uri)

    def singles(self) -> pd.DataFrame:
        """Figures of whole runs: a row per run, a column per metric."""
        chosen = self.values[(self.values["seed"] == -1) & (self.values["control"] == "")]
        wide = chosen.pivot_table(index="run", columns="metric", values="value", aggfunc="last", observed=True)
        return wide.reindex(range(len(self.runs)))


def open_store(uri: str | None = None) -> tuple[RunSource, str]:
    """The store at ``uri``, else at MLFLOW_TRACKING_URI, else ``mlflow.db`` here; and its address."""
    from opal.report.read.server import ServerRuns
    from opal.report.read.sqlite import SqliteRuns

    address = existing_uri(uri)
    path = sqlite_path(address)
    return (SqliteRuns(path) if path else ServerRuns(address)), address


def load(
    where: Where | None = None,
    metrics: Sequence[str] | None = ("error",),
    uri: str | None = None,
    experiments: Sequence[str] = (),
    singles: Sequence[str] = (),
) -> Loaded:
    """Read finished trials.

    Parameters
    ----------
    metrics : by seed, for the curve and every control; None means all
    uri : MLflow address; None is MLFLOW_TRACKING_URI, else ``mlflow.db`` in the working folder
    experiments : names of MLflow experiments; none means all
    singles : figures of whole runs, by prefix of their name (``contamination/``)

    Raises
    ------
    TrackingError : the store cannot be read
    ConfigError : a condition cannot be understood
    """
    where = where or Where()
    store, address = open_store(uri)
    found = [_run(row) for row in store.runs(where, experiments)]
    found = [run for run in found if where.holds(run["config_hash"], _options(run))]
    done = [run for run in found if run["status"] == "finished"]
    left_out: dict[str, int] = {}
    for run in found:
        if run["status"] != "finished":
            left_out[run["status"]] = left_out.get(run["status"], 0) + 1
    done = _newest(done, left_out)
    columns = [*RUN_COLUMNS, *PARAM_COLUMNS, "data_digest", "sweep_id", "overrides", "seeds"]
    runs = pd.DataFrame({c: [run[c] for run in done] for c in columns})
    runs["start"] = pd.to_datetime(runs["start"], unit="ms", utc=True)
    values = _values(store, [run["run_id"] for run in done], metrics, singles)
    return Loaded(runs, [run["params"] for run in done], values, left_out, address)


def runs(
    where: Where | None = None,
    metrics: Sequence[str] = ("error",),
    uri: str | None = None,
    experiments: Sequence[str] = (),
) -> pd.DataFrame:
    """Finished trials as one tidy table: a row for each run, control, metric, amount and seed.

    Parameters
    ----------
    where : which runs; default all
    metrics : names of metrics measured by seed, such as error, balanced_error, worst_group_error
    uri : MLflow address; None is MLFLOW_TRACKING_URI, else ``mlflow.db`` in the working folder
    experiments : names of MLflow experiments; none means all

    Returns
    -------
    DataFrame with the columns (all but the last three categorical)

    ==================  =======================================================================
    run_id, name        MLflow's
    config_hash         64 hex digits: hash of everything that determines the figures
    data                the table's name
    task, method,       the options chosen; llm and prompt are set even where the method uses
    classifier, llm,    no language model
    prompt, curate
    data_digest         digest of the table's cells
    sweep_id            ties the runs of one sweep; empty outside one
    control             empty for the curve, else the remedy measured at amount 0
    metric              its name
    seed                int: of the split, the rows and the fit
    amount              int: synthetic rows added to train
    value               float
    ==================  =======================================================================

    Raises
    ------
    TrackingError : the store cannot be read
    ConfigError : a condition cannot be understood

    Examples
    --------
    ``runs(Where(sweep="..."))`` or ``runs(Where(options={"data": ["gender"]}), metrics=["error", "brier"])``
    """
    loaded = load(where, metrics, uri, experiments)
    at = loaded.values["run"].to_numpy()
    names = ["run_id", "name", "config_hash", *PARAM_COLUMNS, "data_digest", "sweep_id"]
    columns = {name: loaded.runs[name].astype("category").take(at).array for name in names}
    rest = loaded.values[["control", "metric", "seed", "amount", "value"]].reset_index(drop=True)
    return pd.concat([pd.DataFrame(columns), rest], axis=1)


def split_key(key: str) -> tuple[int, str, str]:
    """Seed (-1 where there is none), control ("" where there is none) and metric of a key in MLflow."""
    found = _KEY.match(key)
    assert found is not None
    return int(found["seed"] or -1), found["control"] or "", found["metric"]


def _run(row: dict) -> dict:
    params, tags = row.pop("params"), row.pop("tags")
    run = row | {c: params.get(c, "") for c in (*PARAM_COLUMNS, "seeds")} | {"params": params}
    run["experiment_id"] = str(run["experiment_id"])
    run |= {tag: tags.get(f"opal.{tag}", "") for tag in TAGS}
    run["status"] = tags.get("opal.status", "unknown")
    if run["status"] == "finished" and run["mlflow_status"] != "FINISHED":
        run["status"] = "running"
    if named := _RUN_NAME.match(run["name"] or ""):
        run["data"] = named["data"]  # the table's name: data=csv stands for many tables
    return run


def _options(run: dict) -> dict[str, tuple[str, ...]]:
    found = {key: (value,) for key, value in run["params"].items()}
    return found | {"data": (run["data"], *found.get("data", ()))}


def _newest(done: list[dict], left_out: dict[str, int]) -> list[dict]:
    """Of several finished runs of one hash, the newest: their figures are equal, perhaps in another experiment."""
    newest = {run["config_hash"] or run["run_id"]: run for run in done}  # runs come oldest first
    if len(newest) < len(done):
        left_out["repeated"] = len(done) - len(newest)
    return list(newest.values())


def _values(
    store: RunSource, run_ids: list[str], metrics: Sequence[str] | None, singles: Sequence[str]
) -> pd.DataFrame:
    wanted, parsed = set(metrics or ()), []
    if run_ids:
        for key in store.metric_names():
            seed, control, metric = split_key(key)
            if (seed != -1 and (metrics is None or metric in wanted)) or (
                seed == -1 and not control and singles and metric.startswith(tuple(singles))
            ):
                parsed.append((key, seed, control, metric))
    points = store.points(run_ids, [p[0] for p in parsed]) if parsed else np.empty((0, 4))
    k = points[:, 1].astype(int)
    seeds = np.array([p[1] for p in parsed], dtype=int)
    columns: dict[str, object] = {"run": points[:, 0].astype(int), "seed": seeds[k] if len(k) else k}
    for i, name in ((2, "control"), (3, "metric")):
        codes, levels = pd.factorize(np.array([p[i] for p in parsed], dtype=object))
        columns[name] = pd.Categorical.from_codes(codes[k] if len(k) else [], categories=levels)
    columns |= {"amount": points[:, 2].astype(int), "value": points[:, 3]}
    return pd.DataFrame(columns)
