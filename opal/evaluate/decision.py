"""A recommended action, carried out: a classifier fitted on all rows, and how it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.actions import NOTHING, Action
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import (
    CUTS,
    Balanced,
    Control,
    Instead,
    above,
    class_weight,
    group_weights,
    shares,
    takes_weights,
)
from opal.evaluate.features import minority_codes
from opal.table import Train


@dataclass(frozen=True)
class Decision:
    """A fitted classifier with the thresholds of the minority classes.

    Parameters
    ----------
    fitted : has ``predict_proba``
    codes, cuts : positions of the minority classes among the labels, and their thresholds; empty: the likeliest class
    rows : what the classifier was fitted on
    """

    fitted: Any
    codes: tuple[int, ...] = ()
    cuts: tuple[float, ...] = ()
    rows: int = 0

    def decide(self, proba: np.ndarray) -> np.ndarray:
        """Label codes, shape (n_rows,), of probabilities of shape (n_rows, n_classes)."""
        return above(proba, self.codes, self.cuts) if self.codes else proba.argmax(axis=1)


def can_be_fitted(control: Control) -> bool:
    """Whether a control's action can be carried out: it needs one classifier, thresholds or weights."""
    known = (Balanced, Instead)
    return isinstance(control, known) or _plain(control) is class_weight or _plain(control) in CUTS


def fit_action(
    action: Action,
    classifier: Classifier,
    train: Train,
    minority: Any,
    controls: Mapping[str, Control],
    rows: pd.DataFrame | None = None,
    wrap: Callable[[Classifier], Any] = lambda classifier: classifier,
) -> Decision:
    """Carry out ``action`` on all of ``train``.

    Parameters
    ----------
    minority : the label that is short of rows, or a tuple of several
    controls : by name; those that a free action may name
    rows : the synthetic rows of an action that has some
    wrap : makes of another classifier, which a control may bring, what ``classifier`` is

    Raises
    ------
    ConfigError : the action's control cannot be carried out
    """
    codes = tuple(minority_codes(train.schema, minority))

    def fitted(frame: pd.DataFrame, cuts: Sequence[float] = (), using: Any = classifier, **given: Any) -> Decision:
        return Decision(using.fit(frame, train.schema, **given), codes if len(cuts) else (), tuple(cuts), len(frame))

    if action.amount:
        frame = pd.concat([train.frame, rows], ignore_index=True)
        return fitted(frame, shares(frame, train.schema, codes) if action.moved else ())
    if action.name == NOTHING:
        return fitted(train.frame)
    control = controls[action.name]
    if isinstance(control, Balanced):
        return fitted(control.frame(train))
    if isinstance(control, Instead):
        return fitted(train.frame, using=wrap(control.classifier))
    if _plain(control) is class_weight and takes_weights(classifier):
        return fitted(train.frame, sample_weight=group_weights(train))
    if _plain(control) in CUTS:
        return fitted(train.frame, CUTS[_plain(control)](classifier, train, codes, **_given(control)))
    raise ConfigError(f"{action.words} cannot be fitted as one classifier: leave it out (~controls.{action.name})")


def _plain(control: Any) -> Any:
    """The function of a control that a YAML gave arguments to."""
    return control.func if isinstance(control, partial) else control


def _given(control: Any) -> dict[str, Any]:
    return dict(control.keywords) if isinstance(control, partial) else {}
