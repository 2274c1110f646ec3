"""The comparison itself: errors by amount, differences with intervals, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from opal.config.options import nearest
from opal.errors import ConfigError
from opal.evaluate.metrics import higher_is_better, names
from opal.evaluate.verdict import MARGIN, Word
from opal.report.protocol import Protocol, labels, split_warnings, uneven_settings
from opal.report.ranks import Ranks, rank
from opal.report.read.load import Loaded

CHOSEN = "amount_chosen"  # metric per seed: the amount chosen on validation folds
RAW = "no synthetic rows"
LEVEL = 0.95
At = Literal["chosen", "most"] | int


@dataclass(frozen=True)
class Comparison:
    """Runs of one protocol, compared by one metric.

    Parameters
    ----------
    cells : a row per run and amount: run, data, classifier, method, amount, mean, std (sample), seeds, best
    runs : a row per run: run_id, name, config_hash, experiment_id, start, data, classifier, method, amount (what
        validation chose, range over seeds, or the one asked for), mean, std; ``raw_{difference,low,high}``,
        ``control`` (the hardest to beat) and ``control_{difference,low,high}``, word
    ranks : of methods over tables
    """

    metric: str
    at: str
    protocol: Protocol
    cells: pd.DataFrame
    runs: pd.DataFrame
    ranks: Ranks
    notes: list[str] = field(default_factory=list)

    @property
    def higher_is_better(self) -> bool:
        return higher_is_better(self.metric)


def compare(loaded: Loaded, protocol: Protocol, metric: str = "error", at: At = "chosen") -> Comparison:
    """Compare the runs of one protocol.

    Parameters
    ----------
    loaded : read with ``metrics`` that hold ``metric`` and CHOSEN
    at : the amount for differences and ranks: each seed's choice on validation folds (the most where a run has
        none), the most, or a number of rows. Never the amount of least test error.

    Raises
    ------
    ConfigError : the runs have no such metric, or none the amount
    """
    mine = loaded.take(protocol.runs)
    methods, classifiers = labels(mine)
    shown = ["run_id", "name", "config_hash", "experiment_id", "start", "data"]
    runs = mine.runs[shown].assign(classifier=classifiers, method=methods)
    values = mine.values[(mine.values["seed"] != -1) & (mine.values["metric"] == metric)]
    curve = values[values["control"] == ""]
    if curve.empty:
        best = nearest(metric, names())
        guess = f"; did you mean {best}?" if best else f"; metrics: {', '.join(names())}"
        raise ConfigError(f"--metric {metric} is in none of the {len(runs)} runs{guess}")
    amounts = _amounts(mine, curve, at)
    runs = runs.join(_differences(values, curve, amounts, len(runs), higher_is_better(metric)))
    sign = -1 if higher_is_better(metric) else 1
    cells = _cells(curve, runs, sign)
    table = runs.pivot_table(index=["data", "classifier"], columns="method", values="mean", observed=True)
    by_data = table.dropna().groupby("data", observed=True).mean()
    notes = split_warnings(mine, classifiers, metric) + _notes(table) + uneven_settings(mine)
    if at == "chosen" and (unchosen := len(runs) - mine.values.loc[mine.values["metric"] == CHOSEN, "run"].nunique()):
        notes.append(f"{unchosen} of {len(runs)} runs chose no amount on validation folds: compared at their most rows")
    runs = runs.sort_values(["data", "classifier", "mean"], ascending=[True, True, sign > 0], kind="stable")
    return Comparison(metric, str(at), protocol, cells, runs, rank(by_data, higher_is_better(metric)), notes)


def interval(gap: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and Student's interval of each row of ``gap``, shape (..., n_seeds), NaN where a seed is missing.

    The same as verdict.confidence_interval, for thousands of runs at once.
    """
    from scipy.stats import t

    counts = np.sum(~np.isnan(gap), axis=-1)
    mean = np.divide(np.nansum(gap, axis=-1), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    squares = np.nansum((gap - mean[..., None]) ** 2, axis=-1)
    sd = np.sqrt(np.divide(squares, counts - 1, out=np.full(counts.shape, np.nan), where=counts > 1))
    sd = np.where(sd <= 1e-12 * np.maximum(1.0, np.abs(mean)), 0.0, sd)
    quantiles = t.ppf((1 + level) / 2, np.arange(-1, counts.max(initial=1)))  # by count; NaN below two
    half = quantiles[counts] * sd / np.sqrt(np.maximum(counts, 1))
    return mean, mean - half, mean + half


def _amounts(mine: Loaded, curve: pd.DataFrame, at: At) -> pd.Series:
    """The amount of every (run, seed): a Series with that index."""
    most = curve.groupby(["run", "seed"])["amount"].max()
    if at == "most":
        return most
    if at == "chosen":
        chosen = mine.values[mine.values["metric"] == CHOSEN]
        found = chosen.set_index(["run", "seed"])["value"].astype(int)
        return found[~found.index.duplicated()].reindex(most.index).fillna(most).astype(int)
    measured = curve.loc[curve["amount"] == at, ["run", "seed"]]
    if measured.empty:
        raise ConfigError(f"--at {at}: no run measured that amount; measured were {_listed(curve['amount'])}")
    return pd.Series(at, index=pd.MultiIndex.from_frame(measured.drop_duplicates()))


def _differences(
    values: pd.DataFrame, curve: pd.DataFrame, amounts: pd.Series, n_runs: int, higher: bool
) -> pd.DataFrame:
    """Columns of `Comparison.runs` that are computed per seed, paired."""
    seeds = np.unique(values["seed"])
    chosen = _cube(curve[curve["amount"] == _of(curve, amounts)], seeds, n_runs)
    raw = _cube(curve[curve["amount"] == 0], seeds, n_runs)
    controls = [c for c in values["control"].cat.categories if c and (values["control"] == c).any()]
    theirs = [_cube(values[values["control"] == c], seeds, n_runs) for c in controls]
    mean, *_ = interval(chosen)
    spread = pd.DataFrame(chosen).std(axis=1).to_numpy()
    sign = -1.0 if higher else 1.0
    gaps = sign * np.stack([chosen - other for other in (raw, *theirs)], axis=1)  # (run, raw and controls, seed)
    found = interval(gaps)
    out = pd.DataFrame({"amount": _ranges(amounts, n_runs), "mean": mean, "std": spread})
    _put(out, "raw", tuple(part[:, 0] for part in found), sign)
    mean, good, bad = _deciding(gaps, found)
    out["word"] = _words(good, bad)
    rivals = np.array([RAW, *controls], dtype=object)[_hardest(found[0])]
    known = ~np.isnan(found[0][:, 1:]).all(axis=1)  # without a control there is only the raw error
    out["control"] = np.where(known, rivals, "")
    _put(out, "control", tuple(np.where(known, part, np.nan) for part in (mean, good, bad)), sign)
    return out


def _deciding(gaps: np.ndarray, found: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference to the hardest rival of each run, and the interval that decides (`opal.evaluate.verdict.verdict`).

    Its favourable end is corrected for the number of rivals, its unfavourable end is the least favourable of all.
    """
    mean, _, high = found
    there = ~np.isnan(mean)
    among, hardest = there.sum(axis=1), _hardest(mean)
    good = np.full(len(gaps), np.nan)
    for n in np.unique(among[among > 0]):
        _, low, _ = interval(gaps, 1 - (1 - LEVEL) / n)
        rows = among == n
        good[rows] = low[rows, hardest[rows]]
    bad = np.where(there, high, -np.inf).max(axis=1)  # NaN where a control has a single seed
    both = (among > 0) & ~np.isnan(good) & ~np.isnan(bad)
    return mean[np.arange(len(mean)), hardest], np.where(both, good, np.nan), np.where(both, bad, np.nan)


def _words(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """`opal.evaluate.verdict.word_of`, for many runs at once."""
    same = (good >= -MARGIN) & (bad <= MARGIN)
    said: list[Word] = ["helps", "hurts", "no difference that matters"]
    return np.select([bad < 0, good > 0, same], said, "inconclusive")


def _hardest(mean: np.ndarray) -> np.ndarray:
    return np.argmax(np.where(np.isnan(mean), -np.inf, mean), axis=1)


def _put(out: pd.DataFrame, name: str, found: tuple[np.ndarray, ...], sign: float) -> None:
    """Add a difference and its interval, converted back to the metric's own direction."""
    mean, low, high = found
    low, high = (low, high) if sign > 0 else (-high, -low)
    out[f"{name}_difference"], out[f"{name}_low"], out[f"{name}_high"] = sign * mean, low, high


def _of(curve: pd.DataFrame, amounts: pd.Series) -> np.ndarray:
    wanted = amounts.reindex(pd.MultiIndex.from_frame(curve[["run", "seed"]]))
    return wanted.fillna(-1).to_numpy()


def _cube(values: pd.DataFrame, seeds: np.ndarray, n_runs: int) -> np.ndarray:
    """Array of shape (n_runs, n_seeds), NaN where there is no value."""
    out = np.full((n_runs, len(seeds)), np.nan)
    out[values["run"].to_numpy(), np.searchsorted(seeds, values["seed"].to_numpy())] = values["value"].to_numpy()
    return out


def _ranges(amounts: pd.Series, n_runs: int) -> np.ndarray:
    ends = amounts.groupby(level="run").agg(["min", "max"]).reindex(range(n_runs))
    shown = [
        "" if np.isnan(low) else f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
        for low, high in ends.itertuples(index=False)
    ]
    return np.array(shown, dtype=object)


def _cells(curve: pd.DataFrame, runs: pd.DataFrame, sign: int) -> pd.DataFrame:
    cells = curve.groupby(["run", "amount"])["value"].agg(mean="mean", std="std", seeds="count").reset_index()
    for name in ("data", "classifier", "method"):
        cells[name] = runs[name].to_numpy()[cells["run"]]
    block = cells.groupby(["data", "classifier", "amount"], observed=True)["mean"]
    ends = block.transform("min"), block.transform("max")
    best, worst = ends if sign > 0 else ends[::-1]
    cells["best"] = (abs(cells["mean"] - best) < 1e-12) & (abs(best - worst) > 1e-12)
    order = ["run", "data", "classifier", "method", "amount", "mean", "std", "seeds", "best"]
    return cells.sort_values(["data", "classifier", "method", "amount"], kind="stable")[order]


def _notes(table: pd.DataFrame) -> list[str]:
    lacking = table[table.isna().any(axis=1)]
    if lacking.empty:
        return []
    shown = "; ".join(
        f"{data}/{classifier} lacks {_listed(row.index[row.isna()])}"
        for (data, classifier), row in lacking.head(3).iterrows()
    )
    more = f"; and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return [f"left out of the ranks, where every method must have been measured: {shown}{more}"]


def _listed(values: Sequence | pd.Series | pd.Index) -> str:
    found = sorted(set(values))
    return ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
