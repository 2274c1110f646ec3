"""From results.parquet to the tables of the report. Every function takes and returns plain frames.

The unit is the table: errors are means over a table's seeds, intervals are Student's over tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from opal.evaluate.measure import MOVED
from opal.evaluate.verdict import confidence_interval
from opal.report.answer import Finished, answers_of

NO_ROWS, LLM = "none", "llm"
FREE = ("class_weight", "base_rate_threshold", "tuned_threshold", "duplicate", "smote", "balanced_forest")
BASE = "free: base_rate_threshold"
CELL = ["train_rows", "minority_rows", "classifier"]
MAIN = (100, 10)
FIXED = ("nothing", *(f"free: {name}" for name in FREE))


def test_errors(tidy: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One test metric: a row per table and cell, a column per action; mean over seeds.

    Actions: nothing; "free: NAME"; METHOD at its largest amount, METHOD/AMOUNT at each; "+": with a moved threshold.
    """
    parts = []
    plain = tidy[tidy["metric"] == metric]
    parts.append(plain[plain["amount"] == 0].assign(action="nothing"))
    for name in FREE:
        parts.append(tidy[tidy["metric"] == f"control/{name}/{metric}"].assign(action=f"free: {name}"))
    for prefix, sign in (("", ""), (MOVED, "+")):
        found = tidy[(tidy["metric"] == prefix + metric) & (tidy["amount"] > 0)]
        most = found.groupby(["table", *CELL], observed=True)["amount"].transform("max")
        method = found["method"].astype(str)
        parts.append(found.assign(action=method + "/" + found["amount"].astype(str) + sign))
        parts.append(found[found["amount"] == most].assign(action=method[found["amount"] == most] + sign))
    whole = pd.concat(parts)
    keys = [*CELL, "table", "action"]
    return whole.groupby(keys, observed=True)["value"].mean().unstack("action")


def at(errors: pd.DataFrame, cell: tuple[int, int], classifier: str) -> pd.DataFrame:
    """The rows of one cell and classifier: a row per table, a column per action measured there."""
    if (*cell, classifier) not in errors.index.droplevel("table"):
        return pd.DataFrame()
    return errors.loc[(*cell, classifier)].dropna(axis=1, how="all")


def gaps(errors: pd.DataFrame, actions: Sequence[str], other: str) -> pd.DataFrame:
    """Difference of each action to another, over tables that have both: mean, low, high, tables, lower (a share)."""
    found = {}
    for action in actions:
        if action in errors and action != other:
            gap = (errors[action] - errors[other]).dropna()
            low, high = confidence_interval(gap.to_numpy()) if len(gap) > 1 else (np.nan, np.nan)
            found[action] = (gap.mean(), low, high, len(gap), (gap < -1e-9).mean())
    return pd.DataFrame(found, index=["mean", "low", "high", "tables", "lower"]).T


def split_gain(errors: pd.DataFrame, actions: Sequence[str]) -> pd.DataFrame:
    """The gain of each action in two: the base-rate threshold without rows, and what rows add to that."""
    free = errors[BASE]
    found = {}
    for action in actions:
        if action + "+" not in errors:
            continue
        threshold = (free - errors["nothing"])[errors[action + "+"].notna()].dropna()
        information = (errors[action + "+"] - free).dropna()
        found[action] = (threshold.mean(), information.mean(), *confidence_interval(information.to_numpy()))
    return pd.DataFrame(found, index=["threshold", "information", "low", "high"]).T


def recommended(tidy: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """OPAL's own recommendation for each table and cell: action as in `test_errors`, table, cell."""
    rows = []
    for place, found in tidy.groupby([*CELL, "table"], observed=True):
        base = found[found["method"] == NO_ROWS]
        runs = []
        for method in methods:
            own = found[found["method"] == method]
            if not own.empty:
                errors = pd.concat([base, own])[["seed", "amount", "metric", "value"]]
                paid: Mapping[str, float] = {"llm/requests": 1.0} if method == LLM else {}
                runs.append(Finished(str(place[3]), str(place[2]), method, "", errors.astype({"metric": str}), paid))
        for answer in answers_of(runs):
            action = answer.recommended
            if action.amount:
                name = f"{action.name}/{action.amount}" + ("+" if action.moved else "")
            else:
                name = action.name if action.name == "nothing" else f"free: {action.name}"
            rows.append((*place, name))
    return pd.DataFrame(rows, columns=[*CELL, "table", "action"])


def regrets(errors: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Error less that of the best action in hindsight, for each policy: a row per table and cell.

    Parameters
    ----------
    errors : of `test_errors`, all cells
    chosen : of `recommended`
    """
    single = [action for action in errors if "/" in action or action == "nothing" or action.startswith("free: ")]
    hindsight = errors[single].min(axis=1)
    policies = {name: errors[name] - hindsight for name in FIXED if name in errors}
    follow = {tuple(row[:-1]): errors.at[tuple(row[:-1]), row[-1]] for row in chosen.itertuples(index=False)}
    ours = pd.Series(follow).rename_axis(errors.index.names)
    return pd.DataFrame({"follow OPAL": ours - hindsight, **policies})
