"""A classifier: preprocessing and an estimator, fitted together on training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError, OpalError
from opal.evaluate.features import Encoding, is_text, label_codes, transformer
from opal.table import Schema


@dataclass(frozen=True)
class Classifier:
    """What ``classifier=`` names.

    Parameters
    ----------
    estimator : makes a new scikit-learn style estimator (in YAML: ``_partial_: true``)
    encoding : onehot, or for estimators that take names and missing numbers themselves: native where ``fit`` is told
        which columns are names (CatBoost's ``cat_features``), table where it sees that in a DataFrame
    scale : standardise the numbers
    drop_last_feature : leave out the last feature, as the published imbalanced runs did
    """

    estimator: Callable[..., Any]
    encoding: Encoding = "onehot"
    scale: bool = False
    drop_last_feature: bool = False

    def fit(self, frame: pd.DataFrame, schema: Schema, sample_weight: np.ndarray | None = None) -> Fitted:
        """Fit on ``frame`` (n_rows, n_columns); training with a single class gives that class always."""
        if self.drop_last_feature:
            last = schema.features[-1]
            schema = replace(schema, columns=tuple(c for c in schema.columns if c is not last))
        codes, features = label_codes(frame, schema), frame[[c.name for c in schema.features]]
        missing = features.isna().any(axis=None)
        transform = transformer(schema.learn(frame) if missing else schema, self.encoding, self.scale)
        x = transform.fit_transform(features)
        options: dict[str, Any] = {} if sample_weight is None else {"sample_weight": sample_weight}
        if self.encoding == "native" and (names := [c.name for c in schema.features if is_text(schema, c.name)]):
            options["cat_features"] = list(range(len(names)))
        with said():
            estimator = self.estimator()
            estimator.fit(x, codes, **options)
        return Fitted(transform, estimator, list(features), len(schema.labels))


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier."""

    transform: Any
    estimator: Any
    features: Sequence[str]
    n_classes: int

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (n_rows, n_classes), columns as ``schema.labels``; a class never seen has probability 0."""
        with said():
            seen = self.estimator.predict_proba(self.transform.transform(frame[list(self.features)]))
        return of_all_classes(seen, np.asarray(self.estimator.classes_, dtype=int), self.n_classes)


def of_all_classes(seen: np.ndarray, places: Any, n_classes: int) -> np.ndarray:
    """Probabilities of shape (n_rows, n_classes): the columns of ``seen`` at ``places``, 0 for a class never seen."""
    proba = np.zeros((len(seen), n_classes))
    proba[:, places] = seen
    return proba


@contextmanager
def said() -> Iterator[None]:
    """Make one sentence of what an estimator refuses, such as a setting out of its range."""
    try:
        yield
    except (OpalError, MemoryError):
        raise
    except Exception as fault:  # each library has errors of its own
        reason = " ".join(str(fault).split())[:400] or type(fault).__name__
        raise ConfigError(f"classifier.estimator does not work on these rows as it is set: {reason}") from fault
