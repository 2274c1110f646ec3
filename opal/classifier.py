"""A scikit-learn classifier that compares remedies for imbalance on folds, and keeps the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from opal.data.given import check_names, frame_of, read_given
from opal.data.labels import short_labels
from opal.data.numbers import read_again
from opal.data.order import units_of
from opal.evaluate.actions import NOTHING, Action, Measured, choose, collect
from opal.evaluate.answer import table_of
from opal.evaluate.as_given import AsGiven
from opal.evaluate.controls import Balanced, Control, base_rate_threshold, class_weight, tuned_threshold
from opal.evaluate.curate import Filter
from opal.evaluate.curve import Amounts
from opal.evaluate.decision import fit_action
from opal.evaluate.validate import PREFIX, Folds
from opal.methods.base import Oversampler
from opal.methods.duplicate import Duplicate
from opal.methods.smote import Smote
from opal.result import Rows
from opal.sampler import built
from opal.table import Split, Train
from opal.trial.sampling import sample

MEASURES = {"error", "balanced_error", "roc_auc", "average_precision", "f1", "worst_group_error"}
CONTROLS: dict[str, Control] = {
    "class_weight": class_weight,
    "base_rate_threshold": base_rate_threshold,
    "tuned_threshold": tuned_threshold,
    "duplicate": Balanced(Duplicate()),
    "smote": Balanced(Smote()),
}


class OpalClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fit an estimator with the remedy for imbalance that does best on folds of the rows given, doing nothing included.

    Compared are doing nothing, class weights, two moved thresholds, rows copied and made by SMOTE to balance the
    classes, and each of ``methods`` at several amounts, with the threshold moved and not. By the balanced error the
    better threshold is taken, unless another action is better by three standard errors (docs/answer.md).

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Gets the rows as they are given to ``fit``, but numbers for text that holds them ("5.099,30", "45 %", "k.A."),
        which is read as in files (docs/tables.md), also by ``predict``; ``kinds={column: "categorical"}`` leaves it as
        it is. None: a logistic regression.
    methods : sequence of str or Oversampler, default=()
        Options of ``conf/method``, such as ``["gaussian_copula", "llm"]``, whose rows are compared too.
    options : sequence of str, default=()
        What would stand after ``method=`` on the command line, as in `OpalSampler`.
    measure : str, default="balanced_error"
        What the folds choose by: error, balanced_error, worst_group_error, roc_auc, average_precision or f1.
    folds : int, default=3
    repeats : int, default=5
        The folds are drawn so many times.
    steps : int, default=5
        Amounts of each method's rows: a fifth of the rows given, two fifths, ...
    random_state : int, RandomState instance or None, default=0
    kinds : dict, default=None
        As in `OpalSampler`.
    n_jobs : int, default=1
        Fits at a time; has no effect on the result.

    Attributes
    ----------
    estimator_ : the fitted estimator
    action_ : str, what was done
    answer_ : DataFrame, one row per action: its name, synthetic rows and the measure on folds; the chosen one first
    threshold_ : dict from minority class to threshold, or None: the likeliest class is predicted
    classes_, n_features_in_, feature_names_in_ : as in scikit-learn

    Notes
    -----
    ``predict_proba`` is the estimator's: with a moved threshold ``predict`` is not its likeliest class. ``fit`` takes
    ``groups``, which keeps rows of one patient, customer, ... in one fold; in scikit-learn's cross-validation it comes
    by metadata routing (``set_fit_request(groups=True)``).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = OpalClassifier(repeats=2).fit(X.iloc[:, :4], y)
    >>> model.action_ in list(model.answer_["action"])
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "methods": ["array-like"],
        "options": ["array-like"],
        "measure": [StrOptions(MEASURES)],
        "folds": [Interval(Integral, 2, None, closed="left")],
        "repeats": [Interval(Integral, 1, None, closed="left")],
        "steps": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "kinds": [dict, None],
        "n_jobs": [Integral],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        methods: Sequence[str | Oversampler] = (),
        options: Sequence[str] = (),
        measure: str = "balanced_error",
        folds: int = 3,
        repeats: int = 5,
        steps: int = 5,
        random_state: Any = 0,
        kinds: Mapping[str, Any] | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.estimator = estimator
        self.methods = methods
        self.options = options
        self.measure = measure
        self.folds = folds
        self.repeats = repeats
        self.steps = steps
        self.random_state = random_state
        self.kinds = kinds
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, groups: Any = None) -> OpalClassifier:
        """Compare the actions on folds, and carry out the best on all rows.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_features)
        y : array of shape (n_rows,)
        groups : array of shape (n_rows,), or None; rows of one group stay in one fold
        """
        self._validate_params()
        given, y = self._checked(X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"OpalClassifier needs two classes; y has 1 class: {self.classes_[0]!r}")
        read = read_given(given, codes, self.kinds)
        self._forms, self._names = read.forms, list(given.columns)
        minority = short_labels(read.seen[read.schema.target], read.schema.labels, None)
        units = None if groups is None else units_of(pd.DataFrame({"groups": np.asarray(groups)}), "groups")
        train = read.train(self.random_state, minority, units)
        template = LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator
        names = X.columns if self._framed else None
        adapter = AsGiven(clone(template), train.frame, train.schema, read.frame, self.classes_, names)
        validation = self._compared(adapter, train, minority)
        action = choose(validation, self.measure) if len(validation) else Action(NOTHING)
        rows = None
        if action.amount:
            method, curation = self._methods()[action.name]
            rows = sample(method, train, action.amount, curation).frame
        decision = fit_action(action, adapter, train, minority, CONTROLS, rows)  # type: ignore[arg-type]
        self.estimator_, self.action_ = decision.fitted.estimator, action.words
        self.answer_ = table_of(validation, {}, {}, action, self.measure) if len(validation) else pd.DataFrame()
        self._decision = decision
        labels = (self.classes_[code] for code in decision.codes)
        self.threshold_ = dict(zip(labels, decision.cuts, strict=True)) or None
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities by the fitted estimator, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self._again(X))

    def predict(self, X: Any) -> np.ndarray:
        """Classes, shape (n_rows,); a minority class where its probability exceeds its threshold, if there is one."""
        proba = self.predict_proba(X)
        return self.classes_[self._decision.decide(proba)]

    def _checked(self, X: Any, y: Any) -> tuple[pd.DataFrame, np.ndarray]:
        """The rows as a frame with names, and the classes."""
        self._framed = isinstance(X, pd.DataFrame)
        if self._framed:
            check_names(X)
            _, y = validate_data(self, X, y, skip_check_array=True)
            y = column_or_1d(y, warn=True)
        else:
            X, y = validate_data(self, X, y, dtype=None, ensure_all_finite=self._finite)
        check_classification_targets(y)
        return frame_of(X), y

    def _again(self, X: Any) -> Any:
        """New rows as the estimator takes them: numbers that stand as text are read as in ``fit``."""
        framed = isinstance(X, pd.DataFrame)
        if framed:
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, dtype=None, ensure_all_finite=self._finite)
        if not self._forms:
            return X
        read = read_again(frame_of(X).set_axis(self._names, axis=1), self._forms)
        return read.set_axis(X.columns, axis=1).set_axis(X.index) if framed else read.to_numpy()

    @property
    def _finite(self) -> bool | str:
        return "allow-nan" if self.__sklearn_tags__().input_tags.allow_nan else True

    def _methods(self) -> dict[str, tuple[Oversampler, Filter]]:
        """Method and curation by name."""
        options = tuple(self.options)
        return {
            m if isinstance(m, str) else type(m).__name__: built(m, options) if isinstance(m, str) else (m, Filter())
            for m in self.methods
        }

    def _compared(self, adapter: AsGiven, train: Train, minority: Any) -> pd.DataFrame:
        """Losses on folds, one row per repeat, one column per action."""
        splits = [Split(again(train, i), train.frame.iloc[:0]) for i in range(self.repeats)]
        runs = [self._measured(adapter, splits, minority)]
        runs += [self._measured(adapter, splits, minority, name, *given) for name, given in self._methods().items()]
        return collect(runs, self.measure)[0]

    def _measured(
        self,
        adapter: AsGiven,
        splits: Sequence[Split],
        minority: Any,
        name: str = "",
        method: Oversampler | None = None,
        curation: Filter | None = None,
    ) -> Measured:
        """Doing nothing and the free actions on folds of every split; with a method, its rows too."""

        def make(train: Train, n: int) -> Rows:
            assert method is not None and curation is not None
            return sample(method, train, n, curation)

        size = len(splits[0].train.frame)
        amounts = Amounts(self.steps)(size) if method is not None else [0]
        made = [make(s.train, amounts[-1]).frame if method is not None else s.test for s in splits]
        cost = method.remake if method is not None else "never"
        folds = Folds(self.folds, measure="auto" if self.measure == "balanced_error" else self.measure)  # type: ignore
        classifier: Any = adapter
        steps = [amounts] * len(splits)
        errors, _ = folds(classifier, splits, made, steps, minority, make, cost, self.n_jobs, CONTROLS)
        on_folds = errors.assign(metric=errors["metric"].str.removeprefix(PREFIX))  # there are no test rows
        paid, seen = method is not None and method.client is not None, not folds.remakes(cost)
        return Measured(name, pd.concat([errors, on_folds], ignore_index=True), paid, seen=seen)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(LogisticRegression() if self.estimator is None else self.estimator)
        tags.input_tags = inner.input_tags
        tags.input_tags.sparse = False
        tags.classifier_tags.poor_score = inner.classifier_tags is not None and inner.classifier_tags.poor_score
        return tags


def again(train: Train, repeat: int) -> Train:
    """The same rows, with a seed of their own for folds and synthetic rows."""
    return replace(train, seed=train.seed + repeat)
