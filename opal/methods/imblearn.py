"""Any oversampler with imbalanced-learn's interface as an OPAL method: one YAML names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import MethodError
from opal.methods.base import Oversampler
from opal.methods.gaps import Impute
from opal.methods.smote import check_width, decode, encode
from opal.table import Group, Schema, Train

TRIES = 3  # ADASYN and similar samplers make about as many rows as asked for, not exactly


class Imblearn(Oversampler):
    """Rows of an imbalanced-learn oversampler, which sees each minority group against all other train rows.

    Numbers go in unscaled, as imbalanced-learn itself does it; integer columns are rounded afterwards. A nominal
    column goes in as one indicator per level, two different levels being as far apart as the median standard
    deviation of the group's numbers (Chawla et al., JAIR 16, 2002, section 6.1), and comes out as the level with the
    largest indicator.

    Parameters
    ----------
    sampler : makes the oversampler, given ``sampling_strategy`` and ``random_state`` (in YAML: ``_partial_: true``).
        Its ``k_neighbors``, ``n_neighbors`` and ``m_neighbors`` are lowered where there are fewer rows.
    impute : how missing values are filled in to make rows, ``median`` or ``knn``; they are put back in the new rows
    """

    def __init__(self, sampler: Callable[..., Any], impute: Impute = "median") -> None:
        self.sampler, self.impute = sampler, impute

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> pd.DataFrame:
        codes, levels = encode(train.frame, train.schema)
        check_width(codes, train.schema, len(codes), self._name)
        made = []
        for group, n in wanted.items():
            mask = group.mask(train.frame)
            blocks = Blocks(codes, train.schema, levels, mask)
            rows = self._group(blocks.matrix, mask, group.name, n, rng) if n else blocks.matrix[:0]
            frame = decode(blocks.codes(rows), train.schema, levels)
            made.append(frame.assign(**{train.schema.target: group.label}))
        return pd.concat(made)

    def _group(self, x: np.ndarray, mask: np.ndarray, group: str, n: int, rng: np.random.Generator) -> np.ndarray:
        ask, made = n, x[:0]
        for _ in range(TRIES):
            options = self._neighbours(int(mask.sum()), len(mask))
            strategy = {True: int(mask.sum()) + ask}
            sampler = self.sampler(sampling_strategy=strategy, random_state=int(rng.integers(2**31)), **options)
            try:
                made = sampler.fit_resample(x, mask)[0][len(x) :]  # rows made come after the rows given
            except (ValueError, RuntimeError) as error:  # no cluster, no neighbour, ...
                reason = " ".join(str(error).split())
                raise MethodError(f"{self._name} makes no rows from these train rows of {group}: {reason}") from error
            if len(made) >= n or not len(made):
                break
            ask = int(1.2 * ask * n / len(made)) + 1
        if len(made) < n:
            raise MethodError(
                f"{self._name} makes {len(made)} rows where {n} were wanted from the {int(mask.sum())} train rows of "
                f"{group}: none of them lies where it puts rows; take more (task sizes), or use method=smote"
            )
        return made[np.sort(rng.choice(len(made), n, replace=False))]

    def _neighbours(self, own: int, rows: int) -> dict[str, int]:
        most = {"k_neighbors": own - 1, "n_neighbors": own - 1, "m_neighbors": rows - 1}
        given = inspect.signature(self.sampler).parameters
        defaults = {name: given[name].default for name in most if name in given}
        return {name: min(k, max(1, most[name])) for name, k in defaults.items() if type(k) is int}

    @property
    def _name(self) -> str:
        return getattr(getattr(self.sampler, "func", self.sampler), "__name__", type(self).__name__)


class Blocks:
    """Level codes as indicators, and back.

    Parameters
    ----------
    codes, levels : of opal.methods.smote.encode
    mask : the rows whose standard deviations weigh the indicators
    """

    def __init__(self, codes: pd.DataFrame, schema: Schema, levels: dict[str, pd.Index], mask: np.ndarray) -> None:
        self._schema, self._widths = schema, {name: len(found) for name, found in levels.items()}
        numbers = [c.name for c in schema.features if not c.nominal]
        spread = float(codes.loc[mask, numbers].std(ddof=0).median()) if numbers else 1.0
        weight = (spread or 1.0) / np.sqrt(2)  # two indicators differ where two levels do
        self.matrix = np.column_stack(
            [
                np.eye(self._widths[c.name])[codes[c.name].astype(int)] * weight if c.nominal else codes[c.name]
                for c in schema.features
            ]
        )

    def codes(self, matrix: np.ndarray) -> pd.DataFrame:
        """The level with the largest indicator in each block."""
        out, at = {}, 0
        for c in self._schema.features:
            width = self._widths.get(c.name, 1)
            block = matrix[:, at : at + width]
            out[c.name] = block.argmax(axis=1).astype(float) if c.nominal else block[:, 0]
            at += width
        return pd.DataFrame(out)
