"""The chance baseline of contamination: how many fresh real rows would equal a test row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.01  # at most one false alarm in a hundred clean trials
PRIOR_SEEDS = 5  # of one group, in which the prior counts in full
COARSE = 0.02  # a chance rate above this deserves a remark on the table


@dataclass(frozen=True)
class Stratum:
    """Counts of one group in one seed: rows, those equal to a test row, and the same for held-out real rows.

    ``new`` and ``held_out_new`` leave out rows equal to a train row (a copy of a train row is no sign of memory),
    and ``new`` counts equal synthetic rows once (repeating itself is no further evidence).
    """

    group: str
    rows: int
    matched: int
    new: int
    new_matched: int
    held_out: int
    held_out_matched: int
    held_out_new: int
    held_out_new_matched: int


def judge(strata: Sequence[Stratum], seeds: int = 1) -> tuple[dict[str, float], str | None, str]:
    """Counts against chance: metrics, the warning or None, the sentence."""
    rows, matched = sum(s.rows for s in strata), sum(s.matched for s in strata)
    expected = sum(s.rows * s.held_out_matched / s.held_out for s in strata if s.held_out)
    low, high = _interval(strata)
    p = _p_value(strata)
    metrics: dict[str, float] = {
        "contamination/test_exact": matched,
        "contamination/test_rate": matched / max(1, rows),
        "contamination/test_chance": expected,
        "contamination/test_chance_low": low,
        "contamination/test_chance_high": high,
        "contamination/test_chance_rate": expected / max(1, rows),
        "contamination/test_p": p,
    }
    if not rows:
        return metrics, None, "No synthetic rows, so none equals a test row."
    if not sum(s.held_out for s in strata):
        return (
            metrics,
            None,
            f"{matched} of {rows} synthetic rows equal a test row; no real rows are left to compare.",
        )
    coarse = expected / rows > COARSE
    what = f"{matched} of {rows} synthetic rows{f' over {seeds} seeds' if seeds > 1 else ''} equal a test row"
    chance = f"by chance about {expected:.3g} of as many fresh real rows would (95 % interval {low:.0f} to {high:.0f})"
    if expected < low:  # so few real rows are held out that the prior decides the interval
        chance = f"few real rows are held out to compare with: by chance 0 to {high:.0f} of as many would"
    if p < ALPHA and matched > expected:
        also = ", or prefers this coarse table's commonest values" if coarse else ""
        text = (
            f"{what} in every column; {chance}; p = {p:.2g}: the generator seems to know the test set{also}. "
            "Trust the curve without the matched rows rather than this one."
        )
        return metrics, f"WARNING: {text}", text
    why = (
        ": near or below chance in so coarse a table, where real rows are often equal"
        if coarse
        else ": no more than chance"
    )
    return metrics, None, f"{what}; {chance}{why}."


def _p_value(strata: Sequence[Stratum]) -> float:
    """P(as many new matches or more | synthetic and held-out rows match alike): exact, one-sided.

    Given all matches in a stratum, those among its synthetic rows are hypergeometric (Fisher's exact test);
    strata are taken as independent, so that the sum is distributed as the convolution.
    Source: Agresti, "Categorical Data Analysis" (exact conditional tests for several 2 x 2 tables).
    """
    from scipy.stats import hypergeom

    parts = [s for s in strata if s.new and s.held_out_new]
    pmfs = []
    for s in parts:
        total, hits = s.new + s.held_out_new, s.new_matched + s.held_out_new_matched
        pmfs.append(hypergeom.pmf(np.arange(min(s.new, hits) + 1), total, hits, s.new))
    seen = sum(s.new_matched for s in parts)
    return float(min(1.0, _sum(pmfs)[seen:].sum())) if parts else 1.0


def _interval(strata: Sequence[Stratum], level: float = 0.95) -> tuple[float, float]:
    """Prediction interval of the number of matches among as many fresh real rows.

    Beta-binomial with Jeffreys' prior, so that the baseline's own uncertainty counts; strata are added. The prior
    weighs no more than in five seeds: in each of forty it would outweigh what was seen.
    Source: Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16
    (2001), for the prior.
    """
    from scipy.stats import betabinom

    parts = [s for s in strata if s.held_out]
    if not parts:
        return 0.0, 0.0
    pmfs, seeds = [], Counter(s.group for s in parts)
    for s in parts:
        prior = 0.5 * min(1.0, PRIOR_SEEDS / seeds[s.group])
        a, b = s.held_out_matched + prior, s.held_out - s.held_out_matched + prior
        pmfs.append(betabinom.pmf(np.arange(s.rows + 1), s.rows, a, b))
    cumulated = np.cumsum(_sum(pmfs))
    tail = (1 - level) / 2
    return float(np.searchsorted(cumulated, tail)), float(np.searchsorted(cumulated, 1 - tail))


def _sum(pmfs: Sequence[np.ndarray]) -> np.ndarray:
    """Distribution of the sum of independent counts."""
    from scipy.signal import fftconvolve

    total = np.ones(1)
    for pmf in pmfs:
        short = len(total) * len(pmf) < 10_000_000  # the transform loses the far tail, so only where needed
        total = np.convolve(total, pmf) if short else np.clip(fftconvolve(total, pmf), 0, None)
    return total
