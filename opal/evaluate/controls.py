"""Controls: free remedies on the same splits. ``conf/controls`` names the ones to run.

A control is a function of a classifier, a split, the minority label and the raw test probabilities (those of the
classifier fitted without synthetic rows); it returns its own probabilities and label codes, or None where the table
does not allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from opal.errors import ConfigError, MethodError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.features import label_codes, minority_codes
from opal.evaluate.metrics import Costs
from opal.evaluate.parts import parted
from opal.table import Group, Schema, Split, Train

Predictions = tuple[np.ndarray, np.ndarray]
MOST_DRAWS = 1000  # each is a fit
MOST_CUTS = 1000  # thresholds tried
FEW_CUTS, ROUNDS = 50, 2  # of each of several classes, and how often
SMALLEST = 1e-12


class Control(Protocol):
    def __call__(self, classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions | None: ...


class Sampler(Protocol):
    """What a control needs of an oversampler (opal.methods.base.Oversampler)."""

    def sample(self, train: Train, n: int) -> Any: ...

    def remark(self, train: Train, groups: Sequence[Group]) -> str: ...


@dataclass(frozen=True)
class Balanced:
    """Minority groups brought to the size of the largest group by a free oversampler."""

    method: Sampler

    def __call__(self, classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions | None:
        try:
            frame = self.frame(split.train)
        except MethodError:
            return None
        return likeliest(classifier.fit(frame, split.train.schema).predict_proba(split.test))

    def frame(self, train: Train) -> pd.DataFrame:
        """The train rows, then the synthetic ones that balance them."""
        sizes = [len(train.rows(g)) for g in train.groups]
        n = sum(max(sizes) - size for g, size in zip(train.groups, sizes, strict=True) if g.minority)
        return pd.concat([train.frame, self.method.sample(train, n).frame], ignore_index=True)

    def obstacle(self, train: Train) -> str:
        """Why the oversampler makes no row from ``train``, "" if it does."""
        try:
            self.method.sample(train, 1)
        except MethodError as fault:
            return str(fault)
        return ""


@dataclass(frozen=True)
class Instead:
    """Another classifier instead of the trial's, such as a balanced ensemble."""

    classifier: Classifier

    def __call__(self, classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions:
        train = split.train
        return likeliest(self.classifier.fit(train.frame, train.schema).predict_proba(split.test))


@dataclass(frozen=True)
class UnderSampled:
    """The classifier on as many rows of every group as the smallest has, drawn by imbalanced-learn.

    Parameters
    ----------
    draws : train sets drawn; their probabilities are averaged
    """

    draws: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= MOST_DRAWS:
            raise ConfigError(f"draws={self.draws} of under_sampling must be between 1 and {MOST_DRAWS}: each is a fit")

    def __call__(self, classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions:
        from imblearn.under_sampling import RandomUnderSampler

        train, proba = split.train, np.zeros_like(raw)
        groups = np.select([g.mask(train.frame) for g in train.groups], range(len(train.groups)))
        for draw in range(self.draws):
            sampler = RandomUnderSampler(random_state=(train.seed * self.draws + draw) % 2**32)
            sampler.fit_resample(np.zeros((len(groups), 1)), groups)
            proba += classifier.fit(train.frame.iloc[sampler.sample_indices_], train.schema).predict_proba(split.test)
        return likeliest(proba / self.draws)


def class_weight(classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions | None:
    """Weights that give every group the same total weight ("balanced": n / (n_groups x n_group)).

    None for a classifier that takes no weights, such as nearest neighbours.
    """
    if not takes_weights(classifier):
        return None
    train, weight = split.train, group_weights(split.train)
    return likeliest(classifier.fit(train.frame, train.schema, sample_weight=weight).predict_proba(split.test))


def group_weights(train: Train) -> np.ndarray:
    """The weight of each train row, shape (n_rows,), that gives every group the same total."""
    weight = np.ones(len(train.frame))
    for group in train.groups:
        mask = group.mask(train.frame)
        weight[mask] = len(weight) / (len(train.groups) * max(mask.sum(), 1))
    return weight


def base_rate_threshold(classifier: Classifier, split: Split, minority: Any, raw: np.ndarray) -> Predictions:
    """Minority where its probability exceeds its share of train (Elkan, IJCAI 2001: a prior of one half)."""
    codes = minority_codes(split.train.schema, minority)
    return raw, above(raw, codes, base_rate_cuts(classifier, split.train, codes))


def base_rate_cuts(classifier: Classifier, train: Train, codes: Sequence[int]) -> list[float]:
    """The thresholds of `base_rate_threshold`."""
    return shares(train.frame, train.schema, codes)


def cost_threshold(classifier: Classifier, split: Split, minority: Any, raw: np.ndarray, costs: Costs) -> Predictions:
    """Minority where that costs less, by the fitted probabilities corrected to the prevalence that ``costs`` names.

    Odds are multiplied by the ratio of the prior odds (Elkan, IJCAI 2001, theorem 2).
    """
    codes = minority_codes(split.train.schema, minority)
    return raw, above(raw, codes, cost_cuts(classifier, split.train, codes, costs))


def cost_cuts(classifier: Classifier, train: Train, codes: Sequence[int], costs: Costs) -> list[float]:
    """The threshold of `cost_threshold`, of one minority class."""
    (share,) = shares(train.frame, train.schema, codes)
    wanted = costs.prevalence
    odds = wanted / (1 - wanted) * (1 - share) / share if 0 < share < 1 else 1.0
    threshold = costs.threshold / (costs.threshold + odds * (1 - costs.threshold))
    return [threshold]


def tuned_threshold(
    classifier: Classifier, split: Split, minority: Any, raw: np.ndarray, folds: int = 5
) -> Predictions:
    """The threshold with the lowest balanced error on out-of-fold train probabilities; one for each minority class.

    A class with a single train row leaves nothing to tune on: the likeliest class is predicted then.
    """
    codes = minority_codes(split.train.schema, minority)
    cuts = tuned_cuts(classifier, split.train, codes, folds)
    return (raw, above(raw, codes, cuts)) if cuts else likeliest(raw)


def tuned_cuts(classifier: Classifier, train: Train, codes: Sequence[int], folds: int = 5) -> list[float]:
    """The thresholds of `tuned_threshold`; none where a class has a single row."""
    truth = label_codes(train.frame, train.schema)
    if np.bincount(truth)[np.unique(truth)].min() < 2:
        return []
    return best_cuts(out_of_fold(classifier, train, folds), truth, codes)


# What sets the thresholds of the controls that only move them.
CUTS: dict[Any, Callable[..., list[float]]] = {
    base_rate_threshold: base_rate_cuts,
    cost_threshold: cost_cuts,
    tuned_threshold: tuned_cuts,
}


def best_cuts(held_out: np.ndarray, truth: np.ndarray, codes: Sequence[int]) -> list[float]:
    """Thresholds with the lowest balanced error: the best one, or one after the other in two rounds.

    Parameters
    ----------
    held_out : out-of-fold probabilities, shape (n_rows, n_classes); truth : label codes; codes : of the minority
    """
    if len(codes) == 1:
        return [best_cut(held_out, truth, codes[0])]
    cuts = [float((truth == code).mean()) for code in codes]
    for _ in range(ROUNDS):
        for i, code in enumerate(codes):
            known = np.unique(held_out[:, code])
            tried = np.append(known[np.linspace(0, len(known) - 1, min(len(known), FEW_CUTS)).astype(int)], cuts[i])
            scores = [_recall(above(held_out, codes, [*cuts[:i], cut, *cuts[i + 1 :]]), truth) for cut in tried]
            best = np.flatnonzero(np.isclose(scores, max(scores)))
            cuts[i] = float(tried[best[len(best) // 2]])
    return cuts


def _recall(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean recall of the classes."""
    return float(np.mean([(predicted[truth == code] == code).mean() for code in np.unique(truth)]))


def best_cut(held_out: np.ndarray, truth: np.ndarray, code: int) -> float:
    """The threshold with the lowest balanced error for one minority class, given as to `best_cuts`."""
    known = np.unique(held_out[:, code])
    cuts = (known[1:] + known[:-1]) / 2 if len(known) > 1 else known
    if len(cuts) > MOST_CUTS:  # each reads all rows
        cuts = cuts[np.linspace(0, len(cuts) - 1, MOST_CUTS).astype(int)]
    scores = balanced_accuracies(held_out, truth, code, cuts)
    best = np.flatnonzero(np.isclose(scores, scores.max()))
    return float(cuts[best[len(best) // 2]])  # the middle of a tie


def balanced_accuracies(proba: np.ndarray, truth: np.ndarray, code: int, cuts: np.ndarray) -> np.ndarray:
    """Mean recall of the classes of ``above`` at each threshold in ``cuts``: one sort, not a pass per threshold."""
    rest, recalls = above(proba, [code], [np.inf]), []
    for label in np.unique(truth):
        mine = truth == label
        known = np.sort(proba[mine & ((rest == label) | (label == code)), code])
        below = np.searchsorted(known, cuts, side="right")
        recalls.append((len(known) - below if label == code else below) / mine.sum())
    return np.mean(recalls, axis=0)


def likeliest(proba: np.ndarray) -> Predictions:
    return proba, proba.argmax(axis=1)


def takes_weights(classifier: Classifier) -> bool:
    """Whether it accepts row weights; nearest neighbours does not."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(classifier.estimator(), "sample_weight"))


def out_of_fold(classifier: Classifier, train: Train, folds: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Probabilities of each train row by a classifier that did not see it; shape (n_rows, n_classes).

    Parameters
    ----------
    folds : at most the rows of the rarest class, which must have two
    weight : of each row
    """
    truth = label_codes(train.frame, train.schema)
    folds = min(folds, int(np.bincount(truth)[np.unique(truth)].min()))
    of_classes = shares(train.frame, train.schema, range(len(train.schema.labels)))
    proba = np.tile(of_classes, (len(truth), 1))  # stays where units leave no fold
    for seen, held in parted(train, truth, folds):
        given = {} if weight is None else {"sample_weight": weight[seen]}
        fitted = classifier.fit(train.frame.iloc[seen], train.schema, **given)
        proba[held] = fitted.predict_proba(train.frame.iloc[held])
    return proba


def shares(frame: pd.DataFrame, schema: Schema, codes: Sequence[int]) -> list[float]:
    """The share of the rows of ``frame`` that each class has."""
    found = label_codes(frame, schema)
    return [float((found == code).mean()) for code in codes]


def above(proba: np.ndarray, codes: Sequence[int], thresholds: Sequence[float]) -> np.ndarray:
    """Label codes: the minority's where its probability exceeds the threshold, else the likeliest other.

    Of several minority classes above their thresholds, the one that is above by the largest factor.
    """
    others = proba.copy()
    others[:, codes] = -1.0
    cuts, mine = np.asarray(thresholds), proba[:, codes]
    over = mine > cuts
    factor = np.where(over, mine / np.maximum(cuts, SMALLEST), -1.0)
    return np.where(over.any(axis=1), np.asarray(codes)[factor.argmax(axis=1)], others.argmax(axis=1))
