"""What a trial gives back: rows and their funnel, usage, prompts; the curve; all as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Usage:
    """What an LLM's answers cost. Tokens and requests count answers from the store too, at what they cost when
    first made (so that a replayed run logs equal figures); ``paid_*`` count only what this run called for.
    ``money`` is None where a price is unknown: unknown is never zero.
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

    def __add__(self, other: Usage) -> Usage:
        sums: dict[str, Any] = {}
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            sums[f.name] = None if mine is None or theirs is None else mine + theirs
        return Usage(**sums)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


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
    prompts : one record a request (messages, response, usage, model, cached)
    stopped : why fewer rows than asked for are here, or "" when none is missing
    """

    frame: pd.DataFrame
    funnel: Funnel = field(default_factory=Funnel)
    usage: Usage = field(default_factory=Usage)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""
