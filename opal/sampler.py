"""Every oversampler with imbalanced-learn's interface: in its pipelines, in scikit-learn's cross-validation."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from opal.config.build import compose, instantiate
from opal.data.given import check_names, frame_of, read_given, seed_of
from opal.data.restore import restore
from opal.errors import ConfigError
from opal.evaluate.curate import Filter
from opal.methods.base import Oversampler
from opal.methods.duplicate import Duplicate
from opal.result import Funnel, Rows, Usage
from opal.trial.sampling import sample


class OpalSampler(BaseOverSampler):
    """Oversample with any OPAL method: a language model, SMOTE and its relatives, mixtures, copulas, ...

    Rows for a class are made from the rows given to ``fit_resample`` alone. In ``imblearn.pipeline.Pipeline``
    inside ``cross_validate`` these are the train rows of each fold. A model's answers are stored by what was
    asked: the same rows and ``random_state`` never ask, or pay, twice, in whatever process.

    Parameters
    ----------
    method : str or Oversampler, default="llm"
        An option of ``conf/method`` (llm, smote, adasyn, mixup, gaussian_copula, ...) or an object with
        OPAL's ``sample(train, n)``.
    options : sequence of str, default=()
        What would stand after ``method=`` on the command line, where ``method`` is a name:
        ``["llm=openai", "llm.model=gpt-6-luna", "prompt=expert", "method.obfuscate=true"]``. Keys of
        providers are named by environment variable and never held here.
    sampling_strategy : float, str, dict or callable, default="auto"
        As in imbalanced-learn.
    random_state : int, RandomState instance or None, default=0
        Fixed by default, so that fitting again costs nothing. None and a RandomState make other rows each time.
    kinds : dict, default=None
        ``{column: binary | categorical | integer | real | date}``, where the values do not show it, such as codes.
    descriptions : dict, default=None
        ``{column: meaning and unit}``, for prompts that show them.
    free_text : {"drop", "carry"}, default="drop"
        What happens to a data frame's columns of notes, names and keys, most values of which differ. They would
        put real persons' text into synthetic rows: "drop" leaves them missing there, with a warning; "carry", or
        ``kinds={column: "categorical"}``, treats them as any other names.

    Attributes
    ----------
    sampling_strategy_ : dict of rows to add, by class
    n_features_in_, feature_names_in_ : as in scikit-learn
    funnel_ : opal.result.Funnel, rows asked for, received, valid, kept
    usage_ : opal.result.Usage, requests, tokens and money
    prompts_ : list of dict, one per request

    Notes
    -----
    Data frames keep their dtypes, categories and column names; as in imbalanced-learn the index is 0..n-1 and the
    rows given come first, untouched. Text that holds numbers as people write them ("5.099,30", "45 %", "k.A.") is read
    as in files (docs/tables.md), and new rows have it in the same form; ``kinds={column: "categorical"}`` takes it for
    names. Arrays have columns ``x0, x1, ...``. Missing values are carried by the
    methods that can; the others name the columns. Where a model gives fewer rows than were wanted, those are
    returned with a warning that says why.

    Examples
    --------
    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> pipeline = make_pipeline(OpalSampler(method="smote"), DecisionTreeClassifier())
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        **BaseOverSampler._parameter_constraints,
        "method": "no_validation",
        "options": ["array-like"],
        "kinds": [dict, None],
        "descriptions": [dict, None],
        "free_text": [StrOptions({"drop", "carry"})],
    }

    def __init__(
        self,
        method: str | Oversampler = "llm",
        *,
        options: Sequence[str] = (),
        sampling_strategy: Any = "auto",
        random_state: Any = 0,
        kinds: Mapping[str, Any] | None = None,
        descriptions: Mapping[str, str] | None = None,
        free_text: str = "drop",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.method = method
        self.options = options
        self.random_state = random_state
        self.kinds = kinds
        self.descriptions = descriptions
        self.free_text = free_text

    def _check_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray, bool]:
        y, one_vs_all = check_target_type(y, indicate_one_vs_all=True)
        if isinstance(X, pd.DataFrame):
            check_names(X)
            validate_data(self, X, y, skip_check_array=True)
            if not len(X):
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        else:
            X, y = validate_data(self, X, y, dtype=None, ensure_all_finite="allow-nan")
        return X, y, one_vs_all

    def _fit_resample(self, X: Any, y: np.ndarray, **params: Any) -> tuple[Any, np.ndarray]:
        if isinstance(self.method, str):
            method, curation = built(self.method, tuple(self.options))
            make: Callable[..., Rows] = partial(sample, method, curation=curation)
        else:
            method, make = self.method, self.method.sample
        if isinstance(method, Duplicate):
            return self._duplicated(X, y, method)
        framed, given = isinstance(X, pd.DataFrame), frame_of(X)
        read = read_given(given, y, self.kinds, self.descriptions, self.free_text if framed else "carry")
        if read.left_out:
            warn(
                f"left missing in synthetic rows, being free text or keys: {', '.join(map(repr, read.left_out))}; "
                "free_text='carry' fills them from the rows given"
            )
        train = read.train(self.random_state)
        made, labels, rows = [], [], []
        for label, n in self.sampling_strategy_.items():
            if n == 0:
                continue
            of_class = train.frame[train.schema.target].iloc[int(np.argmax(y == label))]
            group = next(g for g in train.groups if g.label == of_class)
            rows.append(make(train.short_of(group), int(n)))
            made.append(rows[-1].frame)
            labels.append(np.full(len(rows[-1].frame), label, dtype=y.dtype))
        self._note(rows)
        together = pd.concat(made, ignore_index=True) if made else train.frame.iloc[:0]
        new = restore(together, train.frame, train.schema, given, read.forms)
        y_all = np.concatenate([y, *labels])
        if not framed:
            return np.concatenate([X, new.to_numpy().astype(X.dtype)]), y_all
        new.columns = X.columns
        return pd.concat([X, new], ignore_index=True), y_all

    def _duplicated(self, X: Any, y: np.ndarray, method: Duplicate) -> tuple[Any, np.ndarray]:
        """Rows drawn by position: no table is built, so that a million of them are quick."""
        places = [np.arange(len(y))]
        for label, n in self.sampling_strategy_.items():
            rng = np.random.default_rng([seed_of(self.random_state), 1])
            own = np.flatnonzero(y == label)
            places.append(own[method.places(len(own), int(n), rng)])
        rows = np.concatenate(places)
        self._note([Rows(pd.DataFrame(), Funnel(*(len(rows) - len(y),) * 5))])
        if isinstance(X, pd.DataFrame):
            return X.iloc[rows].reset_index(drop=True), y[rows]
        return X[rows], y[rows]

    def _note(self, rows: list[Rows]) -> None:
        self.funnel_ = sum((r.funnel for r in rows), Funnel())
        self.usage_ = sum((r.usage for r in rows), Usage())
        self.prompts_ = [p for r in rows for p in r.prompts]
        for sentence in dict.fromkeys(said for r in rows for said in (r.stopped, r.note) if said):
            warn(sentence)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


@lru_cache(maxsize=32)
def built(method: str, options: tuple[str, ...]) -> tuple[Oversampler, Filter]:
    """Method and curation of a configuration: built once per process, so that folds share client and budget."""
    from hydra.errors import HydraException

    from opal.cli.launch import sentence

    try:
        config = compose(f"method={method}", *options)
        return instantiate(config, "method"), instantiate(config, "curate")
    except HydraException as fault:
        raise ConfigError(sentence(fault)) from fault


def warn(sentence: str) -> None:
    """A warning that shows the line of the caller's own code, below scikit-learn and imbalanced-learn."""
    frame, level = sys._getframe(), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in ("opal", "imblearn", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, UserWarning, stacklevel=level)
