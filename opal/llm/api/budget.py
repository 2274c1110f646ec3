"""What answers cost, and a limit on it that holds for every process that shares a store."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from opal.config.validation import check_number
from opal.errors import BudgetError, ConfigError
from opal.llm.api.cache import write_json
from opal.llm.api.messages import Request

LIMITS = ("money", "tokens", "requests")
Cost = Mapping[str, float | None]  # per limit; None means unknown

# Cautious: tables are digits and punctuation, which most tokenizers split one by one; words give a token or two.
_PIECE = re.compile(r"[a-zA-Z]{1,5}|\S|\n")
_MESSAGE = 6  # tokens of a chat message's frame


def count_tokens(text: str) -> int:
    """Estimate of the tokens in ``text``, on the high side; no tokenizer is used."""
    return len(_PIECE.findall(text))


def prompt_tokens(request: Request) -> int:
    """Estimate of the tokens that a request sends, on the high side."""
    texts = [request.prompt] if request.messages is None else [m["content"] for m in request.messages]
    return sum(count_tokens(text or "") + _MESSAGE for text in texts)


def answer_tokens(request: Request) -> int | None:
    """Upper bound of the tokens in all answers to a request, or None if the request sets no limit."""
    sampling = request.sampling
    limit = sampling.get("max_tokens") or sampling.get("max_completion_tokens")
    return None if limit is None else int(limit) * request.n


def listed_model(models: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The row of a price table for a model, or for the model of which it is a dated version; empty if there is none."""
    return models.get(model) or models.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model)) or {}


WAYS = ("batch", "flex", "priority")  # other ways to be served, at a share of the price


@dataclass(frozen=True)
class Prices:
    """Money per million tokens; None means unknown, and makes every sum that needs it unknown.

    ``cached_prompt`` is the price of prompt tokens read from the provider's cache, ``cache_write`` that of those
    written to it; without one a written token costs what the prompt's others do.
    """

    prompt: float | None = None
    cached_prompt: float | None = None
    completion: float | None = None
    cache_write: float | None = None

    @classmethod
    def declared(cls, given: Mapping[str, Any], way: str = "", model: str = "") -> Prices:
        """From ``llm.prices``.

        Parameters
        ----------
        way : ``batch`` or a service tier, whose share of the price is ``prices.<way>``; 1 for batches without one, and
            for other tiers unknown, as is then every sum
        model : whose prices are taken from the table ``prices.models`` where they are not given
        """
        rest = {name: value for name, value in given.items() if name != "models"}
        names = [f.name for f in fields(cls)]
        listed = listed_model(given.get("models") or {}, model)
        rest |= {name: listed.get(name) for name in names if rest.get(name) is None and name in listed}
        for name, value in rest.items():
            check_number(f"llm.prices.{name}", value, null="")
        shares = {name: rest.pop(name, None) for name in WAYS}
        if unknown := sorted(set(rest) - set(names)):
            others = ", ".join([*names, *WAYS, "models"])
            raise ConfigError(f"llm.prices.{unknown[0]} is not a price; prices: {others}")
        share = shares.get(way) if way else 1.0
        share = 1.0 if share is None and way == "batch" else share
        return cls(**{k: None if v is None or share is None else v * share for k, v in rest.items()})

    def money(self, prompt: int, completion: int, cached: int = 0, written: int = 0) -> float | None:
        """What a call cost; of the prompt's tokens ``cached`` came from the provider's cache, ``written`` into it."""
        total = 0.0
        for tokens, price in (
            (prompt - cached - written, self.prompt),
            (cached, self.cached_prompt),
            (written, self.prompt if self.cache_write is None else self.cache_write),
            (completion, self.completion),
        ):
            if tokens:
                if price is None:
                    return None
                total += tokens * price / 1e6
        return total

    def most(self, prompt: int, completion: int) -> float | None:
        """What a call can cost: all of its prompt is written to the provider's cache where that costs more."""
        dearer = (self.cache_write or 0) > (self.prompt or 0)
        return self.money(prompt, completion, written=prompt if dearer else 0)


@dataclass(frozen=True)
class Estimate:
    """What answering some requests would cost; None means unknown.

    Parameters
    ----------
    requests : number of requests
    stored : number of those whose answers are stored and cost nothing
    prompt_tokens, completion_tokens, money : of the others
    """

    requests: int
    stored: int
    prompt_tokens: int
    completion_tokens: int | None
    money: float | None

    def __add__(self, other: Estimate) -> Estimate:
        def add(a: Any, b: Any) -> Any:
            return None if a is None or b is None else a + b

        pairs = zip(astuple(self), astuple(other), strict=True)
        return Estimate(*(add(a, b) for a, b in pairs))

    def __str__(self) -> str:
        tokens = "unknown" if self.completion_tokens is None else f"about {self.completion_tokens:,}"
        money = "unknown (llm.prices)" if self.money is None else f"about {self.money:.4g}"
        return (
            f"{self.requests} requests, {self.stored} of them answered in the store; to pay: about "
            f"{self.prompt_tokens:,} tokens in, {tokens} tokens out, money {money}"
        )


class Budget:
    """Limits on money, tokens and requests over all runs, jobs and processes that share a ledger.

    A call reserves the most that it can cost before it is made and settles what it did cost. A reservation that a
    killed process left open stays spent: the endpoint may have charged for it. Raise the limit, or name another
    ``scope``, to go on.

    Parameters
    ----------
    limits : ``money``, ``tokens``, ``requests`` (None: no limit) and ``scope``, the name of the ledger
    folder : the ledger is ``<folder>/<scope>.json``
    """

    def __init__(self, limits: Mapping[str, Any] | None, prices: Prices, folder: Path) -> None:
        given = dict(limits or {})
        self.scope = str(given.pop("scope", None) or "default")
        if unknown := sorted(set(given) - set(LIMITS)):
            raise ConfigError(f"llm.budget.{unknown[0]} is not a limit; limits: {', '.join(LIMITS)} (and scope)")
        for name, value in given.items():
            check_number(f"llm.budget.{name}", value, null="")
        if not re.fullmatch(r"[\w.-]{1,100}", self.scope):
            raise ConfigError(f"llm.budget.scope={self.scope!r}: use letters, digits, '.', '_' and '-' only")
        self.limits = {k: float(v) for k, v in given.items() if v is not None}
        if "money" in self.limits and None in (prices.prompt, prices.completion):
            raise ConfigError(
                "llm.budget.money needs llm.prices.prompt and llm.prices.completion, which are unknown: "
                "set them, or limit llm.budget.tokens or llm.budget.requests instead"
            )
        self.path = folder / f"{self.scope}.json"
        self._mine: set[str] = set()  # reservations of this process that will be settled
        self._changed = threading.Condition()

    def reserve(self, name: str, cost: Cost) -> None:
        """Reserve ``cost`` under ``name``; waits for calls in flight, which may cost less than reserved.

        Raises
        ------
        BudgetError : the call could break a limit
        """
        if not self.limits:
            return
        with self._changed:
            while (broken := self._try(name, [cost])[1]) is not None:
                if not self._mine:
                    raise BudgetError(self._sentence(broken, cost))
                self._changed.wait()
            self._mine.add(name)

    def reserve_first(self, name: str, costs: Sequence[Cost]) -> int:
        """Reserve as many of the first ``costs`` as fit, together under ``name``; returns how many.

        Raises
        ------
        BudgetError : not even the first fits
        """
        if not self.limits:
            return len(costs)
        fit, broken = self._try(name, costs)
        if not fit and broken is not None:
            raise BudgetError(self._sentence(broken, costs[0]))
        return fit

    def settle(self, name: str, cost: Cost) -> None:
        """Replace the reservation with the actual cost of the call."""
        if not self.limits:
            return
        with self._changed:
            with FileLock(f"{self.path}.lock"):
                ledger = self._read()
                if ledger["open"].pop(name, None) is not None:
                    for limit in LIMITS:
                        ledger["spent"][limit] += cost[limit] or 0.0
                    write_json(self.path, ledger)
            self._mine.discard(name)
            self._changed.notify_all()

    def spent(self) -> dict[str, float]:
        """Money, tokens and requests spent or reserved so far."""
        ledger = self._read()
        return {k: ledger["spent"][k] + sum(o[k] or 0.0 for o in ledger["open"].values()) for k in LIMITS}

    def _try(self, name: str, costs: Sequence[Cost]) -> tuple[int, str | None]:
        """Reserve the first costs that fit; returns how many, and the limit that the next would break."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            ledger, spent = self._read(), self.spent()
            total, fit, broken = dict.fromkeys(LIMITS, 0.0), 0, None
            for cost in costs:
                if unknown := [k for k in self.limits if cost[k] is None]:
                    raise ConfigError(f"llm.budget.{unknown[0]} needs llm.sampling.max_tokens: what a call may cost")
                more = {k: total[k] + (cost[k] or 0.0) for k in LIMITS}
                broken = next((k for k, most in self.limits.items() if spent[k] + more[k] > most), None)
                if broken is not None:
                    break
                total, fit = more, fit + 1
            if fit:
                ledger["open"][name] = total
                write_json(self.path, ledger)
            return fit, broken

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {"spent": dict.fromkeys(LIMITS, 0.0), "open": {}}
        except ValueError:
            raise BudgetError(f"the ledger {self.path} is damaged: repair or delete it to continue") from None

    def _sentence(self, limit: str, cost: Cost) -> str:
        return (
            f"llm.budget.{limit}={self.limits[limit]:g} stops the run: {self.spent()[limit]:.6g} spent in scope "
            f"{self.scope!r}, the next call may take {cost[limit]:.6g}; all answers so far are kept: raise the "
            "limit, or name another llm.budget.scope, and run again to continue"
        )
