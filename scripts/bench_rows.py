#!/usr/bin/env python
"""Are the local model's rows any good? Beside SMOTE's and duplicates, on untouched test rows.

    python scripts/bench_rows.py [--data gender,craft] [--classifier logistic] [--seeds 1,2] [OVERRIDE ...]

Prints error, balanced error and average precision at each amount of synthetic rows, as means over the seeds, for
every table, classifier and method; below them the first method's difference to the best other one (the best mean at
that amount, no synthetic rows among them), with its standard error over the seeds. Negative errors and positive
precisions favour the first method. Before that, for every table and method, the energy distance of its rows to the
test rows of the minority groups (Gower's distance; Szekely and Rizzo 2013), beside that of the train rows.

OVERRIDE is Hydra's: `llm.sampling.temperature=0.8`, `prompt.rows_per_request=1`, `task.train_rows=60`. Compare
settings on other tables than those they are judged on, such as `--data breast_cancer,sklearn`. Answers are kept in
llm.store (mlruns/responses), so that a second run asks for nothing. Tables come from OPAL_DATA_DIR.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from opal.config.build import build, compose
from opal.errors import OpalError
from opal.evaluate import Folds
from opal.evaluate.distance import Gower
from opal.methods.base import Oversampler
from opal.result import Rows, TrialResult
from opal.table import Group, Split, Train
from opal.trial import Trial

METRICS = {"error": -1, "balanced_error": -1, "average_precision": 1}  # 1: more is better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="craft,gender,diabetes,heart_failure")
    parser.add_argument("--classifier", default="logistic,catboost,random_forest")
    parser.add_argument("--method", default="llm,smote,duplicate")
    parser.add_argument("--seeds", default="1,2,6,8,42")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides")
    given = parser.parse_args()
    try:
        for table in given.data.split(","):
            bench(table, given)
    except OpalError as error:
        sys.exit(f"bench_rows: {error}")


def bench(table: str, given: argparse.Namespace) -> None:
    """Measure and print one table."""
    rows: dict[str, dict[int, Rows]] = {}
    seeds = [int(seed) for seed in given.seeds.split(",")]
    for classifier in given.classifier.split(","):
        results = {}
        for method in given.method.split(","):
            trial = trial_of(f"data={table}", f"method={method}", f"classifier={classifier}", *given.overrides)
            result = measured(trial, seeds, rows.get(method))
            results[method] = result
            if method not in rows:
                rows[method] = result.rows
                print_rows(table, method, trial, result, first=len(rows) == 1)
        for metric in METRICS:
            print(f"\n{table}, {classifier}, {metric}")
            print(compared(results, metric).to_string(float_format="{:.4f}".format, na_rep=""), flush=True)
    print()


def trial_of(*overrides: str) -> Trial:
    return build(compose(*overrides))


def measured(trial: Trial, seeds: list[int], known: dict[int, Rows] | None) -> TrialResult:
    """One trial, by the rows already made where there are any."""
    method = Known(known) if known else trial.method
    off: dict[str, Any] = {"contamination": "off", "fidelity": False, "validation": Folds(0)}
    return replace(trial, method=method, seeds=seeds, **off).run()


class Known(Oversampler):
    """Gives the rows that another method has made."""

    def __init__(self, rows: dict[int, Rows]) -> None:
        self.rows = rows

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: object) -> Rows:
        known = self.rows[train.seed]
        return Rows(known.frame, stopped=known.stopped)


def compared(results: dict[str, TrialResult], metric: str) -> pd.DataFrame:
    """Mean over seeds: one row a method, one column an amount; then the first method's difference and its error."""
    curves = {method: result.curve(metric) for method, result in results.items()}
    table = pd.DataFrame({method: curve.mean() for method, curve in curves.items()}).T
    first, *others = curves
    difference, error = {}, {}
    for amount in (a for a in curves[first].columns if a):
        rivals = [curves[m][amount] for m in others if amount in curves[m]] + [curves[first][0]]
        best = max(rivals, key=lambda values: METRICS[metric] * values.mean())
        paired = (curves[first][amount] - best).dropna()
        difference[amount] = paired.mean()
        error[amount] = paired.std() / np.sqrt(len(paired))
    table.loc[f"{first} - best other"] = pd.Series(difference)
    table.loc["standard error"] = pd.Series(error)
    return table


def print_rows(table: str, method: str, trial: Trial, result: TrialResult, first: bool) -> None:
    splits = [trial.task.split(trial.table, seed) for seed in result.rows]
    if first:
        own = [distance(s, pd.concat([s.train.rows(g) for g in s.train.minority_groups])) for s in splits]
        print(f"{table}: energy distance to minority test rows")
        print(f"  {'train':10s}{np.mean(own):.4f}")
    found = [distance(s, rows.frame) for s, rows in zip(splits, result.rows.values(), strict=True)]
    line = f"  {method:10s}{np.mean(found):.4f}  ({', '.join(f'{d:.4f}' for d in found)})"
    usage, funnel = result.usage, result.funnel
    if usage.requests:
        tokens = (usage.prompt_tokens + usage.completion_tokens) / max(1, funnel.valid)
        line += f"  {funnel.valid}/{funnel.requested} rows valid, {tokens:.1f} tokens each, {usage.cache_hits} of "
        line += f"{usage.requests} requests stored before"
    print(line + (f"  STOPPED: {result.stopped}" if result.stopped else ""), flush=True)


def distance(split: Split, rows: pd.DataFrame) -> float:
    """Energy distance of ``rows`` to the test rows of the minority groups, mean over the groups."""
    train = split.train
    gower = Gower(train.schema, train.frame, train.schema.features)
    found = []
    for group in train.minority_groups:
        a, b = rows[group.mask(rows)], split.test[group.mask(split.test)]
        if len(a) > 1 and len(b) > 1:
            found.append(2 * gower.pairs(a, b).mean() - within(gower, a) - within(gower, b))
    return float(np.mean(found)) if found else float("nan")


def within(gower: Gower, rows: pd.DataFrame) -> float:
    """Mean distance of two different rows: unbiased, so that few rows do not seem farther than many."""
    n = len(rows)
    return float(gower.pairs(rows, rows).sum() / (n * (n - 1)))


if __name__ == "__main__":
    main()
