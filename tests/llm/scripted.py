"""A FAKE language model in the test's own process, and the train sets and prompts that its tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import yaml

from opal.errors import BudgetError
from opal.llm.api.messages import Request, Response
from opal.llm.rows.constrain import limits
from opal.llm.rows.prompt import Prompt
from opal.result import Usage
from opal.table import Group, Train


@dataclass
class Scripted:
    """A client in this process that answers ``answer(request, i)`` for the i-th of a request's answers."""

    answer: Callable[[Request, int], str]
    api: str = "completion"
    sampling: dict = field(default_factory=lambda: {"temperature": 1.0})
    n_per_request: int = 4
    requests: list[Request] = field(default_factory=list)
    fail_at: int | None = None
    order: Callable[[list], list] = list

    def identity(self) -> str:
        return "scripted"

    def complete(self, requests, on_response=None):
        made = []
        for request in requests:
            if self.fail_at is not None and len(self.requests) >= self.fail_at:
                for response in self.order(made):
                    on_response(response)
                raise BudgetError("llm.budget.requests=1 stops the run")
            self.requests.append(request)
            texts = tuple(self.answer(request, i) for i in range(request.n))
            usage = Usage(requests=1, prompt_tokens=10, completion_tokens=7, paid_requests=1)
            made.append(Response(request, texts, ("stop",) * len(texts), usage, "free"))
        for response in self.order(made):
            on_response(response)
        return made


def new_rows(train, count=5, skip_label=True):
    """Answers of new random rows within the limits, told apart by the request's seed."""
    group = train.minority_groups[0]
    columns = [c for c in limits(train.schema, group, 0.0) if not (skip_label and c.name == group.target)]

    def answer(request, i):
        rng = np.random.default_rng([request.sampling["seed"], i])
        rows = [
            ",".join(
                str(c.levels[rng.integers(len(c.levels))])
                if c.nominal
                else f"{rng.uniform(c.low, c.high):.{c.decimals}f}"
                for c in columns
            )
            for _ in range(count)
        ]
        return "\n".join(rows) + "\n"

    return answer


def train_of(table, minority, rows=100, column=None):
    frame = table.frame.head(rows)
    target = table.schema.target
    labels = table.schema.labels
    if column is None:
        groups = tuple(Group(target, v, v == minority) for v in labels)
    else:
        groups = tuple(Group(target, v, v == minority, column, a) for v in labels for a in (0, 1))
    return Train(frame, table.schema.learn(frame), groups, seed=3)


def load(root, name, **changes):
    given = yaml.safe_load((root / "conf/prompt" / f"{name}.yaml").read_text())
    given.pop("_target_")
    return Prompt(**(given | changes))
