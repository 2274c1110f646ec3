"""method=gaussian_copula: each column's own distribution, tied by the correlations of a normal one."""

from __future__ import annotations

import numpy as np

from opal.methods.by_group import ByGroup


class GaussianCopula(ByGroup):
    """Draws from a Gaussian copula with the group's empirical margins.

    Numbers become normal scores by rank, nominal values a random score within their level's share; the scores'
    correlation is shrunk towards none (Ledoit and Wolf, J. Multivariate Analysis 88, 2004), since groups are small.
    New scores go back through each column's quantiles, so no number leaves the group's range. Which numbers of a
    new row are missing is copied from a train row drawn at random.
    Source: Patki, Wedge, Veeramachaneni, "The Synthetic Data Vault", DSAA 2016, section III.
    """

    least = 2

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        from scipy.stats import norm

        scores = np.column_stack([_scores(v, k, rng) for v, k in zip(own.T, nominal, strict=True)])
        drawn = norm.cdf(rng.multivariate_normal(np.zeros(own.shape[1]), _correlation(scores), size=n, method="eigh"))
        rows = np.column_stack([_values(u, v, k) for u, v, k in zip(drawn.T, own.T, nominal, strict=True)])
        missing = np.isnan(own[rng.integers(len(own), size=n)])
        return np.where(missing, np.nan, rows)


def _correlation(scores: np.ndarray) -> np.ndarray:
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(scores)[0]
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1.0  # a constant column
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _scores(values: np.ndarray, nominal: bool, rng: np.random.Generator) -> np.ndarray:
    """Standard normal scores; 0, the middle, for what is missing."""
    from scipy.stats import norm, rankdata

    known = ~np.isnan(values)
    out = np.zeros(len(values))
    if nominal:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        top = np.cumsum(counts) / len(values)
        u = top[place] - rng.random(len(values)) * (counts / len(values))[place]
        return norm.ppf(np.clip(u, 1e-6, 1 - 1e-6))
    if known.any():
        out[known] = norm.ppf(rankdata(values[known]) / (known.sum() + 1))
    return out


def _values(u: np.ndarray, values: np.ndarray, nominal: bool) -> np.ndarray:
    """The quantiles of ``values`` at ``u``: a level where nominal, else between neighbouring numbers."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.full(len(u), np.nan)
    return np.quantile(known, u, method="inverted_cdf" if nominal else "linear")
