#!/usr/bin/env python
"""What OPAL's way of drawing rows costs, beside the bare model server and the published prompt protocol.

    python scripts/bench_llm.py [--tables gender,craft] [--rows 50] [--repeats 2] [OVERRIDE ...]

For each table, in one run and in turn on one server of the local model:

    raw        the very requests that OPAL sends, posted by a bare HTTP client
    opal       method=llm with its defaults: prompts, client, checks, a new store each time
    published  the published prompt: up to 20 rows shown and 20 asked for as text, roles, temperature 0.6, no constraint
    bound      the same if the model gave the 20 rows in full and all were valid: the fewest tokens it can take

Prints valid rows per second (wall clock, and CPU seconds of client and model together), tokens (prompt and answer)
per valid row and the accepted share, then the ratios that count: opal to raw in speed, opal to published and to
bound in tokens. The wall clock counts what else the machine does, CPU seconds do not. Exits 1 where a target is
missed: 0.95 of raw, 1/3 of bound, 95 % accepted. Rows are as many as a run of the table asks for, unless --rows
says otherwise. Tables are looked for in OPAL_DATA_DIR, else downloaded. Some minutes a table on two slow cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from benchmark import Figure, finish, need_model, parse

from opal.config.build import compose, instantiate
from opal.errors import LLMError, OpalError
from opal.llm.api.messages import Request, Response
from opal.llm.api.wire import bodies
from opal.llm.rows import write
from opal.table import Train

TABLES = "craft,gender,diabetes,heart_failure"
SPEED, TOKENS, ACCEPTED = 0.95, 1 / 3, 0.95  # targets: least, most, least


class Recorder:
    """A client that keeps what passes through it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.requests: list[Request] = []
        self.responses: list[Response] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def complete(self, requests: Sequence[Request], on_response: Any = None) -> list[Response]:
        self.requests += requests
        got = self.client.complete(requests, on_response)
        self.responses += got
        return got

    @property
    def tokens(self) -> int:
        return sum(r.usage.prompt_tokens + r.usage.completion_tokens for r in self.responses)


@dataclass(frozen=True)
class Cost:
    """What one draw took, in seconds: by the clock, and of CPU time in this process and the model's."""

    wall: float
    own: float
    model: float

    @property
    def cpu(self) -> float:
        return self.own + self.model


@dataclass
class Measured:
    """One way's figures; costs hold the repeats."""

    valid: int
    requested: int
    tokens: int
    costs: list[Cost]

    @property
    def per_row(self) -> float:
        return self.tokens / self.valid if self.valid else float("inf")

    def line(self, name: str) -> str:
        wall, cpu = (self.valid / statistics.median(getattr(c, k) for c in self.costs) for k in ("wall", "cpu"))
        return f"  {name:10s}{wall:13.2f}{cpu:13.2f}{self.per_row:19.1f}{100 * self.valid / self.requested:10.1f}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tables", default=TABLES)
    arguments.add_argument("--rows", type=int, help="synthetic rows to draw (default: as many as there are train rows)")
    arguments.add_argument("--repeats", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("overrides", nargs="*", help="Hydra overrides, such as llm.n_per_request=8")
    given = parse(arguments, tables="craft", rows=50)
    need_model()
    figures = []
    try:
        for table in given.tables.split(","):
            figures += bench(table, given)
    except OpalError as error:
        sys.exit(f"bench_llm: {error}")
    return finish(*figures)


def bench(table: str, given: argparse.Namespace) -> list[Figure]:
    """Measure and print one table."""
    train = load(table, given).split
    rows = given.rows or len(train.frame)
    opal, raw, same = measure(table, given, train, rows)
    print(f"{table}: {rows} rows wanted, {len(raw.costs)} repeats")
    print(f"  {'':10s}{'rows/s':>13s}{'rows/CPU s':>13s}{'tokens/valid row':>19s}{'valid %':>10s}")
    print(raw.line("raw"), opal.line("opal"), sep="\n", flush=True)
    published, bound = protocol(table, given, train)
    print(published.line("published"))
    print(f"  {'bound':10s}{bound:45.1f}")
    # pairs, one after the other: what else the machine does is much the same for both
    pairs = list(zip(opal.costs, raw.costs, strict=True))
    wall, cpu = (statistics.median(getattr(r, k) / getattr(o, k) for o, r in pairs) for k in ("wall", "cpu"))
    own = statistics.median(o.own / o.cpu for o in opal.costs)
    # the bound, not what the published prompt took here: a base model may give it no valid row at all
    tokens, accepted = opal.per_row / bound, opal.valid / opal.requested
    print(f"  opal / raw: {wall:.3f} in rows per second, {cpu:.3f} per CPU second (answers {same})")
    print(f"  opal's own share of its CPU seconds: {100 * own:.1f} %")
    print(
        f"  opal / published: {opal.per_row / published.per_row:.3f}, opal / bound: {tokens:.3f} in tokens\n",
        flush=True,
    )
    return [
        Figure(f"{table}: LLM rows a second beside the raw server", wall, least=SPEED),
        Figure(f"{table}: LLM rows a CPU second beside the raw server", cpu, least=SPEED),
        Figure(f"{table}: tokens a row beside the published prompt at its best", tokens, TOKENS),
        Figure(f"{table}: share of LLM rows accepted", accepted, least=ACCEPTED),
    ]


@dataclass
class Loaded:
    """A method with its recorded client, and the train rows."""

    method: Any
    client: Recorder
    split: Train


def load(table: str, given: argparse.Namespace, *overrides: str, store: str = "unused") -> Loaded:
    """The parts of ``data=table method=llm llm=local`` under the given overrides."""
    fixed = [f"data={table}", "method=llm", "llm=local", f"llm.store={store}"]
    config = compose(*fixed, *overrides, *given.overrides)
    data, task, method = (instantiate(config, section) for section in ("data", "task", "method"))
    recorder = Recorder(method.client)
    object.__setattr__(method._generator, "client", recorder)  # frozen
    return Loaded(method, recorder, task.split(data, given.seed).train)


def measure(table: str, given: argparse.Namespace, train: Train, rows: int) -> tuple[Measured, Measured, str]:
    """OPAL, raw, and whether both got the same answers."""
    sample(table, given, train, 1)  # the server is up, its grammar engine too
    opal, requests, texts = sample(table, given, train, rows)
    raw = Measured(opal.valid, opal.requested, opal.tokens, [])
    same = True
    for repeat in range(given.repeats):
        cost, answers = post(load(table, given).client, requests)
        raw.costs.append(cost)
        same = same and answers == texts
        if repeat:  # its first was before the loop
            opal.costs += sample(table, given, train, rows)[0].costs
    return opal, raw, "equal" if same else "differ"


def sample(table: str, given: argparse.Namespace, train: Train, n: int) -> tuple[Measured, list[Request], list[str]]:
    """One timed draw of ``n`` rows by OPAL, with an empty store."""
    with tempfile.TemporaryDirectory() as store:
        loaded = load(table, given, store=store)
        with Stopwatch() as watch:
            rows = loaded.method.sample(train, n)
    client = loaded.client
    asked = max(rows.funnel.requested, rows.funnel.received)
    found = Measured(rows.funnel.valid, asked, client.tokens, [watch.cost])
    return found, client.requests, [t for r in client.responses for t in r.texts]


class Stopwatch:
    """Takes the cost of what runs within."""

    def __enter__(self) -> Stopwatch:
        self.began = self.now()
        return self

    def __exit__(self, *_: object) -> None:
        self.cost = Cost(*(b - a for a, b in zip(self.began, self.now(), strict=True)))

    @staticmethod
    def now() -> tuple[float, float, float]:
        children = [child.cpu_times() for child in psutil.Process().children()]  # the model server alone
        return time.perf_counter(), time.process_time(), sum(t.user + t.system for t in children)


def post(client: Recorder, requests: Sequence[Request]) -> tuple[Cost, list[str]]:
    """What the requests cost, one after the other, without OPAL; and the texts that came."""
    can, extra = client.capabilities, client.extra_body
    plain = [b for r in requests for b in bodies(r, r.model, can, client.api == "chat", extra)[0]]
    texts: list[str] = []
    with Stopwatch() as watch:
        for body in plain:
            choices = call(client, "/completions", body)["choices"]
            texts += [c["text"] for c in sorted(choices, key=lambda c: c["index"])]
    return watch.cost, texts


def protocol(table: str, given: argparse.Namespace, train: Train) -> tuple[Measured, float]:
    """The published prompt as it goes with this model, and the fewest tokens per row that it can take with any."""
    asked = 20
    slots = load(table, given).client.server.slots  # the server that runs
    free = ["prompt=paper", "llm.n_per_request=1", f"llm.server.slots={slots}", "llm.supports.grammar=null"]
    free.append("method.max_rows_factor=1")
    with tempfile.TemporaryDirectory() as store:
        loaded = load(table, given, *free, store=store)
        with Stopwatch() as watch:
            try:
                valid = min(asked, loaded.method.sample(train, asked).funnel.valid)
            except LLMError:  # not a single valid row
                valid = 0
    client = loaded.client
    if not client.responses:
        raise LLMError(f"{table}: the published prompt got no answer at all; is llm.server.context too small?")
    group = train.minority_groups[0]
    shown = write.lines(train.rows(group), train.schema.columns, "text")
    text = "\n".join((shown * asked)[:asked])
    answer = len(call(client, "/../tokenize", {"content": text})["tokens"])
    prompt = client.responses[0].usage.prompt_tokens
    return Measured(valid, asked, client.tokens, [watch.cost]), (prompt + answer) / asked


def call(client: Recorder, path: str, body: dict[str, Any]) -> Any:
    """The JSON answer of the server to one POST."""
    base_url, key = client.server.start()
    url = base_url.removesuffix("/v1") + path[3:] if path.startswith("/../") else base_url + path
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
