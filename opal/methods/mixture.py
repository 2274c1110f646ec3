"""method=gaussian_mixture: rows drawn from a mixture of normal distributions fitted to each minority group."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.errors import ConfigError, MethodError
from opal.methods.by_group import ByGroup
from opal.methods.gaps import Impute


class GaussianMixture(ByGroup):
    """scikit-learn's GaussianMixture on a group's standardised numbers, components chosen by BIC.

    Nominal values of a new row are those of a train row drawn by its share in the new row's component.

    Parameters
    ----------
    max_components : int
        Tried: 1 up to this many, with at least five rows for each.
    regularisation : float
        Added to the variances, of columns scaled to variance 1: few rows do not span their columns.
    impute : how missing values are filled in to fit, ``median`` or ``knn``; they are put back in the new rows
    """

    least = 2

    def __init__(self, max_components: int = 5, regularisation: float = 0.01, impute: Impute = "median") -> None:
        if max_components < 1:
            raise ConfigError(f"method.max_components={max_components!r} must be 1 or more")
        if not regularisation > 0:
            raise ConfigError(f"method.regularisation={regularisation!r} must be above 0")
        self.max_components, self.regularisation, self.impute = max_components, regularisation, impute

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        if nominal.all():
            raise MethodError("method=gaussian_mixture needs a column of numbers: use method=smote or method=duplicate")
        numbers = own[:, ~nominal]
        middle, scale = numbers.mean(axis=0), numbers.std(axis=0)
        fitted = self._fit((numbers - middle) / np.where(scale > 0, scale, 1.0), int(rng.integers(2**31)))
        drawn, component = fitted.sample(n)
        share = fitted.predict_proba((numbers - middle) / np.where(scale > 0, scale, 1.0))
        share /= share.sum(axis=0)
        rows = np.empty((n, own.shape[1]))
        for k in np.unique(component):
            of = np.flatnonzero(component == k)
            rows[of] = own[rng.choice(len(own), size=len(of), p=share[:, k])]
        rows[:, ~nominal] = drawn * scale + middle
        return rng.permutation(rows)

    def _fit(self, x: np.ndarray, seed: int) -> Any:
        from sklearn import mixture

        most = max(1, min(self.max_components, len(x) // 5))
        fits = [
            mixture.GaussianMixture(k, reg_covar=self.regularisation, random_state=seed).fit(x)
            for k in range(1, most + 1)
        ]
        return min(fits, key=lambda fit: fit.bic(x))
