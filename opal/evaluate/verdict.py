"""Was it worth it? The method at its chosen amount against the best free control, paired by seed.

Nothing here is chosen by looking at test rows: the amount comes from validation folds of each seed's train rows,
and the control either from its own validation error or, lacking that, from the least favourable comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from opal.errors import ConfigError

Word = Literal["helps", "hurts", "cannot be told"]
HIGHER_IS_BETTER = frozenset({"average_precision", "roc_auc"})
VALIDATION = "validation_error"
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Verdict:
    """The answer in numbers and words.

    Parameters
    ----------
    difference : mean over seeds of (method - control), in the metric's unit
    low, high : bounds of its interval; NaN when fewer than two seeds are shared
    seeds_needed : seeds that would tell a true difference of this size, or None when no number would
    control : the control compared with, and ``how`` it was chosen
    seeds : how many seeds the difference rests on
    """

    difference: float
    low: float
    high: float
    word: Word
    seeds_needed: int | None
    control: str
    seeds: int
    metric: str = "error"
    method: str = "the synthetic rows"
    how: str = "the only control"
    interval: str = "t"
    level: float = 0.95

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with its numbers."""
        versus = f"{self.method} against {self.control} ({self.how})"
        measure = self.metric.replace("_", " ")
        if self.seeds < 2:
            plural = "" if self.seeds == 1 else "s"
            return f"{versus}: {measure} cannot be told from {self.seeds} shared seed{plural}; run at least two."
        text = (
            f"{versus}: {measure} {self.difference:+.4f} ({self.level:.0%} {self.interval} "
            f"interval over {self.seeds} seeds {self.low:+.4f} to {self.high:+.4f}): {self.word}"
        )
        if self.word != "cannot be told":
            return f"{text}."
        if self.seeds_needed is None:
            return f"{text}; no number of seeds would tell so small a difference."
        return f"{text}; about {self.seeds_needed} seeds would tell a difference of this size."


def choose_amount(errors: pd.DataFrame, metric: str = VALIDATION) -> dict[int, int]:
    """For each seed the amount of least validation error; the smallest among equals.

    Each seed chooses alone: another seed's train rows may be this seed's test rows.

    Parameters
    ----------
    errors : DataFrame with columns seed, amount, metric, value

    Raises
    ------
    ConfigError : the errors hold no such metric
    """
    rows = errors[(errors["metric"] == metric) & errors["value"].notna()]
    if rows.empty:
        raise ConfigError(f"no amount can be chosen: errors hold no {metric!r}; measure it on folds of train rows")
    best = rows.sort_values(["value", "amount"], kind="stable").groupby("seed")["amount"].first()
    return {int(str(seed)): int(amount) for seed, amount in best.items()}


def at_amounts(errors: pd.DataFrame, metric: str, amounts: Mapping[int, int]) -> pd.Series:
    """The metric of each seed at its own amount: a Series by seed."""
    rows = errors[errors["metric"] == metric]
    chosen = rows[rows["amount"] == rows["seed"].map(amounts)]
    return chosen.set_index("seed")["value"].sort_index()


def verdict(
    method_errors: pd.Series,
    control_errors: Mapping[str, pd.Series],
    metric: str = "error",
    *,
    control_validation: Mapping[str, pd.Series] | None = None,
    method: str = "the synthetic rows",
    interval: Literal["t", "bootstrap"] = "t",
    level: float = 0.95,
) -> Verdict:
    """Compare with the best control.

    With ``control_validation`` the control of least mean validation error is the one compared with. Without it
    every control is compared with, and the verdict is conservative: *helps* needs an interval clear of every
    control (an intersection-union test, which needs no correction: Berger, Technometrics 24, 1982), *hurts* an
    interval clear of the worst one at a level corrected for their number (Bonferroni).

    Parameters
    ----------
    method_errors : value by seed, at the chosen amount
    control_errors : for each control its value by seed, on the same splits
    control_validation : for each control its validation error by seed; lower is better
    interval : Student's t over seeds, or the BCa bootstrap (too narrow below some ten seeds)

    Raises
    ------
    ConfigError : no control to compare with
    """
    if not control_errors:
        raise ConfigError("no verdict without a control: name at least one in controls")
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    gaps = {name: _paired(method_errors, values) for name, values in control_errors.items()}
    named = {n: v.mean() for n, v in (control_validation or {}).items() if n in gaps and v.notna().any()}
    if named:
        control, among = min(named, key=lambda n: (named[n], n)), 1
        how = "the control of least validation error"
    else:
        # largest signed mean gap: the control that does best where it is compared
        control = max(gaps, key=lambda n: (_mean(sign * gaps[n]), n))
        among = len(gaps)
        how = "the hardest control to beat" if among > 1 else "the only control"
    gap = gaps[control]
    low, high = confidence_interval(gap, level, interval)
    if among > 1:
        bounds = [confidence_interval(sign * g, level, interval)[1] for g in gaps.values()]
        helps = bool(np.all(np.array(bounds) < 0))
        hurts = confidence_interval(sign * gap, 1 - (1 - level) / among, interval)[0] > 0
    else:
        bad, good = sorted((sign * low, sign * high)) if len(gap) > 1 else (np.nan, np.nan)
        helps, hurts = good < 0, bad > 0
    word: Word = "helps" if helps else "hurts" if hurts else "cannot be told"
    needed = seeds_needed(gap, 1 - level)
    return Verdict(_mean(gap), low, high, word, needed, control, len(gap), metric, method, how, interval, level)


def confidence_interval(
    gap: np.ndarray, level: float = 0.95, interval: Literal["t", "bootstrap"] = "t"
) -> tuple[float, float]:
    """Interval of the mean of ``gap``, shape (n_seeds,): mean -+ t(n - 1) sd / sqrt(n), or the BCa bootstrap.

    Two equal gaps tell nothing of their spread and have no interval (NaN). Source: Student
    (1908); Efron, "Better bootstrap confidence intervals", JASA 82 (1987), by SciPy.
    """
    from scipy import stats

    if len(gap) < 2:
        return float("nan"), float("nan")
    mean, sd = float(np.mean(gap)), float(np.std(gap, ddof=1))
    if sd <= 1e-12 * max(1.0, abs(mean)):
        return (mean, mean) if len(gap) > 2 else (float("nan"), float("nan"))
    if interval == "bootstrap":
        rng = np.random.default_rng(0)  # the same interval each time
        found = stats.bootstrap((gap,), np.mean, confidence_level=level, rng=rng).confidence_interval
        return float(found.low), float(found.high)
    half = float(stats.t.ppf((1 + level) / 2, len(gap) - 1)) * sd / np.sqrt(len(gap))
    return mean - half, mean + half


def seeds_needed(gap: np.ndarray, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The fewest seeds whose paired t test would find a true difference of this size and spread.

    Power of the two-sided test: P(|T| > t(1 - alpha / 2, n - 1)), T noncentral t with n - 1 degrees of freedom
    and noncentrality sqrt(n) |mean| / sd. None when the difference is nought or ``MOST_SEEDS`` are too few.
    Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 2.
    """
    from scipy import stats

    if len(gap) < 2:
        return None
    effect, sd = abs(float(np.mean(gap))), float(np.std(gap, ddof=1))
    if effect <= 1e-12:
        return None
    if sd <= 1e-12:
        return 3

    def enough(n: int) -> bool:
        bound, shift = stats.t.ppf(1 - alpha / 2, n - 1), np.sqrt(n) * effect / sd
        if shift > 30:  # the noncentral t loses its digits where the power is 1 anyway, save at two seeds
            return bound < shift - 3
        return float(stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)) >= power

    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _paired(mine: pd.Series, theirs: pd.Series) -> np.ndarray:
    """Differences over the seeds that both have."""
    return (mine - theirs).dropna().sort_index().to_numpy(dtype=float)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
