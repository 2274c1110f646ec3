"""The Batch API: upload, poll, resume after a restart, merge; cheaper, and up to a day late.

``<store>/batches/<name>.json`` remembers a batch from before it is created until all its answers are stored. A process
that needs an answer from a pending batch waits for that batch and never asks twice.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from filelock import FileLock

from opal.errors import BudgetError, ConfigError, LLMError
from opal.llm.api.cache import ResponseCache, write_json
from opal.llm.api.call import Caller, failed, now
from opal.llm.api.capabilities import Capabilities
from opal.llm.api.fault import Fault
from opal.llm.api.messages import Mode, Request, Response
from opal.llm.api.responses import from_chat, to_chat
from opal.llm.api.wire import bodies, choices_of, read_answer
from opal.result import Usage

log = logging.getLogger(__name__)
MOST, MOST_BYTES = 50_000, 190_000_000  # requests and bytes of a batch (OpenAI's limits: 50,000 and 200 MB)
MOST_LISTED = 2000  # batches looked through for one that a killed process created
TRIED_FROM = 2  # requests; with as many, one is asked directly first
ENDED = ("completed", "failed", "expired", "cancelled")
ENQUEUED = "token_limit_exceeded"  # where the account's batches have too many tokens (openai-python issue 2084, 2025)


class Enqueued(LLMError):
    """A batch has more tokens than the endpoint takes at a time, those of other batches counted."""


@dataclass
class State:
    """A pending batch; ``modes`` maps each request's key to its mode."""

    path: Path
    endpoint: str
    modes: dict[str, Any]
    batch: str | None = None
    submitted: str = field(default_factory=now)

    @property
    def name(self) -> str:
        return self.path.stem

    def save(self) -> None:
        write_json(self.path, {k: v for k, v in vars(self).items() if k != "path"})

    @classmethod
    def load(cls, path: Path) -> State:
        return cls(path, **json.loads(path.read_text()))


@dataclass
class Batches:
    """Answers requests by batches; see :class:`opal.llm.Client` for the fields.

    Parameters
    ----------
    direct : asks a single request at once, at its full price
    """

    caller: Caller
    direct: Caller
    can: Capabilities
    store: ResponseCache
    poll: float

    def fetch(self, requests: Mapping[int, Request]) -> Iterator[tuple[int, Response]]:
        """Responses by index, as their batches end.

        Raises
        ------
        LLMError : the endpoint takes no batches, or a batch failed as a whole
        BudgetError : the budget did not allow all requests; raised after those that it allowed
        """
        folder = self.store.folder / "batches"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {r.key: r for r in requests.values()}
        with FileLock(folder / "lock"):  # no two processes submit the same requests
            states = self._under_way(folder, wanted)
            for state in states:
                wanted = {k: r for k, r in wanted.items() if k not in state.modes}
            stored = {k: found for k, r in wanted.items() if (found := self.store.get(r)) is not None}
            stored |= self._tried({k: r for k, r in wanted.items() if k not in stored})
            more, over = self._submit(folder, {k: r for k, r in wanted.items() if k not in stored})
        yield from ((place, stored[r.key]) for place, r in requests.items() if r.key in stored)
        for state in states + more:
            mine = {place: r for place, r in requests.items() if r.key in state.modes}
            done = self._finished(state, {r.key: r for r in mine.values()})
            yield from ((place, done[r.key]) for place, r in mine.items())
        if over is not None:
            raise over

    def _finished(self, state: State, wanted: Mapping[str, Request]) -> dict[str, Response]:
        """`_finish`; a batch of more tokens than the endpoint takes at a time is sent again in halves, one by one."""
        try:
            return self._finish(state, wanted)
        except Enqueued as full:
            if len(wanted) < 2:
                raise LLMError(f"{full}: run again when the account's other batches are done") from full
            log.info("batch %s: more tokens than %s takes at a time; sent again in halves", state.batch, state.endpoint)
        done: dict[str, Response] = {}
        keys = list(wanted)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            with FileLock(state.path.parent / "lock"):
                states, over = self._submit(state.path.parent, {key: wanted[key] for key in half})
            for part in states:
                done |= self._finished(part, {key: wanted[key] for key in part.modes})
            if over is not None:
                raise over
        return done

    def _tried(self, wanted: Mapping[str, Request]) -> dict[str, Response]:
        """The first of several requests, asked directly where the model is new: a field that it refuses is found out in
        seconds, not after a batch in which every line failed."""
        if len(wanted) < TRIED_FROM or self.caller.adaptation.known:
            return {}
        key, request = next(iter(wanted.items()))
        found = self.direct.ask(request, self.can, threading.Event())
        self.caller.adaptation.remember()
        return {key: self.store.put(found)} if found.texts else {}

    def _under_way(self, folder: Path, wanted: Mapping[str, Request]) -> list[State]:
        """Batches of this endpoint that hold any of the requests."""
        found = []
        for path in sorted(folder.glob("[!.]*.json")):
            try:
                state = State.load(path)
            except FileNotFoundError:  # just finished by another process: its answers are stored
                continue
            if state.endpoint != self.caller.endpoint.name or not set(state.modes) & set(wanted):
                continue
            if state.batch is None:  # killed while creating it: did the endpoint get it?
                state.batch = self._call(partial(_find, state.name))
                if state.batch is None:
                    self._forget(state, Usage())
                    continue
                state.save()
            found.append(state)
        return found

    def _submit(self, folder: Path, requests: Mapping[str, Request]) -> tuple[list[State], BudgetError | None]:
        """Upload and create as many batches as are needed, and the budget allows."""
        states: list[State] = []
        keys = list(requests)
        while keys:
            chunk, name = keys[:MOST], uuid.uuid4().hex[:16]
            lines, modes = self._lines([requests[k] for k in chunk])
            sizes = accumulate(len(line.encode()) for line in lines)
            chunk = chunk[: max(1, sum(size <= MOST_BYTES for size in sizes))]
            try:
                fit = self.caller.budget.reserve_first(name, [self.caller.most(requests[k]) for k in chunk])
            except BudgetError as error:
                return states, error
            state = State(folder / f"{name}.json", self.caller.endpoint.name, {k: modes[k] for k in chunk[:fit]})
            state.save()
            state.batch = self._create(state, "".join(lines[:fit]).encode())
            state.save()
            log.info("batch %s: %d requests submitted; if interrupted, run again to resume", state.batch, fit)
            states.append(state)
            keys = keys[fit:]
        return states, None

    def _create(self, state: State, data: bytes) -> str:
        """The batch's id; a retry after a broken connection finds what the first try created."""
        file = self._call(lambda api: api.files.create(file=("batch.jsonl", data), purpose="batch"))
        options = {"endpoint": self._path, "completion_window": "24h", "metadata": {"opal": state.name}}

        def create(api: Any) -> str:
            return _find(state.name, api) or api.batches.create(input_file_id=file.id, **options).id

        return self._call(create)

    @property
    def _path(self) -> str:
        if self.caller.endpoint.responses:
            return "/v1/responses"
        return "/v1/chat/completions" if self.caller.chat else "/v1/completions"

    def _lines(self, requests: list[Request]) -> tuple[list[str], dict[str, Any]]:
        """The lines of the file to upload, and each request's mode by key."""
        lines, modes = [], {}
        for request in requests:
            sent, mode = self._bodies(request)
            if len(sent) > 1:
                raise ConfigError("llm.mode=batch: this endpoint gives one answer per request: set llm.n_per_request=1")
            body = self.caller.adaptation.fit(sent[0])
            body = from_chat(body) if self.caller.endpoint.responses else body
            line = {"custom_id": request.key, "method": "POST", "url": self._path, "body": body}
            lines.append(json.dumps(line) + "\n")
            modes[request.key] = mode
        return lines, modes

    def _bodies(self, request: Request) -> tuple[list[dict[str, Any]], Mode]:
        caller = self.caller
        can = caller.adaptation.limit(self.can)
        return bodies(request, caller.endpoint.model, can, caller.chat, caller.extra_body)

    def _learn(self, refused: Sequence[tuple[Request, Mapping[str, Any]]]) -> None:
        """Learn from requests and the lines that refuse them, so that the next batch does without what they name."""
        adaptation = self.caller.adaptation
        sent = [adaptation.fit(self._bodies(request)[0][0]) for request, _ in refused]  # before the first lesson
        for body, (_, line) in zip(sent, refused, strict=True):
            response = line.get("response") or {}
            error = (response.get("body") or {}).get("error") or line.get("error") or {}
            adaptation.learn(Fault.refusal(str(error.get("message")), response.get("status_code"), error), body)

    def _finish(self, state: State, wanted: Mapping[str, Request]) -> dict[str, Response]:
        """Wait for the batch to end; store and return the answers to ``wanted``, failures among them."""
        batch = self._call(lambda api: api.batches.retrieve(state.batch))
        while batch.status not in ENDED:
            time.sleep(self.poll)
            batch = self._call(lambda api: api.batches.retrieve(state.batch))
        if batch.status == "failed":
            self._forget(state, Usage())
            errors = (batch.errors and batch.errors.data) or []
            why = self.caller.endpoint.scrub(str(errors[0].message)) if errors else "no reason given"
            kind = Enqueued if errors and errors[0].code == ENQUEUED else LLMError
            raise kind(f"batch {batch.id} at {state.endpoint} failed: {why}")
        lines = [*self._download(batch.output_file_id), *self._download(batch.error_file_id)]
        spent = Usage()
        answered: set[str] = set()
        refused: list[tuple[Request, Mapping[str, Any]]] = []
        done = {k: failed(r, f"the batch ended as {batch.status!r} without it") for k, r in wanted.items()}
        for line in lines:
            key, answer, why = _read_line(line)
            request = wanted.get(key)
            if answer is not None:
                spent += self.caller.usage(answer, request)
                answered.add(key)
            if request is not None and answer is None:
                refused.append((request, line))
            if request is not None:
                done[key] = self._keep(request, state, answer) if answer is not None else failed(request, why)
        self._learn(refused)
        if all(k in wanted or k not in answered or self.store.path(k).exists() for k in state.modes):
            self._forget(state, spent)
        return done

    def _keep(self, request: Request, state: State, answer: Mapping[str, Any]) -> Response:
        texts, finish = read_answer(answer)
        usage, mode = self.caller.usage(answer, request), state.modes[request.key]
        return self.store.put(Response(request, tuple(texts), tuple(finish), usage, mode, created=now()))

    def _forget(self, state: State, spent: Usage) -> None:
        cost = {"requests": spent.paid_requests, "tokens": spent.paid_tokens, "money": spent.paid_money}
        self.caller.budget.settle(state.name, cost)
        state.path.unlink(missing_ok=True)

    def _download(self, file: str | None) -> list[dict[str, Any]]:
        if file is None:
            return []
        text = self._call(lambda api: api.files.content(file).content).decode("utf-8", errors="replace")
        return [json.loads(line) for line in self.caller.endpoint.scrub(text).splitlines() if line.strip()]

    def _call(self, function: Callable[[Any], Any]) -> Any:
        endpoint = self.caller.endpoint
        try:
            return endpoint.retry(lambda: endpoint.call(function), 0, threading.Event())[0]
        except Fault as fault:
            why = f"{endpoint.name} has no Batch API: use llm.mode=direct" if fault.status == 404 else str(fault)
            raise LLMError(why) from None


def _find(name: str, api: Any) -> str | None:
    """The id of the batch with this name, among the last MOST_LISTED: the client turns the pages."""
    known = islice(api.batches.list(limit=100), MOST_LISTED)
    return next((b.id for b in known if (b.metadata or {}).get("opal") == name), None)


def _read_line(line: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """Key, answer or None, and why there is none."""
    response = line.get("response") or {}
    body = to_chat(response.get("body") or {})
    if response.get("status_code") == 200 and choices_of(body):
        return line["custom_id"], body, ""
    error = line.get("error") or body.get("error") or {}
    return line["custom_id"], None, str(error.get("message") or "the batch holds no answer")
