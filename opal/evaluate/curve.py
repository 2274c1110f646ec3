"""The curve: every seed's classifier at every amount of synthetic rows, measured on that seed's test rows."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal.atomic import whole_file
from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control, above, shares
from opal.evaluate.features import label_codes, minority_codes
from opal.evaluate.metrics import (
    BY_NAME,
    OF_CHOICE,
    OF_CLASS,
    Record,
    by_class,
    errors,
    mean_f1,
    mean_ranking,
    score,
)
from opal.orphans import end_with
from opal.table import Split

MOVED = "threshold/"  # metrics with rows and a moved threshold
CORRECTED = "corrected/"  # metrics of probabilities, corrected for the classes' shares that rows have moved
CLEAN = "without_test_matches/"  # metrics of the curve without the synthetic rows that equal a test row
MOST_STEPS = 10_000
KEPT_RAW = 1000  # fits, some 20 kB each
_raw: dict[str | None, list[Record]] = {}  # the newest fits without synthetic rows, by digest of their inputs
_folder: Path | None = None  # the same for other processes, a file per fit


@dataclass(frozen=True)
class Amounts:
    """0, c, 2c, ... ``steps`` x c synthetic rows; c is ``size``, or a fifth of the train rows (at least 1)."""

    steps: int = 5
    size: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MOST_STEPS:
            raise ConfigError(f"amounts.steps={self.steps} must lie between 0 and {MOST_STEPS}: each is a fit per seed")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"amounts.size={self.size} must be 1 or more, or null for a fifth of the train rows")

    def __call__(self, train_rows: int) -> list[int]:
        size = self.size or max(train_rows // 5, 1)
        return [size * k for k in range(self.steps + 1)]


def curve(
    classifier: Classifier,
    splits: Sequence[Split],
    rows: Sequence[pd.DataFrame],
    amounts: Sequence[Sequence[int]],
    minority: Any,
    n_jobs: int = 1,
    progress: Any = None,
    controls: Mapping[str, Control] | None = None,
) -> pd.DataFrame:
    """Tidy errors [seed, amount, metric, value]; amounts with too few rows are left out.

    Controls stand at amount 0 as ``control/<name>/<metric>``; they share the fit without synthetic rows.
    Results are the same for any ``n_jobs``: a fit sees its seed's rows and nothing else. A fit without synthetic rows
    is the same for every method, so that a process makes it once.
    """
    jobs = [
        (classifier, split, made.iloc[:amount], amount, minority, controls if amount == 0 else None)
        for split, made, steps in zip(splits, rows, amounts, strict=True)
        for amount in steps
        if amount <= len(made)
    ]
    return tidy(record for records in fitted(jobs, n_jobs, progress) for record in records)


def fitted(jobs: Sequence[tuple], n_jobs: int = 1, progress: Any = None) -> list[list[Record]]:
    """The records of every job (the arguments of `measure`); fits without synthetic rows are made once per sweep."""
    # controls as a list: their order, which joblib ignores in a dict, is that of the records
    keys = [None if job[3] else _key(job[0], job[1], job[4], list((job[5] or {}).items())) for job in jobs]
    known = [_recall(key) for key in keys]
    if progress is not None:
        progress.advance(fits=sum(records is not None for records in known))
    wanted = [job for job, records in zip(jobs, known, strict=True) if records is None]
    made = iter(each(measure, wanted, n_jobs, progress))
    found = [next(made) if records is None else records for records in known]
    for key, records, before in zip(keys, found, known, strict=True):
        if key and before is None:
            _keep(key, records)
    return found


def curve_without(
    left_out: Sequence[np.ndarray],
    known: pd.DataFrame,
    classifier: Classifier,
    splits: Sequence[Split],
    rows: Sequence[pd.DataFrame],
    amounts: Sequence[Sequence[int]],
    minority: Any,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """The curve with some synthetic rows left out, at the amounts they were counted in.

    Parameters
    ----------
    left_out : one boolean array per seed, shape (n_rows,)
    known : the full curve; amounts that lose no row are taken from it, not fitted again
    """
    jobs, same = [], []
    for split, made, steps, out in zip(splits, rows, amounts, left_out, strict=True):
        for amount in (a for a in steps if a <= len(made)):
            if out[:amount].any():
                jobs.append((classifier, split, made.iloc[:amount][~out[:amount]], amount, minority))
            else:
                same.append(known[(known["seed"] == split.seed) & (known["amount"] == amount)])
    again = tidy(record for found in each(measure, jobs, n_jobs) for record in found)
    return pd.concat([f for f in (again, *same) if len(f)], ignore_index=True)


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


def control_names(errors: pd.DataFrame) -> list[str]:
    """The controls that were measured, in order."""
    found = (re.fullmatch(r"control/([^/]+)/error", metric) for metric in errors["metric"].unique())
    return [match[1] for match in found if match]


def share_raw_fits(folder: Path) -> None:
    """Share fits without synthetic rows with other processes that name the same folder."""
    global _folder
    _folder = folder


def _recall(key: str | None) -> list[Record] | None:
    if key and key not in _raw and _folder:
        with suppress(OSError, ValueError):
            _raw[key] = json.loads((_folder / f"{key}.json").read_text())
    return _raw.get(key)


def _keep(key: str, records: list[Record]) -> None:
    _raw[key] = records
    for old in list(_raw)[:-KEPT_RAW]:
        del _raw[old]
    if _folder:
        with suppress(OSError, TypeError):  # sharing only saves time
            _folder.mkdir(parents=True, exist_ok=True)
            with whole_file(_folder / f"{key}.json") as part:  # not forced to the disk: a lost fit is made again
                part.write_text(json.dumps(records))


def _key(*made_of: Any) -> str | None:
    """Digest of all inputs of a fit; None, so that it is never shared, if they cannot be pickled."""
    from joblib import hash as digest

    try:
        return digest(made_of)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None


def each(work: Callable[..., Any], jobs: Sequence[tuple], n_jobs: int, progress: Any = None) -> Iterable[Any]:
    """``work(*job)`` for every job, in order, one thread per fit: small tables fit slower on more."""
    from joblib import Parallel, delayed, parallel_config
    from threadpoolctl import threadpool_limits

    if not jobs:
        return
    with threadpool_limits(1), parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs, return_as="generator", initializer=end_with, initargs=(os.getpid(),))(
            delayed(work)(*job) for job in jobs
        )
        for result in found:
            if progress is not None:
                progress.advance(fits=1)
            yield result


def tidy(records: Iterable[Record]) -> pd.DataFrame:
    return pd.DataFrame(records, columns=["seed", "amount", "metric", "value"])
