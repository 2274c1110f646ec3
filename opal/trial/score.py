"""``score=METRIC``: what a trial returns to a search, checked in advance for whether it will be measured."""

from __future__ import annotations

import logging
from collections.abc import Collection

from opal.config.options import nearest
from opal.config.validation import shown
from opal.errors import ConfigError
from opal.evaluate.curve import CLEAN
from opal.evaluate.metrics import METRICS, names
from opal.evaluate.validate import PREFIX
from opal.result import TrialResult
from opal.trial.trial import Trial

log = logging.getLogger("opal")
VALIDATION = "validation"  # whichever validation error the amount is chosen by


def resolve_score(name: object, trial: Trial) -> str:
    """The metric of ``score=name`` for a trial that has not begun.

    ``validation`` is the error by which amounts are chosen: balanced over the groups where an attribute defines them
    (task=spurious), else over the classes.

    Raises
    ------
    ConfigError : the trial will not measure it; names the nearest metric that it will, or what to set
    """
    grouped = trial.grouped
    metric = str(name)
    if metric == VALIDATION:
        metric = PREFIX + trial.chosen_by
    known = [m.name for m in METRICS if (grouped or not m.of_groups) and (m.name != "cost" or trial.measure == "cost")]
    validated = [PREFIX + m for m in (*names("validated"), trial.chosen_by) if m in known]
    if metric in validated:
        if trial.validation.folds < 2:
            raise ConfigError(f"score={name} is measured on validation folds: set validation.folds=2 or more")
        if not trial.method.makes_rows or not max(trial.amounts(100)):
            raise ConfigError(f"score={name} needs synthetic rows: choose another method, or amounts.steps>=1")
        return metric
    known += [f"control/{control}/{m}" for control in trial.controls for m in known]
    known += [CLEAN + m for m in names() if m in known and trial.contamination == "refit"]
    if metric not in known:
        mend = _mend(metric, known + validated)
        raise ConfigError(f"score={shown(name)} is not measured{_why(metric, grouped)}; {mend}")
    return metric


def _why(metric: str, grouped: bool) -> str:
    if not grouped and any(m.of_groups and m.name in metric for m in METRICS):
        return " where no attribute defines groups (task=spurious)"
    return " without contamination=refit" if metric.startswith(CLEAN) else ""


def _mend(metric: str, known: Collection[str]) -> str:
    if best := nearest(metric, known):
        return f"did you mean {best}?"
    plain = [m for m in known if "/" not in m]
    return f"metrics: {', '.join(plain)}, and control/NAME/METRIC of the controls chosen"


def score(result: TrialResult, metric: str) -> float | None:
    """Mean over seeds of a metric at the most synthetic rows; None, with a warning, if a seed has none."""
    values = result.errors[result.errors["metric"] == metric]
    most = values[values["amount"] == values["amount"].max()].set_index("seed")["value"]
    if missing := [seed for seed in result.rows if seed not in most.index]:
        log.warning("opal: no score: seed %s has no %s at the most synthetic rows", missing[0], metric)
        return None
    return float(most.mean())
