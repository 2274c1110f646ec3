"""The loop that turns a model's answers into the wanted number of valid rows, or says why it could not."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from opal.errors import ConfigError, LLMError
from opal.llm import serialize
from opal.llm.budget import count_tokens, prompt_tokens
from opal.llm.constrain import constraint, limits
from opal.llm.exchange import Request, Response
from opal.llm.obfuscate import Disguise
from opal.llm.parse import Parser
from opal.llm.prompt import Prompt
from opal.result import Funnel, Rows, Usage
from opal.table import Column, Group, Train

Reject = bool | Literal["auto"]
COARSE = 1000  # below this many possible rows for each row there is, equal rows are no sign of copying


class Client(Protocol):
    """What the loop needs of a client (opal.llm.client)."""

    api: str
    sampling: Mapping[str, Any]
    n_per_request: int

    def identity(self) -> str: ...

    def complete(self, requests: Sequence[Request], on_response: Any = None) -> list[Response]: ...


@dataclass(frozen=True)
class Plan:
    """The first round of requests, the rows they ask for, and about how many tokens that is, rather too many."""

    requests: list[Request]
    rows: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Generator:
    """Asks a model for rows, round by round, until each group has the wanted number of valid ones.

    The rows depend on the train rows, the settings and the answers alone: not on concurrency, on what the store
    held, or on the order in which answers came.

    Parameters
    ----------
    widen : how far numbers may leave the train range, in widths of it
    reject_copies, reject_repeats : whether a row equal to a train row, or to an earlier synthetic one, is
        refused; ``"auto"``: yes, unless the columns allow so few different rows that equal ones come by nature
    max_rows_factor : rows asked for, at most, as a multiple of those wanted
    patience : rounds without a single valid row after which a group is given up
    """

    client: Client
    prompt: Prompt
    obfuscate: bool = False
    widen: float = 0.25
    reject_copies: Reject = "auto"
    reject_repeats: Reject = "auto"
    max_rows_factor: float = 10.0
    patience: int = 3

    def plan(self, train: Train, wanted: Mapping[Group, int]) -> Plan:
        """What a first round would ask; calls nothing."""
        quotas = self._quotas(train, wanted)
        requests = [r for q in quotas for r in q.next_requests()]
        rows = sum(r.n for r in requests) * self.prompt.rows_per_request
        size = self.prompt.rows_per_request
        completion = sum(r.n * size * q.row_tokens for q in quotas for r in q.asked.values())
        return Plan(requests, rows, sum(map(prompt_tokens, requests)), completion)

    def sample(self, train: Train, wanted: Mapping[Group, int], progress: Any = None) -> Rows:
        """Valid rows of the wanted groups, at most ``wanted`` of each; fewer only if ``stopped`` says why.

        Raises
        ------
        LLMError : not a single valid row came; says what came instead
        """
        quotas = self._quotas(train, wanted)
        run = _Run(quotas, progress)
        error: LLMError | None = None
        while error is None and (requests := [r for q in quotas for r in q.next_requests()]):
            run.begin(requests)
            try:
                run.end(self.client.complete(requests, run.receive))
            except LLMError as stop:  # what came before it is kept
                run.end([])
                error = stop
        rows = run.rows(train)
        missing = [q for q in quotas if len(q.kept) < q.wanted]
        if error and missing and rows.frame.empty:
            raise error
        rows.stopped = " ".join(filter(None, [str(error or ""), *(q.shortfall(error) for q in missing)]))
        if missing and rows.frame.empty:
            raise LLMError(f"the model gave no valid row: {rows.stopped}")
        return rows

    def _quotas(self, train: Train, wanted: Mapping[Group, int]) -> list[_Quota]:
        disguise = Disguise(train.schema, train.seed) if self.obfuscate else None
        return [_Quota(self, train, g, n, disguise) for g, n in wanted.items() if n > 0]


class _Quota:
    """One group's rows: what is wanted, asked and kept."""

    def __init__(self, settings: Generator, train: Train, group: Group, wanted: int, disguise: Disguise | None):
        self.settings, self.train, self.group, self.wanted = settings, train, group, wanted
        self.disguise, self.prompt = disguise, settings.prompt
        self.columns = limits(train.schema, group, settings.widen)
        shown = [disguise.column(c) for c in self.columns] if disguise else list(self.columns)
        target = disguise.column(train.schema[group.target]) if disguise else train.schema[group.target]
        shown_group = group if disguise is None else _disguised(group, disguise, train)
        self.names, self.target = shown_group.name.replace("=", " = ").replace(",", ", "), target.name
        self.shown, self.hidden = self.prompt.layout(shown, shown_group)
        labels = {target.name: target.levels}
        if shown_group.column:
            labels[shown_group.column] = next(
                (
                    c.levels
                    for c in map(disguise.column if disguise else _same, train.schema.columns)
                    if c.name == shown_group.column
                ),
                (),
            )
        self.parser = Parser(self.shown, self.prompt.serialization, self.hidden, labels)
        self.constraint = constraint(self.shown, self.prompt.serialization, self.prompt.rows_per_request)
        self.sampling = dict(settings.client.sampling)
        if self.prompt.temperature is not None:
            self.sampling["temperature"] = self.prompt.temperature
        self.model = settings.client.identity()
        coarse = _combinations(self.columns) < COARSE * (len(train.frame) + wanted)
        self.refuse = {
            "copy_of_train_row": not coarse if settings.reject_copies == "auto" else settings.reject_copies,
            "repeat": not coarse if settings.reject_repeats == "auto" else settings.reject_repeats,
        }
        self.known = set(map(self._identity, train.rows(group).to_dict("records")))
        self.kept: list[dict[str, Any]] = []
        self.made: set[tuple[str, ...]] = set()
        self.asked: dict[str, Request] = {}
        self.funnel = Funnel()
        self.dry_rounds, self.draws, self._before = 0, 0, 0
        self.silence = ""  # why the last unanswered request was
        own = train.rows(group)
        if own.empty and self.prompt.examples == "minority_only":
            raise ConfigError(f"group {group.name} has no train row to show; set prompt.examples=random")
        shown_rows = disguise.rows(own, train.schema) if disguise else own
        shown_lines = serialize.lines(shown_rows, self.shown, self.prompt.serialization)
        self.row_tokens = max(map(count_tokens, shown_lines), default=100) + 1  # rather too many

    @property
    def missing(self) -> int:
        return self.wanted - len(self.kept)

    def next_requests(self) -> list[Request]:
        """The requests of the next round; none when the group is full or given up."""
        if self.asked:  # a round went by
            self.dry_rounds = 0 if self.funnel.valid > self._before else self.dry_rounds + 1
        self._before = self.funnel.valid
        left = self.settings.max_rows_factor * self.wanted - self.funnel.requested
        if self.missing <= 0 or left <= 0 or self.dry_rounds >= self.settings.patience:
            return []
        acceptance = max((self.funnel.valid + 1) / (self.funnel.requested + 1), 1 / 3)
        size, most = self.prompt.rows_per_request, max(1, self.settings.client.n_per_request)
        answers = math.ceil(min(self.missing / acceptance, left) / size)
        if self.dry_rounds:  # nothing came of the last round: spend one request to see whether that changes
            answers = min(answers, most)
        counts = [most] * (answers // most) + [answers % most] * (answers % most > 0)
        return [self._request(n) for n in counts]

    def _request(self, n: int) -> Request:
        seed = _seed(self.train.seed, self.group.name, self.draws if self.prompt.shuffle else 0)
        examples = self.prompt.choose(self.train, self.group, self.draws, np.random.default_rng(seed))
        if self.disguise:
            examples = self.disguise.rows(examples, self.train.schema)
        messages, prompt = self.prompt.render(self.settings.client.api, self.shown, examples, self.target, self.names)
        size = self.prompt.rows_per_request
        sampling = self.sampling | {"seed": _seed(self.train.seed, self.group.name, self.draws)}
        if "max_completion_tokens" not in sampling:  # at least what the rows take
            needed = math.ceil(1.25 * size * self.row_tokens) + 32
            sampling["max_tokens"] = max(needed, sampling.get("max_tokens") or 0)
        request = Request(self.model, messages, prompt, sampling, self.constraint, n=n, draw=self.draws)
        self.draws += 1
        self.asked[request.key] = request
        self.funnel.requested += n * size
        return request

    def absorb(self, response: Response) -> Counter[str]:
        """Take the valid rows of one response; its own counts."""
        counts: Counter[str] = Counter()
        silent = response.request.n - sum(bool(t.strip()) for t in response.texts)
        if silent > 0:  # failed, refused or filtered
            counts["reject/no_answer"] = silent
            self.silence = next((f for f in response.finish if f not in ("stop", "length")), "")
        for text, finish in zip(response.texts, response.finish, strict=False):
            for found in self.parser.parse(text, finish):
                reason = found.reason
                counts["received"] += reason != "stray"
                counts["parsed"] += found.parsed
                if found.values is not None:
                    row = self._complete(found.values)
                    reason = self._refusal(row)
                    if not reason:
                        counts["valid"] += 1
                        self.made.add(self._identity(row))
                        if self.missing > 0:
                            self.kept.append(row)
                            counts["kept"] += 1
                if reason:
                    counts[f"reject/{reason}"] += 1
        for step in ("received", "parsed", "valid", "kept"):
            setattr(self.funnel, step, getattr(self.funnel, step) + counts[step])
        self.funnel.rejects.update({k[7:]: v for k, v in counts.items() if k.startswith("reject/")})
        return counts

    def _complete(self, values: dict[str, Any]) -> dict[str, Any]:
        row = self.disguise.undo(values, self.train.schema) if self.disguise else dict(values)
        for c in self.columns:  # the label that the rows leave out
            if c.name not in row:
                row[c.name] = c.levels[0]
        return {c.name: row[c.name] for c in self.columns}

    def _refusal(self, row: dict[str, Any]) -> str:
        if self.group.column is not None and not self.group.mask(pd.DataFrame([row]))[0]:
            return "wrong_label"
        identity = self._identity(row)
        if self.refuse["copy_of_train_row"] and identity in self.known:
            return "copy_of_train_row"
        return "repeat" if self.refuse["repeat"] and identity in self.made else ""

    def _identity(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(serialize.cell(row[c.name], c, "csv") for c in self.columns)

    def shortfall(self, error: LLMError | None) -> str:
        """Why rows are missing, in one sentence."""
        f = self.funnel
        reasons = ", ".join(f"{reason} {n}" for reason, n in f.rejects.most_common(4)) or "nothing came back"
        text = f"{len(self.kept)} of the {self.wanted} rows wanted for {self.group.name} are there"
        if error:
            return text + "."
        if self.silence:
            reasons += f"; {self.silence}"
        why = "round after round gave none" if self.dry_rounds >= self.settings.patience else "the limit is met"
        return (
            f"{text} after {f.requested} were asked for, and {why} (rejected: {reasons}); try another prompt or "
            f"llm, or raise method.max_rows_factor={self.settings.max_rows_factor:g}."
        )


@dataclass
class _Run:
    """Takes responses in the order of their requests, however they come."""

    quotas: list[_Quota]
    progress: Any
    usage: Usage = field(default_factory=Usage)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    _order: list[str] = field(default_factory=list)
    _arrived: dict[str, Response] = field(default_factory=dict)
    _next: int = 0

    def begin(self, requests: Sequence[Request]) -> None:
        self._order, self._arrived, self._next = [r.key for r in requests], {}, 0

    def receive(self, response: Response) -> None:
        """One response; it waits here for those before it."""
        self._arrived[response.request.key] = response
        while self._next < len(self._order) and self._order[self._next] in self._arrived:
            self._take(self._arrived[self._order[self._next]])
            self._next += 1

    def end(self, responses: Sequence[Response]) -> None:
        """All that came, also where requests before it failed."""
        for response in responses:
            self._arrived[response.request.key] = response
        for key in self._order[self._next :]:
            if key in self._arrived:
                self._take(self._arrived[key])
        self._next = len(self._order)

    def _take(self, response: Response) -> None:
        request = response.request
        quota = next(q for q in self.quotas if request.key in q.asked)
        counts = quota.absorb(response)
        self.usage += response.usage
        self.prompts.append(
            {
                "group": quota.group.name,
                "key": request.key,
                "model": request.model,
                "messages": request.messages and [dict(m) for m in request.messages],
                "prompt": request.prompt,
                "sampling": dict(request.sampling),
                "n": request.n,
                "draw": request.draw,
                "texts": list(response.texts),
                "finish": list(response.finish),
                "mode": response.mode,
                "usage": response.usage.as_dict(),
                "cached": response.cached,
                "created": response.created,
                "rows": dict(counts),
            }
        )
        if self.progress is not None:
            tokens = response.usage.prompt_tokens + response.usage.completion_tokens
            self.progress.advance(rows=counts["kept"], tokens=tokens)

    def rows(self, train: Train) -> Rows:
        kept = [row for q in self.quotas for row in q.kept]
        frame = train.schema.cast(pd.DataFrame(kept, columns=train.schema.names))
        funnel = sum((q.funnel for q in self.quotas), Funnel())
        return Rows(frame, funnel, self.usage, self.prompts)


def _seed(*parts: Any) -> int:
    """31 bits that follow from ``parts``: the same on every machine."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) >> 1


def _combinations(columns: Sequence[Column]) -> float:
    """How many different rows there can be."""
    total = 1.0
    for c in columns:
        if c.nominal:
            total *= max(1, len(c.levels) + c.missing)
        elif not math.isnan(c.low):
            total *= 1 + (c.high - c.low) * 10**c.decimals + c.missing
    return total


def _disguised(group: Group, disguise: Disguise, train: Train) -> Group:
    """The group in disguised names; a level that is a rule (column > 0) has no disguised form to show."""
    columns = {c.name: disguise.column(c) for c in limits(train.schema, group, 0.0)}
    target = columns[group.target]
    if group.column is None:
        return Group(target.name, target.levels[0], group.minority)
    column = columns[group.column]
    if column.nominal and len(column.levels) == 1:
        return Group(target.name, target.levels[0], group.minority, column.name, column.levels[0])
    return Group(target.name, target.levels[0], group.minority)


def _same(column: Column) -> Column:
    return column
