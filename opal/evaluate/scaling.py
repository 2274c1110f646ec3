"""How the error falls with the number of synthetic rows, and where its variance comes from.

error(m) = plateau + scale * (m + n0) ** -exponent, with m synthetic rows and n0 real minority rows. Nakada, Xu, Li
and Zhang (arXiv 2406.03628) derive polynomial decay in the number of synthetic rows, towards a floor that the
quality of the generator sets; n0 keeps the law finite where no row is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from opal.errors import ConfigError

EXPONENTS = np.geomspace(0.02, 20, 121)  # beyond these the law is a constant or a step within any measured curve


@dataclass(frozen=True)
class Scaling:
    """The fitted law, or the reason why none can be fitted.

    Parameters
    ----------
    told : whether the curve determines an exponent; if not, plateau, scale and exponent are NaN
    exponent_low, exponent_high : 95 % profile interval
    recommended : smallest measured amount whose mean error is within one standard error of the least
    cost : what that many rows cost, by unit, from the cost of one row
    """

    told: bool
    plateau: float
    scale: float
    exponent: float
    exponent_low: float
    exponent_high: float
    n0: float
    recommended: int
    sentence: str
    cost: dict[str, float] = field(default_factory=dict)

    def predict(self, amounts: np.ndarray) -> np.ndarray:
        """The law's error at ``amounts``, same shape; NaN when the curve determines none."""
        return self.plateau + self.scale * (np.asarray(amounts, dtype=float) + self.n0) ** -self.exponent


def fit_scaling(
    errors: pd.DataFrame,
    n0: float,
    metric: str = "error",
    cost_per_row: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> Scaling:
    """Fit the law to one curve over seeds.

    Given the exponent the law is linear in plateau and scale, so that least squares needs a search over the
    exponent alone (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973). Each seed has its own
    level, which is taken out first. The exponent's interval holds all values whose residual sum of squares is
    within the F bound (profile likelihood: Bates and Watts, "Nonlinear Regression Analysis", 1988, chapter 6).

    Parameters
    ----------
    errors : DataFrame with columns seed, amount, metric, value; lower is better
    n0 : real minority rows in train

    Raises
    ------
    ConfigError : the errors hold no such metric
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import f as fisher

    n0 = max(1.0, float(n0))  # finite where no row is added
    wide = _wide(errors, metric)
    amounts = wide.columns.to_numpy(dtype=float)
    n_seeds, recommended = len(wide), _one_standard_error(wide)
    cost = {unit: price * recommended for unit, price in (cost_per_row or {}).items()}
    advice = f"recommended: {recommended} rows, the fewest within one standard error of the least {metric}"

    def refuse(why: str) -> Scaling:
        return Scaling(False, *(float("nan"),) * 5, n0, recommended, f"No scaling law: {why}; {advice}.", cost)

    if len(amounts) < 4:
        return refuse(f"{len(amounts)} amounts are too few for three parameters and a check")
    values = wide.to_numpy(dtype=float)
    values = values - values.mean(axis=1, keepdims=True) + values.mean()
    freedom = values.size - 3 - (n_seeds - 1)

    def rss(log_exponent: float) -> float:
        return _linear(values, amounts, n0, float(np.exp(log_exponent)))[2]

    grid = np.log(EXPONENTS)
    at = int(np.argmin([rss(b) for b in grid]))
    found = minimize_scalar(
        rss, bounds=(grid[max(0, at - 1)], grid[min(len(grid) - 1, at + 1)]), options={"xatol": 1e-6}
    )
    flat = float(((values - values.mean()) ** 2).sum())
    if flat <= 1e-18:
        return refuse("the error is the same at every amount")
    noise = max(float(found.fun) / freedom, 1e-18)
    p = float(fisher.sf((flat - found.fun) / 2 / noise, 2, freedom))
    exponent = float(np.exp(found.x))
    plateau, scale, _ = _linear(values, amounts, n0, exponent)
    if p > 1 - level:
        return refuse(f"the curve is flat within its noise (p = {p:.2f})")
    if scale < 0:
        return refuse("the error grows with the rows")
    bound = found.fun + noise * float(fisher.ppf(level, 1, freedom))
    low, high = (_crossing(rss, bound, found.x, grid[end]) for end in (0, -1))
    if low <= EXPONENTS[0] * 1.0001 and high >= EXPONENTS[-1] * 0.9999:
        return refuse("any exponent fits these few amounts")
    shown = f"{exponent:.2f} ({level:.0%} interval {_shown(low)} to {_shown(high)})"
    text = f"{metric} falls to a plateau of {plateau:.4f} with exponent {shown}; {advice}."
    return Scaling(True, plateau, scale, exponent, low, high, n0, recommended, text, cost)


@dataclass(frozen=True)
class Variances:
    """Two sources of variance, separated.

    Parameters
    ----------
    generator : variance between fresh draws of the synthetic rows
    training : variance between training seeds on the same rows
    generator_share : generator / (generator + training); NaN when both are zero
    p : of the F test that fresh draws make no difference
    """

    generator: float
    training: float
    generator_share: float
    p: float
    sentence: str


def variance_sources(errors: pd.DataFrame) -> Variances:
    """Split the variance of replicated errors: draws of the generator, and training seeds within a draw.

    One-way random effects: training = MS within; generator = (MS between - MS within) / r, not below 0, with r
    the (mean) number of replicates per draw. A column ``seed`` (the split) is held fixed: squares are taken within
    it and added. Source: Searle, Casella and McCulloch, "Variance Components" (1992), chapter 3.

    Parameters
    ----------
    errors : DataFrame with columns draw, training, value, and optionally seed

    Raises
    ------
    ConfigError : fewer than two draws, or no draw trained on twice
    """
    from scipy.stats import f as fisher

    blocks = [b for _, b in errors.groupby("seed")] if "seed" in errors else [errors]
    between = within = unequal = 0.0
    df_between = df_within = 0
    for block in blocks:
        draws = block.groupby("draw")["value"].agg(["mean", "count"])
        counts = draws["count"].to_numpy(dtype=float)
        centre = block["value"].mean()
        between += float((counts * (draws["mean"].to_numpy() - centre) ** 2).sum())
        within += float(((block["value"] - block.groupby("draw")["value"].transform("mean")) ** 2).sum())
        unequal += counts.sum() - (counts**2).sum() / counts.sum()
        df_between += len(draws) - 1
        df_within += len(block) - len(draws)
    if not df_between or not df_within:
        raise ConfigError("two sources of variance need at least two draws of rows and two training seeds for each")
    ms_between, ms_within = between / df_between, within / df_within
    replicates = unequal / df_between
    generator = max(0.0, float((ms_between - ms_within) / replicates))
    total = generator + ms_within
    share = generator / total if total > 0 else float("nan")
    p = float(fisher.sf(ms_between / ms_within, df_between, df_within)) if ms_within > 0 else float(not between)
    text = (
        f"standard deviation {np.sqrt(generator):.4f} from fresh draws of the generator and "
        f"{np.sqrt(ms_within):.4f} from training seeds ({share:.0%} of the variance is the generator's; p = {p:.2g})"
    )
    return Variances(generator, ms_within, share, p, text)


def _wide(errors: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Seeds in rows, amounts in columns; only seeds that have every amount."""
    rows = errors[errors["metric"] == metric]
    if rows.empty:
        raise ConfigError(f"no scaling law can be fitted: errors hold no metric {metric!r}")
    wide = rows.pivot_table(index="seed", columns="amount", values="value").sort_index(axis=1)
    return wide.dropna() if len(wide.dropna()) else wide.dropna(axis=1)


def _one_standard_error(wide: pd.DataFrame) -> int:
    """Breiman's rule, paired: the fewest rows whose mean is within one standard error of the least mean.

    Source: Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees" (1984), section 3.4.3.
    """
    means = wide.mean()
    best = means.idxmin()
    for amount in wide.columns:
        gap = (wide[amount] - wide[best]).to_numpy(dtype=float)
        error = float(np.std(gap, ddof=1)) / np.sqrt(len(gap)) if len(gap) > 1 else 0.0
        if gap.mean() <= error:
            return int(amount)
    return int(best)


def _linear(values: np.ndarray, amounts: np.ndarray, n0: float, exponent: float) -> tuple[float, float, float]:
    """Least squares of plateau (not below 0) and scale at one exponent, and the residual sum of squares."""
    # scaled to 1 at the first amount, so that no exponent under- or overflows
    basis = ((amounts + n0) / (amounts[0] + n0)) ** -exponent
    means = values.mean(axis=0)
    centred = basis - basis.mean()
    scale = float(centred @ means / (centred @ centred))
    plateau = float(means.mean() - scale * basis.mean())
    if plateau < 0 < scale:
        plateau, scale = 0.0, float(basis @ means / (basis @ basis))
    rss = float(((values - plateau - scale * basis) ** 2).sum())
    return plateau, scale * float((amounts[0] + n0) ** exponent), rss


def _crossing(rss: Callable[[float], float], bound: float, inside: float, end: float) -> float:
    """The exponent between ``inside`` and ``end`` (logarithms) where the sum of squares passes ``bound``."""
    from scipy.optimize import brentq

    if rss(end) <= bound:
        return float(np.exp(end))
    return float(np.exp(brentq(lambda b: rss(b) - bound, inside, end, xtol=1e-6)))


def _shown(exponent: float) -> str:
    if exponent <= EXPONENTS[0] * 1.0001:
        return f"below {EXPONENTS[0]:.3g}"
    return f"above {EXPONENTS[-1]:.3g}" if exponent >= EXPONENTS[-1] * 0.9999 else f"{exponent:.2f}"
