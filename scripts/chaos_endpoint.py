"""Kinds of `scripts/bench_faults.py chaos` that ask a FAKE endpoint which bills: one sweep at a time, or two."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos_kinds import ROOT, Kind

sys.path.append(str(ROOT / "tests" / "llm"))
from fake_server import FakeLLM, Reply


class Endpoint(Kind):
    """Sweeps with a FAKE endpoint that bills every request when it arrives, as a provider may.

    The number of a bill is the number of tokens that the answer is said to have: stored answers so name their bills.
    """

    methods, in_flight = 1, 4

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.bills: list[str] = []  # the requests, in order of arrival
        self.lock, self.seen, self.lost, self.beyond = threading.Lock(), 0, 0, 0
        self.delays = random.Random(rng.random())

    @contextmanager
    def ready(self) -> Iterator[None]:
        with FakeLLM(answer=self.answer) as fake:
            self.options = (
                *("method=llm", "llm=openai_compatible", "llm.model=fake", f"llm.base_url={fake.url}"),
                *("llm.api=completion", f"llm.concurrency={self.in_flight}", "prompt.rows_per_request=1"),
                "llm.supports={json_schema:false,json_object:false,grammar:null,seed:true,n:false,prompt_cache:false}",
                "amounts.size=12",
            )
            yield

    def answer(self, body: dict[str, Any]) -> Any:
        request = json.dumps(body, sort_keys=True)
        with self.lock:
            self.bills.append(request)
            number, delay = len(self.bills), self.delays.uniform(0, 0.5)
        made_up, columns = random.Random(request), body["prompt"].partition("\n")[0].split(",")
        row = ",".join(f"{made_up.uniform(-1, 1):.1f}" for _ in columns)
        return Reply([row], usage={"completion_tokens": number}, delay=delay)

    def stored(self) -> set[int]:
        """The bills whose answers are stored."""
        answers = (self.work / "mlruns" / "responses").glob("[0-9a-f][0-9a-f]/*.json")
        return {json.loads(path.read_text())["usage"]["completion_tokens"] for path in answers}

    def round(self) -> None:
        super().round()
        self.count_lost(1)

    def count_lost(self, sweeps: int) -> None:
        """Count answers that no sweep of this round had stored when all had ended."""
        lost = len(set(range(self.seen + 1, len(self.bills) + 1)) - self.stored())
        self.seen, self.lost = len(self.bills), self.lost + lost
        self.beyond += max(0, lost - sweeps * self.in_flight)

    def billed_twice(self) -> str:
        stored = {self.bills[number - 1]: number for number in self.stored()}
        twice = sum(number > stored.get(bill, number) for number, bill in enumerate(self.bills, 1))
        return f"{twice} billed again after being stored, {self.beyond} more lost than in flight" * bool(
            twice + self.beyond
        )

    def told(self) -> str:
        again = len(self.bills) - len(set(self.bills))
        return f"billed {len(self.bills)}, in flight at a kill {self.lost}, of these asked again {again}"


class Two(Endpoint):
    """Two sweeps of overlapping trials with the billing endpoint at once, the first of them killed."""

    ends = 1  # sweeps of a round that may end before their answers are stored

    def round(self) -> None:
        first = self.start(self.seeds[-2 * self.size :])
        second = self.start(self.seeds[-self.size :])
        self.kill(first)
        self.wait(second)
        self.note_end(second.returncode)
        self.count_left()
        self.count_lost(self.ends)


ALL = {"endpoint": Endpoint, "two": Two}
