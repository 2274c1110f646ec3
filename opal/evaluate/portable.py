"""OPAL's classifiers as scikit-learn pipelines, which load and predict without OPAL wherever they can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from opal.dates import DateFormat
from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier, of_all_classes, said
from opal.evaluate.controls import above
from opal.evaluate.decision import Decision
from opal.evaluate.features import MISSING, MOST_LEVELS, calendar, is_text, steps_of_numbers
from opal.table import Column, Schema


@dataclass(frozen=True)
class AsPipeline:
    """A classifier that fits scikit-learn pipelines on rows as people have them, with dates as text."""

    classifier: Classifier

    def estimator(self) -> Any:
        """What would get row weights."""
        return self.classifier.estimator()

    def fit(self, frame: pd.DataFrame, schema: Schema, sample_weight: np.ndarray | None = None) -> FittedPipeline:
        """Fit on the rows of ``frame``."""
        known = schema.learn(frame)
        model, options = pipeline_of(self.classifier, known)
        if sample_weight is not None:
            options["classifier__sample_weight"] = sample_weight
        with said():
            model.fit(features_of(frame, known), frame[schema.target].to_numpy(), **options)
        return FittedPipeline(model, schema)


@dataclass(frozen=True)
class FittedPipeline:
    """A fitted pipeline that takes OPAL's rows."""

    estimator: Pipeline
    schema: Schema

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (n_rows, n_classes), columns as ``schema.labels``."""
        labels = self.schema.labels
        with said():
            seen = self.estimator.predict_proba(features_of(frame, self.schema))
        return of_all_classes(seen, [labels.index(label) for label in self.estimator.classes_.tolist()], len(labels))


def features_of(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """What a saved model takes: the features as they stand in a file, whole numbers as floats, dates as text."""
    rows = schema.written(frame[[c.name for c in schema.features]])
    numbers = {name: "float64" for name in rows if pd.api.types.is_integer_dtype(rows[name].dtype)}
    return rows.astype(numbers)


def pipeline_of(classifier: Classifier, schema: Schema) -> tuple[Pipeline, dict[str, Any]]:
    """An unfitted pipeline that prepares rows as ``classifier`` does, and arguments of its ``fit``.

    Raises
    ------
    ConfigError : the classifier takes names as they are, and a column's names are numbers
    """
    features = schema.features[:-1] if classifier.drop_last_feature else schema.features
    names = [c.name for c in features if is_text(schema, c.name)]
    dates = {c.name: c.dates for c in features if c.dates}
    numbers = [c.name for c in features if c.name not in names]
    numbers += list(calendar(schema_row(schema), [], dates).columns) if dates else []
    steps: list[tuple[str, Any]] = [("dates", ReadDates(dates))] if dates else []
    options: dict[str, Any] = {}
    if classifier.encoding != "onehot":
        if odd := [name for name in names if schema[name].numeric]:
            raise ConfigError(f"{odd[0]!r} holds numbers as names: such a model is saved with another classifier")
        of_names: Any = SimpleImputer(strategy="constant", fill_value=MISSING)
        columns = [("names", of_names, names), ("numbers", "passthrough", numbers)]
        if names and classifier.encoding == "native":
            options = {"classifier__cat_features": list(range(len(names)))}
    else:
        of_numbers = steps_of_numbers(missing=True, scale=classifier.scale)  # rows to predict may have the first gaps
        columns = [
            ("numbers", make_pipeline(*of_numbers), numbers),
            *((f"name {i}", one_hot(schema[name]), [name]) for i, name in enumerate(names)),
        ]
    prepared = ColumnTransformer(columns, sparse_threshold=0)
    if classifier.encoding == "table":
        prepared.set_output(transform="pandas")
    steps += [("columns", prepared), ("classifier", classifier.estimator())]
    return Pipeline(steps), options


def one_hot(column: Column) -> Any:
    """An encoder of one column of names with the levels in the order of `opal.evaluate.features.OneHot`: of their text.

    A forest draws columns by position, so that another order would make another forest.
    """
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_LEVELS, sparse_output=False)
    if not column.numeric:
        return make_pipeline(SimpleImputer(strategy="constant", fill_value=MISSING), encoder)
    return make_pipeline(FunctionTransformer(np.asarray, kw_args={"dtype": "str"}), encoder)


def schema_row(schema: Schema) -> pd.DataFrame:
    """One made-up row, for the names of columns alone."""
    return pd.DataFrame({c.name: [0.0] for c in schema.features})


class ReadDates(TransformerMixin, BaseEstimator):
    """Texts of dates as numbers, with year, month, weekday and hour as further columns.

    Parameters
    ----------
    dates : formats by column
    """

    def __init__(self, dates: dict[str, DateFormat]) -> None:
        self.dates = dates

    def fit(self, X: pd.DataFrame, y: Any = None) -> ReadDates:
        """Nothing is learned."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The columns of ``X``, dates as numbers, then those of the calendar."""
        read = X.assign(**{name: form.numbers(X[name].astype(object)) for name, form in self.dates.items()})
        return pd.concat([read, calendar(read, [], self.dates)], axis=1)


class MovedThresholds(ClassifierMixin, BaseEstimator):
    """Predicts one of several minority classes where its probability exceeds its threshold.

    Parameters
    ----------
    estimator : a fitted classifier
    thresholds : by class; of several above theirs, the one above by the largest factor is predicted
    """

    def __init__(self, estimator: Any, thresholds: dict[Any, float]) -> None:
        self.estimator, self.thresholds = estimator, thresholds

    def fit(self, X: Any, y: Any) -> MovedThresholds:
        """Nothing is learned: the estimator is fitted already."""
        self.classes_ = self.estimator.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The estimator's probabilities."""
        return self.estimator.predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """Classes, shape (n_rows,)."""
        classes = self.classes_.tolist()
        codes = [classes.index(label) for label in self.thresholds]
        return self.classes_[above(self.predict_proba(X), codes, list(self.thresholds.values()))]


def model_of(decision: Decision, frame: pd.DataFrame, schema: Schema) -> Any:
    """The fitted model with its decision threshold inside ``predict``.

    Parameters
    ----------
    decision : of a classifier `AsPipeline`
    frame : some rows of the table
    """
    pipeline: Any = decision.fitted.estimator
    if not decision.codes:
        return pipeline
    labels: Sequence[Any] = [schema.labels[code] for code in decision.codes]
    x, y = features_of(frame, schema), frame[schema.target].to_numpy()
    if len(schema.labels) > 2:
        return MovedThresholds(pipeline, dict(zip(labels, decision.cuts, strict=True))).fit(x, y)
    above_cut = float(np.nextafter(decision.cuts[0], 1.0))  # scikit-learn's includes the threshold, OPAL's does not
    fixed = FixedThresholdClassifier(
        FrozenEstimator(pipeline), threshold=above_cut, pos_label=labels[0], response_method="predict_proba"
    )
    return fixed.fit(x, y)


def needs_opal(model: Any) -> bool:
    """Whether the model holds a class of OPAL's."""
    pipeline = getattr(model, "estimator", model)
    pipeline = getattr(pipeline, "estimator", pipeline)
    parts = [model, *(step for _, step in getattr(pipeline, "steps", []))]
    return any(type(part).__module__.startswith("opal.") for part in parts)
