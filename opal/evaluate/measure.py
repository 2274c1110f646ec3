"""One fit: its errors on the test rows, those of a moved threshold, and the controls'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control, above, shares
from opal.evaluate.features import label_codes, minority_codes
from opal.evaluate.metrics import BY_NAME, OF_CHOICE, OF_CLASS, Record, by_class, errors, mean_f1, mean_ranking, score
from opal.table import Split

MOVED = "threshold/"  # metrics with rows and a moved threshold
CORRECTED = "corrected/"  # metrics of probabilities, corrected for the classes' shares that rows have moved


def measure(
    classifier: Classifier,
    split: Split,
    added: pd.DataFrame,
    amount: int,
    minority: Any,
    controls: Mapping[str, Control] | None = None,
) -> list[Record]:
    """Fit on train and ``added``, predict the test rows, and measure; then the controls, where given."""
    train = split.train
    frame = pd.concat([train.frame, added], ignore_index=True) if len(added) else train.frame
    proba = classifier.fit(frame, train.schema).predict_proba(split.test)
    found = score(split, proba, proba.argmax(axis=1), minority, amount)
    if len(added):
        found += moved_threshold(proba, frame, split, minority, amount)
    found += prior_corrected(proba, frame, split, minority, amount)
    for name, control in (controls or {}).items():
        try:
            predictions = control(classifier, split, minority, proba)
        except ConfigError as fault:
            raise ConfigError(f"control {name}, which ~controls.{name} leaves out: {fault}") from fault
        if predictions is not None:
            records = score(split, *predictions, minority, amount)
            found += [r | {"metric": f"control/{name}/{r['metric']}"} for r in records]
    return found


def moved_threshold(proba: np.ndarray, frame: pd.DataFrame, split: Split, minority: Any, amount: int) -> list[Record]:
    """Errors of the same fit with the threshold at the minority's share of what it was trained on: no further fit."""
    schema = split.train.schema
    codes = minority_codes(schema, minority)
    predicted = above(proba, codes, shares(frame, schema, codes))
    truth = label_codes(split.test, schema)
    found = errors(predicted, split.test, truth, split.train.groups)
    found["f1"] = mean_f1(predicted, truth, codes)
    kept = {name for name in found if BY_NAME[name].validated or BY_NAME[name].judged != "never"} | set(OF_CHOICE)
    return [
        {"seed": split.seed, "amount": amount, "metric": MOVED + name, "value": value}
        for name, value in (found | by_class(predicted, truth, schema.labels)).items()
        if name in kept or name.startswith(OF_CLASS)
    ]


def prior_corrected(proba: np.ndarray, frame: pd.DataFrame, split: Split, minority: Any, amount: int) -> list[Record]:
    """Brier score and calibration error of the same fit as if synthetic rows had not changed how common each class is.

    p'(k) ~ p(k) x share of k in train / share of k in what was trained on. Source: Saerens, Latinne and Decaestecker,
    "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14 (2002), eq. 2.4.
    """
    schema = split.train.schema
    codes, size = minority_codes(schema, minority), len(schema.labels)
    before = np.bincount(label_codes(split.train.frame, schema), minlength=size) / len(split.train.frame)
    after = np.bincount(label_codes(frame, schema), minlength=size) / len(frame)
    weighted = proba * np.divide(before, after, out=np.zeros(size), where=after > 0)
    total = weighted.sum(axis=1, keepdims=True)
    adjusted = np.divide(weighted, total, out=proba.copy(), where=total > 0)
    found = mean_ranking(adjusted, label_codes(split.test, schema), codes)
    return [
        {"seed": split.seed, "amount": amount, "metric": CORRECTED + name, "value": found[name]}
        for name in ("brier", "calibration_error")
        if name in found
    ]
