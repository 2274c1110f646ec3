"""The classifiers of the published study, with its settings (arXiv 2406.03628): plain scikit-learn estimators.

They see the features as they are, without scaling or imputation, behind a constant column of ones. The study
predicts class 1 where its score is above 0.5; ``predict`` does the same, ties go to the first class.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from opal.errors import ConfigError, DataError


class _Published(ClassifierMixin, BaseEstimator):
    """Numbers in, a column of ones first; subclasses write ``_fit`` and ``_probabilities``."""

    def fit(self, X: pd.DataFrame, y: Any, sample_weight: np.ndarray | None = None) -> _Published:
        """Fit on ``X`` of shape (n_rows, n_features), numeric and complete, and labels ``y`` of shape (n_rows,)."""
        design = _with_ones(X)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self.n_features_in_ = design.shape[1] - 1
        self._fit(design, codes, sample_weight)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Array of shape (n_rows, n_classes), columns as in ``classes_``."""
        return self._probabilities(_with_ones(X))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Labels of shape (n_rows,)."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def _fit(self, design: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> None:
        raise NotImplementedError

    def _probabilities(self, design: np.ndarray) -> np.ndarray:
        return self.model_.predict_proba(design)  # type: ignore[attr-defined]


class PaperLogistic(_Published):
    """Binomial GLM of statsmodels with an intercept and no penalty; on separable rows it does not converge.

    Its coefficients are then those of the last of 100 iterations, as in the published errors.
    """

    def _fit(self, design: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> None:
        import statsmodels.api as sm
        from statsmodels.tools.sm_exceptions import ConvergenceWarning, DomainWarning, PerfectSeparationWarning

        if len(self.classes_) != 2:
            raise DataError(
                f"classifier=paper_logistic takes two classes, this table has {len(self.classes_)}: "
                "choose another classifier"
            )
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            for known in (PerfectSeparationWarning, ConvergenceWarning, DomainWarning, RuntimeWarning):
                warnings.simplefilter("ignore", known)
            family = sm.families.Binomial()
            self.model_ = sm.GLM(codes, design, family=family, freq_weights=weight).fit()

    def _probabilities(self, design: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            second = np.asarray(self.model_.predict(design))
        return np.column_stack([1 - second, second])


class PaperCatBoost(_Published):
    """CatBoost with 200 trees of depth 6, learning rate 0.05, seed 42."""

    def __init__(self, iterations: int = 200, learning_rate: float = 0.05, depth: int = 6, random_state: int = 42):
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.depth = depth
        self.random_state = random_state

    def _fit(self, design: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> None:
        from catboost import CatBoostClassifier

        self.model_ = CatBoostClassifier(
            iterations=self.iterations,
            learning_rate=self.learning_rate,
            depth=self.depth,
            random_state=self.random_state,
            verbose=0,
            thread_count=1,  # changes no prediction and is faster on 50 to 200 rows
            allow_writing_files=False,
        ).fit(design, codes, sample_weight=weight)


class PaperForest(_Published):
    """Random forest, with settings of its own for some tables; else 200 trees, sqrt features, 2 rows per leaf.

    Parameters
    ----------
    data : name of the table
    tuned : {name of a table: keyword arguments of RandomForestClassifier}
    plain : ignore ``tuned``, as the study did in its spurious task
    """

    def __init__(
        self,
        data: str | None = None,
        tuned: Mapping[str, Mapping[str, Any]] | None = None,
        plain: bool = False,
        random_state: int = 1,
    ):
        self.data = data
        self.tuned = tuned
        self.plain = plain
        self.random_state = random_state

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the forest for this table."""
        tuned = {} if self.plain else self.tuned or {}
        return dict(tuned.get(str(self.data)) or {"n_estimators": 200, "max_features": "sqrt", "min_samples_leaf": 2})

    def _fit(self, design: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> None:
        from sklearn.ensemble import RandomForestClassifier

        from opal.evaluate.tree import Tree

        try:
            forest = RandomForestClassifier(**self.settings, random_state=self.random_state, n_jobs=1)
        except TypeError as error:
            raise ConfigError(f"classifier.tuned.{self.data} does not fit a random forest: {error}") from error
        forest.estimator = Tree()
        self.model_ = forest.fit(design, codes, sample_weight=weight)


def _with_ones(X: pd.DataFrame) -> np.ndarray:
    """``X`` as floats of shape (n_rows, 1 + n_features), a column of ones first."""
    try:
        values = np.asarray(X, dtype=float)
    except (TypeError, ValueError):
        frame = pd.DataFrame(X)
        text = next(c for c in frame if not pd.api.types.is_numeric_dtype(frame[c].dtype))
        raise DataError(
            f"column {text!r} is not numeric, which the published classifiers need: "
            "choose classifier=logistic, catboost or random_forest, or leave it out with data.drop"
        ) from None
    if np.isnan(values).any():
        raise DataError(
            "missing values, which the published classifiers cannot take: "
            "choose classifier=logistic, catboost or random_forest, which fill them in"
        )
    return np.column_stack([np.ones(len(values)), values])
