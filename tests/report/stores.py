"""A small store of runs, made the way `opal.run` makes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from opal.record.run_record import DatasetInput, RunRecord, metrics_of, run_name, scalars
from opal.record.tracking import Tracking

AMOUNTS = (0, 10, 20)
GAIN = {"smote": 0.04, "llm": 0.10}
ASKS = {"method.client.model": "tiny", "llm": "local", "prompt": "csv"}


def errors(data: str, method: str, seeds=(1, 2, 6, 8), shift: float = 0.0) -> pd.DataFrame:
    """Tidy errors: no rows and controls hang on table and seed alone, as on equal splits."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng([seed, *data.encode()])
        raw, threshold, weight = (rng.uniform(low, low + 0.02) for low in (0.30, 0.26, 0.28))
        noise = np.random.default_rng([seed, *method.encode()]).normal(0, 0.004, len(AMOUNTS))
        noise[0] = 0
        for i, amount in enumerate(AMOUNTS):
            error = raw - GAIN.get(method, 0) * i / 2 + noise[i] + (shift if i else 0)
            rows += [(seed, amount, "error", error), (seed, amount, "worst_group_error", error * 1.5)]
            rows += [(seed, amount, "average_precision", 1 - error)]
        rows += [(seed, 0, f"control/{n}/error", v) for n, v in (("threshold", threshold), ("class_weight", weight))]
    return pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])


def log(tracking: Tracking, data: str, method: str, digest: str, **given) -> str:
    """Record one run; gives its id. ``given``: seeds, shift, params, tags, content (the table's digest), status."""
    seeds = given.get("seeds", (1, 2, 6, 8))
    found = errors(data, method, seeds, given.get("shift", 0.0))
    singles = {f"seed_{seed}/amount_chosen": 10 if seed == 1 else 20 for seed in seeds}
    singles |= {"time/rows": 0.5, "contamination/test_rate": 0.1, "contamination/test_chance": 3.0}
    singles |= {"contamination/test_chance_rate": 0.05, "contamination/test_chance_low": 1.0}
    singles |= {"contamination/test_chance_high": 6.0}
    params = {"data": "csv", "task": "imbalanced", "method": method, "classifier": "logistic", "curate": "none"}
    params |= {"llm": "local", "prompt": "csv", "seeds": " ".join(map(str, seeds)), "task.split": "random"}
    if method == "llm":
        params |= ASKS
        singles |= {"llm/requests": 4.0, "llm/prompt_tokens": 900.0, "llm/completion_tokens": 400.0}
        singles |= {
            f"funnel/{k}": v for k, v in (("requested", 90.0), ("parsed", 70.0), ("valid", 66.0), ("kept", 60.0))
        }
    digest = (digest * 64)[:64]
    record = RunRecord(
        name=run_name(data, method, "logistic", digest),
        config_hash=digest,
        generation_hash=digest,
        params=params | given.get("params", {}),
        metrics=metrics_of(found) + scalars(singles),
        tags={"opal.kind": "trial", "opal.sweep_id": "s1"} | given.get("tags", {}),
        dataset=DatasetInput(data, given.get("content", f"content of {data}")),
        status=given.get("status", "finished"),
    )
    with tracking.claim(digest):
        return tracking.log(record)


def make(folder: Path) -> SimpleNamespace:
    """Two tables by two methods; beside them a superseded run, a partial one and a sweep."""
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db", existing="rerun")
    log(tracking, "bank", "smote", "a1", shift=0.1)  # superseded by the next
    ids = {("bank", "smote"): log(tracking, "bank", "smote", "a1")}
    ids["bank", "llm"] = log(tracking, "bank", "llm", "a2", tags={"team": "blue"})
    ids["farm", "smote"] = log(tracking, "farm", "smote", "a3", tags={"opal.sweep_id": "s2"})
    ids["farm", "llm"] = log(tracking, "farm", "llm", "a4", tags={"opal.sweep_id": "s2"})
    log(tracking, "farm", "none", "a5", status="partial")
    log(tracking, "all", "none", "a6", tags={"opal.kind": "sweep"})
    return SimpleNamespace(uri=str(tracking.uri), folder=folder, ids=ids, tracking=tracking)
