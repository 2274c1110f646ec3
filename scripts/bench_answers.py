#!/usr/bin/env python
"""Is the answer worth following? Regret of OPAL's advice, and of fixed policies, on test rows that nobody has seen.

    python scripts/bench_answers.py [--classifier logistic,random_forest] [--tables all] [--repeats 2]
    python scripts/bench_answers.py --calibration

Of each table a small part (150 rows, a tenth of them minority) is what a person has; the rest is hidden. OPAL runs its
trials on the small part alone and recommends an action. Then every policy is applied to the whole small part and
measured on the hidden rows by the balanced error. The regret of a policy is its error less that of the best action in
hindsight. Tables 1, 3, 5, ... may be used to choose OPAL's rule (`--tables odd`), the others report (`--tables even`).

--calibration draws populations whose true difference between a method and its control is known, nothing included, and
prints how often *helps* is said falsely (at most 5 %) and how often the 95 % intervals hold the truth.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from benchmark import Figure, finish, parse
from sklearn import datasets

from opal.config.build import compose, instantiate
from opal.data import build_table
from opal.evaluate import Amounts, Folds
from opal.evaluate.answer import answer
from opal.evaluate.measure import MOVED, measure
from opal.evaluate.metrics import BY_NAME
from opal.evaluate.verdict import confidence_interval, verdict
from opal.methods import Duplicate, Smote
from opal.report.answer import measured
from opal.table import Split, Table, Train
from opal.tasks import Imbalanced
from opal.trial import Trial

SMALL, SHARE, SEEDS = 150, 0.1, (1, 2, 6, 8, 42)
FIXED = ("nothing", "base_rate_threshold", "tuned_threshold", "class_weight", "smote", "duplicate", "balanced_forest")


def made(n_informative: int, separation: float, seed: int, **more: object) -> Callable[[], tuple]:
    given = {"n_samples": 6000, "n_features": 8, "n_redundant": 0, "class_sep": separation, "flip_y": 0.02, **more}
    return lambda: datasets.make_classification(n_informative=n_informative, random_state=seed, **given)


def bundled(load: Callable, minority: object) -> Callable[[], tuple]:
    def get() -> tuple:
        x, y = load(return_X_y=True)
        return x, (y == minority).astype(int)

    return get


def modelled(name: str, target: Callable[[pd.DataFrame], pd.Series], drop: list[str]) -> Callable[[], tuple]:
    """A table of statsmodels' (public domain or as its page says)."""

    def get() -> tuple:
        import statsmodels.api as sm

        frame = getattr(sm.datasets, name).load_pandas().data.dropna()
        return frame.drop(columns=drop).to_numpy(float), target(frame).to_numpy(int)

    return get


TABLES: dict[str, Callable[[], tuple]] = {
    "breast_cancer": bundled(datasets.load_breast_cancer, 0),
    "digits_8": bundled(datasets.load_digits, 8),
    "fair": modelled("fair", lambda f: f["affairs"] > 0, ["affairs"]),
    "two_clusters": made(2, 1.0, 1),
    "four_features": made(4, 0.7, 2),
    "weak": made(3, 0.4, 3),
    "moons": lambda: datasets.make_moons(6000, noise=0.35, random_state=4),
    "circles": lambda: datasets.make_circles(6000, noise=0.2, factor=0.5, random_state=5),
    "many_clusters": made(4, 0.9, 6, n_clusters_per_class=4),
    "gaussian_rings": lambda: _rings(),
    "anes96": modelled("anes96", lambda f: f["vote"] == 1, ["vote"]),
    "noisy": made(5, 1.2, 7, flip_y=0.2),
}


def _rings() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.make_gaussian_quantiles(n_samples=6000, n_features=4, n_classes=2, random_state=8)
    return x, y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", default="logistic")
    parser.add_argument("--tables", choices=["all", "odd", "even"], default="all")
    parser.add_argument("--repeats", type=int, default=2, help="small parts drawn of each table")
    parser.add_argument("--calibration", action="store_true")
    given = parse(parser, repeats=1, tables="odd")
    warnings.simplefilter("ignore")
    if given.calibration:
        calibration()
        return
    names = list(TABLES)[{"all": slice(None), "odd": slice(0, None, 2), "even": slice(1, None, 2)}[given.tables]]
    figures = []
    for classifier in given.classifier.split(","):
        found = pd.DataFrame([regrets(name, classifier, repeat) for name in names for repeat in range(given.repeats)])
        figures.append(report(found, classifier))
    finish(*figures)


def regrets(name: str, classifier: str, repeat: int) -> dict[str, object]:
    """Balanced error on the hidden rows of every policy, for one small part of one table."""
    table, hidden = parts(name, repeat)
    config = compose("method=none", f"classifier={classifier}")
    model, controls = instantiate(config, "classifier"), instantiate(config, "controls")
    task = Imbalanced(test_rows=round(0.3 * SMALL))
    given = {"controls": controls, "validation": Folds(3), "amounts": Amounts(4), "seeds": SEEDS}
    off = {"fidelity": False, "contamination": "off"}
    trials = [Trial(table, task, m, model, **given, **off) for m in (Smote(), Duplicate())]  # type: ignore[arg-type]
    results = [trial.run() for trial in trials]
    runs = [
        measured(label, result.errors, result.metrics)
        for label, result in zip(("smote rows", "duplicate rows"), results, strict=True)
    ]
    found = answer(name, classifier, runs)
    assert found is not None
    scale = len(table.frame) / results[0].metrics["train/rows"]
    amounts = sorted(set(results[0].errors["amount"]) - {0})
    errors = applied(table, hidden, model, controls, amounts, scale)
    chosen = found.recommended
    mine = errors[f"{chosen.name}/{chosen.amount}/{chosen.moved}" if chosen.amount else chosen.name]
    best = min(errors.values())
    policies = {policy: errors[policy] for policy in FIXED if policy in errors}
    return {"table": name, "action": chosen.words, "best": best, "follow OPAL": mine, **policies}


def parts(name: str, repeat: int) -> tuple[Table, pd.DataFrame]:
    """The small part as a table, and the hidden rows with the same share of the minority."""
    x, y = TABLES[name]()
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).assign(y=y)
    few, many = (frame[frame["y"] == label].sample(frac=1, random_state=repeat) for label in (1, 0))
    n = round(SMALL * SHARE)
    small = pd.concat([few[:n], many[: SMALL - n]]).sample(frac=1, random_state=repeat, ignore_index=True)
    hidden = pd.concat([few[n:], many[SMALL - n :]], ignore_index=True)
    return build_table(name, small, source="bench", target="y", minority=1), hidden


def applied(table: Table, hidden: pd.DataFrame, model, controls, amounts: list[int], scale: float) -> dict[str, float]:
    """Balanced error on the hidden rows of every action, fitted on the whole small part.

    ``scale`` is its size against the train rows of the trials, whose amounts are scaled up with it.
    """
    hidden = table.schema.cast(hidden[table.schema.names])
    train = Train(table.frame, table.schema, Imbalanced().groups(table), 1)
    split = Split(train, hidden)
    errors: dict[str, float] = {}
    none = table.frame.iloc[:0]
    for record in measure(model, split, none, 0, 1, controls):
        if record["metric"] == "balanced_error":
            errors["nothing"] = record["value"]
        elif record["metric"].startswith("control/") and record["metric"].endswith("/balanced_error"):
            errors[record["metric"].split("/")[1]] = record["value"]
    for label, method in (("smote rows", Smote()), ("duplicate rows", Duplicate())):
        for amount in amounts:
            rows = method.sample(train, round(amount * scale)).frame
            for record in measure(model, split, rows, amount, 1):
                if record["metric"] in ("balanced_error", MOVED + "balanced_error"):
                    errors[f"{label}/{amount}/{record['metric'].startswith(MOVED)}"] = record["value"]
    return errors


def report(found: pd.DataFrame, classifier: str) -> Figure:
    """Print regrets; returns that of OPAL's advice beside the least of a fixed policy."""
    print(f"\n{classifier}, {BY_NAME['balanced_error'].words} on hidden rows, {len(found)} small parts")
    print(f"{'policy':<22}{'error':>8}{'regret':>9}   95 % interval over tables")
    policies = [c for c in found if c not in ("table", "action", "best")]
    rows = []
    for policy in policies:
        regret = (found[policy] - found["best"]).groupby(found["table"]).mean().to_numpy()
        low, high = confidence_interval(regret)
        rows.append((regret.mean(), policy, found[policy].mean(), low, high))
    for mean, policy, error, low, high in sorted(rows):
        print(f"{policy:<22}{error:>8.4f}{mean:>9.4f}   {low:.4f} to {high:.4f}")
    print("recommended: " + ", ".join(f"{t}: {a}" for t, a in zip(found["table"], found["action"], strict=True)))
    regret = {policy: mean for mean, policy, *_ in rows}
    mine, fixed = regret.pop("follow OPAL"), min(regret.values())
    name = f"regret of OPAL's advice beside the best fixed policy, {classifier}"
    return Figure(name, mine / fixed, note=f"{mine:.3f} and {fixed:.3f}")


def calibration(populations: int = 4000, seeds: int = 5) -> None:
    """Errors of a method and three controls over splits of a population with a known mean difference."""
    rng = np.random.default_rng(0)
    print(f"{'true difference':<18}{'helps':>8}{'hurts':>8}{'no diff.':>10}{'inconcl.':>10}{'truth in interval':>19}")
    for true in (0.0, 0.005, -0.005, 0.02, -0.02, -0.05):
        words, held = [], 0
        for _ in range(populations):
            base = rng.normal(0.2, 0.03, seeds)  # what a split shares by all
            free = {f"c{i}": pd.Series(base + rng.normal(0, 0.01, seeds)) for i in range(3)}
            found = verdict(pd.Series(base + true + rng.normal(0, 0.01, seeds)), free)
            words.append(found.word)
            alone = confidence_interval((base + true + rng.normal(0, 0.01, seeds)) - free["c0"].to_numpy())
            held += alone[0] <= true <= alone[1]
        share = pd.Series(words).value_counts(normalize=True)
        said = [share.get(w, 0.0) for w in ("helps", "hurts", "no difference that matters", "inconclusive")]
        print(
            f"{true:<+18.3f}{said[0]:>8.3f}{said[1]:>8.3f}{said[2]:>10.3f}{said[3]:>10.3f}{held / populations:>19.3f}"
        )


if __name__ == "__main__":
    main()
