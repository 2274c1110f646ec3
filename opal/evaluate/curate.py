"""Curation: which synthetic rows to keep, decided from the train rows alone.

A filter is called as ``keep, reason = filter(rows, train, rng)``: a boolean array of shape (n_rows,) and the name
under which the funnel counts what is left out. docs/curation.md has formulas and sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.controls import group_weights
from opal.evaluate.distance import Gower, row_keys
from opal.evaluate.features import label_codes, transformer
from opal.evaluate.fidelity import valid
from opal.result import Funnel
from opal.table import Train


class Filter:
    """Keeps every row (``curate=none``); subclasses write ``_keep`` and name their ``reason``."""

    reason = "none"

    def __call__(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """Boolean array of shape (n_rows,) of rows to keep, and the reason why the others are left out."""
        keep = self._keep(rows, train, rng) if len(rows) else np.zeros(0, dtype=bool)
        return np.asarray(keep, dtype=bool), self.reason

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        return np.ones(len(rows), dtype=bool)


class SchemaFilter(Filter):
    """Leaves out rows with an unknown level, a number outside train's range, or too many decimals.

    Parameters
    ----------
    slack : the range is widened by this share of its width at both ends
    """

    reason = "outside schema"

    def __init__(self, slack: float = 0.1) -> None:
        self.slack = _within("slack", slack, 0, float("inf"))

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        return valid(rows, train.schema, self.slack)


class Dedup(Filter):
    """Leaves out rows equal to an earlier one, and (``against_train``) rows equal to a train row."""

    reason = "duplicate"

    def __init__(self, against_train: bool = True) -> None:
        self.against_train = against_train

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        mine, theirs = row_keys(train.schema, rows, train.frame)
        keep = np.zeros(len(rows), dtype=bool)
        keep[np.unique(mine, return_index=True)[1]] = True
        return keep & ~np.isin(mine, theirs) if self.against_train else keep


class Neighbour(Filter):
    """Leaves out rows that lie farther from the real rows of their group than those lie from each other.

    A row is kept when its Gower distance to the nearest train row of its group is at most ``slack`` times the
    ``quantile`` of the distances of that group's train rows to their own nearest neighbours, and at least
    ``closest``. A group with a single train row filters nothing.
    """

    reason = "far from train"

    def __init__(self, quantile: float = 1.0, slack: float = 1.0, closest: float = 0.0) -> None:
        self.quantile = _within("quantile", quantile, 0, 1)
        self.slack = _within("slack", slack, 0, float("inf"))
        self.closest = _within("closest", closest, 0, 1)

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        keep = np.ones(len(rows), dtype=bool)
        gower = Gower(train.schema, train.frame, train.schema.features)
        for group in train.groups:
            mine, real = group.mask(rows), train.rows(group)
            if not mine.any() or len(real) < 2:
                continue
            own, _ = gower.nearest(real, real, skip=np.arange(len(real)))
            limit = self.slack * float(np.quantile(own, self.quantile))
            distance, _ = gower.nearest(rows[mine], real)
            keep[mine] = (distance <= limit + 1e-12) & (distance >= self.closest)
        return keep


class Confidence(Filter):
    """Leaves out rows whose label a model of the train rows consistently rejects (learning dynamics).

    Gradient boosting is fitted to train, classes weighted equally. With P_e the probability it gives the row's own
    label after iteration e: confidence = mean of P_e; uncertainty (aleatoric) = mean of P_e (1 - P_e), at most
    0.25. Left out: confidence at most ``confidence`` and uncertainty at most ``uncertainty``. A row that is merely
    hard to classify (high uncertainty) stays. The thresholds are those of the first source's code.
    Source: Seedat et al., "Curated LLM" (arXiv 2312.12112) and "Data-IQ" (arXiv 2210.13043).
    """

    reason = "label doubted"

    def __init__(self, confidence: float = 0.2, uncertainty: float = 0.2, iterations: int = 100) -> None:
        self.confidence = _within("confidence", confidence, 0, 1)
        self.uncertainty = _within("uncertainty", uncertainty, 0, 1)
        self.iterations = int(_within("iterations", iterations, 1, 100_000))

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        own = own_label_probabilities(rows, train, self.iterations, rng)
        confidence, uncertainty = own.mean(axis=0), (own * (1 - own)).mean(axis=0)
        return ~((confidence <= self.confidence) & (uncertainty <= self.uncertainty))


class Agreement(Filter):
    """Leaves out rows to which a model of the train rows gives another label."""

    reason = "label disagrees"

    def __init__(self, iterations: int = 100) -> None:
        self.iterations = int(_within("iterations", iterations, 1, 100_000))

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        codes, probabilities = _staged(rows, train, self.iterations, rng)
        return probabilities[-1].argmax(axis=1) == codes


class Linear(Filter):
    """Leaves out rows to which a logistic regression of the train rows gives another label.

    Every group has the same total weight, so that neither a rare class nor an attribute that agrees with the label
    decides. On few rows a linear model is a better judge than boosted trees (docs/curation.md). Rows of a label of
    which train has fewer than ``least`` rows stay: there is nothing to judge them by.

    Parameters
    ----------
    strength : of the regression's penalty, scikit-learn's ``C`` on standardised columns; smaller is stronger
    least : train rows of a label, below which its rows stay
    """

    reason = "label unlikely"

    def __init__(self, strength: float = 1.0, least: int = 5) -> None:
        self.strength = _within("strength", strength, 1e-9, float("inf"))
        self.least = int(_within("least", least, 1, 1_000_000))

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        from sklearn.linear_model import LogisticRegression

        labels, own = label_codes(train.frame, train.schema), label_codes(rows, train.schema)
        few = np.bincount(labels, minlength=len(train.schema.labels))[own] < self.least
        if few.all() or len(np.unique(labels)) < 2:
            return np.ones(len(rows), dtype=bool)
        encoder = _encoder(rows, train, scale=True)
        model = LogisticRegression(C=self.strength, max_iter=1000)
        model.fit(encoder.fit_transform(train.frame), labels, sample_weight=group_weights(train))
        return few | (model.predict(encoder.transform(rows)) == own)


class Chain(Filter):
    """Several filters in sequence; each sees what the earlier ones kept."""

    reason = "curated"

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.filters = list(filters)

    def _keep(self, rows: pd.DataFrame, train: Train, rng: np.random.Generator) -> np.ndarray:
        keep = np.ones(len(rows), dtype=bool)
        for one in self.filters:
            keep[keep] = one(rows[keep], train, rng)[0]
        return keep


def curate(
    rows: pd.DataFrame, train: Train, filters: Filter, rng: np.random.Generator, funnel: Funnel | None = None
) -> tuple[pd.DataFrame, Funnel]:
    """The rows that ``filters`` keeps, in order, and the funnel with what each filter left out."""
    funnel = (funnel or Funnel(*(len(rows),) * 5)) + Funnel()  # a copy
    for one in filters.filters if isinstance(filters, Chain) else [filters]:
        keep, reason = one(rows, train, rng)
        if left_out := int((~keep).sum()):
            funnel.rejects[reason] += left_out
        rows = rows[keep]
    funnel.kept = len(rows)
    return rows, funnel


def own_label_probabilities(rows: pd.DataFrame, train: Train, iterations: int, rng: np.random.Generator) -> np.ndarray:
    """Probability of each row's own label after each boosting iteration, shape (iterations, n_rows)."""
    codes, probabilities = _staged(rows, train, iterations, rng)
    return np.where(codes < 0, 0.0, probabilities[:, np.arange(len(rows)), codes])  # a label that train does not have


def _staged(
    rows: pd.DataFrame, train: Train, iterations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Label positions of ``rows``, and probabilities of shape (iterations, n_rows, n_labels)."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    encoder = _encoder(rows, train, scale=False)
    labels = label_codes(train.frame, train.schema)
    codes = label_codes(rows, train.schema)
    out = np.zeros((iterations, len(rows), len(train.schema.labels)))
    seen = np.unique(labels)
    if len(seen) < 2:
        out[:, :, seen] = 1.0
        return codes, out
    model = GradientBoostingClassifier(n_estimators=iterations, random_state=int(rng.integers(2**31)))
    model.fit(encoder.fit_transform(train.frame), labels, compute_sample_weight("balanced", labels))
    for e, found in enumerate(model.staged_predict_proba(encoder.transform(rows))):
        out[e][:, seen] = found
    return codes, out


def _encoder(rows: pd.DataFrame, train: Train, scale: bool) -> Any:
    """An unfitted transformer for train rows and ``rows``, which may miss what train never does."""
    known = [c.name for c in train.schema.features]
    return transformer(train.schema.learn(pd.concat([train.frame, rows[known]])), "onehot", scale)


def _within(key: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ConfigError(f"curate.{key}={value} must lie between {low} and {high}")
    return value
