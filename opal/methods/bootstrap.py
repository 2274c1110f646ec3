"""method=bootstrap: minority rows drawn again, with noise added to their numbers."""

from __future__ import annotations

import numpy as np

from opal.errors import ConfigError
from opal.methods.by_group import ByGroup


class Bootstrap(ByGroup):
    """The smoothed bootstrap: rows drawn with replacement, plus normal noise with the group's own covariance.

    That is sampling from a kernel density estimate. Bandwidth by Scott's rule for d numeric columns and m rows,
    m ** (-1 / (d + 4)) (Scott, "Multivariate Density Estimation", 1992). Nominal and missing values stay
    those of the row drawn. ``method=rose`` differs: its noise is independent by column.

    Parameters
    ----------
    shrinkage : float
        Factor on the bandwidth; 0 is duplication.
    """

    def __init__(self, shrinkage: float = 1.0) -> None:
        if not shrinkage >= 0:
            raise ConfigError(f"method.shrinkage={shrinkage!r} must be 0 or more")
        self.shrinkage = shrinkage

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        rows = own[rng.integers(len(own), size=n)]
        numbers = own[:, ~nominal]
        m, d = numbers.shape
        # m - 1 centred rows span the covariance: their random combination is the noise, whatever the rank
        centred = np.nan_to_num(numbers - np.nanmean(_filled(numbers), axis=0))
        noise = rng.standard_normal((n, m)) @ centred / np.sqrt(max(m - 1, 1))
        rows[:, ~nominal] += self.shrinkage * m ** (-1 / (d + 4)) * noise
        return rows


def _filled(numbers: np.ndarray) -> np.ndarray:
    """A column without any value as zeros, so that its mean is not a warning."""
    return np.where(np.isnan(numbers).all(axis=0), 0.0, numbers)
