"""method=mixup: weighted means of two minority rows."""

from __future__ import annotations

import numpy as np

from opal.errors import ConfigError
from opal.methods.by_group import ByGroup


class Mixup(ByGroup):
    """Each new row lies between two rows of a group drawn at random, neighbours or not.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, within a group, so that the label is
    certain: w a + (1 - w) b with w from Beta(alpha, alpha). Nominal values and missing numbers are those of
    the row with the larger weight.

    Parameters
    ----------
    alpha : float
        Below 1 new rows stay near old ones; 1 spreads them evenly between two.
    """

    def __init__(self, alpha: float = 0.4) -> None:
        if not alpha > 0:
            raise ConfigError(f"method.alpha={alpha!r} must be above 0")
        self.alpha = alpha

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        weight = rng.beta(self.alpha, self.alpha, size=(n, 1))
        weight = np.maximum(weight, 1 - weight)  # the pair is drawn in either order: a is the heavier one
        a, b = own[rng.integers(len(own), size=n)], own[rng.integers(len(own), size=n)]
        mixed = weight * a + (1 - weight) * b
        return np.where(nominal | np.isnan(mixed), a, mixed)
