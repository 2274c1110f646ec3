"""Test metrics of one fit: errors by class and group, and what no threshold moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.evaluate.features import label_codes
from opal.table import Group, Split

Record = dict[str, Any]

GROUPED = "group_balanced_error"  # where an attribute tells more groups than classes
METRICS = (  # all that a fit may be measured by
    *("error", "balanced_error", GROUPED, "minority_error", "majority_error", "worst_group_error", "group_gap"),
    *("average_precision", "roc_auc", "brier", "calibration_error"),
)


def score(split: Split, proba: np.ndarray, predicted: np.ndarray, minority: Any, amount: int) -> list[Record]:
    """All metrics of one set of predictions as tidy records.

    Parameters
    ----------
    proba : shape (n_test, n_classes), columns as ``schema.labels``
    predicted : label codes, shape (n_test,)
    """
    schema = split.train.schema
    truth = label_codes(split.test, schema)
    code = schema.labels.index(minority)
    values = errors(predicted, split.test, truth, split.train.groups) | ranking(proba[:, code], truth == code)
    return [{"seed": split.seed, "amount": amount, "metric": k, "value": v} for k, v in values.items()]


def errors(
    predicted: np.ndarray, frame: pd.DataFrame, truth: np.ndarray, groups: tuple[Group, ...]
) -> dict[str, float]:
    """Errors of predicted label codes, each a share of wrong rows in 0..1.

    balanced_error: mean over classes. group_balanced_error: mean over groups, given where an attribute tells more
    groups than classes. minority_error, majority_error: over the pooled rows of those groups. worst_group_error:
    the largest over groups; group_gap: the largest less the smallest. A group without test rows counts nowhere; a
    side (minority, majority) without any gives no figure.
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


def ranking(minority_proba: np.ndarray, is_minority: np.ndarray) -> dict[str, float]:
    """What a threshold does not move, the minority class being the positive one.

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
