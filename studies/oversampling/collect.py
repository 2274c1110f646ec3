#!/usr/bin/env python
"""The study's runs, from the MLflow store in this folder to results.parquet and runs.csv beside this file.

    python studies/oversampling/collect.py

results.parquet : tidy, [table, train_rows, minority_rows, classifier, method, seed, amount, metric, value]; the metrics
    of controls and moved thresholds have a prefix, as in MLflow (control/smote/balanced_error)
runs.csv : one row per run: its hash, seconds, tokens, synthetic rows that equal a test row, rows kept by the filter
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from opal.evaluate.measure import MOVED
from opal.evaluate.validate import PREFIX
from opal.report.read.load import load
from opal.report.read.select import Where

HERE = Path(__file__).parent
NO_ROWS = "none"  # the method's name in figures that need no synthetic rows
MEASURES = ("error", "balanced_error", "roc_auc", "average_precision")
TESTED = ("brier", "f1")  # on test rows alone
PLACES = (PREFIX, PREFIX + MOVED, MOVED, "corrected/", "")
SINGLES = ("time/rows", "llm/", "contamination/", "train/", "test/rows", "rows/", "funnel/")
KEPT = [
    "llm/prompt_tokens", "llm/completion_tokens", "llm/requests", "time/rows", "test/rows",
    "contamination/test_exact", "contamination/test_chance", "contamination/test_chance_high",
]  # fmt: skip


def main() -> None:
    loaded = load(Where(options={"experiment": ["oversampling"]}), metrics=None, singles=SINGLES)
    values = loaded.values
    by_seed = values[values["seed"] != -1]
    control, metric = by_seed["control"].astype(str), by_seed["metric"].astype(str)
    named = metric.where(control == "", "control/" + control + "/" + metric)
    wanted = named.map({name: True for name in named.unique() if name.rpartition("/")[2] in _wanted()}).fillna(False)
    runs = loaded.runs.assign(
        train_rows=[int(p["task.train_rows"]) for p in loaded.params],
        minority_rows=[round(int(p["task.train_rows"]) * float(p["task.minority_share"])) for p in loaded.params],
        table=loaded.runs["data"],
    )
    places = runs[["table", "train_rows", "minority_rows", "classifier", "method"]]
    tidy = by_seed[wanted].assign(metric=named[wanted])
    tidy = (
        places.take(tidy["run"])
        .reset_index(drop=True)
        .join(tidy[["seed", "amount", "metric", "value"]].reset_index(drop=True))
    )
    tidy["method"] = tidy["method"].where(tidy["amount"] > 0, NO_ROWS)  # the same in the runs of all methods
    order = list(tidy.columns[:-1])
    tidy = tidy.drop_duplicates(order)
    tidy = tidy.sort_values(order, ignore_index=True)
    for name in ("table", "classifier", "method", "metric"):
        tidy[name] = tidy[name].astype("category")
    small = {"train_rows": "int16", "minority_rows": "int16", "seed": "int16", "amount": "int16"}
    tidy.astype(small).round({"value": 6}).to_parquet(HERE / "results.parquet", compression="zstd", index=False)
    singles = loaded.singles().reindex(columns=KEPT)
    told = places.assign(hash=runs["config_hash"].str[:12]).join(singles)
    told = told.sort_values(list(places), ignore_index=True).replace(np.nan, None)
    told.to_csv(HERE / "runs.csv", index=False)
    print(f"{len(runs)} runs, {len(tidy):,} figures of {tidy['table'].nunique()} tables")
    print(places.groupby(["train_rows", "minority_rows", "classifier", "method"])["table"].nunique().to_string())


def _wanted() -> set[str]:
    return {*MEASURES, *TESTED, *(PREFIX + m for m in MEASURES)}


if __name__ == "__main__":
    main()
