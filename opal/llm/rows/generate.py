"""The loop that turns a model's answers into the wanted number of valid rows, or says why there are fewer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from opal.errors import LLMError
from opal.llm.api.budget import prompt_tokens
from opal.llm.api.messages import Request, Response
from opal.llm.rows.obfuscate import Disguise
from opal.llm.rows.quota import Quota, Settings
from opal.llm.rows.size import minutes
from opal.result import Funnel, Rows, Usage
from opal.table import Group, Train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The first round of requests, the rows they ask for, and an upper estimate of their tokens."""

    requests: list[Request]
    rows: int
    prompt_tokens: int
    completion_tokens: int


class Generator(Settings):
    """Asks a model for rows, round by round, until each group has the wanted number of valid ones.

    The rows depend on the train rows, the settings and the answers alone: not on concurrency, on what the store
    held, or on the order in which answers came.
    """

    def plan(self, train: Train, wanted: Mapping[Group, int]) -> Plan:
        """The first round of requests; calls nothing."""
        quotas = self._quotas(train, wanted)
        return self._planned(quotas, [r for q in quotas for r in q.next_requests()])

    def _planned(self, quotas: Sequence[Quota], requests: list[Request]) -> Plan:
        rows = sum(r.n * q.prompt.rows_per_request for q in quotas for r in q.asked.values())
        completion = sum(r.n * q.prompt.rows_per_request * q.row_tokens for q in quotas for r in q.asked.values())
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
            if not run.prompts:
                self._forewarn(self._planned(quotas, requests), train)
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
        rows.stopped = " ".join(q.shortfall(error) for q in missing)
        if missing and rows.frame.empty:
            raise LLMError(f"the model gave no valid row: {rows.stopped}")
        return rows

    def _forewarn(self, plan: Plan, train: Train) -> None:
        """Log in advance that a model on this machine will take minutes."""
        if getattr(self.client, "server", None) is None:
            return
        pay = self.client.estimate(plan.requests, -(-plan.completion_tokens // len(plan.requests)))
        if time := minutes(pay.prompt_tokens, pay.completion_tokens):
            log.warning(
                "%d rows of %d columns are about %s tokens, %s of the embedded model on two slow cores; answers are "
                "stored as they come: a run that is stopped goes on from there",
                *(plan.rows, len(train.schema.columns), f"{pay.completion_tokens:,}", time),
            )

    def _quotas(self, train: Train, wanted: Mapping[Group, int]) -> list[Quota]:
        disguise = Disguise(train.schema, train.seed) if self.obfuscate else None
        return [Quota(self, train, g, n, disguise) for g, n in wanted.items() if n > 0]


@dataclass
class _Run:
    """Takes responses in the order of their requests, however they come."""

    quotas: list[Quota]
    progress: Any
    usage: Usage = field(default_factory=Usage)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    _order: list[str] = field(default_factory=list)
    _arrived: dict[str, Response] = field(default_factory=dict)
    _next: int = 0

    def begin(self, requests: Sequence[Request]) -> None:
        self._order, self._arrived, self._next = [r.key for r in requests], {}, 0

    def receive(self, response: Response) -> None:
        """One response; held back until those before it have arrived."""
        self._arrived[response.request.key] = response
        while self._next < len(self._order) and self._order[self._next] in self._arrived:
            self._take(self._arrived[self._order[self._next]])
            self._next += 1

    def end(self, responses: Sequence[Response]) -> None:
        """Everything that arrived, even where earlier requests failed."""
        for response in responses:
            self._arrived[response.request.key] = response
        for key in self._order[self._next :]:
            if key in self._arrived:
                self._take(self._arrived[key])
        self._next = len(self._order)

    def _take(self, response: Response) -> None:
        quota = next(q for q in self.quotas if response.request.key in q.asked)
        counts = quota.absorb(response)
        self.usage += response.usage
        self.prompts.append({"group": quota.group.name} | response.record() | {"rows": dict(counts)})
        if self.progress is not None:
            tokens = response.usage.prompt_tokens + response.usage.completion_tokens
            self.progress.advance(rows=counts["kept"], tokens=tokens)

    def rows(self, train: Train) -> Rows:
        kept = [row for q in self.quotas for row in q.kept]
        frame = train.schema.cast(pd.DataFrame(kept, columns=train.schema.names))
        funnel = sum((q.funnel for q in self.quotas), Funnel())
        return Rows(frame, funnel, self.usage, self.prompts)
