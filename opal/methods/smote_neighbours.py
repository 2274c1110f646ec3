"""Faster parts for imbalanced-learn's SMOTENC: neighbours searched once, indicators decoded all at once."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_REFERENCE = 20_000  # rows among which neighbours are searched where every row must be compared with every other


class Neighbours:
    """The ``k`` nearest neighbours of one set of rows, for samplers that each ask for those of the same rows.

    Searched among all rows, or among ``MOST_REFERENCE`` of them, drawn at random.
    """

    def __init__(self, k: int, seed: int) -> None:
        self.k, self.seed, self.found = k, seed, np.empty(0)

    def __sklearn_clone__(self) -> Neighbours:
        return self

    def fit(self, rows: Any) -> Neighbours:
        if not self.found.size:
            from sklearn.neighbors import NearestNeighbors

            rows = rows.toarray() if hasattr(rows, "toarray") else rows  # sparse rows take several times as long
            own = np.arange(len(rows))
            among = np.random.default_rng(self.seed).permutation(own)[:MOST_REFERENCE]
            nearest = NearestNeighbors(n_neighbors=self.k + 1).fit(rows[np.sort(among)])
            found = np.sort(among)[nearest.kneighbors(rows, return_distance=False)]
            other = np.where(found[:, :1] == own[:, None], found[:, 1:], found[:, :-1])  # a row is not its neighbour
            self.found = np.column_stack([own, other])
        return self

    def kneighbors(self, rows: Any, return_distance: bool = False) -> np.ndarray:
        """Positions of the rows themselves and of their neighbours, shape (n_rows, k + 1)."""
        return self.found

    kneighbors_graph = kneighbors  # needed only by imbalanced-learn's check of its arguments


class Indicators:
    """scikit-learn's one-hot encoder with a way back that reads all rows at once; its own took most of the time."""

    def __sklearn_clone__(self) -> Indicators:
        return self

    def fit_transform(self, codes: Any) -> Any:
        from sklearn.preprocessing import OneHotEncoder

        self.encoder = OneHotEncoder(handle_unknown="ignore")
        made = self.encoder.fit_transform(codes)
        self.categories_ = self.encoder.categories_
        return made

    def inverse_transform(self, indicators: Any) -> np.ndarray:
        """Level codes, shape (n_rows, n_columns), of a sparse matrix with an indicator per column and row."""
        indicators.sort_indices()
        sizes = np.array([len(c) for c in self.categories_])
        if (np.diff(indicators.indptr) != len(sizes)).any():
            return self.encoder.inverse_transform(indicators)
        at = indicators.indices.reshape(-1, len(sizes)) - (np.cumsum(sizes) - sizes)
        if ((at < 0) | (at >= sizes)).any():
            return self.encoder.inverse_transform(indicators)
        return np.column_stack([found[places] for found, places in zip(self.categories_, at.T, strict=True)])
