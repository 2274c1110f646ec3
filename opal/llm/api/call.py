"""One request: its calls within the budget, and their answers merged into one counted response."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from opal.errors import LLMError
from opal.llm.api.adaptation import MOST_LESSONS, Adaptation
from opal.llm.api.budget import Budget, Cost, Prices, answer_tokens, prompt_tokens
from opal.llm.api.capabilities import Capabilities
from opal.llm.api.dialects import count, reasoned, reasoning_tokens
from opal.llm.api.endpoint import Endpoint
from opal.llm.api.fault import Fault
from opal.llm.api.messages import Request, Response
from opal.llm.api.wire import bodies, read_answer, tokens_of
from opal.result import Usage


@dataclass(frozen=True)
class Caller:
    """Asks one endpoint; see :class:`opal.llm.Client` for the fields."""

    endpoint: Endpoint
    budget: Budget
    prices: Prices
    chat: bool
    extra_body: Mapping[str, Any]
    adaptation: Adaptation

    def ask(self, request: Request, can: Capabilities, stop: threading.Event) -> Response:
        """The answer; a response without texts if the endpoint refuses the request or fails too often.

        Raises
        ------
        LLMError : no call can succeed
        BudgetError : the next call could break the budget
        """
        if stop.is_set():
            return failed(request, "not asked: the run was stopped before")
        began = time.monotonic()
        adapted = self.adaptation.limit(can)
        sent, mode = bodies(request, self.endpoint.model, adapted, self.chat, self.extra_body)
        texts: list[str] = []
        finish: list[str] = []
        usage = Usage()
        for body in sent:
            try:
                most = self.most(replace(request, n=body.get("n", 1)))
                answer, retries = self.send(body, most, request.key[:16], stop)
            except (Fault, LLMError) as error:
                if not texts and self.adaptation.limit(can) != adapted:  # it lacks what was thought of it
                    return self.ask(request, can, stop)
                if texts:
                    break  # keep what came; the next request will report the fault
                if isinstance(error, LLMError):
                    raise
                if error.kind == "fatal":
                    raise LLMError(str(error)) from None
                return failed(request, str(error), error.retries)
            came = read_answer(answer)
            texts, finish = texts + came[0], finish + came[1]
            usage = usage + self.usage(answer, request) + Usage(retries=retries)
        usage = replace(usage, seconds=time.monotonic() - began)
        return Response(request, tuple(texts), tuple(finish), usage, mode, created=now())

    def send(
        self, body: dict[str, Any], most: Cost, name: str, stop: threading.Event, probing: bool = False
    ) -> tuple[dict[str, Any], int]:
        """The answer and the number of retries; every attempt is reserved in the budget and settled.

        A field that the model does not take is left out or renamed, and the request sent again.

        Parameters
        ----------
        probing : a refused capability is the answer, not a lesson

        Raises
        ------
        Fault, BudgetError
        """
        wasted = Usage()
        for lesson in range(MOST_LESSONS + 1):
            fitted = self.adaptation.fit(body)
            try:
                answer, retries = self._send(fitted, self._with_reasoning(most, body, fitted), name, stop)
            except Fault as fault:
                known = set(self.adaptation.refuted)
                again = lesson < MOST_LESSONS and self.adaptation.learn(fault, fitted, probing)
                if not again or self.adaptation.refuted != known:  # another form is needed: ask() builds it
                    raise
                continue
            if lesson == MOST_LESSONS or not reasoned(answer):
                break
            self.adaptation.learn_from_answer(fitted)
            if self.adaptation.fit(body) == fitted:  # else this or another thread has learned to leave room
                break
            wasted += self.usage(answer)
        return self._counting(answer, wasted), retries

    def _with_reasoning(self, most: Cost, body: Mapping[str, Any], fitted: Mapping[str, Any]) -> Cost:
        """``most`` with the tokens added for reasoning."""
        extra = self.adaptation.extra(fitted) * int(body.get("n", 1))
        if not extra or most["tokens"] is None:
            return most
        money = self.prices.money(0, extra)
        total = None if money is None or most["money"] is None else most["money"] + money
        return {"requests": 1, "tokens": most["tokens"] + extra, "money": total}

    @staticmethod
    def _counting(answer: dict[str, Any], wasted: Usage) -> dict[str, Any]:
        """``answer`` with the tokens of earlier answers, which were paid for, in its usage."""
        said = answer.get("usage")
        if wasted.paid_requests and isinstance(said, dict):
            for name in ("prompt_tokens", "completion_tokens"):
                said[name] = (count(said, name) or 0) + getattr(wasted, name)
        return answer

    def _send(self, body: dict[str, Any], most: Cost, name: str, stop: threading.Event) -> tuple[dict[str, Any], int]:
        def attempt() -> dict[str, Any]:
            entry = f"{name}-{uuid.uuid4().hex[:8]}"
            self.budget.reserve(entry, most)
            cost: Cost = {"requests": 0, "tokens": 0, "money": 0.0}
            try:
                if stop.is_set():  # while waiting for the budget
                    raise Fault("passing", "not asked: the run was stopped")
                cost = {"requests": 1, "tokens": 0, "money": 0.0}
                answer = self.endpoint.post(body)
                used = self.usage(answer)
                cost = {"requests": 1, "tokens": used.paid_tokens, "money": used.money}
                return answer
            except Fault as fault:
                if fault.billed:  # unknown: count the maximum
                    cost = most
                raise
            finally:
                self.budget.settle(entry, cost)

        return self.endpoint.retry(attempt, int(most["tokens"] or 0), stop)

    def usage(self, answer: Mapping[str, Any], request: Request | None = None) -> Usage:
        """Tokens and money of a new answer."""
        prompt, completion, cached, written = tokens_of(answer, request)
        money = self.prices.money(prompt, completion, cached, written)
        thought = reasoning_tokens(answer.get("usage"))
        usage = Usage(1, 0, 0, prompt, completion, cached, money, reasoning_tokens=thought, cache_write_tokens=written)
        return replace(usage, paid_requests=1, paid_tokens=prompt + completion, paid_money=money)

    def most(self, request: Request) -> Cost:
        """The most that one call can cost; tokens and money are None if the request sets no limit."""
        prompt, completion = prompt_tokens(request), answer_tokens(request)
        if completion is None:
            return {"requests": 1, "tokens": None, "money": None}
        return {"requests": 1, "tokens": prompt + completion, "money": self.prices.most(prompt, completion)}


def now() -> str:
    """The time as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failed(request: Request, why: str, retries: int = 0) -> Response:
    """The response to a request that got no answer."""
    return Response(request, (), (f"error: {why}",), Usage(retries=retries), "free")
