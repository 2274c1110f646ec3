"""How similar synthetic rows are to real ones, and how varied: distances, coverage, duplicates, a detector.

With ten reference rows even perfect rows lie far off by chance, so the distances come with those of two random halves
of the pooled rows (`..._chance`). docs/fidelity.md has formulas and sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from opal.evaluate.distance import Gower, as_floats, column_codes, row_keys
from opal.evaluate.features import transformer
from opal.table import Column, Schema, Train

SHUFFLES = 20  # random halves of the pooled rows, for the chance level of a distance
NEIGHBOURS = 5  # as in the paper on coverage
MOST = 2000  # rows per side; more add nothing and cost quadratic time
NO_COLUMNS = pd.DataFrame(columns=["column", "distance", "chance"])
DETECTED = 5  # synthetic rows for each real one at most, for the detector


class Fidelity(NamedTuple):
    """What was measured.

    metrics : name -> figure
    columns : DataFrame [column, distance, chance], a row per feature: the distance of its distributions and its chance
        level; empty where rows or reference are
    """

    metrics: dict[str, float]
    columns: pd.DataFrame


def fidelity(rows: pd.DataFrame, reference: pd.DataFrame, schema: Schema, seed: int = 0) -> Fidelity:
    """Fidelity and diversity of ``rows`` against the ``reference`` rows they imitate.

    Parameters
    ----------
    rows, reference : DataFrames with the schema's columns; reference holds train rows of the same group(s)
    schema : learned from train: its levels and ranges say what is valid

    Returns
    -------
    The metrics marginal, marginal_max, marginal_chance : mean and largest distance of the columns' distributions
    (Kolmogorov-Smirnov or total variation, 0 to 1), and its chance level;
    pairwise, pairwise_max, pairwise_chance : mean and largest absolute difference of the columns' correlations
    (0 to 2), and the mean's chance level;
    validity : share of rows whose every value train could hold; coverage : share of reference rows that have a
    synthetic row nearby; nearest, nearest_real : median Gower distance to the nearest reference row, of
    synthetic rows and of reference rows among themselves; duplicates : share of rows equal to an earlier one;
    detector_auc, detector_auc_logistic : area under the ROC curve of telling real from synthetic. Values that too
    few rows leave undefined are absent.
    """
    out: dict[str, float] = {}
    if not len(rows):
        return Fidelity(out, NO_COLUMNS)
    rng = np.random.default_rng(seed)
    out["duplicates"] = 1.0 - len(np.unique(row_keys(schema, rows)[0])) / len(rows)
    out["validity"] = float(valid(rows, schema).mean())
    rows, reference = at_most(rows, MOST, rng), at_most(reference, MOST, rng)
    if not len(reference):
        return Fidelity(out, NO_COLUMNS)
    pooled, n = pd.concat([rows, reference], ignore_index=True), len(rows)
    codes = {c.name: column_codes(c, pooled)[0] for c in schema.features if c.nominal}
    columns = NO_COLUMNS
    if len(schema.features):
        columns = _distances(pooled, n, schema.features, codes, rng)
        distance, chance = columns["distance"], columns["chance"]
        out |= {"marginal": float(distance.mean()), "marginal_max": float(distance.max())}
        out["marginal_chance"] = float(chance.mean())
    out |= _pairwise(pooled, n, schema.features, codes, rng)
    out |= _neighbours(rows, reference, schema)
    out |= _detector(rows, reference, schema, rng)
    return Fidelity(out, columns)


def fidelity_by_group(rows: pd.DataFrame, train: Train) -> Fidelity:
    """`fidelity` for each group that has synthetic rows, as ``fidelity/<name>`` (mean over groups weighted by rows).

    With several groups also ``fidelity/<group>/<name>``; = and , which MLflow refuses become : and a space. Columns
    are means over groups too.
    """
    parts: dict[str, Fidelity] = {}
    sizes: dict[str, int] = {}
    for group in train.groups:
        mine = rows[group.mask(rows)]
        if len(mine):
            name = group.name.replace("=", ":").replace(",", " ")
            parts[name] = fidelity(mine, train.rows(group), train.schema, train.seed)
            sizes[name] = len(mine)
    out: dict[str, float] = {}
    for metric in dict.fromkeys(m for p in parts.values() for m in p.metrics):
        having = [g for g in parts if metric in parts[g].metrics]
        weights = [sizes[g] for g in having]
        out[f"fidelity/{metric}"] = float(np.average([parts[g].metrics[metric] for g in having], weights=weights))
    if len(parts) > 1:
        out |= {f"fidelity/{g}/{m}": v for g, p in parts.items() for m, v in p.metrics.items()}
    return Fidelity(out, _mean_columns([(p.columns, sizes[g]) for g, p in parts.items()]))


def _mean_columns(parts: Sequence[tuple[pd.DataFrame, int]]) -> pd.DataFrame:
    """Means over groups, weighted by rows."""
    having = [(columns, n) for columns, n in parts if len(columns)]
    if not having:
        return NO_COLUMNS
    mean = having[0][0].copy()
    for value in ("distance", "chance"):
        mean[value] = np.average([columns[value] for columns, _ in having], axis=0, weights=[n for _, n in having])
    return mean


def valid(rows: pd.DataFrame, schema: Schema, slack: float = 0.0) -> np.ndarray:
    """Boolean array of shape (n_rows,): rows whose every value the schema could hold.

    A name must be a known level; a number must lie in the range, widened by ``slack`` times its width, and have
    no more decimals than the column; a missing value needs a column with missing values.
    """
    good = np.ones(len(rows), dtype=bool)
    for c in schema.columns:
        values = rows[c.name]
        missing = values.isna().to_numpy()
        good &= ~missing | c.missing
        if c.nominal:
            known = pd.DataFrame({c.name: list(c.levels)}, dtype=object)
            mine, levels = column_codes(c, rows[[c.name]], known)
            good &= missing | np.isin(mine, levels)
            continue
        numbers = as_floats(values)
        edge = slack * (c.high - c.low) + 1e-9 * max(abs(c.low), abs(c.high), 1e-300)
        fits = np.abs(numbers - np.round(numbers, c.decimals)) <= 1e-9 * np.maximum(1.0, np.abs(numbers))
        with np.errstate(invalid="ignore"):
            good &= missing | ((numbers >= c.low - edge) & (numbers <= c.high + edge) & fits)
    return good


def _distances(
    pooled: pd.DataFrame, n: int, features: Sequence[Column], codes: dict[str, np.ndarray], rng: np.random.Generator
) -> pd.DataFrame:
    """Distance of each feature's distributions, and its chance level; the first ``n`` rows are the synthetic ones."""
    ordered = [codes[c.name] if c.nominal else _ranks(pooled[c.name]) for c in features]

    def of(order: np.ndarray) -> np.ndarray:
        both = zip(features, ordered, strict=True)
        return np.array([_marginal(values, c.nominal, order[:n], order[n:]) for c, values in both])

    chance = np.mean([of(rng.permutation(len(pooled))) for _ in range(SHUFFLES)], axis=0)
    names = [c.name for c in features]
    return pd.DataFrame({"column": names, "distance": of(np.arange(len(pooled))), "chance": chance})


def _pairwise(
    pooled: pd.DataFrame, n: int, features: Sequence[Column], codes: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    out: dict[str, float] = {}
    numbers = _as_numbers(pooled, features, codes)

    def pairwise(order: np.ndarray) -> np.ndarray:
        return np.abs(_correlations(numbers[order[:n]]) - _correlations(numbers[order[n:]]))

    if numbers.shape[1] > 1 and min(n, len(pooled) - n) > 2:
        found = pairwise(np.arange(len(pooled)))
        out = {"pairwise": float(found.mean()), "pairwise_max": float(found.max())}
        dealt = [pairwise(rng.permutation(len(pooled))).mean() for _ in range(SHUFFLES)]
        out["pairwise_chance"] = float(np.mean(dealt))
    return out


def _ranks(numbers: pd.Series) -> np.ndarray:
    """Integers from -1 on in the order of the numbers; a missing value comes before all others."""
    values = as_floats(numbers)
    return np.unique(np.where(np.isnan(values), -np.inf, values), return_inverse=True)[1] - 1


def _marginal(codes: np.ndarray, nominal: bool, mine: np.ndarray, theirs: np.ndarray) -> float:
    """Total variation of a nominal column, Kolmogorov-Smirnov of a number; a missing value is a level below."""
    size = int(codes.max(initial=0)) + 2
    a = np.bincount(codes[mine] + 1, minlength=size) / max(1, len(mine))
    b = np.bincount(codes[theirs] + 1, minlength=size) / max(1, len(theirs))
    return float(np.abs(a - b).sum() / 2 if nominal else np.abs(np.cumsum(a - b)).max())


def _as_numbers(pooled: pd.DataFrame, columns: Sequence[Column], codes: dict[str, np.ndarray]) -> np.ndarray:
    """Ranks of numbers and of two-valued columns, an indicator per level of other names (the 20 commonest)."""
    from scipy.stats import rankdata

    out = []
    for c in columns:
        if c.nominal:
            levels, counts = np.unique(codes[c.name], return_counts=True)
            order = np.argsort(-counts, kind="stable")
            out += [(codes[c.name] == level).astype(float) for level in levels[order][: 1 if len(levels) <= 2 else 20]]
        else:
            ranks = rankdata(as_floats(pooled[c.name]), nan_policy="omit")
            out.append(np.where(np.isnan(ranks), np.nanmean(ranks), ranks))
    return np.column_stack(out) if out else np.empty((len(pooled), 0))


def _correlations(numbers: np.ndarray) -> np.ndarray:
    """Pearson correlations of the columns, the upper triangle; 0 where a column is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = np.corrcoef(numbers, rowvar=False)
    return np.nan_to_num(matrix[np.triu_indices(numbers.shape[1], 1)])


def _neighbours(rows: pd.DataFrame, reference: pd.DataFrame, schema: Schema) -> dict[str, float]:
    gower = Gower(schema, reference, schema.features)
    out = {"nearest": float(np.median(gower.nearest(rows, reference)[0]))}
    if len(reference) > 1:
        own = np.arange(len(reference))
        out["nearest_real"] = float(np.median(gower.nearest(reference, reference, skip=own)[0]))
        k = min(NEIGHBOURS, len(reference) - 1)
        radius = np.sort(gower.pairs(reference, reference), axis=1)[:, k]  # column 0 is the row itself
        out["coverage"] = float((gower.nearest(reference, rows)[0] <= radius + 1e-12).mean())
    return out


def _detector(
    rows: pd.DataFrame, reference: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> dict[str, float]:
    """Cross-validated area under the ROC curve, all folds' scores pooled; 0.5 when they cannot be told apart."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    rows = at_most(rows, DETECTED * len(reference), rng)
    folds = min(5, len(rows), len(reference))
    if folds < 2:
        return {}
    pooled = pd.concat([rows, reference], ignore_index=True)
    real = np.repeat([0, 1], [len(rows), len(reference)])
    weights = np.where(real == 1, len(rows) / len(reference), 1.0)
    # scaling looks at no label, so that one encoding serves every fold
    numbers = transformer(schema.learn(pooled), "onehot", scale=True).fit_transform(pooled)
    models = {
        "detector_auc": GradientBoostingClassifier(n_estimators=50, max_depth=3, random_state=0),
        "detector_auc_logistic": LogisticRegression(max_iter=500),
    }
    scores = {name: np.zeros(len(real)) for name in models}
    for fit, held in StratifiedKFold(folds, shuffle=True, random_state=0).split(numbers, real):
        for name, model in models.items():
            model.fit(numbers[fit], real[fit], sample_weight=weights[fit])
            scores[name][held] = model.decision_function(numbers[held])
    return {name: float(roc_auc_score(real, found)) for name, found in scores.items()}


def at_most(frame: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """``frame``, or ``n`` of its rows drawn at random and in order; ``rng`` is used only where rows are left out."""
    return frame if len(frame) <= n else frame.iloc[np.sort(rng.choice(len(frame), n, replace=False))]
