"""Group-aware controls: remedies for task=spurious that need no synthetic rows.

Each returns None where no attribute defines groups, or where it needs weights and the classifier takes none.
Weights by group (`class_weight`) and sub-sampling of groups (`UnderSampled`) are among the other controls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Predictions, above, best_cut, likeliest, out_of_fold, takes_weights
from opal.evaluate.features import label_codes, minority_codes
from opal.table import Split, Train


def just_train_twice(
    classifier: Classifier, split: Split, minority: Any, raw: np.ndarray, folds: int = 3, weight: float = 5.0
) -> Predictions | None:
    """Rows that a first fit misclassifies weigh more in a second one; needs no attribute.

    The errors are out of fold: on tables this small most classifiers fit their train rows without any. Source: Liu et
    al., "Just train twice", ICML 2021.

    Parameters
    ----------
    folds : for the errors of the first fit
    weight : of a misclassified row, relative to 1 for the others
    """
    train = split.train
    if not _grouped(train) or not takes_weights(classifier) or not _splits(train):
        return None
    wrong = out_of_fold(classifier, train, folds).argmax(axis=1) != label_codes(train.frame, train.schema)
    return _weighted(classifier, split, np.where(wrong, weight, 1.0))


def group_threshold(
    classifier: Classifier, split: Split, minority: Any, raw: np.ndarray, folds: int = 3
) -> Predictions | None:
    """A threshold of least balanced error for each value of the attribute, which must be known of the rows predicted.

    Tuned on out-of-fold probabilities of the train rows with that value. Where they are of one class, the likeliest
    class is predicted.
    """
    train = split.train
    if not _grouped(train) or not _splits(train):
        return None
    (code,), truth = minority_codes(train.schema, minority), label_codes(train.frame, train.schema)
    held_out = out_of_fold(classifier, train, folds)
    predicted = raw.argmax(axis=1)
    for seen, asked in zip(_by_value(train, train.frame), _by_value(train, split.test), strict=True):
        if len(np.unique(truth[seen])) > 1 and asked.any():
            cut = best_cut(held_out[seen], truth[seen], code)
            predicted[asked] = above(raw[asked], [code], [cut])
    return raw, predicted


def group_robust(
    classifier: Classifier,
    split: Split,
    minority: Any,
    raw: np.ndarray,
    rounds: int = 3,
    step: float = 1.0,
    folds: int = 3,
) -> Predictions | None:
    """Weights that follow the worst group: q_g <- q_g exp(step x error_g), normalised, for some rounds of refitting.

    Errors are out of fold. Source: Sagawa et al., "Distributionally robust neural networks for group shifts", ICLR 2020
    (exponentiated gradient over groups), with whole fits in place of gradient steps.

    Parameters
    ----------
    rounds : refits of the folds, after which the last weights train the classifier
    step : how fast weights move to groups with more errors
    """
    train = split.train
    if not _grouped(train) or not takes_weights(classifier) or not _splits(train):
        return None
    truth = label_codes(train.frame, train.schema)
    masks = [mask for mask in (group.mask(train.frame) for group in train.groups) if mask.any()]
    share = np.full(len(masks), 1 / len(masks))
    weight = _of_groups(masks, share)
    for _ in range(rounds):
        wrong = out_of_fold(classifier, train, folds, weight).argmax(axis=1) != truth
        share = share * np.exp(step * np.array([wrong[mask].mean() for mask in masks]))
        share /= share.sum()
        weight = _of_groups(masks, share)
    return _weighted(classifier, split, weight)


def _of_groups(masks: list[np.ndarray], share: np.ndarray) -> np.ndarray:
    """Weight of each row, so that every group has its share of the total; the mean is 1."""
    n = len(masks[0])
    return np.sum([mask * part * n / mask.sum() for mask, part in zip(masks, share, strict=True)], axis=0)


def _weighted(classifier: Classifier, split: Split, weight: np.ndarray) -> Predictions:
    train = split.train
    return likeliest(classifier.fit(train.frame, train.schema, sample_weight=weight).predict_proba(split.test))


def _grouped(train: Train) -> bool:
    return any(group.column is not None for group in train.groups)


def _splits(train: Train) -> bool:
    """Whether every class has the two rows that folds need."""
    return bool(np.bincount(label_codes(train.frame, train.schema)).min() >= 2)


def _by_value(train: Train, frame: pd.DataFrame) -> list[np.ndarray]:
    """The rows of each value of the attribute."""
    values = dict.fromkeys((group.column, group.level) for group in train.groups)
    return [np.any([g.mask(frame) for g in train.groups if (g.column, g.level) == value], axis=0) for value in values]
