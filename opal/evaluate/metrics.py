"""Metrics of one fit: a table of what is measured and where it is used, and the functions that compute it.

A new metric is a row of `METRICS` and a value in `errors` or `ranking`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.evaluate.features import label_codes, minority_codes
from opal.table import Group, Split

Record = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """One metric and its uses.

    Parameters
    ----------
    name : in results, records and on the command line
    label : in figures and sentences; the name in words by default
    higher_is_better : False for errors
    of_groups : measured only where an attribute defines groups (task=spurious)
    validated : also measured on validation folds
    judged : gets a verdict ("always", "groups": where an attribute defines groups, or "never")
    drawn : has a panel in a run's figure and a chart in the UI
    leads : logged before the others, so that the UI lists it first
    column : has a column in the UI's table of runs
    tuned : may be minimised by ``opal tune``
    """

    name: str
    label: str = ""
    higher_is_better: bool = False
    of_groups: bool = False
    validated: bool = False
    judged: Literal["always", "groups", "never"] = "never"
    drawn: bool = False
    leads: bool = False
    column: bool = False
    tuned: bool = False

    @property
    def words(self) -> str:
        """Its name for readers."""
        return self.label or self.name.replace("_", " ")


METRICS = (
    Metric("error", validated=True, judged="always", drawn=True, leads=True, column=True, tuned=True),
    Metric("balanced_error", validated=True, judged="always", drawn=True, leads=True, column=True, tuned=True),
    Metric("worst_group_error", "worst-group error", judged="groups", drawn=True, leads=True, column=True, tuned=True),
    Metric("group_balanced_error", "group-balanced error", of_groups=True, validated=True),
    Metric("minority_error", leads=True),
    Metric("majority_error", leads=True),
    Metric("average_precision", higher_is_better=True, drawn=True, leads=True),
    Metric("f1", "F1 score", higher_is_better=True),
    Metric("group_gap"),
    Metric("roc_auc", "ROC AUC", higher_is_better=True),
    Metric("brier", "Brier score"),
    Metric("calibration_error"),
    Metric("cost", "cost per row"),  # with measure=cost alone, see `with_cost`
)
# Measures that a person may choose by (``measure=``); auto: the group-balanced or the balanced error.
Measure = Literal[
    "auto",
    "error",
    "balanced_error",
    "group_balanced_error",
    "worst_group_error",
    "average_precision",
    "roc_auc",
    "f1",
    "cost",
]
OF_CLASS, MOST_CLASSES = "error_of_", 20  # metrics of single classes
OF_CHOICE = ("f1", "minority_error", "majority_error")  # also with a moved threshold: a choice may need them
BY_NAME = {metric.name: metric for metric in METRICS}


def names(use: str = "name") -> tuple[str, ...]:
    """Names of the metrics of one use, such as ``validated`` or ``drawn``; of all by default."""
    return tuple(metric.name for metric in METRICS if getattr(metric, use))


def higher_is_better(name: str) -> bool:
    """Whether more of a metric is better; prefixes such as ``validation_`` are not part of the name."""
    return name in BY_NAME and BY_NAME[name].higher_is_better


def judged(groups: bool) -> tuple[str, ...]:
    """The metrics that get a verdict."""
    uses = ("always", "groups") if groups else ("always",)
    return tuple(metric.name for metric in METRICS if metric.judged in uses)


def score(split: Split, proba: np.ndarray, predicted: np.ndarray, minority: Any, amount: int) -> list[Record]:
    """All metrics of one set of predictions as tidy records.

    Parameters
    ----------
    proba : shape (n_test, n_classes), columns as ``schema.labels``
    predicted : label codes, shape (n_test,)
    minority : the label that is short of rows, or a tuple of several; ranking and F1 are then means over them
    """
    schema = split.train.schema
    truth, codes = label_codes(split.test, schema), minority_codes(schema, minority)
    values = errors(predicted, split.test, truth, split.train.groups) | mean_ranking(proba, truth, codes)
    values |= {"f1": mean_f1(predicted, truth, codes)} | by_class(predicted, truth, schema.labels)
    return [{"seed": split.seed, "amount": amount, "metric": k, "value": v} for k, v in values.items()]


def errors(
    predicted: np.ndarray, frame: pd.DataFrame, truth: np.ndarray, groups: tuple[Group, ...]
) -> dict[str, float]:
    """Errors of predicted label codes, each a share of wrong rows in 0..1.

    balanced_error: mean over classes. group_balanced_error: mean over groups, given where an attribute tells more
    groups than classes. minority_error, majority_error: over the pooled rows of those groups. worst_group_error:
    the largest over groups; group_gap: the largest minus the smallest. A group without test rows is ignored; a
    side (minority, majority) without any has no figure.
    """
    wrong = predicted != truth
    masks = [(g, g.mask(frame)) for g in groups]
    by_group = [float(wrong[m].mean()) for _, m in masks if m.any()]
    by_class = [float(wrong[truth == code].mean()) for code in np.unique(truth)]
    out = {"error": float(wrong.mean()), "balanced_error": float(np.mean(by_class))}
    if any(g.column is not None for g in groups):
        out["group_balanced_error"] = float(np.mean(by_group))
    for name, flag in (("minority_error", True), ("majority_error", False)):
        side = np.any([m for g, m in masks if g.minority is flag], axis=0)
        if np.any(side):
            out[name] = float(wrong[side].mean())
    return out | {"worst_group_error": max(by_group), "group_gap": max(by_group) - min(by_group)}


def by_class(predicted: np.ndarray, truth: np.ndarray, labels: Sequence[Hashable]) -> dict[str, float]:
    """Error of each class that has test rows, as ``error_of_<label>``, where there are 3 to 20 classes."""
    if not 2 < len(labels) <= MOST_CLASSES:
        return {}
    wrong = predicted != truth
    rows = {OF_CLASS + str(label).replace("/", "_"): truth == code for code, label in enumerate(labels)}
    return {name: float(wrong[mine].mean()) for name, mine in rows.items() if mine.any()}


def mean_f1(predicted: np.ndarray, truth: np.ndarray, codes: Sequence[int]) -> float:
    """Mean F1 score of the classes ``codes``."""
    return float(np.mean([f1(predicted == code, truth == code) for code in codes]))


def mean_ranking(proba: np.ndarray, truth: np.ndarray, codes: Sequence[int]) -> dict[str, float]:
    """Means of `ranking` over the classes ``codes``, each against all others; over those that have test rows."""
    found = [known for code in codes if (known := ranking(proba[:, code], truth == code))]
    return {name: float(np.mean([known[name] for known in found])) for name in found[0]} if found else {}


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F1 score of the minority: 2 tp / (2 tp + fp + fn), 0 where nothing is found; booleans, shape (n_rows,)."""
    found = 2 * float((predicted & truth).sum())
    total = float(predicted.sum() + truth.sum())
    return found / total if total else 0.0


@dataclass(frozen=True)
class Costs:
    """What a wrong prediction costs, in any unit.

    Parameters
    ----------
    false_negative : of a minority row that is not found
    false_positive : of another row taken for one
    prevalence : share of the minority where predictions will be used
    """

    false_negative: float = 1.0
    false_positive: float = 1.0
    prevalence: float = 0.5

    @property
    def threshold(self) -> float:
        """The probability of being minority above which predicting it costs less (Elkan, IJCAI 2001, eq. 2)."""
        return self.false_positive / (self.false_positive + self.false_negative)


def with_cost(errors: pd.DataFrame, costs: Costs) -> pd.DataFrame:
    """Tidy errors with the mean cost per row, ``cost``, wherever both kinds of error were measured.

    cost = prevalence x false_negative x minority_error + (1 - prevalence) x false_positive x majority_error
    """
    share, keys = costs.prevalence, ["seed", "amount", "metric"]
    parts = []
    for side, weight in (
        ("minority_error", share * costs.false_negative),
        ("majority_error", (1 - share) * costs.false_positive),
    ):
        mine = errors[errors["metric"].str.endswith(side)]
        names = mine["metric"].str.removesuffix(side) + "cost"
        parts.append(mine.assign(metric=names, value=mine["value"] * weight).set_index(keys)["value"])
    both = (parts[0] + parts[1]).dropna().reset_index()
    return pd.concat([errors, both], ignore_index=True) if len(both) else errors


def ranking(minority_proba: np.ndarray, is_minority: np.ndarray) -> dict[str, float]:
    """Metrics that no threshold changes, with the minority class as the positive one.

    Equal to scikit-learn's ``average_precision_score``, ``roc_auc_score`` and ``brier_score_loss`` (tests compare
    them), from one sort: theirs take longer than a small fit. calibration_error: expected calibration error over ten
    equal-width bins (Naeini et al., AAAI 2015).
    """
    if is_minority.all() or not is_minority.any():
        return {}
    order = np.argsort(-minority_proba, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(minority_proba[order])), len(order) - 1)
    found = np.cumsum(is_minority[order])[last_of_ties]  # minority rows at or above each threshold
    false = last_of_ties + 1 - found
    new_found, new_false = np.diff(found, prepend=0), np.diff(false, prepend=0)
    return {
        "average_precision": float((new_found * found / (last_of_ties + 1)).sum() / found[-1]),
        "roc_auc": float((new_false * (found - new_found / 2)).sum() / (found[-1] * false[-1])),
        "brier": float(np.mean((minority_proba - is_minority) ** 2)),
        "calibration_error": calibration_error(minority_proba, is_minority),
    }


def calibration_error(proba: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """Mean gap between predicted and observed share, weighted by the rows of each bin."""
    which = np.minimum((proba * bins).astype(int), bins - 1)
    rows = np.bincount(which, minlength=bins)
    gaps = np.bincount(which, proba, bins) - np.bincount(which, truth, bins)
    return float(np.abs(gaps).sum() / rows.sum())
