"""Controls: what costs no synthetic row, on the same splits. Each is a function (classifier, split, minority)
-> (test probabilities, predicted label codes); ``conf/config.yaml`` names the ones to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.curve import Record, each, score, tidy
from opal.evaluate.features import label_codes
from opal.table import Split, Train

Predictions = tuple[np.ndarray, np.ndarray]


class Control(Protocol):
    def __call__(self, classifier: Classifier, split: Split, minority: Any) -> Predictions: ...


def run_controls(
    controls: Mapping[str, Control],
    classifier: Classifier,
    splits: Sequence[Split],
    minority: Any,
    n_jobs: int = 1,
    progress: Any = None,
) -> pd.DataFrame:
    """Tidy errors [seed, amount, metric, value] with amount 0 and metrics named ``control/<name>/<metric>``."""
    jobs = [(name, run, classifier, s, minority) for s in splits for name, run in controls.items()]
    return tidy(record for found in each(_one, jobs, n_jobs, progress) for record in found)


def _one(name: str, run: Control, classifier: Classifier, split: Split, minority: Any) -> list[Record]:
    proba, predicted = run(classifier, split, minority)
    found = score(split, proba, predicted, minority, 0)
    return [record | {"metric": f"control/{name}/{record['metric']}"} for record in found]


def class_weight(classifier: Classifier, split: Split, minority: Any) -> Predictions:
    """Weights that give every group the same total weight ("balanced": n / (n_groups x n_group))."""
    train = split.train
    weight = np.ones(len(train.frame))
    for group in train.groups:
        mask = group.mask(train.frame)
        weight[mask] = len(weight) / (len(train.groups) * max(mask.sum(), 1))
    proba = classifier.fit(train.frame, train.schema, sample_weight=weight).predict_proba(split.test)
    return proba, proba.argmax(axis=1)


def base_rate_threshold(classifier: Classifier, split: Split, minority: Any) -> Predictions:
    """Minority where its probability exceeds its share of train (Elkan, IJCAI 2001: a prior of one half)."""
    train = split.train
    proba = classifier.fit(train.frame, train.schema).predict_proba(split.test)
    code = train.schema.labels.index(minority)
    return proba, above(proba, code, float((label_codes(train.frame, train.schema) == code).mean()))


def tuned_threshold(classifier: Classifier, split: Split, minority: Any, folds: int = 5) -> Predictions:
    """The threshold with the least balanced error on out-of-fold train probabilities.

    A class with a single train row leaves nothing to tune on: the likeliest class is predicted then.
    """
    from sklearn.metrics import balanced_accuracy_score

    train = split.train
    proba = classifier.fit(train.frame, train.schema).predict_proba(split.test)
    code, truth = train.schema.labels.index(minority), label_codes(train.frame, train.schema)
    if np.bincount(truth)[np.unique(truth)].min() < 2:
        return proba, proba.argmax(axis=1)
    held_out = out_of_fold(classifier, train, folds)
    known = np.unique(held_out[:, code])
    cuts = (known[1:] + known[:-1]) / 2 if len(known) > 1 else known
    scores = [balanced_accuracy_score(truth, above(held_out, code, cut)) for cut in cuts]
    best = np.flatnonzero(np.isclose(scores, max(scores)))
    return proba, above(proba, code, float(cuts[best[len(best) // 2]]))  # the middle of a tie


def out_of_fold(classifier: Classifier, train: Train, folds: int) -> np.ndarray:
    """Probabilities of each train row by a classifier that did not see it; shape (n_rows, n_classes).

    ``folds`` is at most the rows of the rarest class, which must have two.
    """
    from sklearn.model_selection import StratifiedKFold

    truth = label_codes(train.frame, train.schema)
    folds = min(folds, int(np.bincount(truth)[np.unique(truth)].min()))
    proba = np.zeros((len(truth), len(train.schema.labels)))
    for seen, held in StratifiedKFold(folds, shuffle=True, random_state=train.seed).split(truth, truth):
        fitted = classifier.fit(train.frame.iloc[seen], train.schema)
        proba[held] = fitted.predict_proba(train.frame.iloc[held])
    return proba


def above(proba: np.ndarray, code: int, threshold: float) -> np.ndarray:
    """Label codes: the minority's where its probability exceeds the threshold, else the likeliest other."""
    others = proba.copy()
    others[:, code] = -1.0
    return np.where(proba[:, code] > threshold, code, others.argmax(axis=1))
