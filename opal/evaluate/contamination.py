"""Do synthetic rows equal test rows more often than chance explains?

An exact match alone proves nothing: in a coarse table two real rows are often equal. The chance baseline is
what fresh *real* rows of the same groups do. It is estimated from the table's rows outside train, each
matched against the test rows other than itself; see docs/contamination.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from opal.evaluate.chance import Stratum, judge
from opal.evaluate.distance import MAX_PAIRS, Gower, row_keys
from opal.table import Group, Table, Train

HELD_OUT = 200  # real rows whose nearest test row is looked up for comparison; of synthetic rows at least as many
SETS = ("seed_rows", "train", "test", "rest")
COLUMNS = [
    "seed",
    "row",
    "group",
    *(f"{s}_{what}" for s in SETS for what in ("exact", "nearest")),
    "test_index",
]


@dataclass(frozen=True)
class Contamination:
    """The finding for one seed or (from `pool`) for several.

    Parameters
    ----------
    metrics : ``contamination/<name>`` to value
    per_row : a row for each synthetic row: exact flags, and nearest distances, to four sets of real rows
    warning : one sentence, or None when there are no more matches with test rows than by chance
    matched : boolean array of shape (n_rows,), the rows equal to a test row in every column
    sentence : the finding in words and numbers
    looked_up : synthetic rows whose nearest real rows were looked up: all, or as many as time allows
    """

    metrics: dict[str, float]
    per_row: pd.DataFrame = field(repr=False)
    warning: str | None
    matched: np.ndarray = field(repr=False)
    sentence: str
    strata: tuple[Stratum, ...] = field(repr=False)
    looked_up: int = 0


def contamination(
    rows: pd.DataFrame,
    train: Train,
    test: pd.DataFrame,
    table: Table,
    seed_rows: pd.DataFrame | None = None,
    nearest: bool = True,
) -> Contamination:
    """Match one seed's synthetic rows against train, test and the rest of the table.

    Parameters
    ----------
    rows : synthetic rows, target included
    test : the seed's test rows; its index and that of ``train.frame`` name the rows of ``table``
    seed_rows : the train rows the generator was shown; default those of the groups that rows are wanted for
    nearest : also look up the nearest real rows, which takes longer than the counts: of all rows, or past
        ``MAX_PAIRS`` distances to the largest set of rows drawn at random. Counts are always of all rows.
    """
    frame = table.frame
    rest = frame[~(frame.index.isin(train.frame.index) | frame.index.isin(test.index))]
    if seed_rows is None:
        seed_rows = pd.concat([train.rows(g) for g in train.wanted_groups] or [train.frame])
    real = {"seed_rows": seed_rows, "train": train.frame, "test": test, "rest": rest}
    keys = dict(zip(("rows", *SETS), row_keys(table.schema, rows, *real.values()), strict=True))
    columns: dict[str, Any] = {
        "seed": train.seed,
        "row": np.arange(len(rows)),
        "group": _names(rows, train),
    }
    for name in SETS:
        columns[f"{name}_exact"] = np.isin(keys["rows"], keys[name])
    asked = np.arange(0)
    if nearest:
        gower = Gower(table.schema, frame)
        asked = _asked(len(rows), max(map(len, real.values())), train.seed)
        for name in SETS:
            distance, where = np.full(len(rows), np.nan), np.full(len(rows), -1)
            distance[asked], where[asked] = gower.nearest(rows.iloc[asked], real[name])
            exact = columns[f"{name}_exact"]  # a sampled search may miss the equal row
            columns[f"{name}_nearest"] = np.where(exact, 0.0, distance)
            if name == "test":
                where[exact] = _first_equal(keys["rows"][exact], keys["test"])
                columns["test_index"] = np.where(where < 0, -1, np.append(test.index.to_numpy(), -1)[where])
    per_row = pd.DataFrame(columns)[[c for c in COLUMNS if c in columns]]
    strata = _strata(rows, train, test, rest, keys)
    metrics, warning, sentence = judge(strata)
    for name in ("train", "rest", "seed_rows"):
        count = int(per_row[f"{name}_exact"].sum())
        metrics |= {
            f"contamination/{name}_exact": count,
            f"contamination/{name}_rate": count / max(1, len(rows)),
        }
    if nearest and len(rows) and len(test) and len(seed_rows):
        metrics["contamination/test_nearest"] = float(per_row["test_nearest"].iloc[asked].median())
        metrics["contamination/seed_rows_nearest"] = float(per_row["seed_rows_nearest"].iloc[asked].median())
        if (held_out := _held_out_nearest(gower, rows, train, test, rest)) is not None:
            metrics["contamination/test_nearest_chance"] = held_out
    matched = per_row["test_exact"].to_numpy(dtype=bool)
    return Contamination(metrics, per_row, warning, matched, sentence, strata, len(asked))


def pool(parts: Sequence[Contamination]) -> Contamination:
    """The finding over all seeds: counts are added, and the test keeps seeds and groups apart."""
    strata = tuple(s for p in parts for s in p.strata)
    metrics, warning, sentence = judge(strata, len(parts))
    per_row = pd.concat([p.per_row for p in parts], ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    for name in ("train", "rest", "seed_rows"):
        count = int(per_row[f"{name}_exact"].sum())
        metrics |= {
            f"contamination/{name}_exact": count,
            f"contamination/{name}_rate": count / max(1, len(per_row)),
        }
    matched = per_row["test_exact"].to_numpy(dtype=bool)
    return Contamination(metrics, per_row, warning, matched, sentence, strata, sum(p.looked_up for p in parts))


def _asked(rows: int, others: int, seed: int) -> np.ndarray:
    """Positions of the rows whose nearest real rows are looked up, in order."""
    most = max(HELD_OUT, MAX_PAIRS // max(1, others))
    return np.arange(rows) if rows <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _first_equal(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Position of the first of ``known`` that equals each of ``keys``, all of which are among them."""
    values, first = np.unique(known, return_index=True)
    return first[np.searchsorted(values, keys)]


def _strata(
    rows: pd.DataFrame, train: Train, test: pd.DataFrame, rest: pd.DataFrame, keys: dict[str, np.ndarray]
) -> tuple[Stratum, ...]:
    matched = np.isin(keys["rows"], keys["test"])
    new = ~np.isin(keys["rows"], keys["train"])
    first = np.zeros(len(rows), dtype=bool)
    first[np.unique(keys["rows"], return_index=True)[1]] = True
    # a test row is matched against the other test rows, any other row against all of them
    values, counts = np.unique(keys["test"], return_counts=True)
    twins = np.isin(keys["test"], values[counts > 1])
    held_out = np.concatenate([twins, np.isin(keys["rest"], values)])
    held_out_new = ~np.isin(np.concatenate([keys["test"], keys["rest"]]), keys["train"])
    out = []
    for name, of in _masks(train.groups):
        mine, real = of(rows), np.concatenate([of(test), of(rest)])
        if not mine.any():
            continue
        once = mine & new & first
        fresh = real & held_out_new
        counted = (mine, mine & matched, once, once & matched, real, real & held_out, fresh, fresh & held_out)
        out.append(Stratum(name, *(int(m.sum()) for m in counted)))
    return tuple(out)


def _masks(groups: Sequence[Group]) -> list:
    def other(frame: pd.DataFrame) -> np.ndarray:
        return ~np.any([g.mask(frame) for g in groups], axis=0) if groups else np.ones(len(frame), dtype=bool)

    return [*((g.name, g.mask) for g in groups), ("other", other)]


def _names(rows: pd.DataFrame, train: Train) -> np.ndarray:
    names = np.full(len(rows), "other", dtype=object)
    for group in train.groups:
        names[group.mask(rows)] = group.name
    return names


def _held_out_nearest(
    gower: Gower, rows: pd.DataFrame, train: Train, test: pd.DataFrame, rest: pd.DataFrame
) -> float | None:
    """Median distance of held-out real rows, in the groups of ``rows``, to the nearest other test row."""
    rng = np.random.default_rng(train.seed)
    pool_rows = pd.concat([test, rest])
    own = np.concatenate([np.arange(len(test)), np.full(len(rest), -1)])  # the row itself does not count
    chosen = []
    for _, of in _masks(train.groups):
        share, candidates = of(rows).mean(), np.flatnonzero(of(pool_rows))
        if n := min(len(candidates), round(HELD_OUT * share)):
            chosen.append(rng.choice(candidates, n, replace=False))
    if not chosen:
        return None
    picked = np.concatenate(chosen)
    distance, _ = gower.nearest(pool_rows.iloc[picked], test, skip=own[picked])
    return float(np.median(distance)) if np.isfinite(distance).all() else None
