"""Equality of rows and distances between them, shared by contamination, fidelity and curation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from opal.table import Column, Schema

DIGITS = 12  # significant digits compared; the rest is floating-point noise
BLOCK = 2_000_000  # distances held in memory at once (16 MB)
MAX_PAIRS = 50_000_000  # beyond this many distances the longer side is sampled


def row_keys(schema: Schema, *frames: pd.DataFrame) -> list[np.ndarray]:
    """One integer per row, the same for two rows exactly if they are equal in every column.

    Numbers are equal when their first 12 significant digits are, whatever their dtype: 5 equals 5.0, 0 equals
    -0.0. A missing value equals a missing value. Names are compared as text.

    Parameters
    ----------
    frames : DataFrames that have the schema's columns (others are ignored)

    Returns
    -------
    One int64 array of shape (n_rows,) for each frame.
    """
    keys = np.zeros(sum(len(f) for f in frames), dtype=np.int64)
    for column in schema.columns:
        codes = np.concatenate([c + 1 for c in column_codes(column, *frames)])  # missing is 0
        # the factors stay below n_rows each, so that the product cannot overflow and no two rows collide
        keys = pd.factorize(keys * (int(codes.max(initial=0)) + 1) + codes)[0]
    return np.split(keys, np.cumsum([len(f) for f in frames])[:-1])


def column_codes(column: Column, *frames: pd.DataFrame) -> list[np.ndarray]:
    """Integers that are equal exactly when the values are; -1 for a missing value."""
    parts = [f[column.name] for f in frames]
    numbers = [_numbers(p, column) for p in parts]
    if all(n is not None for n in numbers):
        codes = pd.factorize(np.concatenate([_written(n) for n in numbers if n is not None]))[0]
    else:  # as text, 5 and 5.0 alike; each value is written once, not once per row
        factored = [pd.factorize(p) for p in parts]
        texts = pd.factorize(np.array([_text(v) for _, found in factored for v in found], dtype=object))[0]
        ends = np.cumsum([len(found) for _, found in factored])[:-1]
        own = np.split(texts, ends)
        codes = np.concatenate([np.append(t, -1)[c] for (c, _), t in zip(factored, own, strict=True)])  # -1: missing
    return np.split(codes, np.cumsum([len(p) for p in parts])[:-1])


class Gower:
    """Gower's distance: the mean over columns of |a - b| / range (numeric) or a != b (nominal).

    The range is that of ``real`` rows, never of synthetic ones; a value outside it can be farther than 1. A
    missing value is 0 from a missing value and 1 from any other.
    Source: Gower, "A general coefficient of similarity and some of its properties", Biometrics 27 (1971).

    Parameters
    ----------
    real : DataFrame whose ranges scale the numeric columns
    columns : the columns that count; default all of the schema
    """

    def __init__(self, schema: Schema, real: pd.DataFrame, columns: Sequence[Column] | None = None) -> None:
        self.columns = tuple(schema.columns if columns is None else columns)
        self.scales = {}
        for c in self.columns:
            if not c.nominal:
                known = _finite(real[c.name])
                self.scales[c.name] = float(np.nanmax(known) - np.nanmin(known)) if np.isfinite(known).any() else 0.0

    def nearest(
        self, rows: pd.DataFrame, others: pd.DataFrame, skip: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distance to, and position of, the nearest of ``others``; inf and -1 where there is none.

        ``skip`` of shape (n_rows,) names a position in ``others`` that does not count for each row: itself.
        Past ``MAX_PAIRS`` distances an evenly spaced sample of ``others`` stands for all.
        """
        best = np.full(len(rows), np.inf)
        where = np.full(len(rows), -1)
        if not len(rows) or not len(others):
            return best, where
        step = max(1, -(-len(rows) * len(others) // MAX_PAIRS))
        kept = np.arange(0, len(others), step)
        lefts, rights = self._encode(rows, others.iloc[kept])
        width = max(1, min(len(kept), BLOCK // min(len(rows), 1000)))
        for i in range(0, len(rows), 1000):
            for j in range(0, len(kept), width):
                block = self._block([v[i : i + 1000] for v in lefts], [v[j : j + width] for v in rights])
                if skip is not None:
                    hit = np.searchsorted(kept[j : j + width], skip[i : i + 1000])
                    inside = np.flatnonzero(hit < block.shape[1])
                    inside = inside[kept[j + hit[inside]] == skip[i + inside]]
                    block[inside, hit[inside]] = np.inf
                low = block.argmin(axis=1)
                value = block[np.arange(len(low)), low]
                better = value < best[i : i + 1000]
                best[i : i + 1000][better] = value[better]
                where[i : i + 1000][better] = kept[j + low[better]]
        return best, where

    def pairs(self, rows: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
        """All distances, shape (n_rows, n_others): for few rows only."""
        lefts, rights = self._encode(rows, others)
        return self._block(lefts, rights)

    def _encode(self, rows: pd.DataFrame, others: pd.DataFrame) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Three arrays per side: plain numbers, numbers with missing values, and codes of nominal columns."""
        plain: tuple[list, list] = ([], [])
        gaps: tuple[list, list] = ([], [])
        codes: tuple[list, list] = ([], [])
        for c in self.columns:
            scale = self.scales.get(c.name, 0.0)
            if scale > 0:
                pair = [_finite(f[c.name]) / scale for f in (rows, others)]
                kind = plain if all(np.isfinite(p).all() for p in pair) else gaps
            else:
                pair = [p.astype(float) for p in column_codes(c, rows, others)]
                # with two codes the difference of the codes is the mismatch: cheaper than comparing
                kind = plain if max(p.max(initial=0) for p in pair) <= 1 and min(map(np.min, pair)) >= 0 else codes
            kind[0].append(pair[0])
            kind[1].append(pair[1])
        return (
            [np.column_stack([np.empty((len(rows), 0)), *k[0]]) for k in (plain, gaps, codes)],
            [np.column_stack([np.empty((len(others), 0)), *k[1]]) for k in (plain, gaps, codes)],
        )

    def _block(self, lefts: list[np.ndarray], rights: list[np.ndarray]) -> np.ndarray:
        from scipy.spatial.distance import cdist

        total = np.zeros((len(lefts[0]), len(rights[0])))
        if lefts[0].shape[1]:
            total += cdist(lefts[0], rights[0], "cityblock")
        for k in range(lefts[1].shape[1]):
            a, b = lefts[1][:, k], rights[1][:, k]
            one = np.abs(a[:, None] - b[None, :])
            known = np.isfinite(one)
            total += np.where(known, one, 1.0)
            total[np.ix_(~np.isfinite(a), ~np.isfinite(b))] -= 1.0
        if width := lefts[2].shape[1]:
            total += cdist(lefts[2], rights[2], "hamming") * width
        return total / max(1, len(self.columns))


def _finite(values: pd.Series) -> np.ndarray:
    """As float64, with NaN for what is not a finite number."""
    numbers = as_floats(values)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def as_floats(values: pd.Series) -> np.ndarray:
    """The values as float64, NaN where one is missing or text."""
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _numbers(values: pd.Series, column: Column) -> np.ndarray | None:
    """The values as float64, or None when some are text."""
    if not column.numeric:
        return None
    numbers = as_floats(values)
    if str(column.dtype).lower() in ("float16", "float32"):  # 0.1 read as float64 is the 0.1 of such a column
        numbers = numbers.astype(str(column.dtype).lower()).astype(float)
    return numbers if (np.isnan(numbers) == values.isna().to_numpy()).all() else None


def _written(numbers: np.ndarray) -> np.ndarray:
    """The numbers to 12 significant digits; whole ones as they are, and -0.0 as 0.0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        power = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(numbers))))
        rounded = np.round(numbers * power) / power
    fraction = np.isfinite(rounded) & (numbers != np.round(numbers))
    return np.where(fraction, rounded, numbers) + 0.0


def _text(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, float, np.number)) and float(value).is_integer():
        return str(int(value))
    return str(value)
