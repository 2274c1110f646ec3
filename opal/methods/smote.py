"""method=smote: imbalanced-learn's SMOTE, SMOTENC or SMOTEN, depending on the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import ConfigError, MethodError
from opal.methods import smote_neighbours
from opal.methods.base import Oversampler
from opal.methods.gaps import Impute
from opal.methods.smote_neighbours import Indicators, Neighbours
from opal.table import Group, Schema, Train

MOST_CELLS = 2**28  # numbers of 8 bytes in one array
PART_CELLS = 2**25  # the same, of an array that can be made in parts
TREE_WIDTH = 15  # columns up to which scikit-learn searches in a tree, in far less time


class Smote(Oversampler):
    """Interpolates between a minority row and one of its nearest minority neighbours.

    Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16, 2002. Binary and categorical
    columns are voted on, not interpolated (SMOTENC); a table of such columns alone goes to SMOTEN. Integer
    columns are rounded.

    Parameters
    ----------
    k_neighbors : int
        At most; a group with fewer rows uses all its other rows.
    impute : how missing values are filled in to interpolate, ``median`` or ``knn``; they are put back in the new rows
    """

    def __init__(self, k_neighbors: int = 5, impute: Impute = "median") -> None:
        if k_neighbors < 1:
            raise ConfigError(f"method.k_neighbors={k_neighbors} must be at least 1")
        self.k_neighbors, self.impute = k_neighbors, impute

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> pd.DataFrame:
        schema = train.schema
        codes, levels = encode(train.frame, schema)
        made = []
        for group, n in wanted.items():
            mask = group.mask(train.frame)
            rows = self._group(codes, schema, group, mask, n, int(rng.integers(2**31)))
            made.append(decode(rows, schema, levels).assign(**{schema.target: group.label}))
        return pd.concat(made)

    def shortcut(self, train: Train, groups: Sequence[Group]) -> str:
        sampled = [g.name for g in groups if bounded(int(g.mask(train.frame).sum()), train.schema)]
        most, names = smote_neighbours.MOST_REFERENCE, ", ".join(sampled)
        return f"SMOTE searched neighbours among {most:,} rows of {names}, drawn at random." if sampled else ""

    def _group(
        self, codes: pd.DataFrame, schema: Schema, group: Group, mask: np.ndarray, n: int, seed: int
    ) -> pd.DataFrame:
        if n == 0:
            return codes.iloc[:0]
        if (count := int(mask.sum())) < 2:
            raise MethodError(
                f"method=smote needs two train rows of {group.name} and has {count}: "
                "take more (task sizes), or use method=duplicate or method=llm"
            )
        k = min(self.k_neighbors, count - 1)
        if all(c.nominal for c in schema.features):
            if count**2 > MOST_CELLS:
                raise MethodError(
                    f"method=smote on names alone (SMOTEN) compares each of the {count} train rows of {group.name} "
                    f"with every other and would need {8 * count**2 / 2**30:.0f} GiB: ask for fewer train rows "
                    "(task.train_rows), or use method=mixup or duplicate"
                )
            return self._made(codes, mask, schema, k, n, seed)
        # only SMOTEN looks at other rows; one stands for them, as there must be a second class
        places = np.append(np.flatnonzero(mask), np.flatnonzero(mask)[0])
        codes, mask = codes.iloc[places], np.arange(count + 1) < count
        check_width(codes, schema, count, "method=smote")
        # SMOTENC lays out the neighbours of every row that it makes, an indicator per level: gigabytes, if made at once
        most = max(count, PART_CELLS // (k * width(codes, schema))) if any(c.nominal for c in schema.features) else n
        neighbours = Neighbours(k, seed) if most < n or bounded(count, schema) else k
        parts = [(at, min(most, n - at)) for at in range(0, n, most)]
        return pd.concat([self._made(codes, mask, schema, neighbours, size, (seed + at) % 2**32) for at, size in parts])

    def _made(
        self, codes: pd.DataFrame, mask: np.ndarray, schema: Schema, k: int | Neighbours, n: int, seed: int
    ) -> pd.DataFrame:
        """``n`` rows like those of ``mask`` by imbalanced-learn."""
        from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

        nominal = [i for i, c in enumerate(schema.features) if c.nominal]
        strategy = {True: int(mask.sum()) + n}
        options: dict[str, Any] = {"sampling_strategy": strategy, "k_neighbors": k, "random_state": seed}
        if not nominal:
            sampler = SMOTE(**options)
        elif len(nominal) == len(schema.features):
            sampler = SMOTEN(**options)
        else:
            sampler = SMOTENC(categorical_features=nominal, categorical_encoder=Indicators(), **options)
        # index: rows made come after the rows given
        return sampler.fit_resample(codes, mask)[0].iloc[len(codes) :]


def bounded(count: int, schema: Schema) -> bool:
    """Whether neighbours among ``count`` rows are searched in a sample: no tree works for names or for many columns."""
    names = any(c.nominal for c in schema.features)
    return count > smote_neighbours.MOST_REFERENCE and (names or len(schema.features) > TREE_WIDTH)


def width(codes: pd.DataFrame, schema: Schema) -> int:
    """Number of columns once each nominal column of ``codes`` becomes one per level."""
    return sum(codes[c.name].nunique() if c.nominal else 1 for c in schema.features)


def check_width(codes: pd.DataFrame, schema: Schema, rows: int, who: str) -> None:
    """Raise MethodError where ``rows`` rows, with a number for each level of nominal columns, would fill the memory."""
    widths = {c.name: codes[c.name].nunique() for c in schema.features if c.nominal}
    if rows * sum(widths.values()) > MOST_CELLS:
        column = max(widths, key=lambda name: widths[name])
        raise MethodError(
            f"{who} would need {8 * rows * sum(widths.values()) / 2**30:.0f} GiB for names with many levels (most in "
            f"{column!r}: {widths[column]}): leave such columns out (data.drop), or use method=mixup or duplicate"
        )


def encode(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, dict[str, pd.Index]]:
    """Features as floats: nominal ones as level codes (missing is a level of its own), others as they are."""
    out, levels = {}, {}
    for c in schema.features:
        if c.nominal:
            out[c.name], levels[c.name] = pd.factorize(frame[c.name], use_na_sentinel=False)
        else:
            out[c.name] = frame[c.name].to_numpy()
    return pd.DataFrame(out, index=frame.index).astype(float), levels


def decode(codes: pd.DataFrame, schema: Schema, levels: dict[str, pd.Index]) -> pd.DataFrame:
    """The inverse of ``encode``; integer columns are rounded."""
    out = {}
    for c in schema.features:
        values = codes[c.name].to_numpy()
        if c.nominal:
            out[c.name] = levels[c.name].take(values.astype(int))
        else:
            out[c.name] = values.round() if c.whole else values
    return pd.DataFrame(out)
