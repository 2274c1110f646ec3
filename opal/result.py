"""The result of a trial: rows and their funnel, usage, prompts and the curve, all as plain data."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from opal._lazy import displayed
from opal.table import Schema

# Of a usage, what belongs to answers whoever pays; retries, waiting time and payments belong to a run.
MADE = ("requests", "prompt_tokens", "completion_tokens", "cached_tokens", "money")
MADE_IF_ANY = ("reasoning_tokens", "cache_write_tokens")  # named only where there are any


@dataclass(frozen=True)
class Usage:
    """What an LLM's answers cost. Tokens and requests count answers from the store too, at what they cost when
    first made (so that a replayed run logs equal figures); ``paid_*`` count only what this run called for.
    ``money`` is None where a price is unknown: unknown is never counted as zero. ``reasoning_tokens`` are among the
    completion tokens; ``cached_tokens`` and ``cache_write_tokens``, read from and written to the provider's cache, are
    among the prompt's.
    """

    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    money: float | None = 0.0
    paid_requests: int = 0
    paid_tokens: int = 0
    paid_money: float | None = 0.0
    seconds: float = 0.0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        sums: dict[str, Any] = {}
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            sums[f.name] = None if mine is None or theirs is None else mine + theirs
        return Usage(**sums)

    def after(self, earlier: Usage) -> Usage:
        """This usage and an ``earlier`` one for part of the same answers: payments and waiting times add up."""
        paid = ("retries", "paid_requests", "paid_tokens", "paid_money", "seconds")
        both = self + earlier
        return replace(self, **{k: getattr(both, k) for k in paid})

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: value for name, value in asdict(self).items() if name not in MADE_IF_ANY or value}


@dataclass
class Funnel:
    """How many rows survived each step from request to use; ``rejects`` counts by reason."""

    requested: int = 0
    received: int = 0
    parsed: int = 0
    valid: int = 0
    kept: int = 0
    rejects: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Funnel) -> Funnel:
        return Funnel(
            self.requested + other.requested,
            self.received + other.received,
            self.parsed + other.parsed,
            self.valid + other.valid,
            self.kept + other.kept,
            self.rejects + other.rejects,
        )

    def as_dict(self) -> dict[str, int]:
        """Flat: requested, received, parsed, valid, kept, then ``reject/<reason>``."""
        steps = {k: getattr(self, k) for k in ("requested", "received", "parsed", "valid", "kept")}
        return steps | {f"reject/{reason}": n for reason, n in sorted(self.rejects.items())}


@dataclass
class Rows:
    """Synthetic rows in the order they are added to train: any prefix is balanced over the minority groups.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns), columns and dtypes of the train frame
    prompts : one record per request (messages, response, usage, model, cached)
    stopped : why fewer rows than asked for are here, or "" when none is missing
    unused : further rows of the same source, checked against the test set but never trained on
    note : a remark on how they were made, or ""
    sources : key of the request that each row came from, or empty
    """

    frame: pd.DataFrame
    funnel: Funnel = field(default_factory=Funnel)
    usage: Usage = field(default_factory=Usage)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""
    unused: pd.DataFrame | None = None
    note: str = ""
    sources: list[str] = field(default_factory=list)

    def after(self, earlier: Rows) -> Rows:
        """These rows, with the requests of an ``earlier`` round that asked for fewer of them."""
        known = {p["key"] for p in self.prompts}
        others = [p for p in earlier.prompts if p["key"] not in known]
        before = {p["key"]: {"usage": p["usage"], "cached": p["cached"]} for p in earlier.prompts}
        again = [p | before.get(p["key"], {}) for p in self.prompts]  # what that round stored is no saving now
        used = [Usage(**{k: v for k, v in p["usage"].items() if k in (*MADE, *MADE_IF_ANY)}) for p in others]
        usage = sum(used, self.usage.after(earlier.usage))
        prompts = others + again
        return replace(self, usage=replace(usage, cache_hits=sum(p["cached"] for p in prompts)), prompts=prompts)

    @property
    def all(self) -> pd.DataFrame:
        """``frame``, then ``unused``."""
        return self.frame if self.unused is None else pd.concat([self.frame, self.unused], ignore_index=True)


@dataclass
class TrialResult:
    """Everything that a trial measured.

    Parameters
    ----------
    errors : tidy [seed, amount, metric, value]; controls stand at amount 0 as ``control/<name>/<metric>``
    rows : synthetic rows by seed
    metrics : single figures (``seed_<s>/contamination/test_exact``, ...)
    tables : further artifacts by file stem, written as CSV (``contamination``, ...)
    notes : findings in words, those of ``conclusions`` among them
    conclusions : notes that judge: the verdict, the chosen amounts, the scaling law
    warnings : sentences a reader must see
    timings : seconds by stage
    verdicts : helps, hurts or inconclusive, by metric
    prompts : requests beyond those for the rows, by what they were for (``validation``, ``memory``)
    """

    errors: pd.DataFrame
    rows: dict[int, Rows]
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    conclusions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    _repr_html_ = displayed("opal.report.notebook:result_html")

    @property
    def usage(self) -> Usage:
        return sum((r.usage for r in self.rows.values()), Usage())

    def bill(self) -> str:
        """The language model's cost in one sentence; "" where none was used."""
        u, rows = self.usage, sum(len(r.frame) for r in self.rows.values())
        if not u.requests:
            return ""
        tokens = u.prompt_tokens + u.completion_tokens
        each = f", {tokens / rows:.1f} a valid row" if rows else ""
        money = "unknown (llm.prices)" if u.paid_money is None else f"{u.paid_money:.4g}"
        return (
            f"{u.requests} requests ({u.cache_hits} answered by the store, {u.retries} retries), "
            f"{u.prompt_tokens:,} tokens in, {u.cached_tokens:,} of them cached, {u.completion_tokens:,} out{each}; "
            f"paid now: {u.paid_requests} requests, {u.paid_tokens:,} tokens, money {money}"
        )

    @property
    def funnel(self) -> Funnel:
        return sum((r.funnel for r in self.rows.values()), Funnel())

    @property
    def stopped(self) -> str:
        """Why some seeds have fewer rows than asked for, or ""."""
        return "; ".join(sorted({r.stopped for r in self.rows.values() if r.stopped}))

    def curve(self, metric: str = "error") -> pd.DataFrame:
        """One row per seed, one column per amount."""
        chosen = self.errors[self.errors["metric"] == metric]
        return chosen.pivot(index="seed", columns="amount", values="value").loc[list(self.rows)]

    def summary(self, data: str, method: str, classifier: str) -> str:
        """The published form: a row per seed, mean, sample standard deviation, smallest and mean of the means."""
        by_seed = self.curve()
        mean, std = by_seed.mean(), by_seed.std()
        lines = [f"data: {data}", f"method: {method}", f"classifier: {classifier}"]
        lines += [f"Row {i}: {_listed(row)}" for i, (_, row) in enumerate(by_seed.iterrows())]
        lines += [f"Mean: {_listed(mean)}", f"Std: {_listed(std)}", f"min: {mean.min()}, mean: {mean.mean()}"]
        return "\n".join(lines + self.notes + [f"WARNING: {w}" for w in self.warnings])

    def save(self, folder: Path, schema: Schema) -> None:
        """Write the artifacts of the design's contract, but for config, summary and figures.

        Parameters
        ----------
        schema : of the table; it says how dates are written
        """
        (folder / "synthetic").mkdir(parents=True, exist_ok=True)
        (folder / "prompts").mkdir(exist_ok=True)
        self.errors.to_csv(folder / "errors.csv", index=False)
        for seed, rows in self.rows.items():
            schema.written(rows.frame).to_csv(folder / "synthetic" / f"seed_{seed}.csv", index=False)
        for name, prompts in (
            {f"seed_{seed}": rows.prompts for seed, rows in self.rows.items()} | self.prompts
        ).items():
            lines = [json.dumps(prompt, ensure_ascii=False) + "\n" for prompt in prompts]
            (folder / "prompts" / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        funnel = [{"seed": seed} | rows.funnel.as_dict() for seed, rows in self.rows.items()]
        pd.DataFrame(funnel).fillna(0).astype(int).to_csv(folder / "funnel.csv", index=False)
        for stem, table in self.tables.items():
            table.to_csv(folder / f"{stem}.csv", index=False)


def _listed(values: pd.Series) -> str:
    return "[" + ", ".join(str(float(v)) for v in values) + "]"
