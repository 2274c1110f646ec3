"""One group's rows: how many are wanted, requested, rejected and kept."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pandas as pd

from opal.errors import ConfigError, LLMError
from opal.llm.api.budget import count_tokens, prompt_tokens
from opal.llm.api.messages import Request, Response
from opal.llm.rows import write
from opal.llm.rows.constrain import constraint, held_to
from opal.llm.rows.copies import Copies, Reject
from opal.llm.rows.gaps import Gaps, filled
from opal.llm.rows.obfuscate import Disguise
from opal.llm.rows.parse import Parser
from opal.llm.rows.prompt import Prompt, bounded
from opal.llm.rows.size import check_room, rows_an_answer
from opal.llm.rows.view import View
from opal.result import Funnel
from opal.table import Group, Train

# Why an answer is without text, by its finish reason
EMPTY = {"refusal": "refused", "content_filter": "filtered", "reasoning": "reasoning_used_the_limit", "length": "cut"}
Missing = Literal["pattern", "model"]


class Client(Protocol):
    """What the loop needs of a client (opal.llm.api.client)."""

    api: Any  # "chat" or "completion"
    sampling: Mapping[str, Any]
    n_per_request: int

    def identity(self) -> str: ...

    def complete(self, requests: Sequence[Request], on_response: Any = None) -> list[Response]: ...

    def estimate(self, requests: Sequence[Request], completion_tokens: int | None = None) -> Any: ...


@dataclass(frozen=True)
class Settings:
    """How rows are requested and which are rejected.

    Parameters
    ----------
    obfuscate : show other names, coded categories and shifted numbers, for tables that the model may know
    widen : how far numbers may leave the train range, in widths of it
    reject_copies, reject_repeats : whether a row equal to a train row, or to an earlier synthetic one, is
        refused; ``"auto"``: yes, unless the columns allow so few different rows that equal ones come by nature
        (rejecting them there would distort the distribution)
    max_shown : train rows of a group, at most, that requests draw their examples from: a sample of a larger group
    max_rows_factor : rows asked for, at most, as a multiple of those wanted
    patience : rounds without a single valid row after which a group is given up
    missing : ``pattern``: the model fills every cell, and those are emptied that are missing in a train row of the
        group, each row in turn (see :class:`opal.llm.rows.gaps.Gaps`); ``model``: empty is what the model leaves empty
    """

    client: Client
    prompt: Prompt
    obfuscate: bool = False
    widen: float = 0.25
    reject_copies: Reject = "auto"
    reject_repeats: Reject = "auto"
    max_rows_factor: float = 10.0
    patience: int = 3
    max_shown: int = 1000
    missing: Missing = "pattern"

    def __post_init__(self) -> None:
        for key, least in (("widen", 0), ("max_rows_factor", 1), ("patience", 1), ("max_shown", 1)):
            if not getattr(self, key) >= least:
                raise ConfigError(f"method.{key}={getattr(self, key)!r} must be at least {least}")
        for key in ("reject_copies", "reject_repeats"):
            if getattr(self, key) not in (True, False, "auto"):
                raise ConfigError(f"method.{key}={getattr(self, key)!r} is unknown; options: auto, true, false")
        if self.missing not in get_args(Missing):
            raise ConfigError(f"method.missing={self.missing!r} is unknown; options: {', '.join(get_args(Missing))}")


class Quota:
    """One group's rows: wanted, requested and kept."""

    def __init__(self, settings: Settings, train: Train, group: Group, wanted: int, disguise: Disguise | None) -> None:
        self.settings, self.train, self.group, self.wanted = settings, train, group, wanted
        prompt, own = settings.prompt, train.rows(group)
        if own.empty and prompt.examples == "minority_only":
            raise ConfigError(f"group {group.name} has no train row to show; set prompt.examples=random")
        self.view = view = View(train, group, prompt, settings.widen, disguise)
        self.parser = Parser(view.shown, prompt.serialization, view.hidden, view.labels)
        self.pool = bounded(train, settings.max_shown)
        shown = view.see(self.pool.rows(group))
        self.columns, self.gaps = view.shown, None
        if settings.missing == "pattern":
            self.columns = filled(view.shown, shown)
            known = own if len(own) else train.frame
            self.gaps = Gaps(known, _seed(int(train.seed), group.name, "missing"))
        lines = write.lines(shown if self.gaps is None else shown.ffill().bfill(), view.shown, prompt.serialization)
        self.row_tokens = max(map(count_tokens, lines), default=100) + 1  # an upper estimate
        size = rows_an_answer(prompt.rows_per_request, self.row_tokens, self.context is not None)
        self.prompt = replace(prompt, rows_per_request=size)
        self.constraint = constraint(held_to(self.columns, shown), prompt.serialization, size)
        self.model = settings.client.identity()
        self.sampling = dict(settings.client.sampling)
        if prompt.temperature is not None:
            self.sampling["temperature"] = prompt.temperature
        self.copies = Copies(view.columns, own, len(train.frame), settings.reject_copies, settings.reject_repeats)
        self.kept: list[dict[str, Any]] = []
        self.asked: dict[str, Request] = {}
        self.funnel = Funnel()
        self.dry_rounds, self.draws, self._before = 0, 0, 0
        self.silence = ""  # why the last request got no answer

    @property
    def missing(self) -> int:
        return self.wanted - len(self.kept)

    def next_requests(self) -> list[Request]:
        """The requests of the next round; empty when the group is full or given up."""
        if self.asked:  # a round went by
            self.dry_rounds = 0 if self.funnel.valid > self._before else self.dry_rounds + 1
        self._before = self.funnel.valid
        left = self.settings.max_rows_factor * self.wanted - self.funnel.requested
        if self.missing <= 0 or left <= 0 or self.dry_rounds >= self.settings.patience:
            return []
        acceptance = max((self.funnel.valid + 1) / (self.funnel.requested + 1), 1 / 3)
        size, most = self.prompt.rows_per_request, self.most_answers
        answers = math.ceil(min(self.missing / acceptance, left) / size)
        if self.dry_rounds:  # the last round gave nothing: spend one request to see whether that changes
            answers = min(answers, most)
        counts = [most] * (answers // most) + [answers % most] * (answers % most > 0)
        return [self._request(n) for n in counts]

    @cached_property
    def most_answers(self) -> int:
        """Answers to ask for at once: as many as the client prefers and a local model's context holds."""
        most = max(1, self.settings.client.n_per_request)
        if self.context is None:
            return most
        room = self.context - prompt_tokens(Request(self.model, *self._prompt()))
        return max(1, min(most, room // self.answer_tokens))

    @property
    def context(self) -> int | None:
        """Tokens available to a request and its answers, where known."""
        return getattr(getattr(self.settings.client, "server", None), "context", None)

    @property
    def answer_tokens(self) -> int:
        """Upper estimate of the tokens of one answer."""
        return self.prompt.rows_per_request * self.row_tokens + 1

    def _prompt(self) -> tuple[tuple[Mapping[str, str], ...] | None, str | None]:
        """Messages or text of the next request, with as many examples as the context holds."""
        prompt, view = self.prompt, self.view
        seed = _seed(int(self.train.seed), self.group.name, self.draws if prompt.shuffle else 0)
        examples = view.see(prompt.choose(self.pool, self.group, self.draws, np.random.default_rng(seed)))
        while True:
            made = prompt.render(self.settings.client.api, self.columns, examples, view.target, view.group)
            needed = prompt_tokens(Request(self.model, *made)) + self.answer_tokens
            if self.context is None or needed <= self.context:
                return made
            if len(examples) < 2:
                check_room(needed - self.answer_tokens, self.answer_tokens, self.context, len(view.shown))
            examples = examples.iloc[: len(examples) // 2]

    def _request(self, n: int) -> Request:
        size = self.prompt.rows_per_request
        messages, text = self._prompt()
        sampling = self.sampling | {"seed": _seed(int(self.train.seed), self.group.name, self.draws)}
        if "max_completion_tokens" not in sampling:  # at least what the rows need
            needed = math.ceil(1.25 * size * self.row_tokens) + 32
            sampling["max_tokens"] = max(needed, sampling.get("max_tokens") or 0)
        request = Request(self.model, messages, text, sampling, self.constraint, n=n, draw=self.draws)
        self.draws += 1
        self.asked[request.key] = request
        self.funnel.requested += n * size
        return request

    def absorb(self, response: Response) -> Counter[str]:
        """Take the valid rows of one response; returns its counts."""
        counts: Counter[str] = Counter()
        silent = response.request.n - sum(bool(t.strip()) for t in response.texts)
        if silent > 0:
            empty = [f for t, f in zip(response.texts, response.finish, strict=False) if not t.strip()]
            for finish in empty:
                counts[f"reject/{EMPTY.get(finish, 'no_answer')}"] += 1
            counts["reject/no_answer"] += silent - len(empty)  # failed
            self.silence = next((f for f in response.finish if f not in ("stop", "length")), "")
        for text, finish in zip(response.texts, response.finish, strict=False):
            for found in self.parser.parse(text, finish):
                reason = found.reason
                counts["received"] += reason != "stray"
                counts["parsed"] += found.parsed
                if found.values is not None:
                    row = self._with_gaps(self.view.original(found.values))
                    reason = "missing_value" if row is None else self._refusal(row)
                    if row is not None and not reason:
                        counts["valid"] += 1
                        self.copies.add(row)
                        if self.missing > 0:
                            self.kept.append(row)
                            counts["kept"] += 1
                if reason:
                    counts[f"reject/{reason}"] += 1
        for step in ("received", "parsed", "valid", "kept"):
            setattr(self.funnel, step, getattr(self.funnel, step) + counts[step])
        self.funnel.rejects.update({k[7:]: v for k, v in counts.items() if k.startswith("reject/")})
        return counts

    def _with_gaps(self, row: dict[str, Any]) -> dict[str, Any] | None:
        return row if self.gaps is None else self.gaps.fit(row)

    def _refusal(self, row: dict[str, Any]) -> str:
        if self.group.column is not None and not self.group.mask(pd.DataFrame([row]))[0]:
            return "wrong_label"
        return self.copies.refusal(row)

    def shortfall(self, error: LLMError | None) -> str:
        """Why rows are missing, in one sentence."""
        f = self.funnel
        reasons = ", ".join(f"{reason} {n}" for reason, n in f.rejects.most_common(4)) or "nothing came back"
        text = f"{len(self.kept)} of the {self.wanted} rows wanted for {self.group.name} are there"
        if error:
            return f"{str(error).rstrip('.')}: {text}."
        if self.silence:
            reasons += f"; {self.silence}"
        why = "round after round gave none" if self.dry_rounds >= self.settings.patience else "the limit is met"
        return (
            f"{text} after {f.requested} were asked for, and {why} (rejected: {reasons}); try another prompt or "
            f"llm, or raise method.max_rows_factor={self.settings.max_rows_factor:g}."
        )


def _seed(*parts: Any) -> int:
    """31 bits that follow from ``parts``: the same on every machine."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) >> 1
