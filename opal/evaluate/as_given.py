"""Any scikit-learn classifier in place of OPAL's own: it gets rows in the form in which a person gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from opal.data.restore import restore
from opal.evaluate.classifiers import of_all_classes
from opal.evaluate.features import label_codes
from opal.table import Schema


@dataclass(frozen=True)
class AsGiven:
    """Fits a clone of ``template``; an `opal.evaluate.classifiers.Classifier` to controls and folds.

    Parameters
    ----------
    template : a scikit-learn classifier or pipeline
    frame, schema, given : the rows as OPAL sees them, what they hold, and as they were given
    classes : of the target, whose values in ``frame`` are their positions
    names : of the columns, as they were given; None where arrays were
    """

    template: Any
    frame: pd.DataFrame
    schema: Schema
    given: pd.DataFrame
    classes: np.ndarray
    names: pd.Index | None

    def estimator(self) -> Any:
        """What would get row weights."""
        return self.template.steps[-1][1] if isinstance(self.template, Pipeline) else self.template

    def rows(self, frame: pd.DataFrame) -> Any:
        """Rows of OPAL's as they would have been given."""
        found = restore(frame, self.frame, self.schema, self.given)
        if self.names is not None:
            return found.set_axis(self.names, axis=1)
        kinds = set(map(str, self.given.dtypes))
        return found.to_numpy() if len(kinds) == 1 else found.to_numpy(dtype=object)

    def fit(self, frame: pd.DataFrame, schema: Schema, sample_weight: np.ndarray | None = None) -> FittedAsGiven:
        """Fit on the rows of ``frame``."""
        fitted, options = clone(self.template), {}
        if sample_weight is not None:
            step = f"{self.template.steps[-1][0]}__" if isinstance(self.template, Pipeline) else ""
            options[f"{step}sample_weight"] = sample_weight
        fitted.fit(self.rows(frame), self.classes[label_codes(frame, schema)], **options)
        return FittedAsGiven(self, fitted)


@dataclass(frozen=True)
class FittedAsGiven:
    """A fitted classifier that takes OPAL's rows."""

    made_by: AsGiven
    estimator: Any

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (n_rows, n_classes); a class never seen has probability 0."""
        classes = self.made_by.classes
        seen = self.estimator.predict_proba(self.made_by.rows(frame))
        return of_all_classes(seen, np.searchsorted(classes, self.estimator.classes_), len(classes))
